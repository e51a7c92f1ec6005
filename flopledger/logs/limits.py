"""How much evidence is read at most. It comes from the audited party, so everything is bounded.

A file above its limit is refused whole and named: a log read halfway would give a run that ended
too early, which is worse than no figure.
"""

HEAD_BYTES = 1 << 20  #: what a reader sees to recognise a file
TAIL_BYTES = 1 << 16  #: appended to the head, since a banner may precede the first log line
TEXT_BYTES = 512 << 20  #: a log that is read line by line
DOCUMENT_BYTES = 64 << 20  #: a JSON or other document that is read whole
JSON_MEMORY_BYTES = 320 << 20  #: what the values of one JSON text may take in memory, by its marks
UNPACKED_BYTES = 256 << 20  #: of a gzip file
UNPACKING_MEMORY_BYTES = 1 << 28  #: what unpacking may take, where a file names it
SMALL_BYTES = 4 << 20  #: a configuration or a model card
HASH_BYTES = 4 << 30  #: a larger file is not hashed
LINE_CHARACTERS = 1 << 18  #: a longer line is skipped, and its file says so
LINES = 20_000_000  #: lines of one log
KEPT_EVENTS = 500_000  #: events of one MLPerf log that are kept until its end
STEPS = 2_000_000  #: printed steps of one log; they are kept until its end
FILES = 2_000  #: files of one call, folders included
FOLDER_DEPTH = 12
TOTAL_BYTES = 2 << 30  #: what one call reads in all, headers of weights apart
FACTS_PER_FILE = 5_000
JOBS = 20_000  #: of a scheduler's account; a run has few, a cluster has more
NUMBER_CHARACTERS = 64
EVENT_FILE_BYTES = 256 << 20  #: a binary event file
EVENTS = 5_000_000  #: records of one binary event file

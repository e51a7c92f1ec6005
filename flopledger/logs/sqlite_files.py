"""Opening a SQLite file of somebody else's: read-only, immutable, bounded.

Nothing is written and no journal beside the file is replayed. Only tables are to be read (a view could
compute for ever), and a query ends after a bounded number of steps.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from urllib.parse import quote

from flopledger.logs import limits
from flopledger.logs.document import Document
from flopledger.logs.evidence import EvidenceError

MAGIC = b"SQLite format 3\0"
_STEPS = 50_000_000  #: of SQLite's virtual machine, for one file


@contextmanager
def opened(document: Document, *, what: str) -> Iterator[sqlite3.Connection]:
    """Give a guarded connection; raise ``EvidenceError`` for what is not ``what``."""
    if document.size_bytes > limits.EVENT_FILE_BYTES:
        raise EvidenceError(f"{document.name}: larger than {limits.EVENT_FILE_BYTES:,} bytes")
    location = f"file:{quote(str(document.path))}?mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(location, uri=True)) as store:
            yield _guarded(store)
    except sqlite3.Error as error:
        raise EvidenceError(f"{document.name}: not a readable {what} ({error})") from None


def tables(store: sqlite3.Connection) -> set[str]:
    """Give the names of the tables; views are none."""
    return {name for (name,) in store.execute("SELECT name FROM sqlite_master WHERE type='table'")}


def _guarded(store: sqlite3.Connection) -> sqlite3.Connection:
    store.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, limits.SMALL_BYTES)
    for pragma in ("trusted_schema = OFF", "query_only = ON", "cell_size_check = ON"):
        store.execute(f"PRAGMA {pragma}")
    taken = 0

    def count() -> int:
        nonlocal taken
        taken += 100_000
        return int(taken > _STEPS)

    store.set_progress_handler(count, 100_000)
    return store

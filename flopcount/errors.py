"""Everything that flopcount raises on purpose."""


class FlopcountError(Exception):
    """Base of this pillar's errors. The message says what was wrong, found, and how to mend it."""

"""Everything that profilers raises on purpose."""


class ProfilersError(Exception):
    """Base of this pillar's errors. The message says what was wrong, found, and how to mend it."""

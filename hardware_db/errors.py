"""Everything that hardware_db raises on purpose."""


class HardwareError(Exception):
    """Base of this pillar's errors. The message says what was wrong, found, and how to mend it."""

"""Everything that the roof raises on purpose."""


class FlopledgerError(Exception):
    """Base of the roof's errors. The message says what was wrong, found, and how to mend it."""


class CaseError(FlopledgerError):
    """A case file that cannot be used: names the file, the key, what was found and the cure."""

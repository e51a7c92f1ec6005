"""Everything that the roof raises on purpose."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


NO_TEXT = (
    "a file's or folder's name is not UTF-8 text, which a document has to be: rename it, or make a link "
    "to it under another name"
)


class FlopledgerError(Exception):
    """Base of the roof's errors. The message says what was wrong, found, and how to mend it."""


class CaseError(FlopledgerError):
    """A case file that cannot be used: names the file, the key, what was found and the cure."""


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Give a full disk's error the name of the file that was written, which the system leaves out."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_ROOM or error.filename is not None:
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error

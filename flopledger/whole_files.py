"""Files that are there whole or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from flopledger.errors import FlopledgerError, naming


@contextmanager
def replacing(path: Path, error: type[FlopledgerError] = FlopledgerError) -> Iterator[BinaryIO]:
    """Open a draft beside ``path`` that takes its place at the end, or vanishes when anything is raised.

    Raises ``error`` where there is no such folder, or nothing may be written into it.
    """
    if not path.parent.is_dir():
        raise error(f"{path}: no such folder {path.parent}; create it first")
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as refusal:  # which names the draft, of which nobody has heard
        raise error(f"{path}: cannot be written ({refusal.strerror})") from None
    draft = Path(name)
    try:
        with naming(path), os.fdopen(handle, "w+b") as file:
            yield file
        mask = os.umask(0)
        os.umask(mask)
        draft.chmod(0o666 & ~mask)  # mkstemp gives 600; these are ordinary files
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise

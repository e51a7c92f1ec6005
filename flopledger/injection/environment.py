"""The variables that let Python children find the recorder."""

import atexit
import contextlib
import functools
import importlib.util
import os
import py_compile
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

RECORD = "FLOPLEDGER_RECORD"
"""Names the run's folder; a process without it does not record."""
SITE = Path(__file__).resolve().parent / "site"
"""The folder whose only module is ``sitecustomize``."""
PROCESSES = "processes"
"""Where in a run's folder Python processes say that they were there."""
_MODULE = "sitecustomize.py"
_COERCED = {"C.UTF-8", "C.utf8", "UTF-8"}
"""What PEP 538 sets ``LC_CTYPE`` to."""


def environment(base: Mapping[str, str], run_dir: Path) -> dict[str, str]:
    """Return ``base`` with the recorder in it, for a child and everything that it starts.

    ``PYTHONPATH`` keeps what it had; our folder comes first, and each interpreter takes it off
    ``sys.path`` again before user code runs. The variable itself stays, for grandchildren.
    """
    changed = dict(base)
    changed[RECORD] = str(run_dir.resolve())
    earlier = base.get("PYTHONPATH", "")
    # An inner `flopledger run` records; the outer one's folder must not come twice.
    kept = (
        [entry for entry in earlier.split(os.pathsep) if not leads_to_us(entry)] if earlier else []
    )
    changed["PYTHONPATH"] = os.pathsep.join([*_folders(), *kept])
    return changed


def as_given(base: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without the ``LC_CTYPE`` that Python sets for itself (PEP 538).

    In the C locale our own interpreter puts it there, and a command that is no Python would write and
    sort other characters than without us.
    """
    changed = dict(base)
    if changed.get("LC_CTYPE") in _COERCED:
        with contextlib.suppress(OSError):
            begun = Path("/proc/self/environ").read_bytes().split(b"\0")
            if not any(entry.startswith(b"LC_CTYPE=") for entry in begun):
                del changed["LC_CTYPE"]
    return changed


def prepare(run_dir: Path) -> None:
    """Make room for what the children say."""
    (run_dir / PROCESSES).mkdir(exist_ok=True)


def leads_to_us(entry: str) -> bool:
    """Whether an entry of ``PYTHONPATH`` is a folder with our ``sitecustomize``."""
    return bool(entry) and os.path.realpath(Path(entry) / _MODULE) == str(SITE / _MODULE)


def _folders() -> list[str]:
    """Return where children shall look, and spare them compiling what they all read.

    The first compilation of an interpreter costs more than a millisecond, however short the file.
    Where the installation can be written or has byte code, that is used; where it has none and is
    read-only, a link in a temporary folder has byte code of its own. The installation comes after
    it, for hosts that do not see the folder, and for processes that outlive this one.
    """
    return [str(SITE)] if _compiled(SITE / _MODULE) else [*_spare(), str(SITE)]


def _compiled(source: Path) -> bool:
    """Whether children find byte code; they may themselves be told not to write any."""
    with contextlib.suppress(OSError, py_compile.PyCompileError):
        return bool(py_compile.compile(str(source), doraise=True))
    return Path(importlib.util.cache_from_source(str(source))).is_file()


@functools.cache
def _spare() -> tuple[str, ...]:
    """Return a folder with a link to the module and byte code beside it; none if that fails."""
    try:
        folder = Path(tempfile.mkdtemp(prefix="flopledger-site-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        (folder / _MODULE).symlink_to(SITE / _MODULE)
    except OSError:
        return ()
    return (str(folder),) if _compiled(folder / _MODULE) else ()

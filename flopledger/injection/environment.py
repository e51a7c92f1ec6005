"""The variables that let Python children find the recorder."""

import contextlib
import os
import py_compile
from collections.abc import Mapping
from pathlib import Path

RECORD = "FLOPLEDGER_RECORD"
"""Names the run's folder; a process without it does not record."""
SITE = Path(__file__).resolve().parent / "site"
"""The folder whose only module is ``sitecustomize``."""
PROCESSES = "processes"
"""Where in a run's folder Python processes say that they were there."""


def environment(base: Mapping[str, str], run_dir: Path) -> dict[str, str]:
    """Return ``base`` with the recorder in it, for a child and everything that it starts.

    ``PYTHONPATH`` keeps what it had; our folder comes first, and each interpreter takes it off
    ``sys.path`` again before user code runs. The variable itself stays, for grandchildren.
    """
    changed = dict(base)
    changed[RECORD] = str(run_dir.resolve())
    earlier = base.get("PYTHONPATH", "")
    # An inner `flopledger run` records; the outer one's folder must not come twice.
    kept = [entry for entry in earlier.split(os.pathsep) if entry != str(SITE)] if earlier else []
    changed["PYTHONPATH"] = os.pathsep.join([str(SITE), *kept])
    return changed


def prepare(run_dir: Path) -> None:
    """Make room for what the children say, and spare them compiling what they all read."""
    (run_dir / PROCESSES).mkdir(exist_ok=True)
    # Children may be told not to write byte code, or may not be allowed to.
    with contextlib.suppress(OSError, py_compile.PyCompileError):
        py_compile.compile(str(SITE / "sitecustomize.py"), quiet=2)

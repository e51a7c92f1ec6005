"""The part of the injection that runs in a child once it asks for torch.

Executed by ``site/sitecustomize.py`` under the name ``_flopledger_child``, in the child's own
Python and environment, which need not be ours: the syntax is Python 3.9's, and until the recorder
itself is loaded nothing outside the standard library is needed.
"""

from __future__ import annotations

import os
import sys
import traceback
from typing import Any

OURS = ("flopledger", "flopcount", "profilers", "hardware_db")
HOME = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
"""The folder that holds our packages. It never comes onto ``sys.path``."""
OLDEST = (3, 11)
RUN_DIR = globals().get("RUN_DIR", "")
"""The run's folder as the process began with it; whoever executes this file sets it before."""


def find_torch(watch: Any, name: str, path: Any, target: Any) -> Any:
    """Let the other finders find torch, and have its loader tell us when it has run.

    Returns their spec, or None where there is no torch.
    """
    spec = _found_by_others(watch, name, path, target)
    loader = getattr(spec, "loader", None)
    if loader is None or isinstance(loader, type) or not hasattr(loader, "__dict__"):
        return spec
    run = loader.exec_module

    # On the loader itself, and gone before it runs: torch keeps the very loader it would have had.
    def exec_module(module: Any) -> None:
        vars(loader).pop("exec_module", None)
        run(module)
        if watch in sys.meta_path:
            sys.meta_path.remove(watch)
            begin()

    loader.exec_module = exec_module
    return spec


def _found_by_others(ours: Any, name: str, path: Any = None, target: Any = None) -> Any:
    for finder in list(sys.meta_path):
        find = getattr(finder, "find_spec", None)
        spec = None if finder is ours or find is None else find(name, path, target)
        if spec is not None:
            return spec
    return None


def begin() -> None:
    """Start recording this process, or say in the run's folder why not. Never raises."""
    run_dir = RUN_DIR
    try:
        torch = str(getattr(sys.modules.get("torch"), "__version__", "unknown"))
        say(run_dir, "torch", torch=torch, python=sys.version.split()[0])
        reason = _obstacle()
        if reason is None:
            from flopledger.injection.start import start

            start(run_dir, say)
        else:
            say(run_dir, "refused", reason=reason)
    except Exception as error:
        confess(run_dir, error)


def confess(run_dir: str, error: Exception) -> None:
    """Say that the recorder failed; on stderr too if somebody wants to know."""
    if os.environ.get("FLOPLEDGER_DEBUG"):
        traceback.print_exc()
    try:
        say(run_dir, "refused", reason=f"{type(error).__name__}: {error}")
    except Exception:
        return


def _obstacle() -> str | None:
    """Make our packages importable; return why that cannot be, or None."""
    if sys.version_info[:2] < OLDEST:
        return "the recorder needs Python {}.{} or later".format(*OLDEST)
    if "torch.optim" not in sys.modules:  # PyTorch brings it; nothing of another module is imported
        return "its module torch is not PyTorch: it has no torch.optim"
    borrowed = _Borrowed()
    homes = {name: _home(borrowed, name) for name in OURS}
    own = homes["flopledger"]
    if own is not None and set(homes.values()) == {own}:
        return None  # the child has a flopledger of its own: that one records
    for name, home in homes.items():
        if home is not None and os.path.realpath(home) != os.path.realpath(HOME):
            return f"the name {name} belongs to something else here ({home})"
    # Last in the row: whatever the child finds by itself stays what it finds.
    sys.meta_path.append(borrowed)
    return None


def _home(borrowed: Any, name: str) -> str | None:
    """Return the folder in which the child itself finds a package; None where it finds none."""
    if name in sys.modules:
        places = list(getattr(sys.modules[name], "__path__", None) or ["nowhere"])
    else:
        spec = _found_by_others(borrowed, name)
        if spec is None:
            return None
        places = list(spec.submodule_search_locations or [spec.origin or "nowhere"])
    return os.path.dirname(os.path.abspath(str(places[0])))


class _Borrowed:
    """A finder for our four packages, and for nothing beside them."""

    def find_spec(self, name: str, _path: Any = None, _target: Any = None) -> Any:
        """Find one of our packages where the wrapper has it."""
        if name not in OURS:
            return None  # what is inside a package is found along the package's own path
        from importlib.util import spec_from_file_location

        folder = os.path.join(HOME, name)
        return spec_from_file_location(
            name, os.path.join(folder, "__init__.py"), submodule_search_locations=[folder]
        )


def say(run_dir: str, event: str, **what: Any) -> None:
    """Append a line about this process to its host's list."""
    import json

    line = json.dumps({"event": event, "pid": os.getpid(), **what})
    path = os.path.join(run_dir, "processes", os.uname()[1] + ".jsonl")
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        if os.fstat(file).st_size < 8 << 20:
            os.write(file, line.encode() + b"\n")
    finally:
        os.close(file)

"""Python processes that the recorder cannot reach, and why: seen from outside, in ``/proc``.

A child with ``-I``, ``-E`` or ``-S``, or whose environment somebody emptied, never loads our
``sitecustomize``. It cannot say so itself, so the wrapper looks.
"""

import contextlib
import os
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from flopledger.injection.environment import RECORD

_PYTHON = re.compile(r"^(?:python|pypy)[0-9.]*(?:-\w+)?$")
_TAKES_VALUE = "XWQ"
_MOST_BYTES = 1 << 20
EMPTIED = "started without the recorder's environment"
ISOLATED = "started with -I, -E or -S"


class Interpreters:
    """The Python processes of a family that never load the recorder."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._programs: dict[int, str] = {}
        self._out_of_reach: dict[int, str] = {}

    def look(self, pids: Iterable[int]) -> None:
        """Look at each process whose program is new; one that executes another is new, too."""
        for pid in pids:
            program = self._program(pid)
            if program is None or self._programs.get(pid) == program:
                continue
            self._programs[pid] = program
            self._out_of_reach.pop(pid, None)
            if _PYTHON.match(Path(program).name):
                reason = self._reason(pid)
                if reason is not None:
                    self._out_of_reach[pid] = reason

    @property
    def out_of_reach(self) -> dict[str, int]:
        """Reason -> how many processes."""
        return dict(Counter(self._out_of_reach.values()))

    def _program(self, pid: int) -> str | None:
        with contextlib.suppress(OSError):
            return str((self._proc / str(pid) / "exe").readlink())
        return None

    def _reason(self, pid: int) -> str | None:
        environment, words = self._read(pid, "environ"), self._read(pid, "cmdline")
        if environment is None or words is None:
            return None
        if not any(word.startswith(f"{RECORD}=") for word in environment):
            return EMPTIED
        return ISOLATED if isolated(words) else None

    def _read(self, pid: int, name: str) -> list[str] | None:
        with contextlib.suppress(OSError), (self._proc / str(pid) / name).open("rb") as file:
            return os.fsdecode(file.read(_MOST_BYTES)).split("\0")
        return None


def isolated(words: Iterable[str]) -> bool:
    """Whether a Python command line switches off ``PYTHONPATH`` or ``site``."""
    rest = iter(list(words)[1:])
    for word in rest:
        if not word.startswith("-") or word in {"-", "--"} or word.startswith("--"):
            return False
        for place, letter in enumerate(word[1:], start=1):
            if letter in "IES":
                return True
            if letter in "cm":
                return False  # the rest is the program's
            if letter in _TAKES_VALUE:
                if place == len(word) - 1:
                    next(rest, None)
                break
    return False

"""Python processes that the recorder cannot reach, and why: seen from outside, in ``/proc``.

A child with ``-I``, ``-E`` or ``-S``, or whose environment somebody emptied or changed, never loads
our ``sitecustomize``. It cannot say so itself, so the wrapper looks.
"""

import contextlib
import os
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from flopledger.injection.environment import RECORD, leads_to_us
from flopledger.injection.processes import Seen

_PYTHON = re.compile(r"^(?:python|pypy)[0-9.]*(?:-\w+)?$")
_TAKES_VALUE = "XWQ"
_MOST_BYTES = 1 << 20
EMPTIED = "started without the recorder's environment"
ISOLATED = "started with -I, -E or -S"
REPLACED = "started with another PYTHONPATH than the recorder's"
SILENT = "did not load the recorder"


class Interpreters:
    """The Python processes of a family that never load the recorder."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._programs: dict[int, tuple[str, tuple[str, ...]]] = {}
        self._out_of_reach: dict[int, str] = {}
        self._expected: set[int] = set()

    def look(self, pids: Iterable[int]) -> None:
        """Look at each process whose program is new; one that executes another is new, too."""
        for pid in pids:
            program, told = self._program(pid), self._read(pid, "cmdline")
            words = tuple(told or ())
            if program is None or told is None or self._programs.get(pid) == (program, words):
                continue
            self._programs[pid] = program, words
            self._out_of_reach.pop(pid, None)
            self._expected.discard(pid)
            if _PYTHON.match(Path(program).name):
                self._judge(pid, words)

    def out_of_reach(self, seen: Seen) -> dict[str, int]:
        """Reason -> how many processes, given those that were heard of.

        A process that had everything it needs and was never heard of did not load the recorder
        either, unless it is a fork of one that did: a data loader's worker is no interpreter of its
        own. Where the list of those that were heard has an end, that cannot be told.
        """
        heard = {self._programs[pid] for pid in self._expected & seen.pids}
        silent = [
            SILENT
            for pid in self._expected - seen.pids
            if seen.complete and self._programs[pid] not in heard
        ]
        return dict(Counter([*self._out_of_reach.values(), *silent]))

    def _judge(self, pid: int, words: tuple[str, ...]) -> None:
        environment = self._read(pid, "environ")
        if environment is None:
            return
        variables = dict(entry.partition("=")[::2] for entry in reversed(environment))
        if RECORD not in variables:
            self._out_of_reach[pid] = EMPTIED
        elif isolated(words):
            self._out_of_reach[pid] = ISOLATED
        elif not any(map(leads_to_us, variables.get("PYTHONPATH", "").split(os.pathsep))):
            self._out_of_reach[pid] = REPLACED
        else:
            self._expected.add(pid)

    def _program(self, pid: int) -> str | None:
        with contextlib.suppress(OSError):
            return str((self._proc / str(pid) / "exe").readlink())
        return None

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

"""What verl prints before its first step: its configuration, section by section, and its plan.

A key alone says little, since every worker has a section of its own (``max_steps`` of an agent is no plan of
the training, ``n_gpus_per_node`` stands for each pool): the trainer's section is read, and no other.
"""

import re

from flopledger.logs.notes import Notes, line
from flopledger.logs.numbers import parse_count

_SECTION = re.compile(r"^[ {]'(\w{1,40})': ")
_DEVICES = re.compile(r"'(n_gpus_per_node|nnodes)': (\d{1,6})\b")
_PLAN = re.compile(r"^\s{0,4}Total training steps: (\d{1,12})\s*$")


class VerlSettings:
    """Collects them from the lines of a log."""

    def __init__(self) -> None:
        self._section = ""
        self._devices: dict[str, tuple[int, int]] = {}
        self._plan: tuple[int, int] | None = None

    def take(self, number: int, text: str) -> None:
        """Look at one line."""
        if match := _SECTION.match(text):
            self._section = match[1]
        if self._section == "trainer" and (match := _DEVICES.search(text[:2_000])):
            value = parse_count(match[2])
            if value is not None:
                self._devices.setdefault(match[1], (value, number))
        if self._plan is None and (match := _PLAN.match(text)):
            value = parse_count(match[1])
            self._plan = (value, number) if value is not None else None

    def note(self, notes: Notes) -> None:
        """Write down the plan, and the processes of the trainer: one a GPU."""
        if self._plan is not None:
            notes.fact("planned_steps", self._plan[0], line(self._plan[1]))
        if len(self._devices) == 2:
            each, at = self._devices["n_gpus_per_node"]
            nodes = self._devices["nnodes"][0]
            notes.fact("world_size", each * nodes, f"{line(at)}: n_gpus_per_node x nnodes")

"""Reads step ledgers back. They may come from an audited party: nothing in them is believed.

Every field is checked for type and range, columns for equal length, runs for their sum and cost
numbers for their existence; what does not fit ends the reading of that ledger there, and is said.
"""

import os
import stat
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from profilers.errors import ProfilersError
from profilers.ledger import (
    GENESIS,
    MAX_LINE_BYTES,
    Broken,
    Torn,
    open_regular,
    read_ledger,
)
from profilers.steps.record import entries
from profilers.steps.record.clocks import on_one_axis
from profilers.steps.record.fields import Wrong, text
from profilers.steps.record.values import (
    ProcessSteps,
    StepBlock,
    StepCost,
    StepDevice,
    StepLoaded,
    StepLosses,
    StepNote,
    StepResume,
    StepSaved,
    StepSpan,
    StepWeights,
)

MOST_PROCESSES = 200_000
"""Ledgers in one run: 100,000 ranks and a restart."""
MOST_BYTES = 2 << 30
"""One ledger; a step takes about thirty bytes."""
MOST_COSTS = 1_000_000
BY_STATE = "optimizer-state"
"""The source of a resume that an optimizer's own state tells."""


class StepsError(ProfilersError):
    """A folder that holds no step ledgers that we can read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Unread:
    """A ledger of which nothing could be read, although there is something."""

    folder: str
    """Name of its folder."""
    reason: str


def read_steps(run_dir: Path) -> tuple[ProcessSteps, ...]:
    """Read the ledgers of all processes of a run, by rank and then in order of their start.

    Returns an empty tuple where the run has none. What could not be read is left out:
    ``read_run`` says what that is.

    Raises:
        StepsError: when there are more than can be one run's.

    """
    return read_run(run_dir)[0]


def read_run(run_dir: Path) -> tuple[tuple[ProcessSteps, ...], tuple[Unread, ...]]:
    """Read the ledgers of all processes of a run, and name those that cannot be read."""
    root = run_dir / "steps"
    if not root.is_dir():
        return (), ()
    paths = []
    with os.scandir(root) as found:
        for entry in found:
            if entry.name.startswith("rank="):
                paths.append(Path(entry.path))
                if len(paths) > MOST_PROCESSES:
                    raise StepsError(
                        f"{root}: more than {MOST_PROCESSES} ledgers; that is not one run's folder"
                    )
    read: list[ProcessSteps] = []
    unread: list[Unread] = []
    for path in sorted(paths):
        process = _read(path)
        if isinstance(process, Unread):
            unread.append(process)
        elif process is not None:
            read.append(process)
    read = on_one_axis(read)
    return tuple(sorted(read, key=lambda p: (p.rank, p.wall_ns, p.pid))), tuple(unread)


def read_process(folder: Path) -> ProcessSteps | None:
    """Read one process's ledger; None where it has not even a whole header, or cannot be read."""
    found = _read(folder)
    return None if isinstance(found, Unread) else found


def _read(folder: Path) -> ProcessSteps | Unread | None:
    """Read one process's ledger; None where a kill or a full disk left not even a whole header."""
    path = folder / "ledger.jsonl"
    try:
        kind = folder.lstat().st_mode
        if not stat.S_ISDIR(kind):
            return Unread(folder=folder.name, reason="it is no folder")
        about = path.lstat()
        if not stat.S_ISREG(about.st_mode):
            return Unread(folder=folder.name, reason="its ledger is no regular file")
        if about.st_size > MOST_BYTES:
            return Unread(
                folder=folder.name, reason=f"its ledger is longer than {MOST_BYTES} bytes"
            )
        reader = _Reader(folder)
        found = reader.read(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        return Unread(folder=folder.name, reason=error.strerror or type(error).__name__)
    if found is not None or not about.st_size:
        return found
    damage = [problem for problem in reader.problems if "cut short" not in problem]
    if not damage and _is_one_torn_line(path):
        return None
    return Unread(folder=folder.name, reason=(damage or ["its first line cannot be read"])[0])


def _is_one_torn_line(path: Path) -> bool:
    """Whether it is what a kill leaves of a header: no line is whole."""
    with open_regular(path) as file:
        return b"\n" not in file.read(MAX_LINE_BYTES)


class _Reader:
    """Collects the lines of one ledger."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.header: dict[str, Any] | None = None
        self.resumes: list[StepResume] = []
        self.devices: list[StepDevice] = []
        self.costs: dict[int, StepCost] = {}
        self.blocks: list[StepBlock] = []
        self.spans: list[StepSpan] = []
        self.losses: list[StepLosses] = []
        self.notes: list[StepNote] = []
        self.saved: list[StepSaved] = []
        self.loaded: list[StepLoaded] = []
        self.weights: list[StepWeights] = []
        self.refused: str | None = None
        self.sealed: str | None = None
        self.problems: list[str] = []
        self.head = GENESIS

    def read(self, path: Path) -> ProcessSteps | None:
        for found in read_ledger(path):
            if isinstance(found, Torn):
                self.problems.append(f"line {found.number}: cut short ({found.length} bytes)")
            elif isinstance(found, Broken):
                self.problems.append(f"line {found.number}: {found.reason}")
            else:
                try:
                    self._take(found.entry)
                except Wrong as wrong:
                    self.problems.append(f"line {found.number}: {wrong}")
                    break
                self.head = found.digest
        return None if self.header is None else self._result(self.header)

    def _take(self, entry: Mapping[str, Any]) -> None:
        kind = text(entry, "kind")
        if self.header is None:
            if kind != "header":
                raise Wrong(f"a ledger begins with its header; found {kind!r}")
            self.header = entries.header(entry)
            return
        if self.sealed is not None:
            raise Wrong(f"a line of kind {kind!r} follows the seal")
        self.refused = text(entry, "reason") if kind == "refused" else None
        if kind == "resume":
            self.resumes.append(entries.resume(entry))
        elif kind == "saved":
            self.saved.append(entries.saved(entry))
        elif kind == "loaded":
            self.loaded.append(entries.loaded(entry))
        elif kind == "weights":
            self.weights.append(entries.weights(entry))
        elif kind == "device":
            self.devices.append(entries.device(entry))
        elif kind == "cost":
            self._add_cost(entries.cost(entry))
        elif kind == "steps":
            self.blocks.append(entries.block(entry, self.costs))
        elif kind == "span":
            self.spans.append(entries.span(entry, self.costs))
        elif kind == "losses":
            self.losses.append(entries.losses(entry))
        elif kind == "note":
            self.notes.append(entries.note(entry))
        elif kind == "seal":
            self.sealed = text(entry, "reason")
        elif kind == "header":
            raise Wrong("a second header")
        # Kinds of a later version are passed over.

    def _add_cost(self, cost: StepCost) -> None:
        if cost.id in self.costs:
            raise Wrong(f"cost {cost.id} is written twice")
        if len(self.costs) >= MOST_COSTS:
            raise Wrong(f"more than {MOST_COSTS} costs")
        self.costs[cost.id] = cost

    def _result(self, header: dict[str, Any]) -> ProcessSteps:
        late = _Late(self.resumes)
        return ProcessSteps(
            folder=self.folder,
            **header,
            resumes=tuple(self.resumes),
            devices=tuple(self.devices),
            costs=self.costs,
            blocks=tuple(_renumbered(self.blocks, late)),
            spans=tuple(self.spans),
            losses=tuple(self.losses),
            notes=tuple(self.notes),
            sealed=self.sealed,
            problems=tuple(self.problems),
            head=self.head,
            saved=tuple(replace(one, step=late.number(one.step)) for one in self.saved),
            loaded=tuple(self.loaded),
            weights=tuple(replace(one, step=late.number(one.step)) for one in self.weights),
            refused=self.refused,
        )


class _Late:
    """Numbers of steps that were written before the last of several optimizers had spoken.

    Each says at its own first step how often it had stepped before, and the numbers add up. What was
    written until then has too low ones: none is below what all of them had done.
    """

    def __init__(self, resumes: Sequence[StepResume]) -> None:
        told = sorted(one.step for one in resumes if one.source == BY_STATE)
        self._told = told if len(told) == len(resumes) else []

    def number(self, step: int) -> int:
        """The number that a step should have had."""
        # So many had been told of it; bisected, for a ledger may hold millions.
        place = bisect_left(self._told, step)
        return (
            step + self._told[-1] - self._told[place - 1] if 0 < place < len(self._told) else step
        )


def _renumbered(blocks: Sequence[StepBlock], late: _Late) -> Iterator[StepBlock]:
    """Steps by the numbers that they would have, had all optimizers that take turns spoken at once."""
    for block in blocks:
        first = late.number(block.first)
        yield block if first == block.first else replace(block, first=first)

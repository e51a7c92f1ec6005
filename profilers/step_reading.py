"""Reads step ledgers back. They may come from an audited party: nothing in them is believed.

Every field is checked for type and range, columns for equal length, runs for their sum and cost
numbers for their existence; what does not fit ends the reading of that ledger there, and is said.
"""

import math
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from profilers.errors import ProfilersError
from profilers.ledger import (
    GENESIS,
    MAX_LINE_BYTES,
    Broken,
    Torn,
    open_regular,
    read_ledger,
)
from profilers.step_clocks import on_one_axis
from profilers.step_values import (
    MODES,
    Calls,
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

_T = TypeVar("_T")

MOST_PROCESSES = 200_000
"""Ledgers in one run: 100,000 ranks and a restart."""
MOST_BYTES = 2 << 30
"""One ledger; a step takes about thirty bytes."""
MOST_RANKS = 10_000_000
MOST_COSTS = 1_000_000
MOST_TEXT = 4096
MOST_ITEMS = 65_536
"""Entries of a list inside one line, except for a block's columns."""
MOST_STEPS = 1 << 20
"""Steps in one block."""
MOST_FLOP = 10**40
MOST_TIME_US = 1 << 62
MOST_LOSS = 1e100


class StepsError(ProfilersError):
    """A folder that holds no step ledgers that we can read."""


class _Wrong(Exception):  # noqa: N818 - internal: one field that is not what the format says
    pass


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
                except _Wrong as wrong:
                    self.problems.append(f"line {found.number}: {wrong}")
                    break
                self.head = found.digest
        return None if self.header is None else self._result(self.header)

    def _take(self, entry: Mapping[str, Any]) -> None:
        kind = _text(entry, "kind")
        if self.header is None:
            if kind != "header":
                raise _Wrong(f"a ledger begins with its header; found {kind!r}")
            self.header = _header(entry)
            return
        if self.sealed is not None:
            raise _Wrong(f"a line of kind {kind!r} follows the seal")
        self.refused = _text(entry, "reason") if kind == "refused" else None
        if kind == "resume":
            self.resumes.append(
                StepResume(step=_count(entry, "step"), source=_text(entry, "source"))
            )
        elif kind == "saved":
            self.saved.append(_saved(entry))
        elif kind == "loaded":
            self.loaded.append(_loaded(entry))
        elif kind == "weights":
            self.weights.append(_weights(entry))
        elif kind == "device":
            self.devices.append(_device(entry))
        elif kind == "cost":
            self._add_cost(_cost(entry))
        elif kind == "steps":
            self.blocks.append(_block(entry, self.costs))
        elif kind == "span":
            self.spans.append(_span(entry, self.costs))
        elif kind == "losses":
            self.losses.append(_losses(entry))
        elif kind == "note":
            self.notes.append(_note(entry))
        elif kind == "seal":
            self.sealed = _text(entry, "reason")
        elif kind == "header":
            raise _Wrong("a second header")
        # Kinds of a later version are passed over.

    def _add_cost(self, cost: StepCost) -> None:
        if cost.id in self.costs:
            raise _Wrong(f"cost {cost.id} is written twice")
        if len(self.costs) >= MOST_COSTS:
            raise _Wrong(f"more than {MOST_COSTS} costs")
        self.costs[cost.id] = cost

    def _result(self, header: dict[str, Any]) -> ProcessSteps:
        return ProcessSteps(
            folder=self.folder,
            **header,
            resumes=tuple(self.resumes),
            devices=tuple(self.devices),
            costs=self.costs,
            blocks=tuple(self.blocks),
            spans=tuple(self.spans),
            losses=tuple(self.losses),
            notes=tuple(self.notes),
            sealed=self.sealed,
            problems=tuple(self.problems),
            head=self.head,
            saved=tuple(self.saved),
            loaded=tuple(self.loaded),
            weights=tuple(self.weights),
            refused=self.refused,
        )


def _header(entry: Mapping[str, Any]) -> dict[str, Any]:
    schema = _text(entry, "schema")
    if not schema.startswith("flopledger/steps/1"):
        raise _Wrong(f"schema {schema!r}; this version reads flopledger/steps/1")
    clock = entry.get("clock")
    if not isinstance(clock, dict):
        raise _Wrong("the header has no clock")
    mesh = entry.get("mesh")
    rank, world = _count(entry, "rank"), _count(entry, "world_size")
    if not rank < world <= MOST_RANKS:
        raise _Wrong(
            f"rank {rank} of {world}; ranks begin at 0, and at most {MOST_RANKS} make a job"
        )
    return {
        "rank": rank,
        "local_rank": _count(entry, "local_rank"),
        "world_size": world,
        "node": _text(entry, "node"),
        "boot_id": _maybe(entry, "boot_id", _text),
        "pid": _count(entry, "pid"),
        "pid_namespace": _maybe(entry, "pid_namespace", _text),
        "monotonic_ns": _count(clock, "monotonic_ns"),
        "wall_ns": _count(clock, "wall_ns"),
        "mesh": None if mesh is None else _table(mesh, "mesh", _whole),
        "versions": _table(entry.get("versions", {}), "versions", _short),
    }


def _device(entry: Mapping[str, Any]) -> StepDevice:
    return StepDevice(
        type=_text(entry, "type"),
        name=_maybe(entry, "name", _text),
        uuid=_maybe(entry, "uuid", _text),
        memory_bytes=_maybe(entry, "memory_bytes", _count),
    )


def _cost(entry: Mapping[str, Any]) -> StepCost:
    mode = _text(entry, "mode")
    if mode not in MODES:
        raise _Wrong(f"mode {mode!r}; there are {', '.join(MODES)}")
    flop = entry.get("flop")
    figures: dict[str, int | None] = dict.fromkeys(("forward", "backward", "recompute"))
    if flop is not None:
        if not isinstance(flop, dict):
            raise _Wrong("flop is neither null nor a table")
        figures = {name: _flop(flop.get(name), name) for name in figures}
    return StepCost(
        id=_count(entry, "id"),
        model=_text(entry, "model"),
        mode=next(known for known in MODES if known == mode),
        inputs=tuple(_short(item, "inputs") for item in _items(entry, "inputs")),
        forward=figures["forward"],
        backward=figures["backward"],
        recompute=figures["recompute"],
        by_dtype=_table(entry.get("by_dtype", {}), "by_dtype", _flop),
        recompute_by_dtype=_table(entry.get("recompute_by_dtype", {}), "recompute_by_dtype", _flop),
        share=_share(entry.get("share")),
        how=_text(entry, "how"),
        bounds=_bounds(entry.get("bounds")),
        uncounted=tuple(_short(item, "uncounted") for item in _items(entry, "uncounted")),
        reason=_maybe(entry, "reason", _text),
    )


def _share(value: Any) -> tuple[int, int]:
    if not isinstance(value, list) or len(value) != 2:
        raise _Wrong("share is no pair")
    part, whole = (_whole(item, "share") for item in value)
    if not 0 < part <= whole:
        raise _Wrong(f"a share of {part}/{whole}")
    return part, whole


def _bounds(value: Any) -> tuple[int, int | None] | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 2:
        raise _Wrong("bounds are no pair")
    low = _flop(value[0], "bounds")
    high = None if value[1] is None else _flop(value[1], "bounds")
    if high is not None and high < low:
        raise _Wrong(f"bounds from {low} to {high}")
    return low, high


def _block(entry: Mapping[str, Any], costs: Mapping[int, StepCost]) -> StepBlock:
    end = _times(entry, "end_us")
    length = len(end)
    columns = {name: _times(entry, name) for name in ("duration_us", "wait_us")}
    for name, column in columns.items():
        if len(column) != length:
            raise _Wrong(f"{name} has {len(column)} entries and end_us {length}")
    return StepBlock(
        first=_count(entry, "first"),
        end_us=end,
        duration_us=columns["duration_us"],
        wait_us=columns["wait_us"],
        optimizer=_runs(entry, "optimizer", length, _or_none(_short)),
        tokens=_runs(entry, "tokens", length, _or_none(_whole)),
        tokens_from=_runs(entry, "tokens_from", length, _or_none(_short)),
        samples=_runs(entry, "samples", length, _or_none(_whole)),
        calls=_runs(entry, "calls", length, lambda value, name: _calls(value, name, costs)),
    )


def _span(entry: Mapping[str, Any], costs: Mapping[int, StepCost]) -> StepSpan:
    start, end = _count(entry, "start_us"), _count(entry, "end_us")
    if end < start:
        raise _Wrong(f"a span from {start} to {end}")
    return StepSpan(
        what=_text(entry, "what"),
        start_us=start,
        end_us=end,
        calls=_calls(entry.get("calls"), "calls", costs),
        source=_text(entry, "source"),
    )


def _losses(entry: Mapping[str, Any]) -> StepLosses:
    at = _times(entry, "at_us")
    value = tuple(_finite(item) for item in _items(entry, "value", MOST_STEPS))
    if len(value) != len(at):
        raise _Wrong(f"value has {len(value)} entries and at_us {len(at)}")
    return StepLosses(at_us=at, value=value)


def _finite(value: Any) -> float | None:
    if value is not None and (type(value) is not float or not math.isfinite(value)):
        raise _Wrong("a loss is no finite number")
    if value is not None and abs(value) > MOST_LOSS:
        raise _Wrong(f"a loss beyond {MOST_LOSS:.0e}")
    return value


def _saved(entry: Mapping[str, Any]) -> StepSaved:
    return StepSaved(step=_count(entry, "step"), **_state(entry))


def _loaded(entry: Mapping[str, Any]) -> StepLoaded:
    return StepLoaded(**_state(entry))


def _weights(entry: Mapping[str, Any]) -> StepWeights:
    return StepWeights(
        what=_text(entry, "what"),
        step=_count(entry, "step"),
        layout=_text(entry, "layout"),
        values=_maybe(entry, "values", _text),
        loaded=_maybe(entry, "loaded", _text),
    )


def _state(entry: Mapping[str, Any]) -> dict[str, Any]:
    names = {name: _text(entry, name) for name in ("optimizer", "layout", "source")}
    return {**names, "values": _maybe(entry, "values", _text)}


def _note(entry: Mapping[str, Any]) -> StepNote:
    return StepNote(
        code=_text(entry, "code"),
        severity=_text(entry, "severity"),
        message=_text(entry, "message"),
    )


def _times(entry: Mapping[str, Any], name: str) -> tuple[int, ...]:
    values = entry.get(name)
    if not isinstance(values, list) or not 0 < len(values) <= MOST_STEPS:
        raise _Wrong(f"{name} is no column of 1 to {MOST_STEPS} entries")
    return tuple(_whole(value, name) for value in values)


def _runs(
    entry: Mapping[str, Any], name: str, length: int, check: Callable[[Any, str], _T]
) -> tuple[tuple[int, _T], ...]:
    runs, total = [], 0
    for item in _items(entry, name, MOST_STEPS):
        if not isinstance(item, list) or len(item) != 2:
            raise _Wrong(f"{name} is not made of runs")
        count = _whole(item[0], name)
        total += count
        if not 0 < count <= length or total > length:
            raise _Wrong(f"the runs of {name} exceed the {length} steps of the block")
        runs.append((count, check(item[1], name)))
    if total != length:
        raise _Wrong(f"the runs of {name} cover {total} of {length} steps")
    return tuple(runs)


def _calls(value: Any, name: str, costs: Mapping[int, StepCost]) -> Calls:
    if not isinstance(value, list) or len(value) > MOST_ITEMS:
        raise _Wrong(f"{name} is no list")
    pairs = []
    for item in value:
        if not isinstance(item, list) or len(item) != 2:
            raise _Wrong(f"{name} is not made of pairs")
        number, times = _whole(item[0], name), _whole(item[1], name)
        if number not in costs:
            raise _Wrong(f"{name} refers to cost {number}, which was not written before")
        pairs.append((number, times))
    return tuple(pairs)


def _items(entry: Mapping[str, Any], name: str, most: int = MOST_ITEMS) -> Iterator[Any]:
    values = entry.get(name)
    if not isinstance(values, list) or len(values) > most:
        raise _Wrong(f"{name} is no list of at most {most} entries")
    return iter(values)


def _or_none(check: Callable[[Any, str], _T]) -> Callable[[Any, str], _T | None]:
    return lambda value, name: None if value is None else check(value, name)


def _maybe(
    entry: Mapping[str, Any], name: str, check: Callable[[Mapping[str, Any], str], _T]
) -> _T | None:
    return None if entry.get(name) is None else check(entry, name)


def _table(value: Any, name: str, check: Callable[[Any, str], _T]) -> dict[str, _T]:
    if not isinstance(value, dict) or len(value) > MOST_ITEMS:
        raise _Wrong(f"{name} is no table")
    return {_short(key, name): check(item, name) for key, item in value.items()}


def _text(entry: Mapping[str, Any], name: str) -> str:
    return _short(entry.get(name), name)


def _count(entry: Mapping[str, Any], name: str) -> int:
    return _whole(entry.get(name), name)


def _short(value: Any, name: str) -> str:
    if not isinstance(value, str) or len(value) > MOST_TEXT:
        raise _Wrong(f"{name} is no text of at most {MOST_TEXT} characters")
    return value


def _whole(value: Any, name: str) -> int:
    if type(value) is not int or not 0 <= value < MOST_TIME_US:
        raise _Wrong(f"{name} is no whole number from 0 to {MOST_TIME_US}")
    return value


def _flop(value: Any, name: str) -> int:
    if type(value) is not int or not 0 <= value <= MOST_FLOP:
        raise _Wrong(f"{name} is no whole number of FLOP from 0 to {MOST_FLOP:.0e}")
    return value

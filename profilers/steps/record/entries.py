"""What each kind of line of a step ledger says, field by field (the format is in design/070)."""

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from profilers.steps.record import fields
from profilers.steps.record.fields import Wrong
from profilers.steps.record.values import (
    MODES,
    Calls,
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


MOST_RANKS = 10_000_000
MOST_STEPS = 1 << 20
"""Steps in one block."""
MOST_LOSS = 1e100


def header(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Who wrote the ledger, and by what clocks."""
    schema = fields.text(entry, "schema")
    if not schema.startswith("flopledger/steps/1"):
        raise Wrong(f"schema {schema!r}; this version reads flopledger/steps/1")
    clock = entry.get("clock")
    if not isinstance(clock, dict):
        raise Wrong("the header has no clock")
    mesh = entry.get("mesh")
    rank, world = fields.count(entry, "rank"), fields.count(entry, "world_size")
    if not rank < world <= MOST_RANKS:
        raise Wrong(
            f"rank {rank} of {world}; ranks begin at 0, and at most {MOST_RANKS} make a job"
        )
    return {
        "rank": rank,
        "local_rank": fields.count(entry, "local_rank"),
        "world_size": world,
        "node": fields.text(entry, "node"),
        "boot_id": fields.maybe(entry, "boot_id", fields.text),
        "pid": fields.count(entry, "pid"),
        "pid_namespace": fields.maybe(entry, "pid_namespace", fields.text),
        "monotonic_ns": fields.count(clock, "monotonic_ns"),
        "wall_ns": fields.count(clock, "wall_ns"),
        "mesh": None if mesh is None else fields.table(mesh, "mesh", fields.whole),
        "versions": fields.table(entry.get("versions", {}), "versions", fields.short),
    }


def device(entry: Mapping[str, Any]) -> StepDevice:
    """A device on which the process computed."""
    return StepDevice(
        type=fields.text(entry, "type"),
        index=fields.maybe(entry, "index", fields.count),
        name=fields.maybe(entry, "name", fields.text),
        uuid=fields.maybe(entry, "uuid", fields.text),
        memory_bytes=fields.maybe(entry, "memory_bytes", fields.count),
    )


def resume(entry: Mapping[str, Any]) -> StepResume:
    """Where the process goes on."""
    return StepResume(
        step=fields.count(entry, "step"),
        source=fields.text(entry, "source"),
        at=fields.maybe(entry, "at", fields.count),
    )


def cost(entry: Mapping[str, Any]) -> StepCost:
    """What a kind of call costs."""
    mode = fields.text(entry, "mode")
    if mode not in MODES:
        raise Wrong(f"mode {mode!r}; there are {', '.join(MODES)}")
    flop = entry.get("flop")
    figures: dict[str, int | None] = dict.fromkeys(("forward", "backward", "recompute"))
    if flop is not None:
        if not isinstance(flop, dict):
            raise Wrong("flop is neither null nor a table")
        figures = {name: fields.flop(flop.get(name), name) for name in figures}
    return StepCost(
        id=fields.count(entry, "id"),
        model=fields.text(entry, "model"),
        mode=next(known for known in MODES if known == mode),
        inputs=tuple(fields.short(item, "inputs") for item in fields.items(entry, "inputs")),
        forward=figures["forward"],
        backward=figures["backward"],
        recompute=figures["recompute"],
        by_dtype=fields.table(entry.get("by_dtype", {}), "by_dtype", fields.flop),
        recompute_by_dtype=fields.table(
            entry.get("recompute_by_dtype", {}), "recompute_by_dtype", fields.flop
        ),
        share=_share(entry.get("share")),
        how=fields.text(entry, "how"),
        bounds=_bounds(entry.get("bounds")),
        uncounted=tuple(
            fields.short(item, "uncounted") for item in fields.items(entry, "uncounted")
        ),
        reason=fields.maybe(entry, "reason", fields.text),
    )


def _share(value: Any) -> tuple[int, int]:
    if not isinstance(value, list) or len(value) != 2:
        raise Wrong("share is no pair")
    part, whole = (fields.whole(item, "share") for item in value)
    if not 0 < part <= whole:
        raise Wrong(f"a share of {part}/{whole}")
    return part, whole


def _bounds(value: Any) -> tuple[int, int | None] | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 2:
        raise Wrong("bounds are no pair")
    low = fields.flop(value[0], "bounds")
    high = None if value[1] is None else fields.flop(value[1], "bounds")
    if high is not None and high < low:
        raise Wrong(f"bounds from {low} to {high}")
    return low, high


def block(entry: Mapping[str, Any], costs: Mapping[int, StepCost]) -> StepBlock:
    """Steps in a row; their calls refer to costs that were written before."""
    end = _times(entry, "end_us")
    length = len(end)
    columns = {name: _times(entry, name) for name in ("duration_us", "wait_us")}
    for name, column in columns.items():
        if len(column) != length:
            raise Wrong(f"{name} has {len(column)} entries and end_us {length}")
    return StepBlock(
        first=fields.count(entry, "first"),
        end_us=end,
        duration_us=columns["duration_us"],
        wait_us=columns["wait_us"],
        optimizer=_runs(entry, "optimizer", length, fields.or_none(fields.short)),
        tokens=_runs(entry, "tokens", length, fields.or_none(fields.whole)),
        tokens_from=_runs(entry, "tokens_from", length, fields.or_none(fields.short)),
        samples=_runs(entry, "samples", length, fields.or_none(fields.whole)),
        calls=_runs(entry, "calls", length, lambda value, name: _calls(value, name, costs)),
    )


def span(entry: Mapping[str, Any], costs: Mapping[int, StepCost]) -> StepSpan:
    """Calls that belong to no step; likewise."""
    start, end = fields.count(entry, "start_us"), fields.count(entry, "end_us")
    if end < start:
        raise Wrong(f"a span from {start} to {end}")
    return StepSpan(
        what=fields.text(entry, "what"),
        start_us=start,
        end_us=end,
        calls=_calls(entry.get("calls"), "calls", costs),
        source=fields.text(entry, "source"),
    )


def losses(entry: Mapping[str, Any]) -> StepLosses:
    """What a loss was, and when."""
    at = _times(entry, "at_us")
    value = tuple(_finite(item) for item in fields.items(entry, "value", MOST_STEPS))
    if len(value) != len(at):
        raise Wrong(f"value has {len(value)} entries and at_us {len(at)}")
    return StepLosses(at_us=at, value=value)


def _finite(value: Any) -> float | None:
    if value is not None and (type(value) is not float or not math.isfinite(value)):
        raise Wrong("a loss is no finite number")
    if value is not None and abs(value) > MOST_LOSS:
        raise Wrong(f"a loss beyond {MOST_LOSS:.0e}")
    return value


def saved(entry: Mapping[str, Any]) -> StepSaved:
    """An optimizer's state that was saved."""
    return StepSaved(step=fields.count(entry, "step"), **_state(entry))


def loaded(entry: Mapping[str, Any]) -> StepLoaded:
    """One that was loaded."""
    return StepLoaded(**_state(entry))


def weights(entry: Mapping[str, Any]) -> StepWeights:
    """What a model's weights looked like."""
    return StepWeights(
        what=fields.text(entry, "what"),
        step=fields.count(entry, "step"),
        layout=fields.text(entry, "layout"),
        values=fields.maybe(entry, "values", fields.text),
        loaded=fields.maybe(entry, "loaded", fields.text),
    )


def _state(entry: Mapping[str, Any]) -> dict[str, Any]:
    names = {name: fields.text(entry, name) for name in ("optimizer", "layout", "source")}
    return {**names, "values": fields.maybe(entry, "values", fields.text)}


def note(entry: Mapping[str, Any]) -> StepNote:
    """What the recording has to say."""
    return StepNote(
        code=fields.text(entry, "code"),
        severity=fields.text(entry, "severity"),
        message=fields.text(entry, "message"),
    )


def _times(entry: Mapping[str, Any], name: str) -> tuple[int, ...]:
    values = entry.get(name)
    if not isinstance(values, list) or not 0 < len(values) <= MOST_STEPS:
        raise Wrong(f"{name} is no column of 1 to {MOST_STEPS} entries")
    return tuple(fields.whole(value, name) for value in values)


def _runs(
    entry: Mapping[str, Any], name: str, length: int, check: Callable[[Any, str], _T]
) -> tuple[tuple[int, _T], ...]:
    runs, total = [], 0
    for item in fields.items(entry, name, MOST_STEPS):
        if not isinstance(item, list) or len(item) != 2:
            raise Wrong(f"{name} is not made of runs")
        count = fields.whole(item[0], name)
        total += count
        if not 0 < count <= length or total > length:
            raise Wrong(f"the runs of {name} exceed the {length} steps of the block")
        runs.append((count, check(item[1], name)))
    if total != length:
        raise Wrong(f"the runs of {name} cover {total} of {length} steps")
    return tuple(runs)


def _calls(value: Any, name: str, costs: Mapping[int, StepCost]) -> Calls:
    if not isinstance(value, list) or len(value) > fields.MOST_ITEMS:
        raise Wrong(f"{name} is no list")
    pairs = []
    for item in value:
        if not isinstance(item, list) or len(item) != 2:
            raise Wrong(f"{name} is not made of pairs")
        number, times = fields.whole(item[0], name), fields.whole(item[1], name)
        if number not in costs:
            raise Wrong(f"{name} refers to cost {number}, which was not written before")
        pairs.append((number, times))
    return tuple(pairs)

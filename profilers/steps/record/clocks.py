"""Processes of one boot on one time axis: a wall clock that was set must not turn their order round.

Each ledger pairs the wall clock with the monotonic one, and the latter goes on through all processes of a
boot. Where a later process has the earlier wall clock, it is laid onto the axis of the one before it,
as the devices' record does (``profilers.clocks.Axis``). So is a rank of a job whose clock is ahead of that of
another one which was there when it began: they are of one launch. Otherwise a clock that was set forward, or
went on while the machine slept, changes no order and is left alone.
"""

from collections.abc import Sequence
from dataclasses import replace

from profilers.steps.record.values import ProcessSteps

SET_NS = 1_000_000_000
"""Less than this is a clock that is being adjusted."""
LATE_NS = 60_000_000_000
"""A rank of one launch may begin so long after the others' last step."""


def on_one_axis(processes: Sequence[ProcessSteps]) -> list[ProcessSteps]:
    """Return the processes in the same order, with the wall clocks of each boot in order."""
    offsets: dict[str, int] = {}
    there: dict[tuple[str, int], tuple[int, int]] = {}
    """Of jobs by their size: until when one of their ranks was there, and what its clock was ahead."""
    moved: dict[int, ProcessSteps] = {}
    for process in sorted(processes, key=lambda p: (p.monotonic_ns, p.wall_ns)):
        if process.boot_id is None:
            continue
        job = process.boot_id, process.world_size
        begun, offset = process.monotonic_ns, process.wall_ns - process.monotonic_ns
        before = offsets.get(process.boot_id, offset)
        until, beside = there.get(job, (0, offset))
        if process.world_size > 1 and begun <= until + LATE_NS and offset > beside + SET_NS:
            offset = beside
        offset = before if offset < before - SET_NS else offset
        if offset != process.wall_ns - begun:
            moved[id(process)] = replace(process, wall_ns=begun + offset)
        offsets[process.boot_id] = offset
        there[job] = max((until, beside), (_last_ns(process), offset))
    return [moved.get(id(process), process) for process in processes]


def _last_ns(process: ProcessSteps) -> int:
    """Monotonic nanoseconds at which a process last ended a step or span; else its start."""
    ends = [block.end_us[-1] for block in process.blocks[-1:]]
    ends += [span.end_us for span in process.spans[-1:]]
    return max(process.monotonic_ns, *(end * 1000 for end in ends), 0)

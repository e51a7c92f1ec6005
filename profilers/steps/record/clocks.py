"""Processes of one boot on one time axis: a wall clock that was set back must not turn their order round.

Each ledger pairs the wall clock with the monotonic one, and the latter goes on through all processes of a
boot. Where a later process has the earlier wall clock, it is laid onto the axis of the one before it,
as the devices' record does (``profilers.clocks.Axis``). A clock that was set forward, or went on
while the machine slept, changes no order and is left alone.
"""

from collections.abc import Sequence
from dataclasses import replace

from profilers.steps.record.values import ProcessSteps

SET_BACK_NS = 1_000_000_000
"""Less than this is a clock that is being adjusted."""


def on_one_axis(processes: Sequence[ProcessSteps]) -> list[ProcessSteps]:
    """Return the processes in the same order, with the wall clocks of each boot in order."""
    offsets: dict[str, int] = {}
    moved: dict[int, ProcessSteps] = {}
    for process in sorted(processes, key=lambda p: (p.monotonic_ns, p.wall_ns)):
        if process.boot_id is None:
            continue
        offset = process.wall_ns - process.monotonic_ns
        before = offsets.get(process.boot_id, offset)
        if offset < before - SET_BACK_NS:
            offset = before
            moved[id(process)] = replace(process, wall_ns=process.monotonic_ns + offset)
        offsets[process.boot_id] = offset
    return [moved.get(id(process), process) for process in processes]

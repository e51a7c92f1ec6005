"""Whose energy is it? FLOP over joules speaks of the devices that the recorded processes computed on.

What is sampled are the devices of a node. Where a training computes on the processor, or on two of
eight GPUs, the energy of the others is none of its own; where nothing says on which it computed, no
ratio is given.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flopledger.recording.totals import RunFinding, RunTotals


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkEnergy:
    """Energy of the devices that did the recorded work."""

    joules: float | None
    """None where it was not measured, or nobody can say whose it would be."""
    devices: tuple[str, ...]
    """UUIDs of the devices that it is of."""
    findings: tuple[RunFinding, ...] = ()


NOTHING = WorkEnergy(joules=None, devices=())


def energy_of_the_work(
    totals: RunTotals,
    telemetry: Sequence[Mapping[str, Any]],
    energy_joules: float | None,
    *,
    attributed: bool,
) -> WorkEnergy:
    """Return the energy of what the recorded processes computed on.

    Args:
        totals: The run's totals.
        telemetry: The devices of ``summary.json``.
        energy_joules: Their energy together.
        attributed: Whether something shows that they are the command's devices, and no others.

    """
    boards = [entry for entry in telemetry if not entry.get("mig")]
    if not boards or energy_joules is None:
        return NOTHING
    if totals.on_processor:
        many = "a process" if totals.on_processor == 1 else f"{totals.on_processor} processes"
        return _not_theirs(f"{many} computed on the processor, whose energy was not measured")
    used = [device for device in totals.devices if device.type != "cpu"]
    named = sorted({device.uuid for device in used if device.uuid is not None})
    everything = tuple(sorted(str(entry.get("uuid")) for entry in boards))
    if named and len(named) == len(used):
        drawn = {str(entry.get("uuid")): entry.get("energy_joules") for entry in boards}
        if missing := [uuid for uuid in named if uuid not in drawn]:
            return _not_theirs(f"{', '.join(missing[:4])} computed, and was not measured")
        joules = [drawn[uuid] for uuid in named]
        known = [one for one in joules if isinstance(one, int | float)]
        whole = len(known) == len(joules)
        return WorkEnergy(joules=sum(known) if whole else None, devices=tuple(named))
    if attributed or (used and len(used) == len(boards)):
        return WorkEnergy(joules=energy_joules, devices=everything)
    return _not_theirs(
        "nothing says on which of the node's devices the recorded processes computed"
    )


def _not_theirs(why: str) -> WorkEnergy:
    message = f"no FLOP per joule: {why}; the energy on record is of the devices that it names"
    finding = RunFinding(code="energy-of-others", severity="info", message=message)
    return WorkEnergy(joules=None, devices=(), findings=(finding,))

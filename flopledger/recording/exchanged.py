"""Rows that ranks send to one another's experts: no rank's cost is known, and that of all together is.

What comes to a rank is for the data of others to say, so its recorder counts as if as much came as it
sends. Over all ranks what is sent is what comes, and the cost is linear in it (``flopcount.live``). So the
sum is exact if what one row costs is the same on all ranks: where ranks counted calls alike, all must have
found the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from profilers.steps.record.ledger import ProcessSteps, StepCost

EXCHANGED = "exchanged"
"""``how`` of such costs (as in ``flopcount.live``); their lower bound is that of no row that comes."""
Kind = tuple[str, str, tuple[str, ...]]
Figures = tuple[int | None, ...]


def closed(processes: Sequence[ProcessSteps]) -> list[ProcessSteps]:
    """Take off the open ends of such costs, where the ranks' ledgers agree."""
    kinds = [_kinds(process) for process in processes]
    if not _agree([each for each in kinds if each]):
        return list(processes)
    return [
        _closed(process) if mine else process
        for process, mine in zip(processes, kinds, strict=True)
    ]


def _kinds(process: ProcessSteps) -> dict[Kind, set[Figures]]:
    found: dict[Kind, set[Figures]] = {}
    for cost in filter(_is_exchanged, process.costs.values()):
        assert cost.bounds is not None
        figures = (cost.forward, cost.backward, cost.recompute, cost.bounds[0])
        found.setdefault((cost.model, cost.mode, tuple(cost.inputs)), set()).add(figures)
    return found


def _is_exchanged(cost: StepCost) -> bool:
    return cost.how == EXCHANGED and cost.bounds is not None and cost.forward is not None


def _agree(ranks: Sequence[Mapping[Kind, set[Figures]]]) -> bool:
    """Whether equal kinds cost the same everywhere, and no rank has kinds that no other one has."""
    if not ranks:
        return False
    merged: dict[Kind, set[Figures]] = {}
    for mine in ranks:
        for kind, figures in mine.items():
            if merged.setdefault(kind, figures) != figures:
                return False
    known, rest = set(ranks[0]), list(ranks[1:])
    while near := [mine for mine in rest if not known.isdisjoint(mine)]:
        known.update(*near)
        rest = [mine for mine in rest if known.isdisjoint(mine)]
    return not rest


def _closed(process: ProcessSteps) -> ProcessSteps:
    return replace(
        process,
        costs={
            name: replace(cost, bounds=None) if _is_exchanged(cost) else cost
            for name, cost in process.costs.items()
        },
    )

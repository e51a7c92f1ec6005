"""Costs that are right in the sum over all ranks: when are their open ends closed?"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from flopledger.recording.exchanged import closed
from profilers.steps.record.ledger import StepCost, read_steps
from tests.injection.ledgers import process

if TYPE_CHECKING:
    from pathlib import Path

    from profilers.steps.record.ledger import ProcessSteps

FIGURES = (100, 200, 0)


def ranks(folder: Path, *costs: tuple[tuple[int, int, int], int, str]) -> list[ProcessSteps]:
    """A process for each cost: its figures, its lower bound, the text of its inputs."""
    from dataclasses import replace

    for rank, (flop, low, _) in enumerate(costs):
        process(folder, rank=rank, world=len(costs), flop=flop, bounds=(low, None), pid=100 + rank)
    found = []
    for one, (_, _, inputs) in zip(read_steps(folder), costs, strict=True):
        changed = {
            name: replace(cost, how="exchanged", inputs=(inputs,))
            for name, cost in one.costs.items()
        }
        found.append(replace(one, costs=changed))
    return found


def ends(processes: list[ProcessSteps]) -> set[Any]:
    return {cost.bounds for one in processes for cost in one.costs.values()}


def test_ranks_that_agree_are_exact_together(tmp_path: Path) -> None:
    one = (FIGURES, 50, "a")
    assert ends(closed(ranks(tmp_path, one, one))) == {None}


@pytest.mark.parametrize(
    "other",
    [
        ((100, 201, 0), 50, "a"),  # another expert
        (FIGURES, 40, "a"),  # the same figure by chance, and another part of it for what comes
        (FIGURES, 50, "b"),  # no call alike: nothing says that experts are
    ],
)
def test_others_stay_open(tmp_path: Path, other: Any) -> None:
    found = ranks(tmp_path, (FIGURES, 50, "a"), other)
    assert ends(closed(found)) == {(50, None), (other[1], None)}


def test_open_ends_of_another_kind_stay(tmp_path: Path) -> None:
    process(tmp_path, bounds=(50, None))
    (found,) = closed(list(read_steps(tmp_path)))
    assert ends([found]) == {(50, None)}
    empty = cast("ProcessSteps", SimpleNamespace(costs=dict[int, StepCost]()))
    assert closed([empty]) == [empty]

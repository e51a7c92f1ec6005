"""Rows of steps as the blocks of a ledger: which of them can be written, and how."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from flopledger.recording.cost import Cost
from profilers.steps.observer import Variant

if TYPE_CHECKING:
    from flopledger.recording.rows import Calls, Row
    from profilers.steps.record.ledger import StepLedger

MOST_STEPS = 512
"""Steps in one block."""
Settle = Callable[[Variant], Cost | None]
"""Finds what a call cost; None where that cannot be done now."""


def take(rows: list[Row], most: int, settle: Settle | None) -> list[Row]:
    """Take the first rows that are consecutive steps with known costs: no more than ``most`` steps.

    The last one may be a part of its row, which stays with the rest.
    """
    taken: list[Row] = []
    room = min(most, MOST_STEPS)
    calls: Calls = ()
    following = 0
    for row in rows:
        if room <= 0 or (taken and row.number != following):
            break
        if row.calls is not calls and not is_priced(row.calls, settle):
            break
        calls = row.calls
        following = row.number + row.steps
        taken.append(row.part(room) if row.steps > room else row)
        room -= taken[-1].steps
    whole = len(taken) - (bool(taken) and taken[-1] is not rows[len(taken) - 1])
    del rows[:whole]
    return taken


def is_priced(calls: Calls, settle: Settle | None) -> bool:
    """Whether the cost of each call is known; with ``settle`` it is found where it is not."""
    for item, _ in calls:
        open_ = isinstance(item, Variant) and not isinstance(item.data, Cost)
        if open_ and (settle is None or settle(item) is None):  # type: ignore[arg-type]
            return False
    return True


def write(ledger: StepLedger, rows: Sequence[Row]) -> None:
    """Write rows that are consecutive steps as one block."""

    def runs(name: str) -> list[tuple[int, Any]]:
        return [(row.steps, getattr(row, name)) for row in rows]

    ledger.block(
        first=rows[0].number,
        end_us=list(chain.from_iterable(row.ends_us for row in rows)),
        duration_us=list(chain.from_iterable(row.durations_us for row in rows)),
        wait_us=list(chain.from_iterable(row.waits_us for row in rows)),
        optimizer=runs("optimizer"),
        tokens=runs("tokens"),
        tokens_from=runs("tokens_from"),
        samples=runs("samples"),
        calls=[(row.steps, numbered(ledger, row.calls)) for row in rows],
    )


def numbered(ledger: StepLedger, calls: Calls) -> list[tuple[int, int]]:
    """Refer to costs by their numbers, and write those that have none."""
    pairs: dict[int, int] = {}
    for item, times in calls:
        cost: Cost = item if isinstance(item, Cost) else item.data
        if cost.id is None or cost.ledger is not ledger:
            cost.id = ledger.cost(
                model=cost.model[:200],
                mode=cost.mode,
                inputs=cost.inputs,
                flop=cost.flop,
                by_dtype=cost.by_dtype,
                recompute_by_dtype=cost.recompute_by_dtype,
                share=cost.share,
                how=cost.how,
                bounds=cost.bounds,
                uncounted=cost.uncounted,
                reason=cost.reason,
            )
            cost.ledger = ledger
        pairs[cost.id] = pairs.get(cost.id, 0) + times
    return list(pairs.items())

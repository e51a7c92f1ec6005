"""Products beside the model: what the steps held that were watched, and what that says of the others.

Only some steps are watched op by op (profilers.steps.products.beside). Where each of them held the
same, the others did, too. Where they differ, nobody knows what the others held: their upper ends are open.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flopledger.recording.cost import Cost
from profilers.steps.observer import Found, Variant

if TYPE_CHECKING:
    from profilers.steps.record.values import Mode

MODEL = "beside the model"
FEW = 16
"""So many steps before the first that was watched are taken to have been like it."""
MOST_COSTS = 4096

Extra = tuple[tuple[Cost, int], ...]
Tell = Callable[[str, str, str], None]
"""Code, severity, message."""
Fill = Callable[[Cost, Mapping[Any, int], str], None]


@dataclass(slots=True)
class _Known:
    """What is known of the steps of one optimizer."""

    found: Found | None = None
    """What the last one held that was watched."""
    unwatched: int = 0
    """So many were not; of those that held nothing before the first that did, this is not known yet."""
    irregular: bool = False
    """They are not alike."""
    by_loop: bool = False
    """Some held products of the loop's own, and not just of the optimizer's step."""


class Beside:
    """What is added to steps for their products beside the model."""

    def __init__(self, tell: Tell, fill: Fill) -> None:
        """Take who is told what a reader must know, and who writes figures into a cost."""
        self._tell = tell
        self._fill = fill
        self._known: dict[str, _Known] = {}
        self._costs: dict[Any, tuple[Cost, ...]] = {}
        self._told = False

    def told_by_program(self) -> None:
        """The program says itself what no call shows: nothing is added to that."""
        self._told = True

    def priced(self, calls: Mapping[Variant, int]) -> list[tuple[Cost | Variant, int]]:
        """Calls, with costs in place of what was found beside them."""
        priced: list[tuple[Cost | Variant, int]] = []
        for variant, times in calls.items():
            found = variant.kind.key
            if isinstance(found, Found):
                priced += [(cost, times) for cost in self._of(found)]
            else:
                priced.append((variant, times))
        return priced

    def _of(self, found: Found) -> tuple[Cost, ...]:
        """What was found, as costs: what the loop computed, and what the optimizer did."""
        costs = self._costs.get(found.figures)
        if costs is None:
            costs = self._costs[found.figures] = tuple(self._made(found))
            while len(self._costs) > MOST_COSTS:
                del self._costs[next(iter(self._costs))]
        return () if self._told else costs

    def _made(self, found: Found) -> list[Cost]:
        made = []
        parts: tuple[tuple[Mode, str, Any, tuple[str, ...]], ...] = (
            ("train", "forward", found.products, found.other),
            ("optimizer", "recompute", found.within, found.other_within),
        )
        for mode, phase, products, other in parts:
            if not (products or other):
                continue
            cost = Cost(model=MODEL, mode=mode, inputs=(), flop=None)
            self._fill(cost, {(phase, dtype): flop for dtype, flop in products}, "watched")
            if other:
                self._open(cost, f"computed {MODEL}, at no known cost: {', '.join(other)}")
                cost.uncounted = other
            made.append(cost)
        return made

    def _open(self, cost: Cost, reason: str) -> None:
        low = sum((cost.flop or {}).values())
        cost.bounds, cost.reason = (low, None), reason[:1000]
        self._tell("work-outside-modules", "warning", reason[:1000])

    def of(self, optimizer: str | None, calls: Mapping[Variant, int], steps: int) -> Extra:
        """What steps held beside the calls that were seen; those that were watched hold it already.

        Args:
            optimizer: Which stepped; several are joined by ``+``.
            calls: Of each of the steps.
            steps: How many they are.

        """
        if self._told or optimizer is None:
            return ()
        watched: dict[str, Found] = {
            variant.kind.key.optimizer: variant.kind.key
            for variant in calls
            if isinstance(variant.kind.key, Found)
        }
        extra: list[tuple[Cost, int]] = []
        for name in optimizer.split("+"):
            known = self._known.setdefault(name, _Known())
            if name in watched:
                extra += self._learn(known, watched[name])
            else:
                known.unwatched += steps
                if known.irregular:
                    extra.append((self._doubt(known), 1))
                elif known.found is not None:
                    extra += [(cost, 1) for cost in self._of(known.found)]
        return tuple(extra)

    def _learn(self, known: _Known, found: Found) -> Extra:
        """One more was watched; answers what that adds for those before that were not."""
        before, known.found = known.found, found
        known.by_loop |= bool(found.products or found.other)
        if before is None:
            known.unwatched -= found.empty
            late = known.unwatched
            if not found.empty and late <= FEW:
                return tuple((cost, late) for cost in self._of(found)) if late else ()
        elif before.partial:
            rest = _without(found, before)
            if rest is not None:
                return tuple((cost, 1) for cost in self._of(rest))
        elif before.figures == found.figures:
            return ()
        if known.irregular:
            return ()
        known.irregular = True
        return ((self._doubt(known), 1),) if known.unwatched > 0 else ()

    def _doubt(self, known: _Known) -> Cost:
        """The cost of what steps may have held that were not watched."""
        mode: Mode = "train" if known.by_loop else "optimizer"
        cost = self._costs.get(mode, (None,))[0]
        if cost is None:
            cost = Cost(model=MODEL, mode=mode, inputs=(), flop=None)
            self._fill(cost, {}, "watched")
            where = "the loop" if known.by_loop else "an optimizer's step"
            self._open(
                cost,
                f"products of {where} that no graph shows, at some of the steps that were watched and not at "
                "others: what the rest held is not known; say them with run.count(function, ...)",
            )
            self._costs[mode] = (cost,)
        return cost


def _without(found: Found, part: Found) -> Found | None:
    """What a whole step held beyond a part of one; None where that held other things."""
    rest = []
    for whole, less in ((found.products, part.products), (found.within, part.within)):
        left = dict(whole)
        for dtype, flop in less:
            left[dtype] = left.get(dtype, 0) - flop
        if any(flop < 0 for flop in left.values()):
            return None
        rest.append(tuple(sorted((dtype, flop) for dtype, flop in left.items() if flop)))
    if not (set(part.other) <= set(found.other)):
        return None
    return Found(found.optimizer, rest[0], rest[1])

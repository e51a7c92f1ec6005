"""A part that is whole on each of the ranks that share other parts of the same model: whose work is it?

Under tensor parallelism a group of ranks has one batch. A part that the plan leaves out, and that the program
calls by itself, then computes the same on each of them, and is one part of the model. Its copies stay alike
only if they see the same data, or if their gradients are summed: where a wrapper sums them over that very
group, the data differ and each rank's work is its own. Sums that the program makes by hand show nowhere.
"""

from collections.abc import Iterable
from math import prod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flopledger.recording.cost import Cost

Ranks = frozenset[int]

WHOLE = (
    "{} ranks that share other parts of the model hold this one whole: taken to compute the same on each, "
    "for what a rank would do for data of its own is not told apart"
)


class Replicas:
    """Which ranks share parts of models with this one, and which have batches of their own."""

    def __init__(self) -> None:
        self._cut: set[Ranks] = set()
        """Groups of this rank's over which parameters are cut in pieces for the computation."""
        self._fed: set[Ranks] = set()
        """Those of which each rank has data of its own nevertheless: experts that are spread, as a rule."""

    def see(self, module: Any) -> set[Ranks]:
        """Learn from a model that is about to be called; answers the groups that sum its gradients."""
        from flopcount.parallel import cut_over, summed_over

        cut, summed = cut_over(module), summed_over(module)
        self._cut |= cut
        self._fed |= {group for group in cut if any(group <= one for one in summed)}
        return summed

    def holding(self, summed: Iterable[Ranks]) -> int:
        """How many ranks have the same batch for a part whose gradients are summed over these groups."""
        summed = list(summed)
        alike = [
            group for group in self._cut - self._fed if not any(group <= one for one in summed)
        ]
        crossing = all(
            len(one & other) <= 1 for place, one in enumerate(alike) for other in alike[:place]
        )
        sizes = list(map(len, alike))
        return prod(sizes) if crossing else max(sizes, default=1)


def shared_out(cost: "Cost", ranks: int) -> str | None:
    """Have a cost be one of ``ranks`` equal ones, and at most what they are together; answers why."""
    if ranks == 1 or cost.share != (1, 1):
        return None
    whole = sum(cost.flop.values()) if cost.flop is not None else 0
    low, high = (whole, whole) if cost.bounds is None else cost.bounds
    if high == 0:
        return None
    cost.share, cost.bounds = (1, ranks), (low, None if high is None else high * ranks)
    reason = WHOLE.format(ranks)
    cost.reason = "; ".join(text for text in (cost.reason, reason) if text)[:1000]
    return reason

"""Who wants to know what was seen of a training, and of what it is told: calls, steps, work beside them.

No torch is imported here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from profilers.steps.folding.events import Variant

if TYPE_CHECKING:
    from profilers.steps.folding.events import Kind
    from profilers.steps.products.outside import Product

Price = Callable[[Any, Any, Any], tuple[str, int] | None]
"""Of one op: takes positional and named arguments and the result; answers dtype and FLOP, or None."""
Sums = tuple[tuple[str, int], ...]
"""FLOP by dtype, in order."""


@dataclass(frozen=True, slots=True)
class Found:
    """What was computed beside the model until an optimizer's step ended, since the one before."""

    optimizer: str
    """Which stepped."""
    products: Sums = ()
    within: Sums = ()
    """Inside of the optimizer's own step."""
    other: tuple[str, ...] = ()
    """Work of which nobody knows what it costs."""
    other_within: tuple[str, ...] = ()
    empty: int = 0
    """So often such a window held nothing, before this one, which is the first that does."""
    partial: bool = False
    """Only what came after the recording's first call was watched."""

    @property
    def figures(self) -> tuple[Any, ...]:
        """What is compared with other steps."""
        return self.products, self.within, self.other, self.other_within


def now_us() -> int:
    """Return the monotonic clock in microseconds."""
    return time.monotonic_ns() // 1000


Bucket = dict[Variant, int]


@dataclass(kw_only=True, slots=True)
class StepSeen:
    """One step as it was seen. Times in microseconds of the monotonic clock."""

    calls: Bucket
    optimizer: str | None
    before_us: int
    """End of the step before, or the start."""
    start_us: int
    """The first call."""
    end_us: int
    tokens: int | None
    tokens_from: str | None
    samples: int | None
    number: int | None
    """The step's number where the program said it."""


@dataclass(kw_only=True, slots=True)
class AlikeSeen:
    """Several steps in a row that differ in their times only; microseconds, as in ``StepSeen``."""

    calls: Bucket
    """Of each of them."""
    optimizer: str
    before_us: int
    """End of the step before the first one."""
    starts_us: list[int]
    ends_us: list[int]
    tokens: int | None
    tokens_from: str | None
    samples: int | None

    def each(self) -> Iterator[StepSeen]:
        """Walk over the steps one by one."""
        before = self.before_us
        for start, end in zip(self.starts_us, self.ends_us, strict=True):
            yield StepSeen(
                calls=self.calls,
                optimizer=self.optimizer,
                before_us=before,
                start_us=start,
                end_us=end,
                tokens=self.tokens,
                tokens_from=self.tokens_from,
                samples=self.samples,
                number=None,
            )
            before = end


@dataclass(kw_only=True, slots=True)
class AsideSeen:
    """Calls beside training."""

    what: str
    calls: Bucket
    start_us: int
    end_us: int
    source: str


class Listener(Protocol):
    """Who wants to know."""

    def new_kind(self, kind: Kind, module: Any, args: Any, kwargs: Any) -> None:
        """A call of a kind that was not seen before is about to run."""

    def lies(self, module: Any, parameters: Iterable[Any], given: Any = None) -> None:
        """A model that is about to be called was looked at: its parameters, and inputs if known."""

    def outside(
        self, variant: Variant, products: tuple[Product, ...], other: tuple[str, ...]
    ) -> None:
        """The program computed these products itself, and other work whose cost is not known."""

    def price_of(self, func: Any) -> Price | None:
        """How to ask what calls of one of torch's ops cost; None for one without products."""

    def beside(self, variant: Variant, found: Found) -> None:
        """The program computed this beside the model, and no graph shows it."""

    def settle(self, variant: Variant) -> object:
        """What became of a call is known for the first time: the moment to count it."""

    def step(self, seen: StepSeen) -> None:
        """A step is over."""

    def alike(self, seen: AlikeSeen) -> None:
        """Several equal steps are over."""

    def said(self, tokens: int | None, samples: int | None, number: int | None) -> None:
        """The program said something of a step that was told already."""

    def aside(self, seen: AsideSeen) -> None:
        """Calls that belong to no step are over."""

    def folded(self, *, counting: bool, begun: bool) -> None:
        """Everything up to now was told; ``begun``: calls of a further step were already made.

        Without ``counting`` this is another thread than the program's: nothing may be counted.
        """

    @property
    def due(self) -> bool:
        """Whether what is told next is going to be written."""

    def doubt(self, other: Callable[[Variant], Variant], since_us: int) -> None:
        """Nobody knows what some calls since then cost, which are not written: ``other`` stands for them."""

    def undisturbed(self) -> AbstractContextManager[None]:
        """Inside, signals wait: what a handler of the program's raised would break off what is told."""

    def trouble(self, where: str, error: BaseException) -> None:
        """The observer failed; the program did not notice."""

    def resumed(self, step: int) -> None:
        """The state of an optimizer that is new here says that it stepped before."""

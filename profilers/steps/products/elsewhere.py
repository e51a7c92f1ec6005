"""Work of a step that belongs to no call of a model: products beside the models, and what nobody could see.

It stands in the log among the calls, each set of products as a kind of its own. No torch is imported here.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from profilers.steps.folding.events import Call, Kind
from profilers.steps.standing.handlers import SHIELD

if TYPE_CHECKING:
    from profilers.steps.folding.listener import Found
    from profilers.steps.observer import Observer
    from profilers.steps.products.outside import Product

    Told = tuple[tuple[Product, ...], tuple[str, ...]]

MOST_KINDS = 4096
"""So many sets of products are told by the same name."""


class Elsewhere:
    """Notes it in the log of one observer."""

    def __init__(self, observer: Observer) -> None:
        """Take whose log it is, and who is told of a new set of products."""
        self._observer = observer
        self._log, self._listener = observer.log, observer.listener
        self._kinds: dict[Told, Kind] = {}

    def unseen(self, what: str) -> None:
        """Note that something was computed which nobody saw: the step's upper end is open."""
        with SHIELD:
            self.note((), (what,))

    def note(self, products: tuple[Product, ...], other: tuple[str, ...]) -> None:
        """Note products, and what else was there of which nobody can tell what it computed.

        Each set has one share in what it costs: products of whole tensors, and of those spread over ranks.
        """
        now = time.monotonic_ns()
        for ranks in sorted({product[-1] for product in products}) or [1]:
            alike = tuple(product for product in products if product[-1] == ranks)
            call: Call = (self._kind((alike, other)), [now], now, False)
            self._log.append(call)
            other = ()

    def beside(self, found: Found, aside: Kind | None = None) -> None:
        """Note what no graph shows.

        Args:
            found: What was computed beside the model, in the step or span that is open.
            aside: A kind of calls of the evaluation to which it belongs.

        """
        kind = Kind("beside the model", found)
        kind.watched = False
        # As part of a backward, it ends no step in which another optimizer has yet to step.
        again = aside is None
        if aside is not None:
            kind.aside, kind.trained = True, aside.trained
        self._listener.beside(kind.variant("again" if again else "forward"), found)
        now = time.monotonic_ns()
        self._log.append((kind, [now], now, again))

    def bypassed(self, kind: Kind) -> None:
        """An optimizer stepped after a settled model's call, and no backward was seen since.

        Perhaps one began past torch's Python functions: where the model is trained and has gradients.
        """
        observer = self._observer
        seam = kind.seam()
        if seam is None or not observer.optimizers.trains(kind):
            return
        if any(parameter.grad is not None for parameter in seam.parameters):
            with observer.lock:
                self.unseen("a call of a model, and no backward before the optimizer stepped")
                log = self._log
                if len(log) > 1 and len(log[-2]) == 2:
                    log[-2:] = log[:-3:-1]  # it belongs to the step that just ended

    def _kind(self, told: Told) -> Kind:
        kind = self._kinds.get(told)
        if kind is None:
            kind = Kind("outside of modules", told)
            kind.watched = False
            self._listener.outside(kind.variant("forward"), *told)
            if len(self._kinds) < MOST_KINDS:
                self._kinds[told] = kind
        return kind

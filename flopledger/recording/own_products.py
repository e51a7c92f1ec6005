"""What of a program's matrix products is in no figure, as far as its code tells.

An optimizer's are neither forward nor backward, and neither are those of a hook that compresses gradients
before ranks exchange them. A loop's count where a backward reaches them.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from types import FunctionType
from typing import Any

from profilers.steps.optimizers.weights import trains
from profilers.steps.products.in_code import products_of
from profilers.steps.products.loops import products_around


class OwnProducts:
    """Reads the code of optimizers and of those who call them, and compares it with what was found."""

    def __init__(self, tell: Callable[[str, str, str], None], *, watched: bool) -> None:
        """Take who is told (code, severity, message), and whether such products are watched and counted."""
        self._tell = tell
        self._watched = watched
        self._named: dict[str, int] = {}
        """How many products a function of the loop's names."""
        self._found: Counter[Any] = Counter()
        """Products that backward passes reached, each as often as in one pass."""
        self._read = watched
        """The loop's code was read, or needs not be."""

    def begins(self, optimizer: Any) -> None:
        """An optimizer made its first step."""
        if self._watched:
            return
        kind: Any = type(optimizer)
        names = products_of(kind)
        if names:
            text = (
                f"{kind.__name__} computes matrix products in its own step ({', '.join(names[:8])}): "
                "they are neither forward nor backward, and in no figure without watch_products=True"
            )
            self._tell("optimizer-products", "info", text)
        self._read = True
        self._named.update(products_around(sys._getframe(1)))

    def ends_by_word(self) -> None:
        """A step ended by the program's own word, and no optimizer ever stepped (updates by hand)."""
        if not self._read:
            self._read = True
            self._named.update(products_around(sys._getframe(1)))

    def exchanges(self, optimizer: Any, models: Iterable[Any]) -> None:
        """An optimizer made its first step; the models that it trains may have hooks on their exchange.

        A watch beside the models does not see these: torch calls them from its reducer.
        """
        for model in models:
            hooks = vars(model).get("_comm_hooks", ())
            if hooks and trains([optimizer], model):  # and no other model that is still alive
                for hook, _ in hooks:
                    self._exchanges_by(hook)

    def _exchanges_by(self, hook: Any) -> None:
        inner = hook
        while isinstance(inner, partial):
            inner = inner.func
        inner = getattr(inner, "__func__", inner)
        code: Any = inner if isinstance(inner, FunctionType) else type(inner)
        names = products_of(code)
        if names:
            text = (
                f"{code.__name__} computes matrix products while ranks exchange gradients "
                f"({', '.join(names[:8])}): they are neither forward nor backward, and in no figure"
            )
            self._tell("exchange-products", "info", text)

    def reached(self, products: Iterable[Any]) -> None:
        """A backward pass came through these."""
        self._found |= Counter(products)

    def ends(self) -> None:
        """Say whether the loop names more products than were reached."""
        named, found = sum(self._named.values()), self._found.total()
        if named > found:
            where = ", ".join(list(self._named)[:8])
            many = "1 matrix product" if named == 1 else f"{named} matrix products"
            text = (
                f"the loop's code names {many} outside of modules ({where}), and backward passes reached "
                f"{found}: what is computed and never differentiated is in no figure; run.count() adds it, "
                "or watch_products=True"
            )
            self._tell("products-unreached", "info", text)

"""Attention that a model writes out by hand: a product, a mask, a softmax and a second product.

What of it is seen in the order of ops is marked in the ledger as part of attention, after it was counted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any

import torch

from flopcount.attention_scopes import allowed_by, allowed_by_all
from flopcount.known_values import ATTRIBUTE, KnownValues
from flopcount.ragged import is_ragged
from flopcount.scopes import UNMASKED, Attention, Scope, Watch, next_number
from flopcount.tensors import tensors

if TYPE_CHECKING:
    from flopcount.ledger import Tally

SOFTMAX = frozenset({"aten::_softmax", "aten::_safe_softmax"})
MASKING = frozenset(
    {"aten::add", "aten::add_", "aten::masked_fill", "aten::masked_fill_", "aten::where"}
)
MOST_SINKS = 4
"""Columns beside the scores that a softmax may have: a sink is one logit a head."""
BATCHED = frozenset({"aten::bmm", "aten::baddbmm"})


@dataclass(slots=True)
class Product:
    """A batched product that may turn out to be part of attention written out by hand."""

    path: str
    size: int
    width: int
    tally: Tally
    flop: int
    number: int
    masks: list[tuple[Any, bool]] = field(default_factory=list)
    """What joined the scores, and whether it says which pairs are forbidden instead of allowed."""
    unclear: bool = False
    """A mask of unknown values took part."""


class WrittenAttention:
    """Follows ops from the product that makes scores to the one that takes the values."""

    def __init__(self, watch: Watch, known: KnownValues) -> None:
        self._watch = watch
        self._known = known
        self._last: Product | None = None
        """The last batched product, which may have made scores."""
        self._scores: tuple[Product, Attention] | None = None
        """Of which a softmax was just taken."""

    def product(self, scope: Scope, args: Any, out: Any, tally: Tally, flop: int) -> None:
        """Remember a batched product; after a softmax it is attention's value product."""
        product = Product(
            scope.path, prod(out.shape), out.shape[-1], tally, flop, next_number() - 1
        )
        if self._scores is not None:
            scores, mask = self._scores
            sizes = [prod(item.shape) for item in tensors(args)]
            self._scores = None
            if scores.path == scope.path and scores.size in sizes:
                self._belongs(product, mask)
                return
        if len(args) > 2 and hasattr(args[0], ATTRIBUTE):
            product.masks.append((args[0], False))  # the addend of baddbmm
        self._last = product

    def costless(self, name: str, scope: Scope, args: Any, out: Any) -> None:
        """An op without products ran, which may mask scores or take their softmax."""
        product = self._last
        if product is None or is_ragged((out,)):
            return
        if name in MASKING:
            self._joins(product, args, name)
        elif name in SOFTMAX:
            self._is_scores(scope, tuple(out.shape))

    def _joins(self, product: Product, args: Any, name: str) -> None:
        """An operand of known values that joins the scores before their softmax is their mask."""
        choosing = 1 if name.startswith("aten::masked_fill") else 0
        for position, operand in enumerate(tensors(args)):
            if not operand.dim() or operand.shape[-1] != product.width:
                continue
            if not hasattr(operand, ATTRIBUTE):
                product.unclear |= operand.dtype == torch.bool and position == choosing
            elif name.startswith("aten::masked_fill"):
                if position == 1:
                    product.masks.append((operand, True))
            elif name != "aten::where" or (position == 0 and operand.dtype == torch.bool):
                product.masks.append((operand, False))

    def _is_scores(self, scope: Scope, shape: tuple[int, ...]) -> None:
        """A softmax over the result of the product before it makes that product the scores.

        Sinks stand in columns of their own beside it, and go again after the softmax.
        """
        product, self._last = self._last, None
        if product is None or product.path != scope.path or not product.width or not shape:
            return
        sinks = shape[-1] - product.width
        if not 0 <= sinks <= MOST_SINKS or prod(shape[:-1]) * product.width != product.size:
            return
        self._known.unknown_masks += product.unclear
        mask = self._allowed(product.masks)
        self._belongs(product, mask)
        self._scores = (product, mask)

    def _allowed(self, masks: list[tuple[Any, bool]]) -> Attention:
        """Pairs that all masks together allow: a window and a padding may join one after the other."""
        if not masks:
            return UNMASKED
        if len(masks) > 1:
            return allowed_by_all(self._known, masks)
        ((mask, blocks),) = masks
        found = allowed_by(self._known, mask, None)
        if blocks and found.exact:
            return Attention(found.pairs - found.allowed, found.pairs)
        return found

    def _belongs(self, product: Product, mask: Attention) -> None:
        """Count a product that was recorded before as part of attention."""
        product.tally.attention += product.flop
        product.tally.masked -= product.flop - product.flop * mask.allowed // mask.pairs
        self._watch.attention_nodes[product.number] = mask

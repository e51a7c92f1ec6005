"""Meets attention one storey above the ops, where its mask and its queries' dtype are still known."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import _disable_current_modes

from flopcount import flex
from flopcount.dtypes import dtype_name
from flopcount.formulas.attention import causal_pairs
from flopcount.higher_order import UNROLLED
from flopcount.known_values import KnownValues, UnknownValueError
from flopcount.scopes import Attention, Scope

if TYPE_CHECKING:
    from flopcount.dispatch import Counter

CHOSEN = "_flopcount_chosen"
"""An attribute of a mask: how many keys an indexer chose for each query, and where the answer is kept."""
BLOCKED = -10_000.0
"""An additive mask below this forbids a pair: the least value that half precision masks use."""


READING = frozenset({torch.Tensor.tolist, torch.Tensor.__format__})
"""Functions that read a tensor's memory into Python, e.g. into the name of an expert."""


def _read(counter: Counter, func: Any, args: Any, kwargs: Any) -> Any:
    """Answer what reads a tensor's memory: without any op, so it can be answered only here."""
    counter.asks(args[0])
    if args[0].device.type != "meta":
        return func(*args, **kwargs)
    with torch._C.DisableTorchFunction(), _disable_current_modes():
        return func(counter.known.value(args[0]), *args[1:], **kwargs)


class Readings(TorchFunctionMode):  # type: ignore[misc]
    """Answers such functions in a backward, where torch sets modes aside and checkpoints compute again."""

    def __init__(self, counter: Counter) -> None:
        super().__init__()
        self._counter = counter

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        return (
            _read(self._counter, func, args, kwargs) if func in READING else func(*args, **kwargs)
        )


class AttentionScopes(TorchFunctionMode):  # type: ignore[misc]
    """Notes which products belong to ``scaled_dot_product_attention``, whatever kernel runs."""

    def __init__(self, counter: Counter) -> None:
        super().__init__()
        self.counter = counter
        self.watch = counter.watch
        self.known = counter.known

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.nn.functional.scaled_dot_product_attention:
            return self.attend(func, args, kwargs)
        if func is torch.ops.higher_order.flex_attention:
            return flex.attend(self.counter, args, kwargs)
        loop = UNROLLED.get(func)
        if loop is not None:
            # Further down each body would first have to be traced for its gradient.
            with self:
                return loop(self.counter, *args, **kwargs)
        if func in READING:
            return _read(self.counter, func, args, kwargs)
        out = func(*args, **kwargs)
        if func is torch.tensor and out.is_meta:
            self._remember_stated(out, args)
        return out

    def _remember_stated(self, out: Any, args: Any) -> None:
        """Numbers that the code writes down go to meta without any op, and are known all the same."""
        with (
            suppress(RuntimeError, TypeError, ValueError),
            torch._C.DisableTorchFunction(),
            _disable_current_modes(),
        ):
            self.known.remember_real(out, torch.tensor(args[0], dtype=out.dtype, device="cpu"))

    def attend(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Run one attention call inside a scope that knows its mask."""
        names = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
        bound = {**dict(zip(names, args, strict=False)), **kwargs}
        if bound["query"].is_nested:
            return self._attend_nested(func, bound)
        watch = self.watch
        watch.push(Scope(watch.stack[-1].path, self._mask(bound)))
        try:
            return func(*args, **kwargs)
        finally:
            watch.pop()

    def _attend_nested(self, func: Any, bound: dict[str, Any]) -> Any:
        """Sequences of different lengths: each attends to itself only.

        The reference kernel refuses a causal mask on them, so it runs without; what the mask allows
        is counted from the lengths.
        """
        lengths = zip(ragged_lengths(bound["query"]), ragged_lengths(bound["key"]), strict=True)
        each = list(lengths)
        pairs = sum(queries * keys for queries, keys in each)
        allowed = pairs
        if bound.pop("is_causal", False):
            allowed = sum(causal_pairs(queries, keys) for queries, keys in each)
        found = Attention(allowed, max(pairs, 1), dtype_name(bound["query"].dtype))
        self.watch.push(Scope(self.watch.stack[-1].path, found))
        try:
            return func(**bound)
        finally:
            self.watch.pop()

    def _mask(self, bound: dict[str, Any]) -> Attention:
        """Allowed and all pairs of the call."""
        query, mask = bound["query"], bound.get("attn_mask")
        queries, keys = query.shape[-2], bound["key"].shape[-2]
        pairs, dtype = queries * keys, dtype_name(query.dtype)
        if bound.get("is_causal"):
            return Attention(causal_pairs(queries, keys), pairs, dtype)
        if mask is None:
            return Attention(pairs, pairs, dtype)
        return allowed_by(self.known, mask, dtype)


def allowed_by(known: KnownValues, mask: Any, dtype: str | None) -> Attention:
    """Pairs that a boolean or additive mask allows, when its values can be known."""
    cached: Attention | None = getattr(mask, "_flopcount_attention", None)
    if cached is not None:
        return cached
    try:
        allowed = _allows(known.value(mask))
        found = Attention(_limited(mask, allowed), allowed.numel(), dtype)
    except UnknownValueError:
        found = Attention(1, 1, dtype, exact=False)
        known.unknown_masks += 1
    if mask.device.type == "meta":
        mask._flopcount_attention = found
        if found.exact and hasattr(mask, CHOSEN):
            chosen, asked = mask._flopcount_chosen
            asked[chosen] = found
    return found


def _limited(mask: Any, allowed: Any) -> int:
    """Pairs that a mask allows; at most so many a query as an indexer chose of them."""
    if not hasattr(mask, CHOSEN):
        return int(allowed.sum())
    return int(allowed.sum(-1).clamp(max=mask._flopcount_chosen[0]).sum())


def allowed_by_all(known: KnownValues, masks: list[tuple[Any, bool]]) -> Attention:
    """Pairs that none of several masks forbids; beside each stands whether it says the forbidden ones.

    A mask whose values nobody knows leaves the pairs unknown, whatever the others say.
    """
    try:
        values = [_allows(known.value(mask)) ^ blocks for mask, blocks in masks]
    except UnknownValueError:
        known.unknown_masks += 1
        return Attention(1, 1, exact=False)
    together = values[0]
    for other in values[1:]:
        together = together & other
    return Attention(int(together.sum()), together.numel())


def _allows(values: Any) -> Any:
    """What a boolean mask, or one that is added to scores, allows."""
    return values if values.dtype == torch.bool else values > BLOCKED


def ragged_lengths(nested: Any) -> list[int]:
    """The length of each sequence of a nested tensor ``(B, heads, length, width)``."""
    if nested.layout is torch.strided:
        return [int(size[-2]) for size in nested._nested_tensor_size().tolist()]
    lengths = nested.lengths()
    return [int(n) for n in (nested.offsets().diff() if lengths is None else lengths).tolist()]

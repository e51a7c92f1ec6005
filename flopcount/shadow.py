"""The model's storage-free double: same modules, parameters and buffers on meta, put back after.

Nothing of the caller's may change: not a gradient, not a running mean, not a cached attribute. So
the parameters and buffers are exchanged for the time of the trace, and each module's own dictionary
is restored afterwards as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils import _pytree as pytree

Convert = Callable[[Any], Any]


class Converter:
    """Turns tensors into storage-free ones, each only once, so that tied weights stay tied."""

    def __init__(self, device: str = "meta") -> None:
        self.device = device
        self._done: dict[int, tuple[Any, Any]] = {}

    def __call__(self, value: Any) -> Any:
        """Convert a tensor; everything else passes through."""
        if not isinstance(value, torch.Tensor):
            return value
        known = self._done.get(id(value))
        if known is None:
            # The original is kept beside the double so that its id stays its own.
            known = self._done[id(value)] = (value, self._double(value))
        return known[1]

    def known(self, value: Any) -> Any:
        """The double of a tensor that was converted before, else the value itself."""
        found = self._done.get(id(value))
        return value if found is None else found[1]

    def _double(self, value: Any) -> Any:
        with torch.no_grad():
            fresh = torch.empty_like(value.detach(), device=self.device)
        if isinstance(value, torch.nn.Parameter):
            return torch.nn.Parameter(fresh, requires_grad=value.requires_grad)
        return fresh.requires_grad_(value.requires_grad)


def convert_inputs(values: Any, convert: Convert) -> Any:
    """Every tensor inside nested inputs, converted."""
    return pytree.tree_map(convert, values)


def _copy_containers(state: dict[str, Any]) -> dict[str, Any]:
    """A module's dictionary with its own lists, dicts and sets copied one level deep."""
    return {
        key: value.copy() if type(value) in (dict, list, set) or key in _ORDERED else value
        for key, value in state.items()
    }


_ORDERED = frozenset({"_parameters", "_buffers", "_modules", "_forward_hooks"})


@contextmanager
def doubled(model: Any, convert: Converter) -> Iterator[None]:
    """Inside, the model's tensors are doubles; outside, everything is as it was."""
    if not isinstance(model, torch.nn.Module):
        yield
        return
    saved = [(module, module.__dict__) for module in model.modules()]
    try:
        for module, state in saved:
            # The module works on a copy of its dictionary; the original is never written.
            module.__dict__ = _copy_containers(state)
            _exchange(module.__dict__, convert)
        for module, _ in saved:
            _exchange_lists(module.__dict__, convert)
        yield
    finally:
        for module, state in saved:
            module.__dict__ = state


def _exchange(state: dict[str, Any], convert: Converter) -> None:
    for table in ("_parameters", "_buffers"):
        tensors = state[table]
        for name, tensor in tensors.items():
            if tensor is not None:
                tensors[name] = convert(tensor)


def _exchange_lists(state: dict[str, Any], convert: Converter) -> None:
    """Lists of parameters that a module keeps beside its tables, e.g. ``LSTM._flat_weights``."""
    for key, value in state.items():
        if type(value) is list and value and isinstance(value[0], torch.Tensor):
            state[key] = [convert.known(item) for item in value]

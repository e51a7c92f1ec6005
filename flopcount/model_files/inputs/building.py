"""Building a model without memory for its weights: with nothing real in it, or with its small tables.

On the meta device a module's constants (a stride kept in a buffer, a table of window positions) lose
their values, and a model that asks for them in its forward pass cannot go on. Where that happens it
is built once more with those small tensors real and all weights still without storage.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from flopcount.known_values import KnownValues, UnknownValueError

MOST_REAL_ELEMENTS = 1 << 16
"""A larger constant is no table of settings and has no storage."""
_STATED = (torch.tensor, torch.as_tensor, torch.arange, torch.linspace, torch.eye)
_FILLED = (torch.zeros, torch.ones, torch.full)
_WEIGHTS = (torch.empty, torch.rand, torch.randn, torch.empty_strided)


class SmallTablesReal(TorchFunctionMode):  # type: ignore[misc]
    """Sends weights to meta and keeps what the code states number by number."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Choose the device of a new tensor for which the code chose none."""
        kwargs = dict(kwargs or {})
        if kwargs.get("device") is not None:
            return func(*args, **kwargs)
        if func in _WEIGHTS:
            kwargs["device"] = "meta"
        elif func in _STATED or func in _FILLED:
            made = func(*args, **kwargs, device="meta")
            small = made.numel() <= MOST_REAL_ELEMENTS
            kwargs["device"] = "cpu" if small else "meta"
        return func(*args, **kwargs)


def without_real_weights(model: Any) -> Any:
    """Take the storage from every parameter that has one, tied ones once."""
    done: dict[int, Any] = {}
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is None or parameter.is_meta:
                continue
            if id(parameter) not in done:
                bare = torch.empty_like(parameter, device="meta")
                done[id(parameter)] = torch.nn.Parameter(bare, parameter.requires_grad)
            module._parameters[name] = done[id(parameter)]
    return model


def fill_stored_masks(model: Any, build: Callable[[], Any]) -> None:
    """Give the masks that a model keeps as buffers (GPT-Neo's windows) the values they were built with.

    They follow from sizes alone, so a second building that notes how each came about tells them.
    """
    names = [name for name, buffer in model.named_buffers() if _is_mask(buffer)]
    if not names:
        return
    known = KnownValues()
    with _Noting(known):
        again = build()
    kept: list[Any] = []
    for name in names:
        with suppress(UnknownValueError):
            path, _, last = name.rpartition(".")
            found = known.value(again.get_buffer(name))
            model.get_submodule(path)._buffers[last] = _kept_once(found, kept)


def _is_mask(buffer: Any) -> bool:
    return bool(buffer.is_meta and buffer.dtype == torch.bool and buffer.dim() > 1)


def _kept_once(value: Any, kept: list[Any]) -> Any:
    """Equal masks of many layers share their memory."""
    for other in kept:
        if torch.equal(other, value):
            return other
    kept.append(value)
    return value


class _Noting(TorchDispatchMode):  # type: ignore[misc]
    """Notes how each tensor came about."""

    def __init__(self, known: KnownValues) -> None:
        super().__init__()
        self.known = known

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.known.observe(func, args, kwargs or {}, out)
        return out

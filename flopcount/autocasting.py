"""Autocast where no kernel runs: which type a product is computed in, as it would be on the device.

Tensors without storage have no autocast of their own: on meta it does nothing, and asking for it is
an error. Fake tensors on the CPU have the CPU's. So a region that changes no type is let through on
meta, one that does sends the trace to fake tensors, and there every device's autocast is the CPU's
with the device's own type.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch.amp.autocast_mode import autocast

from flopcount.doubles import Doubles, MetaDoubles

if TYPE_CHECKING:
    from collections.abc import Iterator

LOW = (torch.float16, torch.bfloat16)
DEVICES = ("cuda", "xpu", "mps", "hpu", "mtia")
"""Device types whose autocast a program may switch on without such a device in reach."""


class AutocastOnMetaError(RuntimeError):
    """Types depend on autocast, which meta does not know; internal."""

    def __init__(self) -> None:
        super().__init__("autocast has no effect on meta")


@contextmanager
def autocast_as_on(doubles: Doubles) -> Iterator[None]:
    """Inside, autocast acts on such doubles as it would on the tensors that they stand for.

    Raises:
        AutocastOnMetaError: on meta, where an autocast that is open already changes types.

    """
    # The last rung has no other to send to: there the types stay the tensors' own.
    on_meta = isinstance(doubles, MetaDoubles) and not doubles.known.inventing
    ambient = _ambient()
    if on_meta and (ambient is not None or _is_low("cpu")):
        raise AutocastOnMetaError
    original = autocast.__init__

    def begin(
        self: Any,
        device_type: str,
        dtype: Any = None,
        enabled: bool = True,
        cache_enabled: bool | None = None,
    ) -> None:
        if device_type == "meta" or (device_type in DEVICES and not _is_there(device_type)):
            wanted = dtype or _usual(device_type)
            enabled = enabled and wanted in LOW
            device_type, dtype = "cpu", wanted if enabled else torch.bfloat16
        if on_meta and enabled and (dtype or _usual(device_type)) in LOW:
            raise AutocastOnMetaError
        original(self, device_type, dtype, enabled, cache_enabled)

    autocast.__init__ = begin
    try:
        with ExitStack() as stack:
            if ambient is not None:
                stack.enter_context(torch.autocast("cpu", ambient))
            yield
    finally:
        autocast.__init__ = original


def _ambient() -> Any:
    """The type of an autocast that is open for a device out of reach."""
    for device in DEVICES:
        if not _is_there(device) and _is_low(device):
            return torch.get_autocast_dtype(device)
    return None


def _is_low(device: str) -> bool:
    return torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device) in LOW


def _usual(device: str) -> Any:
    return torch.float16 if device == "meta" else torch.get_autocast_dtype(device)


def _is_there(device: str) -> bool:
    module = getattr(torch, device, None)
    return bool(module is not None and module.is_available())

"""Reads a loss that a program tells, and never waits for a device to do so."""

import math
from typing import Any

from profilers.steps.record.entries import MOST_LOSS


class UnreadableError(Exception):
    """What was told cannot be read without waiting, or is no single number."""


def read_loss(value: Any) -> float | None:
    """Return a told loss as a number; None where it is not finite, or absurd.

    A tensor is read only in the processor's own memory: reading one on another device would wait
    for everything that was put before it, and reading a sharded one would talk to other ranks.

    Raises:
        UnreadableError: otherwise, with what was found.

    """
    if not isinstance(value, int | float):
        value = _item(value)
    number = float(value)
    return number if math.isfinite(number) and abs(number) <= MOST_LOSS else None


def _item(value: Any) -> Any:
    from torch import Tensor
    from torch.nn import Parameter

    if isinstance(value, Tensor):
        if type(value) not in (Tensor, Parameter):
            raise UnreadableError(f"a {type(value).__name__}, which is no plain tensor")
        if value.device.type != "cpu":
            raise UnreadableError(f"a tensor on {value.device}, and reading it would wait for it")
        if value.numel() != 1 or value.is_complex():
            raise UnreadableError(f"a tensor of shape {tuple(value.shape)} of {value.dtype}")
        return value.detach().item()
    if type(value).__module__ == "numpy" and getattr(value, "size", None) == 1:
        value = value.item()
    if not isinstance(value, int | float):
        raise UnreadableError(f"a {type(value).__name__}")
    return value

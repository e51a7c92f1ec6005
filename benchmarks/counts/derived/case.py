"""One case: a step and its exact cost, and the tensors that cases are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn


@dataclass(frozen=True)
class Case:
    """One step and its exact cost.

    Attributes:
        name: Shown in the table.
        make: Answers the model or function and its inputs.
        forward: FLOP by the derivation in the comment above the case.
        backward: The same.
        recompute: The same.
        options: Further keywords of ``flopcount.count``.

    """

    name: str
    make: Callable[[], tuple[Any, tuple[Any, ...]]]
    forward: int
    backward: int
    recompute: int = 0
    options: dict[str, Any] = field(default_factory=dict)


def t(*shape: int, grad: bool = False, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """A tensor of zeros."""
    return torch.zeros(*shape, dtype=dtype, requires_grad=grad)


def ids(*shape: int) -> torch.Tensor:
    """Token ids."""
    return torch.zeros(*shape, dtype=torch.long)


def frozen(module: nn.Module) -> nn.Module:
    """The module without trainable parameters."""
    return module.requires_grad_(requires_grad=False)

"""Tensors in whatever an op was given: which there are, how large, how to write them down."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch


def tensors(value: Any) -> Iterator[Any]:
    """Every tensor in nested lists, tuples and dicts."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from tensors(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from tensors(item)


def elements(value: Any) -> int:
    """Elements of all tensors together."""
    return sum(int(tensor.numel()) for tensor in tensors(value))


def shape_text(value: Any) -> str:
    """Shapes of all tensors, for people."""
    return ", ".join(map(_shape, tensors(value))) or "no tensor"


def _shape(tensor: Any) -> str:
    nested = tensor.is_nested and tensor.layout is torch.strided
    return f"nested of {tensor.numel()}" if nested else str(tuple(tensor.shape))

"""Modules that compute no products by themselves: nobody need see their calls. No torch is imported here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

FREE = frozenset(
    f"torch.nn.modules.{name}"
    for name in (
        "activation", "batchnorm", "channelshuffle", "container", "distance", "dropout", "flatten",
        "instancenorm", "loss", "normalization", "padding", "pixelshuffle", "pooling", "upsampling",
    )
)  # fmt: skip
"""torch's modules without matrix products, by where their classes are."""
NOT_FREE = frozenset({"MultiheadAttention", "Sequential", "Container"})
"""Classes from there that have products, or whatever lies inside of them."""


def is_free(module: Any) -> bool:
    """Whether a module is torch's own of a kind that computes no products: nobody need see its calls."""
    kind = type(module)
    return (
        kind.__module__ in FREE
        and kind.__name__ not in NOT_FREE
        and "forward" not in object.__getattribute__(module, "__dict__")
    )


def free_within(module: Any) -> Iterator[Any]:
    """Walk over such modules inside of a module, as long as nothing else lies between."""
    for child in list(module.__dict__.get("_modules", {}).values()):
        if child is not None and is_free(child):
            yield child
            yield from free_within(child)

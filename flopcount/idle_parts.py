"""Parts of a model in which a step multiplied nothing: towers whose input nobody gave.

Their parameters are in the model's number and nothing of them is in its FLOP, which a reader must know.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from flopcount.model_files.parameters import expert_modules

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flopcount.count import FlopCount

_NUMBER = re.compile(r"\.\d+(?=\.|$)")
LEAST_SHARE = 100
"""A part with less than one of so many parameters of the model is not told."""


def idle_parts(model: Any, count: FlopCount) -> list[tuple[str, int]]:
    """Give the largest modules in which no product ran, with the parameters that only they have.

    Equal parts of numbered layers are one: ``layers.*.encoder_attn``. A single layer is no part: some
    models multiply by the weight of a layer without calling it. Nor is an expert that no token was sent
    to.
    """
    if count.method == "closed-form":  # its terms stand for no modules
        return []
    ran = {"", *count.by_module}
    routed = {name for name, _, _ in expert_modules(model)}
    found = list(_without_products(model, "", ran, routed))
    total = sum(p.numel() for p in model.parameters())
    sizes: dict[str, int] = {}
    for path in found:
        everywhere = _NUMBER.sub(".*", path)
        sizes[everywhere] = sizes.get(everywhere, 0) + _own_parameters(model, path)
    return [(path, size) for path, size in sizes.items() if size * LEAST_SHARE >= total]


def _without_products(module: Any, path: str, ran: set[str], routed: set[str]) -> Iterator[str]:
    for name, child in module.named_children():
        inner = f"{path}.{name}" if path else name
        if inner in routed:
            continue
        if inner in ran:
            yield from _without_products(child, inner, ran, routed)
        elif _multiplying_layers(child) > 1:
            yield inner


def _multiplying_layers(module: Any) -> int:
    """Layers with a matrix of their own that is no table for lookups."""
    import torch

    tables = (torch.nn.Embedding, torch.nn.EmbeddingBag)
    return sum(
        any(p.ndim > 1 for p in layer.parameters(recurse=False))
        for layer in module.modules()
        if not isinstance(layer, tables)
    )


def _own_parameters(model: Any, path: str) -> int:
    """Parameters of a module that no module outside of it shares."""
    inside = {id(p): p.numel() for p in model.get_submodule(path).parameters()}
    shared = {
        id(p)
        for name, module in model.named_modules()
        if name != path and not name.startswith(f"{path}.")
        for p in module.parameters(recurse=False)
    }
    return sum(size for key, size in inside.items() if key not in shared)

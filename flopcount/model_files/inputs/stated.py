"""Inputs that the user states by name: ``visual_feats=1x36x2048`` or ``grid_thw=[[1, 16, 16]]``."""

from __future__ import annotations

import json
from math import prod
from typing import Any

from flopcount.errors import FlopcountError

LARGEST_SIDE = 10**9
MOST_ELEMENTS = 10**12
_MOST_TEXT = 65_536
_TYPES = ("float", "long", "bool")


def stated_inputs(specs: dict[str, str], dtype: Any) -> dict[str, Any]:
    """Return a tensor for each stated input.

    Args:
        specs: by name, a shape (``1x36x2048``, with ``:long`` or ``:bool`` behind it where the
            numbers are no fractions), which gives a tensor without storage, or the numbers
            themselves as a JSON list, for inputs that steer the model.
        dtype: of tensors of fractions.

    Raises:
        FlopcountError: a text is neither.
    """
    return {name: _tensor(name, text, dtype) for name, text in specs.items()}


def _tensor(name: str, text: str, dtype: Any) -> Any:
    import torch

    if text.startswith("["):
        return _numbers(name, text, dtype)
    shape, _, kind = text.partition(":")
    sides = shape.lower().split("x")
    if kind not in ("", *_TYPES) or not all(s.isdecimal() and len(s) < 11 for s in sides):
        raise _unreadable(name, text)
    sizes = [int(side) for side in sides]
    if max(sizes) > LARGEST_SIDE or prod(sizes) > MOST_ELEMENTS:
        raise FlopcountError(
            f"input {name}={text[:60]}: too large\n"
            f"  at most {LARGEST_SIDE:,} along a side and {MOST_ELEMENTS:,} in all"
        )
    kinds = {"": dtype, "float": dtype, "long": torch.long, "bool": torch.bool}
    return torch.zeros(*sizes, dtype=kinds[kind], device="meta")


def _numbers(name: str, text: str, dtype: Any) -> Any:
    import torch

    if len(text) > _MOST_TEXT:
        raise FlopcountError(f"input {name}: {len(text)} characters, at most {_MOST_TEXT}")
    try:
        made = torch.tensor(json.loads(text))
    except (ValueError, TypeError, RuntimeError, RecursionError, OverflowError):
        raise _unreadable(name, text) from None
    return made.to(dtype) if made.is_floating_point() else made


def _unreadable(name: str, text: str) -> FlopcountError:
    return FlopcountError(
        f"input {name}={text[:60]}: neither a shape nor numbers\n"
        "  give a shape as 1x36x2048 (behind it :long or :bool where the numbers are no "
        "fractions), or the numbers as [[1, 16, 16]]"
    )

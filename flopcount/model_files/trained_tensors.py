"""Which of the tensors in a file are trained numbers of one model, each stored as itself.

Left out are buffers, what scales quantised weights, an optimizer's state and averaged copies. Where
several weights are packed into one stored number nobody can say how many there are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flopcount.model_files.headers import StoredTensor

_NO_PARAMETER = re.compile(
    r"(inv_freq|running_mean|running_var|num_batches_tracked|position_ids|masked_bias|"
    r"rotary_emb\.\w+|attn\.bias|attention\.bias|e_score_correction_bias|rope_freqs\.weight)$"
)
_PACKED = re.compile(r"(\.qweight|\.quant_state\.\w+|\.weight_packed|\.W_q|_blocks)$")
_SCALE = re.compile(
    r"(weight_scale(_inv|_\d)?|\.scales|\.qzeros|\.g_idx|\.absmax|(input|output)_scale|\.[kv]_scale|"
    r"_scales|weight_shape|weight_zero_point)$"
)
_INTEGERS = {"I64", "I32", "U32", "U64", "I16", "U16", "BOOL", "LongStorage", "IntStorage",
             "BoolStorage", "ShortStorage"}  # fmt: skip
_SMALL = {"I8", "U8", "F4", "CharStorage", "ByteStorage"}
_BYTES = {"U8", "ByteStorage"}
"""Bytes without a sign hold several weights of four bits or fewer; int8 weights have a sign."""
_POWERS = "F8_E8M0"
"""A type of powers of two alone: no weight is stored in it, only what scales a block of weights."""
_OPTIMIZER = re.compile(r"^opt(im.*|_.*)?$", re.IGNORECASE)
_MOMENT = re.compile(r"(^|\.)(exp_avg(_sq)?|max_exp_avg_sq|momentum_buffer)$")
_AVERAGE = re.compile(r"(^|_)(ema|swa|shadow|averaged?|teacher|target)(_|$)", re.IGNORECASE)


def are_packed(tensors: Iterable[StoredTensor]) -> bool:
    """Whether several weights are packed into one stored number."""
    tensors = list(tensors)
    by_name = {tensor.name: tensor for tensor in tensors}
    for tensor in tensors:
        if _PACKED.search(tensor.name):
            return True
        if not tensor.name.endswith("weight"):
            continue
        if tensor.dtype in _BYTES:
            return True
        scale = by_name.get(f"{tensor.name.removesuffix('.weight')}.scale")
        if tensor.dtype == "I8" and scale is not None and scale.dtype == _POWERS:
            return True  # bytes of two numbers of four bits each
    return False


def trained(tensors: Iterable[StoredTensor]) -> list[StoredTensor]:
    """Return the trained tensors, shared memory once."""
    tensors = list(tensors)
    quantised = {
        tensor.name.removesuffix(".weight")
        for tensor in tensors
        if tensor.name.endswith(".weight") and _is_small(tensor.dtype)
    }
    kept: dict[object, StoredTensor] = {}
    for index, tensor in enumerate(tensors):
        if _NO_PARAMETER.search(tensor.name) or _SCALE.search(tensor.name):
            continue
        module, _, own = tensor.name.rpartition(".")
        if module in quantised and own not in ("weight", "bias"):
            continue  # beside a quantised weight stand its scales, whatever they are called
        if tensor.dtype in _INTEGERS or tensor.dtype == _POWERS:
            continue
        kept.setdefault(index if tensor.identity is None else tensor.identity, tensor)
    return list(kept.values())


def _is_small(dtype: str) -> bool:
    return dtype in _SMALL or dtype.lower().startswith(("f8_", "float8"))


def of_the_model(tensors: Iterable[StoredTensor]) -> tuple[list[StoredTensor], tuple[str, ...]]:
    """Return the tensors of a checkpoint's model, and the names of its parts that are no part of it.

    A training program stores beside the weights what its optimizer remembers of each, and often an
    average of them: as large as the model, or twice as large, and trained by nobody.
    """
    parts: dict[str, list[StoredTensor]] = {}
    for tensor in tensors:
        parts.setdefault(tensor.part, []).append(tensor)
    left = {name for name, members in parts.items() if _is_state(name, members)}
    for name in sorted(parts.keys() - left):
        others = parts.keys() - left - {name}
        if _AVERAGE.search(name) and any(_alike(parts[name], parts[o]) for o in others):
            left.add(name)
    kept = [tensor for name, members in parts.items() if name not in left for tensor in members]
    return kept, tuple(sorted(left))


def _is_state(name: str, members: list[StoredTensor]) -> bool:
    """Whether a part is an optimizer's state, by its name or by what it remembers."""
    return bool(_OPTIMIZER.match(name)) or any(_MOMENT.search(m.name) for m in members)


def _alike(one: list[StoredTensor], other: list[StoredTensor]) -> bool:
    """Whether two parts hold tensors of the same shapes."""
    shapes = [sorted(tensor.shape for tensor in part if tensor.shape) for part in (one, other)]
    return shapes[0] == shapes[1]

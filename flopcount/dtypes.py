"""Short names of dtypes, as hardware tables spell them. No torch: names are read from text."""

from __future__ import annotations

_NAMES = {"float64": "fp64", "float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}


def dtype_name(dtype: object) -> str:
    """Short name, e.g. ``bf16``. Eight-bit floats are ``fp8``, packed four-bit ones ``fp4``."""
    text = str(dtype).removeprefix("torch.")
    if text.startswith("float8"):
        return "fp8"
    if text.startswith("float4"):
        return "fp4"
    return _NAMES.get(text, text)

"""Shapes and dtypes of stored tensors, read from file headers; no weight is ever read."""

from flopcount.model_files.headers.tensor import HeaderError, StoredTensor

__all__ = ["HeaderError", "StoredTensor"]

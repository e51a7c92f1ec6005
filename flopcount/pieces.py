"""Plain tensors that are one rank's piece of something larger.

Under tensor parallelism a layer's sharded result usually leaves ``DTensor`` by ``to_local``: the heads
of an attention that a rank holds are a plain tensor to torch. What is computed of them is computed once
on every rank, each of its own piece; a global count takes it as often as there are pieces.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import wraps
from math import prod
from typing import TYPE_CHECKING, Any

import torch
from torch.multiprocessing.reductions import StorageWeakRef

from flopcount.parallel import dtensor_type

if TYPE_CHECKING:
    from flopcount.registry import Cost


class Pieces:
    """Of how many pieces a tensor is one, for tensors that came out of sharded ones."""

    def __init__(self) -> None:
        # A weak reference keeps the address from being used again. A piece may be cut out of the
        # storage of the whole, so the size belongs to the key; a backward sees other objects than
        # the forward did, of the same storage and size.
        self._known: dict[tuple[int, int], tuple[StorageWeakRef, int]] = {}

    def mark(self, tensor: Any, ranks: int) -> None:
        """Say that a tensor is one of ``ranks`` pieces; 1 is a whole."""
        key = _key(tensor)
        if key is None:
            return
        if ranks > 1:
            self._known[key] = StorageWeakRef(tensor.untyped_storage()), ranks
        else:
            self._known.pop(key, None)

    def of(self, found: Iterable[Any]) -> int:
        """Return of how many pieces the most divided of these tensors is one."""
        if not self._known:
            return 1
        known = (self._known.get(key) for key in map(_key, found) if key is not None)
        return max((entry[1] for entry in known if entry is not None), default=1)


def _key(tensor: Any) -> tuple[int, int] | None:
    try:
        return tensor.untyped_storage()._cdata, tensor.numel()
    except (AttributeError, RuntimeError, NotImplementedError):
        return None  # a class of tensors without a storage of its own


@contextmanager
def noticed(pieces: Pieces) -> Iterator[None]:
    """See what leaves sharded tensors while a step is traced."""
    kind = dtensor_type()
    if kind is None:
        yield
        return
    original = kind.to_local

    @wraps(original)
    def to_local(self: Any, *args: Any, **kwargs: Any) -> Any:
        local = original(self, *args, **kwargs)
        pieces.mark(local, _ranks(self))
        return local

    kind.to_local = to_local
    try:
        yield
    finally:
        kind.to_local = original


def _ranks(value: Any) -> int:
    """Over how many ranks a sharded tensor is divided, as pieces or as summands."""
    sizes = zip(value.placements, value.device_mesh.shape, strict=True)
    return prod(size for placement, size in sizes if not placement.is_replicate())


def left_after(func: Any, args: Any, ranks: int) -> int:
    """Of how many pieces a result is one: gathering or adding up makes a whole of a group's pieces.

    Args:
        func: The op.
        args: Its positional arguments, as ``torch.distributed._functional_collectives`` gives them.
        ranks: Of how many pieces its input is one.

    """
    if func.namespace != "_c10d_functional":
        return ranks
    name = func._opname
    if name.startswith("all_gather_into_tensor"):
        return max(1, ranks // int(args[1]))
    if name.startswith("all_reduce"):
        group = torch.distributed.distributed_c10d._resolve_process_group(args[2])
        return max(1, ranks // int(group.size()))
    return ranks


def on_all(cost: Cost, ranks: int) -> Cost:
    """What a call costs on all ranks that hold a piece."""
    if ranks == 1:
        return cost
    return replace(cost.times(ranks), rows=cost.rows * ranks, padded=cost.padded * ranks)

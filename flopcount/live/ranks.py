"""Lets nothing out to other ranks: what a model sends stays at home, what they would send is not known."""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch.utils import _pytree as pytree

from flopcount.dispatch import Counter
from flopcount.known_values import UnknownValueError
from flopcount.live.received import MAKING, exchanged, gathered, made_here
from flopcount.live.watch import LiveWatch
from flopcount.tensors import tensors

RECEIVED = "_flopcount_received"
"""On whole numbers that come from other ranks, and on what was computed of them."""
ALL_TO_ALL = "c10d::alltoall_base_"
EXCHANGE = "_c10d_functional::all_to_all_single"
GATHER = "_c10d_functional::all_gather_into_tensor"
GATHER_ALL = "c10d::_allgather_base_"
GATHER_EACH = "c10d::allgather_"
HANDING_ON = frozenset({"_c10d_functional::wait_tensor", "_c10d_functional::_wrap_tensor_autograd"})
"""Some of torch's collectives come with modules of its own: they are told by their names."""


class AmongRanks(Counter):
    """A counter of one rank of several."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if types and (late := _awaited()) in types:
            args, kwargs = pytree.tree_map_only(late, _arrived, (args, kwargs or {}))
        watch = self.watch
        assert isinstance(watch, LiveWatch)
        if watch.may_talk(func):
            raise UnknownValueError(
                "the model may talk with other ranks, which a count does not do"
            )
        if getattr(func, "namespace", "") in ("c10d", "_c10d_functional"):
            if func.namespace == "c10d" and not self._as_sent(func, args):
                self._receives(list(tensors(args)))
            given = args
            args, kwargs = pytree.tree_map(_on_meta, (args, kwargs or {}))
            out = func(*args, **kwargs)
            if func._schema.name == EXCHANGE:
                exchanged(self.known, out, given[0])
            elif func._schema.name == GATHER:
                self._as_gathered([out], given[0], _group(given[2]))
            elif func._schema.name in HANDING_ON:
                self.known.handed_on(out, given[0])
            return out
        return super().__torch_dispatch__(func, types, args, kwargs)

    def _as_sent(self, func: Any, args: Any) -> bool:
        """Whether whole numbers are taken to come as they go, to each rank as many."""
        name = func._schema.name
        if name == GATHER_ALL:
            return self._as_gathered([args[0]], args[1], _group(args[2]))
        if name == GATHER_EACH and len(args[0]) == len(args[1]) == 1:
            return self._as_gathered(args[0][0], args[1][0], _group(args[2]))
        if name != ALL_TO_ALL or args[3] or args[4]:
            return False
        return exchanged(self.known, args[0], args[1])

    def _as_gathered(self, received: list[Any], sent: Any, group: Any) -> bool:
        return gathered(self.known, received, sent, group.rank(), group.size())

    def _receives(self, written: list[Any]) -> None:
        """What other ranks sent is written here, whatever the op's schema says: nobody knows it.

        Of numbers that are no data, such as how many rows come, none is invented either.
        """
        watch = self.watch
        assert isinstance(watch, LiveWatch)
        self.known.forget(written)
        for tensor in written:
            if not tensor.is_floating_point():
                watch.received = True
                setattr(tensor, RECEIVED, True)

    def asks(self, tensor: Any) -> None:
        """Note a question; one that only other ranks could answer ends the trace."""
        if hasattr(tensor, RECEIVED):
            raise UnknownValueError("the model asks for whole numbers that other ranks sent")
        super().asks(tensor)

    def _write(self, func: Any, rule: Any, args: Any, kwargs: Any, out: Any) -> None:
        """Follow what comes from other ranks."""
        super()._write(func, rule, args, kwargs, out)
        watch = self.watch
        assert isinstance(watch, LiveWatch)
        if rule.name in MAKING:
            made_here(self.known, out)
        if watch.received and any(hasattr(item, RECEIVED) for item in tensors((args, kwargs))):
            for tensor in tensors(out):
                if not tensor.is_floating_point():
                    setattr(tensor, RECEIVED, True)


def _awaited() -> Any:
    """The class of what torch's functional collectives answer, if the program uses them."""
    module = sys.modules.get("torch.distributed._functional_collectives")
    return getattr(module, "AsyncCollectiveTensor", None)


def _arrived(value: Any) -> Any:
    """What such a tensor holds; there is nothing to wait for here."""
    return value.elem


def _group(told: Any) -> Any:
    """The process group that an op was given: in a box of TorchScript's, or by its name."""
    if isinstance(told, str):
        return torch.distributed.distributed_c10d._resolve_process_group(told)
    return torch.distributed.ProcessGroup.unbox(told) if hasattr(told, "_type") else told


def _on_meta(value: Any) -> Any:
    """Real numbers that a model made itself stay at home, too."""
    if type(value) is torch.Tensor and value.device.type != "meta":
        return torch.empty_like(value, device="meta")
    return value

"""Watches the trace of a captured call: what autocast would feed, and nothing to other ranks."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)
from torch.optim.optimizer import register_optimizer_step_pre_hook
from torch.utils import _pytree as pytree

from flopcount.attention_scopes import AttentionScopes, Readings
from flopcount.dispatch import Counter
from flopcount.dtypes import dtype_name
from flopcount.kernels import recording
from flopcount.known_values import MAKING, UnknownValueError
from flopcount.looked_through import flat_wrappers
from flopcount.pieces import noticed
from flopcount.scopes import Attention, Scope, Watch, seeing_engines
from flopcount.tensors import tensors

if TYPE_CHECKING:
    from flopcount.count import Phase
    from flopcount.known_values import KnownValues
    from flopcount.ledger import Tally
    from flopcount.live.capture import LiveCall
    from flopcount.live.deadline import Deadline
    from flopcount.registry import Cost

LOWERED = frozenset({"fp32", "fp16", "bf16"})
DATA = "depends on data"
"""In a remark: a model asked for a value that another batch may answer otherwise."""
SIZE = "a size that depends on data"
"""The same, where the answer is how many elements there are."""
MOST_ASKED = 10_000
"""So many questions of one trace are answered: a loop that waits for an answer must end."""
FOLLOWS_DATA = "_flopcount_data"
SOURCES = "_flopcount_sources"
"""On real numbers: where the tensors of the model's lie of which they were computed."""
EVERYWHERE = -1
"""In ``Ledger.asked``: values were asked for, and it could not be seen whose."""
RECEIVED = "_flopcount_received"
"""On whole numbers that come from other ranks, and on what was computed of them."""
SIZED = frozenset(
    {"aten::nonzero", "aten::masked_select", "aten::unique_consecutive", "aten::_unique2"}
)
SHAPED = frozenset(
    f"aten::{name}"
    for name in (
        "empty_like", "full_like", "ones_like", "zeros_like",
        "new_empty", "new_full", "new_ones", "new_zeros",
    )
)  # fmt: skip
"""What these make has a tensor's shape, and nothing of its numbers."""
TOLD = {"aten::_pack_padded_sequence": 1, "aten::_pad_packed_sequence": 1}
"""The second result of these is how long sequences are, and follows this argument alone."""
FAR = {"given": 0.0, "high": 1e30, "low": -1e30}
"""What is answered to a question for a number, beside the truth."""


class LiveTimeoutError(Exception):
    """A trace took too long; internal."""


class OptimizerInsideError(Exception):
    """An optimizer was about to step on the run's own weights; internal."""


class ThreadInsideError(Exception):
    """A model's forward was about to start a thread for the second time; internal."""


class LiveWatch(Watch):
    """A watch with a deadline, that knows what autocast would feed to the matrix units."""

    def __init__(
        self, model: Any, call: LiveCall, deadline: Deadline, most_flop: int | None
    ) -> None:
        super().__init__(model, most_flop)
        self.deadline = deadline
        self.autocast = call.autocast
        self.device = call.device
        self.sharded_dtype = sharded_dtype(call.model)
        self.on_numbers = False
        """Real or invented numbers are computed with, of which some stand for the run's data."""
        self.among_ranks = False
        """There are other ranks, with whom nothing may talk that computes on real numbers."""
        self.received = False
        """Other ranks sent whole numbers."""
        self.asked = 0
        self.asked_of: set[int] = set()
        """As ``Ledger.asked``, of questions that real numbers answered."""
        self.lowered: dict[str, str] = {}
        self.lowering: str | None = None
        """The dtype of autocast where the model is now, if it is on; Accelerate switches it on
        inside the outermost module's ``forward``."""

    def enter_module(self, module: Any, args: Any) -> None:
        """Global forward pre-hook."""
        if self.deadline.is_over:
            raise LiveTimeoutError("the trace took too long and was given up")
        super().enter_module(module, args)

    def may_talk(self, func: Any) -> bool:
        """Whether an op on real numbers is not one of torch's own, which stay in the process."""
        own = getattr(func, "namespace", "aten") in ("aten", "prim", "prims")
        return self.on_numbers and self.among_ranks and not own

    def fed(self, dtype: str, phase: Phase, scope: Scope) -> str:
        """The dtype that enters the matrix unit on the real device.

        Tensors without storage do not take part in autocast. Its state is seen all the same, and
        every product, convolution and attention is on its list; what follows in the backward pass,
        recomputation included, has the dtype of its forward.
        """
        if dtype not in LOWERED:
            return dtype
        if self.sharded_dtype is not None:
            return self.sharded_dtype
        if phase != "forward":
            return self.lowered.get(scope.path, dtype)
        if self.lowering is not None:
            self.lowered[scope.path] = self.lowering
            return self.lowering
        return dtype


class LiveScopes(AttentionScopes):
    """Sees each function before autocast would, where its state can still be told."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        watch = self.watch
        assert isinstance(watch, LiveWatch)
        on = torch.is_autocast_enabled(watch.device)
        watch.lowering = dtype_name(torch.get_autocast_dtype(watch.device)) if on else None
        return super().__torch_function__(func, types, args, kwargs)

    def _mask(self, bound: dict[str, Any]) -> Attention:
        """Attention's products have their queries' dtype, which autocast lowers as well."""
        watch, found = self.watch, super()._mask(bound)
        assert isinstance(watch, LiveWatch)
        phase, scope = watch.here()
        again = watch.lowered.get(scope.path) if phase == "recompute" else None
        low = watch.sharded_dtype or watch.lowering or again
        return replace(found, dtype=low) if low and found.dtype in LOWERED else found


class LiveCounter(Counter):
    """A counter that speaks for autocast and lets nothing out to other ranks."""

    charges = (
        False  # no figure of a step asks for it, and importing torch's counter may print a line
    )

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
                self.known.exchanged(out, given[0])
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
        return self.known.exchanged(args[0], args[1])

    def _as_gathered(self, received: list[Any], sent: Any, group: Any) -> bool:
        return self.known.gathered(received, sent, group.rank(), group.size())

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
        self._note([tensor])
        super().asks(tensor)

    def _note(self, read: Iterable[Any]) -> None:
        """Whose values are read: other ones might decide otherwise."""
        watch = self.watch
        assert isinstance(watch, LiveWatch)
        for tensor in read:
            if not watch.on_numbers:
                watch.asked_of |= {EVERYWHERE} if tensor.device.type == "cpu" else set()
            elif not hasattr(tensor, FOLLOWS_DATA):
                watch.asked_of |= getattr(tensor, SOURCES, frozenset())

    def _write(self, func: Any, rule: Any, args: Any, kwargs: Any, out: Any) -> None:
        """Follow what depends on data, as far as real or invented numbers are computed with."""
        super()._write(func, rule, args, kwargs, out)
        watch = self.watch
        assert isinstance(watch, LiveWatch)
        if rule.name in MAKING:
            self.known.made_here(out)
        if watch.received and any(hasattr(item, RECEIVED) for item in tensors((args, kwargs))):
            for tensor in tensors(out):
                if not tensor.is_floating_point():
                    setattr(tensor, RECEIVED, True)
        if not watch.on_numbers:
            return
        given = list(tensors((args, kwargs)))
        sources = frozenset().union(*(getattr(tensor, SOURCES, frozenset()) for tensor in given))
        if sources:
            for tensor in tensors(out):
                setattr(tensor, SOURCES, sources)
        if rule.name in SIZED or func is _INDEX:
            self._note(given)
        if rule.name in SHAPED or not any(
            hasattr(tensor, FOLLOWS_DATA) for tensor in tensors((args, kwargs))
        ):
            return
        told = args[TOLD[rule.name]] if rule.name in TOLD else None
        for tensor in tensors(out if told is None or hasattr(told, FOLLOWS_DATA) else out[:1]):
            setattr(tensor, FOLLOWS_DATA, True)
        if any(hasattr(tensor, FOLLOWS_DATA) for tensor in _deciding(func, rule.name, args)):
            self._depends(SIZE)

    def _execute(self, func: Any, args: Any, kwargs: Any) -> Any:
        out = super()._execute(func, args, kwargs)
        watch = self.watch
        assert isinstance(watch, LiveWatch)
        if func is not _ASKING or not (
            self.known.inventing or (watch.on_numbers and hasattr(args[0], FOLLOWS_DATA))
        ):
            return out
        watch.asked += 1
        if watch.asked > MOST_ASKED or watch.deadline.is_over:
            raise LiveTimeoutError("the trace took too long and was given up")
        if type(out) is int:
            # An invented batch is drawn anew for each answer; real numbers are what they are.
            self._depends(f"a value that {DATA}" if self.known.inventing else SIZE)
            return out
        self._depends(f"a value that {DATA}")
        if self.known.answers == "given" or self.known.inventing:
            return out
        return not out if type(out) is bool else FAR[self.known.answers]

    def _depends(self, what: str) -> None:
        where = self.watch.here()[1].path or "the model"
        remark = f"data: {where} asks for {what}"
        if remark not in self.watch.ledger.remarks:
            self.watch.ledger.remarks.append(remark)

    def record(
        self, op: str, dtype: str, phase: Phase, scope: Scope, cost: Cost, charged: int = 0
    ) -> Tally:
        """Add one call to the ledger."""
        assert isinstance(self.watch, LiveWatch)
        return super().record(op, self.watch.fed(dtype, phase, scope), phase, scope, cost, charged)


def _deciding(func: Any, name: str, args: Any) -> Iterator[Any]:
    """Whose numbers decide how many elements a result has."""
    if func is _INDEX:
        return (item for item in args[1] if item is not None and item.dtype == torch.bool)
    if name == "aten::masked_select":
        return tensors(args[1:])
    return tensors(args if name in SIZED else ())


ALL_TO_ALL = "c10d::alltoall_base_"
EXCHANGE = "_c10d_functional::all_to_all_single"
GATHER = "_c10d_functional::all_gather_into_tensor"
GATHER_ALL = "c10d::_allgather_base_"
GATHER_EACH = "c10d::allgather_"
HANDING_ON = frozenset({"_c10d_functional::wait_tensor", "_c10d_functional::_wrap_tensor_autograd"})
"""Some of torch's collectives come with modules of its own: they are told by their names."""
_ASKING = torch.ops.aten._local_scalar_dense.default
_INDEX = torch.ops.aten.index.Tensor


def follow_data(values: Iterable[Any]) -> None:
    """Mark the weights and inputs whose values another step may change."""
    for value in values:
        if value.is_floating_point():
            setattr(value, FOLLOWS_DATA, True)


def follow_sources(doubles: Mapping[int, Any]) -> None:
    """Mark what stands for the model's own tensors, which lie at these places in memory."""
    for place, double in doubles.items():
        setattr(double, SOURCES, frozenset({place}))


def _no_step(optimizer: Any, *_: Any) -> None:
    raise OptimizerInsideError(f"the call steps {type(optimizer).__name__} by itself")


SEVERAL = [False]
"""Whether several threads step optimizers: torch's table of hooks must not change under those of others."""


def _in_this_thread(hook: Callable[..., object]) -> Callable[..., None]:
    """A hook of torch's that is not called for what other threads of the program do meanwhile."""
    thread = threading.get_ident()

    def called(*given: Any) -> None:
        if threading.get_ident() == thread:
            hook(*given)

    return called


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


def sharded_dtype(model: Any) -> str | None:
    """The dtype to which fully sharded modules cast their parameters, where there is a policy."""
    for wrapper in flat_wrappers(model.modules()):
        if wrapper._handle is not None and wrapper._handle._uses_param_mixed_precision:
            return dtype_name(wrapper._handle._fwd_bwd_param_dtype)
    kind = getattr(sys.modules.get("torch.distributed.fsdp"), "FSDPModule", None)
    if kind is None:
        return None
    for module in model.modules():
        if isinstance(module, kind):
            policy = getattr(module._get_fsdp_state(), "_mp_policy", None)
            dtype = getattr(policy, "param_dtype", None)
            return dtype_name(dtype) if dtype is not None else None
    return None


@contextmanager
def watching(watch: LiveWatch, known: KnownValues) -> Iterator[None]:
    """Count everything that runs inside; autocast is as it was for the call."""
    counter = LiveCounter(watch, known)
    known.here = watch.here
    with ExitStack() as stack:
        stack.callback(counter.originals.put_back)
        before = register_module_forward_pre_hook(_in_this_thread(watch.enter_module))
        stack.callback(before.remove)
        after = register_module_forward_hook(_in_this_thread(watch.leave_module), always_call=True)
        stack.callback(after.remove)
        if not SEVERAL[0]:
            stack.callback(register_optimizer_step_pre_hook(_in_this_thread(_no_step)).remove)
        stack.enter_context(recording(counter.declared))
        stack.enter_context(seeing_engines(watch, Readings(counter)))
        if watch.autocast is not None:
            dtypes = {"bf16": torch.bfloat16, "fp16": torch.float16}
            dtype = dtypes.get(watch.autocast[1])
            stack.enter_context(torch.autocast(watch.autocast[0], dtype=dtype))
        stack.enter_context(LiveScopes(counter))
        stack.enter_context(noticed(counter.pieces))
        stack.enter_context(counter)
        yield

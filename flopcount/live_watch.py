"""Watches the trace of a captured call: what autocast would feed, and nothing to other ranks."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)
from torch.utils import _pytree as pytree

from flopcount.attention_scopes import AttentionScopes
from flopcount.dispatch import Counter
from flopcount.dtypes import dtype_name
from flopcount.kernels import recording
from flopcount.scopes import Attention, Scope, Watch, seeing_engines

if TYPE_CHECKING:
    from flopcount.count import Phase
    from flopcount.known_values import KnownValues
    from flopcount.ledger import Tally
    from flopcount.live_capture import LiveCall
    from flopcount.registry import Cost

LOWERED = frozenset({"fp32", "fp16", "bf16"})


class LiveTimeoutError(Exception):
    """A trace took too long; internal."""


class LiveWatch(Watch):
    """A watch with a deadline, that knows what autocast would feed to the matrix units."""

    def __init__(self, model: Any, call: LiveCall, deadline: float, most_flop: int | None) -> None:
        super().__init__(model, most_flop)
        self.deadline = deadline
        self.autocast = call.autocast
        self.device = call.device
        self.sharded_dtype = sharded_dtype(call.model)
        self.lowered: dict[str, str] = {}
        self.lowering: str | None = None
        """The dtype of autocast where the model is now, if it is on; Accelerate switches it on
        inside the outermost module's ``forward``."""

    def enter_module(self, module: Any, args: Any) -> None:
        """Global forward pre-hook."""
        if time.monotonic() > self.deadline:
            raise LiveTimeoutError("the trace took too long and was given up")
        super().enter_module(module, args)

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

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "namespace", "") in ("c10d", "_c10d_functional"):
            args, kwargs = pytree.tree_map(_on_meta, (args, kwargs or {}))
            return func(*args, **kwargs)
        return super().__torch_dispatch__(func, types, args, kwargs)

    def record(
        self, op: str, dtype: str, phase: Phase, scope: Scope, cost: Cost, charged: int = 0
    ) -> Tally:
        """Add one call to the ledger."""
        assert isinstance(self.watch, LiveWatch)
        return super().record(op, self.watch.fed(dtype, phase, scope), phase, scope, cost, charged)


def _on_meta(value: Any) -> Any:
    """Real numbers that a model made itself stay at home, too."""
    if type(value) is torch.Tensor and value.device.type != "meta":
        return torch.empty_like(value, device="meta")
    return value


def sharded_dtype(model: Any) -> str | None:
    """The dtype to which fully sharded modules cast their parameters, where there is a policy."""
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
    with ExitStack() as stack:
        before = register_module_forward_pre_hook(watch.enter_module)
        stack.callback(before.remove)
        after = register_module_forward_hook(watch.leave_module, always_call=True)
        stack.callback(after.remove)
        stack.enter_context(recording(counter.declared))
        stack.enter_context(seeing_engines(watch))
        if watch.autocast is not None:
            dtypes = {"bf16": torch.bfloat16, "fp16": torch.float16}
            dtype = dtypes.get(watch.autocast[1])
            stack.enter_context(torch.autocast(watch.autocast[0], dtype=dtype))
        stack.enter_context(LiveScopes(counter))
        stack.enter_context(counter)
        yield

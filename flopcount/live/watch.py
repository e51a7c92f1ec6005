"""What the trace of a captured call knows of the run: its deadline, and what autocast would feed."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from flopcount.attention_scopes import AttentionScopes
from flopcount.dtypes import dtype_name
from flopcount.looked_through import flat_wrappers
from flopcount.scopes import Attention, Scope, Watch

if TYPE_CHECKING:
    from flopcount.count import Phase
    from flopcount.live.capture import LiveCall
    from flopcount.live.deadline import Deadline

LOWERED = frozenset({"fp32", "fp16", "bf16"})


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

"""What the calls of a settled model are compared with, so that one frame can answer for them.

A model is settled when ``SURE`` calls in a row were alike and a backward came to each by the same way
(:mod:`.ways`). What a call costs there is above all what it reaches for: each object, and
each function of torch, that no cache holds any more after a step of training. So all of it lies in one
place (:mod:`.glance`, :mod:`.pulse`).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import compiler as _compiler
from torch import is_grad_enabled
from torch.autograd import forward_ad

from profilers.steps.calls.asked import (
    SEAM,
    any_autocast,
    cast_to,
    function_modes,
    graph_task,
    look_of,
    modes,
    spread_tensors,
    tracing_state,
    transforms,
)
from profilers.steps.calls.signature import PLAIN
from profilers.steps.settled.compiled import HOT

if TYPE_CHECKING:
    from profilers.steps.calls.seam import Seam
    from profilers.steps.folding.events import Kind
    from profilers.steps.settled.glance import Lane

_LOOKS = tuple(
    vars(torch._C.TensorBase)[name] for name in ("shape", "dtype", "requires_grad", "layout")
)
_FLAG = vars(torch._C.TensorBase)["requires_grad"]


def lane_of(seam: Seam, kind: Kind, module: Any, args: Any, kwargs: Any) -> Lane | None:
    """What calls of a kind are compared with from now on, if that is enough to know them by.

    Args:
        seam: Where they come by; its last call was of this kind.
        kind: Theirs.
        module: What is called.
        args: Of that call: only tensors and plain values will do.
        kwargs: Likewise.

    """
    if seam.inner is not None or seam.by_value or not seam.plain or not kind.watched:
        return None
    if kind.usual is None:
        return None  # what such a call costs is not known yet
    if "training" not in vars(module):
        return None  # a property of its class tells
    values = (*args, *kwargs.values())
    if not {torch.Tensor, *PLAIN}.issuperset(map(type, values)):
        return None
    key: Any = seam.last_key
    graded, cast, required = key[1:4]
    watched, observer = seam.attributes, seam.observer
    return HOT.lane(
        pulse=observer,
        kind=kind,
        name=id(seam),
        module=seam.module,
        restore=partial(observer.modules.restore, seam.states, seam.inside),
        alike=watched.alike if watched.more else None,
        kept=kind.kept,
        arrived=kind.arrived,
        ways=kind.ways,
        beside=kind.beside,
        nodes=kind.nodes,
        back=kind.entry,
        items=[
            *watched.items,
            (vars(watched), "state", watched.state),
            (vars(observer.compiled), "stepped", False),
            (vars(module), "training", module.training),
            (vars(_compiler), "_is_compiling_flag", False),
            (vars(forward_ad), "_current_level", forward_ad._current_level),
            *_across_ranks(),
        ],
        holders=watched.sized[:-1],
        sizes=watched.sizes[:-1],
        classes=watched.kinds.distinct,
        counts=watched.kinds.counts,
        asked=_asked(graded, cast, seam.device),
        required=list(zip(seam.parameters, required, strict=True)),
        given=[(type(value), _look(value)) for value in values],
        names=tuple(kwargs),
        swapped=list(zip(seam.states, seam.inside, strict=True)),
        looks=_LOOKS,
        flag=_FLAG,
        tensor=torch.Tensor,
        entry=SEAM,
    )


def _asked(graded: bool, cast: Any, device: str) -> list[tuple[Any, Any]]:
    """What torch is asked, and what it has to answer."""
    precision = (partial(cast_to, device), cast) if cast else (any_autocast, False)
    return [
        (tracing_state, None),  # first of all: even a shape that is asked for is written down
        (is_grad_enabled, graded),
        precision,
        (transforms, False),
        (modes, 0),
        (function_modes, function_modes()),
        (graph_task, -1),
    ]


def _across_ranks() -> list[tuple[Any, Any, Any]]:
    """Where it stands whether attention reaches to other ranks (``steps.calls.asked.split_sequences``)."""
    known = spread_tensors()
    handlers = getattr(known, "_custom_op_handlers", None)
    return [] if handlers is None else [(vars(known), "_custom_op_handlers", handlers)]


def _look(value: Any) -> Any:
    return look_of(value) if type(value) is torch.Tensor else value

"""What tells one call of a model from another: everything that its cost may depend on."""

from __future__ import annotations

from collections.abc import Hashable
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import torch
from torch import is_grad_enabled

from profilers.steps.backward.passes import STANDING_IN
from profilers.steps.calls.asked import (
    cast_to,
    function_modes,
    is_fake,
    rewriting,
    split_sequences,
    transformed,
)
from profilers.steps.calls.kinds import signer

if TYPE_CHECKING:
    from profilers.steps.calls.seam import Seam
    from profilers.steps.deciders.attributes import Attributes

_requires_grad = attrgetter("requires_grad")
_plainly = torch._C.DisableTorchFunctionSubclass
"""Without it, torch asks a parameter's class, if that is none of its own, for its word."""
_strided = torch.strided
_Tensor = torch.Tensor


def key_of(seam: Seam, module: Any, args: Any, kwargs: Any) -> tuple[Hashable, ...]:
    """Return what tells a call that is about to run from others of its module."""
    watched = seam.attributes
    state = watched.state if _is_as_it_was(watched) else None
    if state is None:
        if watched.has_other_parts(module):
            seam.refresh(module)  # a part was exchanged or went, and nothing told
        state = watched.look(module)
        seam.lane = None
    parts: list[Any] = [
        module.training,
        is_grad_enabled(),
        cast_to(seam.device),
        _required(seam),
        seam.shapes,
        state.token,
        STANDING_IN.get(id(module)) if STANDING_IN else None,
        rewriting() if function_modes() else None,
        transformed(),
        is_fake(),
        split_sequences(),
    ]
    parts += kwargs
    for value in (*args, *kwargs.values()):
        if type(value) is _Tensor and value.layout is _strided and not value.is_nested:
            parts += (value.shape, value.dtype, value.requires_grad)
        else:
            signer.add(value, parts)
    if seam.by_value:
        parts.append(signer.values(args, kwargs))
    return tuple(parts)


def _is_as_it_was(watched: Attributes) -> bool:
    """Whether the program changed nothing of a model that could change what its calls cost."""
    try:
        for holder, name, value in watched.items:
            if holder[name] is not value:
                return False
        return list(map(len, watched.sized)) == watched.sizes and (
            not watched.more or watched.alike()
        )
    except (AttributeError, LookupError, TypeError, ValueError):
        return False  # something is no longer there


def _required(seam: Seam) -> tuple[bool, ...]:
    """Which parameters are to have gradients."""
    if seam.plain:
        return tuple(map(_requires_grad, seam.parameters))
    with _plainly():
        return tuple(map(_requires_grad, seam.parameters))

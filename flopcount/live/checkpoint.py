"""What torch's checkpoint computes again of a call before it has what it needs, and stops."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.checkpoint import checkpoint

from flopcount.live.capture import tensors_within
from flopcount.live.counting import LiveCount, count_call

if TYPE_CHECKING:
    from flopcount.live.capture import LiveCall


class _Checkpointed(torch.nn.Module):  # type: ignore[misc]  # torch has no types here
    """A model in a checkpoint of its own."""

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return checkpoint(self.inner, *args, use_reentrant=False, **kwargs)


def count_stopped(call: LiveCall, *, seconds: float) -> LiveCount:
    """Count what is computed again of a call, as if that were its forward.

    Args:
        call: The call, the last one inside of its checkpoint.
        seconds: After so long a trace is given up.

    Raises:
        CountError: when the model raises on every way of tracing it.

    """
    whole = _Checkpointed(call.model)
    wrapped = replace(call, model=whole, training=(call.model.training, *call.training))
    found = count_call(wrapped, [lambda out: list(tensors_within(out))], seconds=seconds)
    return replace(
        found,
        forward=found.recompute,
        backward=0,
        recompute=0,
        by_dtype={"forward": found.by_dtype["recompute"]},
    )

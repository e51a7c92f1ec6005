"""Backward passes of a call that was made, run again on tensors without storage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """For whose gradients a pass was asked, where that is not everything."""

    parameters: tuple[int, ...] = ()
    """Places of parameters among the model's own."""
    inputs: bool = False
    """For something that can only be reached through the call's inputs."""
    known: bool = True
    """False where it may lie anywhere: only bounds can be said."""


OPEN = "a backward pass was asked for the gradients of some results; how far it came is not known"
SEVERAL = (
    "a backward pass was asked for gradients beyond the call, and several of its inputs lead there"
)


def doubtful(wanted: Wanted | None, inputs: Sequence[torch.Tensor]) -> str | None:
    """Why it cannot be known what a pass reached; None where it can."""
    if wanted is None:
        return None
    if not wanted.known:
        return OPEN
    if wanted.inputs and len(inputs) > 1:
        return SEVERAL
    return None


def run_pass(
    began: Sequence[torch.Tensor],
    wanted: Wanted | None,
    model: Any,
    inputs: Sequence[torch.Tensor],
) -> None:
    """Differentiate at the tensors at which the pass began, as far as it was asked to.

    Args:
        began: Outputs at which gradients arrived.
        wanted: What was asked for; None for everything.
        model: The model on doubles.
        inputs: Inputs that require a gradient.

    """
    import torch

    ones = [torch.ones_like(item) for item in began]
    if wanted is None:
        torch.autograd.backward(began, ones)
        return
    parameters = list(model.parameters())
    chosen = [parameters[place] for place in wanted.parameters if parameters[place].requires_grad]
    chosen += inputs if wanted.inputs else ()
    if chosen:
        torch.autograd.backward(began, ones, inputs=chosen)

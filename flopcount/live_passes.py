"""Backward passes of a call that was made, run again on tensors without storage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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


DOUBLED = "a backward was itself differentiated, and what that cost cannot be said"
PERHAPS = (
    "a backward was differentiated that may have begun with a gradient that depends on the output"
)
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Pass:
    """One of several passes of which one is differentiated by another."""

    outputs: Callable[[Any], Sequence[torch.Tensor]]
    """From a model's output to the tensors at which it began."""
    gradients: int = 0
    """At so many gradients that the differentiable pass had found it began, too."""
    linear: bool = True
    """False where what came into the differentiable pass may depend on the output."""
    wanted: Wanted | None = None
    differentiable: bool = False


class Chain:
    """Passes through one call in their order; a gradient penalty, a step of a learner that learns."""

    def __init__(self, passes: Sequence[Pass], *, linear: bool) -> None:
        """Take the passes, and whether the differentiable one came from a linear function."""
        self.passes = passes
        self.linear = linear
        self.is_open = True
        """Whether more may have been computed than was run again."""

    def run(self, out: Any, model: Any, inputs: Sequence[torch.Tensor]) -> None:
        """Run the passes. Every gradient must have been differentiated, or it cannot be said which."""
        import torch

        found: list[torch.Tensor] | None = None
        used = sum(one.gradients for one in self.passes)
        self.is_open = sum(one.differentiable for one in self.passes) != 1
        for one in self.passes:
            began = [item for item in one.outputs(out) if item.requires_grad]
            began += found if one.gradients and found is not None else ()
            self.is_open |= doubtful(one.wanted, inputs) is not None
            if not one.differentiable or one.wanted is None or not one.wanted.known:
                self.is_open |= one.differentiable
                run_pass(began, one.wanted, model, inputs, keep=True)
                continue
            chosen = _chosen(one.wanted, model, inputs)
            if not (chosen and began):
                continue
            # A gradient that depends on the output can itself be differentiated.
            ones = [torch.ones_like(item) if self.linear else item * item for item in began]
            each = torch.autograd.grad(began, chosen, ones, create_graph=True, allow_unused=True)
            found = [item for item in each if item is not None and item.requires_grad]
        self.is_open |= found is None or used != len(found)


def _chosen(wanted: Wanted, model: Any, inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    parameters = list(model.parameters())
    chosen = [parameters[place] for place in wanted.parameters if parameters[place].requires_grad]
    return [*chosen, *(inputs if wanted.inputs else ())]


def run_pass(
    began: Sequence[torch.Tensor],
    wanted: Wanted | None,
    model: Any,
    inputs: Sequence[torch.Tensor],
    *,
    keep: bool = False,
) -> None:
    """Differentiate at the tensors at which the pass began, as far as it was asked to.

    Args:
        began: Outputs at which gradients arrived.
        wanted: What was asked for; None for everything.
        model: The model on doubles.
        inputs: Inputs that require a gradient.
        keep: Whether the graph is needed again.

    """
    import torch

    if not began:
        return
    ones = [torch.ones_like(item) for item in began]
    if wanted is None:
        torch.autograd.backward(began, ones, retain_graph=keep)
        return
    chosen = _chosen(wanted, model, inputs)
    if chosen:
        torch.autograd.backward(began, ones, retain_graph=keep, inputs=chosen)

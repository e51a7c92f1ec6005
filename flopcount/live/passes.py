"""Backward passes of a call that was made, run again on tensors without storage."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
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
    gradients: Mapping[int, int] = field(default_factory=dict)
    """At so many gradients that earlier differentiable passes had found it began, too: by the number of
    those passes, in their order."""
    linear: bool = True
    """False for a differentiable pass into which something may have come that depends on the output."""
    wanted: Wanted | None = None
    differentiable: bool = False


class Chain:
    """Passes through one call in their order: a gradient penalty, learning to learn, second derivatives."""

    def __init__(self, passes: Sequence[Pass], *, linear: bool) -> None:
        """Take the passes, and whether all differentiable ones came from linear functions."""
        self.passes = passes
        self.linear = linear
        self.is_open = True
        """Whether more may have been computed than was run again. Of what was run all was computed."""

    def run(self, out: Any, model: Any, inputs: Sequence[torch.Tensor]) -> None:
        """Run the passes. All gradients of a pass must have been differentiated together, by whatever pass
        did so at all, or it cannot be said which."""
        found: list[list[torch.Tensor]] = []
        used: set[int] = set()
        self.is_open = False
        for one in self.passes:
            began = [item for item in one.outputs(out) if item.requires_grad]
            for number, times in one.gradients.items():
                if number < len(found) and times == len(found[number]):
                    began += found[number]
                    used.add(number)
                else:
                    self.is_open = True  # some of them, nobody knows which
            wanted = self._certain(one.wanted, inputs)
            if one.differentiable and wanted is not None:
                found.append(self._derive(began, _chosen(wanted, model, inputs), one))
                continue
            self.is_open |= one.differentiable
            found += [[]] * one.differentiable
            run_pass(began, wanted, model, inputs, keep=True)
        self.is_open |= any(each and number not in used for number, each in enumerate(found))

    def _certain(self, wanted: Wanted | None, inputs: Sequence[torch.Tensor]) -> Wanted | None:
        """What a pass surely reached, where it cannot be known what else."""
        if doubtful(wanted, inputs) is None:
            return wanted
        self.is_open = True
        return Wanted(parameters=wanted.parameters if wanted is not None else ())

    def _derive(
        self, began: Sequence[torch.Tensor], chosen: Sequence[torch.Tensor], one: Pass
    ) -> list[torch.Tensor]:
        """Gradients that can be differentiated."""
        import torch

        if not (chosen and began):
            return []
        # A gradient that depends on the output can itself be differentiated.
        linear = self.linear or one.linear
        ones = [torch.ones_like(item) if linear else item * item for item in began]
        each = torch.autograd.grad(began, chosen, ones, create_graph=True, allow_unused=True)
        return [item for item in each if item is not None and item.requires_grad]


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

"""Backward passes that were asked for some gradients only, as ``torch.autograd.grad`` is.

Such a pass costs less than one that reaches every parameter. Whom it was asked for is known where
it begins, in Python; which calls it went through is known where gradients arrive, in hooks that are
C functions alone. So the beginning (:mod:`.engine`) puts a number into a cell, and each
arrival reads it. No torch is imported here.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from weakref import ref

from profilers.steps.calls.signature import MOST_OUTPUTS

FULL = 0
"""The number of a pass that reaches everything."""
UNTOLD = 1
"""Of one among more kinds of passes than are remembered."""
MOST_ASKED = 4096
CELL = [FULL]
"""What the pass that runs was asked for."""
MOST_DERIVED = 64
"""Of so many differentiable passes through one call the gradients are watched."""
MOST_GRADIENTS = 4096
"""Of so many gradients that such a pass found."""


def place_of(number: int, index: int, *, linear: bool) -> int:
    """The place of a gradient that a differentiable pass had found, behind those of outputs.

    Args:
        number: Which of the differentiable passes through that call.
        index: Which of its gradients.
        linear: Whether what came into that pass surely does not depend on the output.

    """
    return MOST_OUTPUTS + (2 * number + (not linear)) * MOST_GRADIENTS + index


def found_by(place: int) -> tuple[int, bool] | None:
    """Which differentiable pass found what is at a place, and whether it was linear; None for an output."""
    if place < MOST_OUTPUTS:
        return None
    number, beside = divmod((place - MOST_OUTPUTS) // MOST_GRADIENTS, 2)
    return number, not beside


Named = tuple[int, str]
"""A module's id, and the name of one of its parameters."""


@dataclass(frozen=True, slots=True)
class Asked:
    """For whose gradients a pass was asked."""

    parameters: frozenset[int]
    """Ids of parameters."""
    leaves: bool
    """For those of other leaves: inputs, or what became inputs."""
    inner: bool
    """For those of results, which may lie anywhere."""
    exchanged: frozenset[Named] = frozenset()
    """For those of leaves that stood in place of parameters in some call."""


_NUMBERS: dict[Asked, int] = {}
_ASKED: list[Asked] = []

_GIVEN: deque[ref[Any]] = deque(maxlen=64)
"""Leaves with which passes began that can themselves be differentiated: a later one asked for their gradients
goes the same way once more, past the weights (``torch.autograd.functional.jvp``)."""


def came_in(given: Sequence[Any]) -> None:
    """Remember with what a pass began that can itself be differentiated."""
    _GIVEN.extend(ref(each) for each in given if getattr(each, "requires_grad", False))


def _came_in(item: Any) -> bool:
    return any(each() is item for each in _GIVEN)


STANDING_IN: dict[int, frozenset[str]] = {}
"""By the id of a module, in place of which of its parameters leaves stand now, for a call
(``torch.func.functional_call``)."""
_STOOD_IN: dict[int, tuple[ref[Any], Named]] = {}
"""By its id, a leaf that was given in place of a parameter, and of which one."""
MOST_STOOD_IN = 1 << 16


def stands_in(leaf: Any, place: Named) -> None:
    """Remember a leaf that is given in place of a parameter, as long as it lives."""
    known = _STOOD_IN.get(id(leaf))
    if (known is None or known[0]() is not leaf) and len(_STOOD_IN) < MOST_STOOD_IN:
        number = id(leaf)
        _STOOD_IN[number] = ref(leaf, lambda _: _STOOD_IN.pop(number, None)), place


def _stood_in(item: Any) -> Named | None:
    """In place of which parameter a leaf stood."""
    known = _STOOD_IN.get(id(item))
    return known[1] if known is not None and known[0]() is item else None


def _are_others(places: Sequence[Named]) -> bool:
    """Whether several leaves live that stood in one of these places: nobody knows which in which call."""
    wanted = set(places)
    return sum(place in wanted for _, place in list(_STOOD_IN.values())) > len(wanted)


def asked_for(number: int) -> Asked | None:
    """What a pass was asked for; None where it is not remembered."""
    return _ASKED[number - 2] if 2 <= number < len(_ASKED) + 2 else None


def number_of(inputs: Sequence[Any], torch: Any) -> int:
    """The number of a pass that was asked for these tensors' gradients; the same for the same."""
    parameters, places, leaves, inner = [], [], False, False
    edge = torch.autograd.graph.GradientEdge
    for given in inputs:
        # An edge means a leaf, or something inside.
        item = getattr(given.node, "variable", None) if type(given) is edge else given
        place = _stood_in(item) if _STOOD_IN else None
        if place is not None:
            places.append(place)
        elif isinstance(item, torch.nn.Parameter):
            parameters.append(id(item))
        elif isinstance(item, torch.Tensor) and item.is_leaf and not _came_in(item):
            leaves = True
        else:
            inner = True
    if places and _are_others(places):
        inner = True
    asked = Asked(frozenset(parameters), leaves, inner, frozenset(places))
    number = _NUMBERS.get(asked)
    if number is None:
        if len(_ASKED) >= MOST_ASKED:
            return UNTOLD
        _ASKED.append(asked)
        number = _NUMBERS[asked] = len(_ASKED) + 1
    return number


class Ours(threading.local):
    """Whether some recording is counting in this thread: such passes are no part of the program."""

    depth = 0


OURS = Ours()
LOOKING = [False]
"""Whether somebody wants to see the graph before a pass that reaches everything."""

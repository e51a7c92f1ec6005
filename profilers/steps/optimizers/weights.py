"""Weights that are saved and loaded: are these the ones that were saved, and after which step?

Of what an optimizer trains, some numbers are looked at where they lie in the processor's memory. What
lies on a device is not read, for that would wait for it; of a file that was loaded the numbers can be
read all the same, where it was loaded into the processor's memory. No torch is imported here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from profilers.steps.optimizers.known import trained_by
from profilers.steps.optimizers.states import numbers_of
from profilers.steps.standing.layers import Undo, together
from profilers.steps.standing.wrapped import wrapped

MOST_PARAMETERS = 32
"""Of what an optimizer trains, so many parameters are looked at, from the first to the last."""
MOST_TENSORS = 4096
FEW_VALUES = 4
"""Of a file, so many tensors, and so many numbers of each."""
UNREAD = "unread"
"""In place of a digest: a file's numbers lay where they could not be read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightsMark:
    """What weights are recognised by."""

    layout: str
    """Digest of the parameters' sizes."""
    values: str | None
    """Digest of some of their numbers; None where they lie on a device."""


def watch(modules: type, saved: Callable[[Any], None], loaded: Callable[[Any, Any], None]) -> Undo:
    """Tell of each model whose weights are asked for, and of each that is given some, and which.

    A model asks its parts in turn; of those nobody is told.
    """

    def asked(model: Any, given: tuple[Any, ...], _found: Any) -> None:
        if not any(hasattr(one, "_metadata") for one in given):  # what the parts' weights go into
            saved(model)

    return together(
        wrapped(modules, "state_dict", asked),
        wrapped(
            modules,
            "load_state_dict",
            lambda own, given, _found: loaded(own, next(iter(given), None)),
        ),
    )


def mark_of(optimizer: Any) -> WeightsMark | None:
    """Return what an optimizer's parameters are recognised by; None where it trains none."""
    return mark_of_all(trained_by(optimizer))


def mark_of_all(parameters: Iterable[Any]) -> WeightsMark | None:
    """The same of parameters in an optimizer's order."""
    trained = [each for each in parameters if getattr(each, "requires_grad", False)]
    if not trained:
        return None
    every = max(1, -(-len(trained) // MOST_PARAMETERS))
    layout, values = hashlib.sha256(str(len(trained)).encode()), hashlib.sha256()
    known = True
    for parameter in dict.fromkeys((*trained[::every], trained[-1])):
        layout.update(f"{tuple(parameter.shape)};".encode())
        numbers = numbers_of(parameter) if known else None
        known = known and (numbers is not None or not parameter.numel())
        values.update(repr(numbers).encode())
    return WeightsMark(
        layout=layout.hexdigest()[:32], values=values.hexdigest()[:32] if known else None
    )


def digest_of(weights: Any) -> str:
    """Return a digest of a file's weights, or ``UNREAD``."""
    if not isinstance(weights, Mapping):
        return UNREAD
    digest = hashlib.sha256(str(len(weights)).encode())
    for name, value in islice(weights.items(), MOST_TENSORS):
        numbers = numbers_of(value, FEW_VALUES)
        if numbers is None and _has_numbers(value):
            return UNREAD
        digest.update(f"{name} {numbers};".encode())
    return digest.hexdigest()[:32]


def _has_numbers(value: Any) -> bool:
    """Whether something is a tensor that is not empty; a model may keep other things among its weights."""
    try:
        return hasattr(value, "numel") and bool(value.numel())
    except RuntimeError:
        return True


def trains(optimizers: Iterable[Any], module: Any) -> list[Any]:
    """Which of the optimizers train a part of a module."""
    own = {id(parameter) for parameter in module.parameters()}
    return [each for each in optimizers if any(id(one) in own for one in trained_by(each))]

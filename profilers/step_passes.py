"""Backward passes that were asked for some gradients only, as ``torch.autograd.grad`` is.

Such a pass costs less than one that reaches every parameter. Whom it was asked for is known where
it begins, in Python; which calls it went through is known where gradients arrive, in hooks that are
C functions alone. So the beginning puts a number into a cell, and each arrival reads it. No torch is
imported here; it is handed in by :mod:`profilers.steps`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

FULL = 0
"""The number of a pass that reaches everything."""
UNTOLD = 1
"""Of one among more kinds of passes than are remembered."""
MOST_ASKED = 4096
CELL = [FULL]
"""What the pass that runs was asked for."""


@dataclass(frozen=True, slots=True)
class Asked:
    """For whose gradients a pass was asked."""

    parameters: frozenset[int]
    """Ids of parameters."""
    leaves: bool
    """For those of other leaves: inputs, or what became inputs."""
    inner: bool
    """For those of results, which may lie anywhere."""


_NUMBERS: dict[Asked, int] = {}
_ASKED: list[Asked] = []


def asked_for(number: int) -> Asked | None:
    """What a pass was asked for; None where it is not remembered."""
    return _ASKED[number - 2] if 2 <= number < len(_ASKED) + 2 else None


def number_of(inputs: Sequence[Any], torch: Any) -> int:
    """The number of a pass that was asked for these tensors' gradients; the same for the same."""
    parameters, leaves, inner = [], False, False
    for item in inputs:
        if isinstance(item, torch.nn.Parameter):
            parameters.append(id(item))
        elif isinstance(item, torch.Tensor) and item.is_leaf:
            leaves = True
        else:
            inner = True
    asked = Asked(frozenset(parameters), leaves, inner)
    number = _NUMBERS.get(asked)
    if number is None:
        if len(_ASKED) >= MOST_ASKED:
            return UNTOLD
        _ASKED.append(asked)
        number = _NUMBERS[asked] = len(_ASKED) + 1
    return number


def watch(torch: Any) -> Callable[[], None]:
    """Have the cell filled while such a pass runs; answers what undoes it."""
    original = getattr(torch.autograd, "_engine_run_backward", None)
    if original is None:
        return lambda: None

    def run_backward(outputs: Any, *rest: Any, **named: Any) -> Any:
        wanted = rest[3] if len(rest) > 3 else None
        if not wanted or CELL[0]:
            return original(outputs, *rest, **named)
        try:
            CELL[0] = number_of(wanted, torch)
        except Exception:  # noqa: BLE001 - never into the program
            CELL[0] = UNTOLD
        try:
            return original(outputs, *rest, **named)
        finally:
            CELL[0] = FULL

    torch.autograd._engine_run_backward = run_backward

    def undo() -> None:
        if torch.autograd._engine_run_backward is run_backward:
            torch.autograd._engine_run_backward = original

    return undo

"""What should the computation have cost? Static FLOP counting; imports no torch until asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flopcount.conventions import explain
from flopcount.count import (
    Convention,
    Coverage,
    Entry,
    Experts,
    FlopCount,
    RankCount,
    Term,
    Uncounted,
)
from flopcount.errors import (
    ConventionError,
    CountError,
    FlopcountError,
    FormulaError,
    NotPolynomialError,
)
from flopcount.registry import Cost, formula

__all__ = [
    "Convention",
    "ConventionError",
    "Cost",
    "CountError",
    "Coverage",
    "Entry",
    "Experts",
    "FlopCount",
    "FlopcountError",
    "FormulaError",
    "NotPolynomialError",
    "RankCount",
    "Term",
    "Uncounted",
    "count",
    "explain",
    "formula",
]


def count(
    model: Any,
    *args: Any,
    backward: bool = True,
    loss: Callable[[Any], Any] | None = None,
    convention: str = "dense",
    **kwargs: Any,
) -> FlopCount:
    """Count the FLOP of one training step, or of one forward pass.

    The model may sit on any device and hold weights or not; nothing is computed and nothing of it
    is changed.

    Args:
        model: A module, or any function of tensors.
        *args: What the model is called with.
        backward: Whether the backward pass is part of the step.
        loss: Callable on the model's output whose result is differentiated; by default the
            output's ``.loss``, else the sum of all floating-point outputs.
        convention: ``dense``, ``masked``, ``hardware`` or the name of a preset.
        **kwargs: What the model is called with.

    Returns:
        The count: whole FLOP, by phase, module, op and dtype, and what could not be counted.

    Raises:
        CountError: when the model itself raises on every way of tracing it.
        ConventionError: when the convention is unknown or does not fit the model.

    """
    from flopcount.counting import count as implementation

    return implementation(
        model, *args, backward=backward, loss=loss, convention=convention, **kwargs
    )

"""What should the computation have cost? Static FLOP counting; imports no torch until asked.

The modules, each in the order in which it is best read:

**Values**, without torch. ``count``, ``findings``, ``errors``, ``dtypes``; one trace, every rule
(design/023): ``conventions``, ``facts``.

**What an op costs.** ``registry`` and ``formulas/``, ``kernels`` (a user's own), ``rules``; ``flex``,
``ragged``; torch's own opinion ``torch_counter``.

**Watching a step** (design/020). ``counting`` (the door), ``ladder`` and ``trace`` (the ways of tracing),
``dispatch`` (sees ops run) with ``scopes``, ``tensors``, ``higher_order``, ``autocasting``; attention above
the ops ``attention_scopes``, ``causal_attention``, ``written_attention``; ``ledger`` (what is written down),
``summary``.

**Nothing is computed, nothing is changed** (design/022, 101). ``exchange``, ``doubles``, ``meta_kernels``,
``known_values``, ``invented``, ``repeated_ops``, ``draws``; ``originals``, ``helpers``.

**What a trace need not repeat** (design/021). ``shared_layers``, ``layer_numbers``, ``left_behind``;
``rescale``, ``scaling`` (polynomials).

**What a trace cannot show** (design/024). ``routing``, ``idle_experts``, ``idle_parts``; models over many
ranks ``parallel``, ``pieces``, ``looked_through``.

**Model files** (design/030, 093). ``model_files/``.

**Graphs in files.** ``static_count``; ``graph`` (.pt2) with ``export_file``, ``export_ops``; ``onnx_files/``.

**Closed forms** (design/031, 032). ``closed_form/``; as counts ``formula_config``, ``formula_count``,
``formula_rung``, ``form_polynomial``. Second opinions: ``crosscheck``.

**A call of a model that is training** (design/072). ``live/``.

A test holds this list to the folder.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
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
from flopcount.kernels import kernel
from flopcount.registry import Cost, formula
from flopcount.scaling import Polynomial

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
    "Polynomial",
    "RankCount",
    "Term",
    "Uncounted",
    "count",
    "explain",
    "formula",
    "kernel",
    "polynomial",
]


def count(
    model: Any,
    *args: Any,
    backward: bool = True,
    loss: Callable[[Any], Any] | None = None,
    convention: str = "dense",
    optimizer: Callable[[Any], Any] | None = None,
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
        optimizer: Callable on the parameters that answers an optimizer, e.g. ``torch.optim.Muon``;
            the products of one step are then ``FlopCount.optimizer``, outside every total.
        **kwargs: What the model is called with.

    Returns:
        The count: whole FLOP, by phase, module, op and dtype, and what could not be counted.

    Raises:
        CountError: when the model itself raises on every way of tracing it, or torch is missing.
        ConventionError: when the convention is unknown or does not fit the model.

    """
    _need_torch()
    from flopcount.counting import count as implementation

    return implementation(
        model,
        *args,
        backward=backward,
        loss=loss,
        convention=convention,
        optimizer=optimizer,
        **kwargs,
    )


def polynomial(
    model: Any,
    make_inputs: Callable[[int, int], Any],
    *,
    backward: bool = True,
    loss: Callable[[Any], Any] | None = None,
    convention: str = "dense",
) -> Polynomial:
    """Find a model's total as an exact polynomial in batch and sequence length.

    Args:
        model: A module, or any function of tensors.
        make_inputs: ``make_inputs(batch, sequence)`` answers a tensor, a tuple of positional
            inputs or a dict of keyword inputs; an image's side may take the place of the sequence.
        backward: Whether the backward pass is part of the step.
        loss: See :func:`count`.
        convention: See :func:`count`.

    Returns:
        A polynomial that predicted independent larger sizes to the last FLOP.

    Raises:
        NotPolynomialError: when there is none; the message says where it fails.

    """
    _need_torch()
    from flopcount.scaling import polynomial as implementation

    return implementation(model, make_inputs, backward=backward, loss=loss, convention=convention)


def _need_torch() -> None:
    if find_spec("torch") is None:
        raise CountError(
            "a model is traced with torch, which is not installed; "
            "pip install 'flopledger[trace]', or count from dimensions with flopcount.closed_form"
        )

"""The last rung: a model that cannot be traced, but whose family has a closed form.

The form stands in only where nothing is left to guess: the model's own configuration states the
dimensions, the form's parameters equal the model's to the unit, every parameter is trained, the
inputs are token ids, and the loss is the model's own.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flopcount.errors import CountError, FlopcountError

if TYPE_CHECKING:
    from flopcount.count import FlopCount
    from flopcount.trace import Step

HARMLESS = frozenset(
    {"input_ids", "labels", "attention_mask", "position_ids", "token_type_ids", "use_cache"}
)
"""Inputs that do not change what a language model multiplies."""
TOKEN_KINDS = ("decoder", "encoder", "ssm")


def by_formula(step: Step, failure: CountError, convention: str) -> FlopCount:
    """The closed form of a step that every way of tracing failed on.

    Raises:
        CountError: ``failure``, with the reason why no form stands in.

    """
    from flopcount.closed_form import Dimensions
    from flopcount.closed_form import count as closed_form_count
    from flopcount.formula_count import formula_count

    config: Any = getattr(step.model, "config", None)
    if not hasattr(config, "to_dict") or not hasattr(step.model, "parameters"):
        raise failure
    try:
        stated = {**config.to_dict(), "architectures": [type(step.model).__name__]}
        dimensions = Dimensions.from_config(stated)
        batch, sequence = _tokens(step, dimensions.kind)
        form = closed_form_count(dimensions, batch=batch, sequence=sequence)
        _same_parameters(step, form.parameters.total)
        count = formula_count(form, backward=step.backward, convention=convention)
    except FlopcountError as error:
        raise CountError(f"{failure}; and no closed form stands in: {error}") from failure
    note = f"closed-form: {failure}"
    return replace(count, notes=(note, *(f"closed-form: {text}" for text in form.assumptions)))


def _tokens(step: Step, kind: str) -> tuple[int, int]:
    """Batch and sequence of a step whose only input is token ids."""
    named = dict(zip(("input_ids",), step.args, strict=False)) | step.kwargs
    others = {name for name, value in named.items() if value is not None} - HARMLESS
    ids = named.get("input_ids")
    tokens = tuple(getattr(ids, "shape", ()))
    if kind not in TOKEN_KINDS or len(step.args) > 1 or others or len(tokens) != 2:
        raise CountError("the inputs are more than token ids")
    if step.loss is not None or step.optimizer is not None:
        raise CountError("a loss or an optimizer of the caller's needs a trace")
    return int(tokens[0]), int(tokens[1])


def _same_parameters(step: Step, expected: int) -> None:
    parameters: list[Any] = list(step.model.parameters())
    found = sum(item.numel() for item in parameters)
    if found != expected:
        raise CountError(f"the form has {expected:,} parameters, the model {found:,}")
    if step.backward and not all(item.requires_grad for item in parameters):
        raise CountError("some parameters are frozen, which the form does not know")

"""Stated numbers of parameters against one another and against the dimensions."""

from dataclasses import replace

from flopledger.facts import Finding
from flopledger.inputs import Input
from flopledger.logs import Resolved
from flopledger.methods.models import Model, unused_sizes
from flopledger.methods.sample_costs import Costed
from flopledger.quantity import at_most
from flopledger.text import number

#: Parameters are stated in two or three digits; a part may exceed the whole by their rounding.
_ROUNDING = 0.01


def compare_parameters(model: Model, costed: Costed) -> list[Finding]:
    """Say so where the stated parameter count and the configuration disagree by more than 1%.

    An "active" count may leave the embeddings out, so it may lie up to 20% below the built one.
    """
    pairs = (
        ("parameters", model.total, costed.parameters_total, 0.01),
        ("active_parameters", model.active, costed.parameters_active, 0.20),
    )
    found = []
    for name, stated, built, tolerance in pairs:
        if stated is None or built is None:
            continue
        low, high = stated.quantity.interval.low, stated.quantity.interval.high
        below = high is not None and built > high * (1 + tolerance)
        above = low is not None and built < low * (1 - max(tolerance, 0.01))
        if not (below or above):
            continue
        shown = stated.quantity.interval.best or low or high or 0.0
        message = (
            f"{model.place}: {name} is stated as {number(shown, 4)}, the dimensions give {number(built, 4)} "
            f"({built / shown - 1:+.1%}): the configuration may be another model's"
        )
        place = f"{model.place}.{name}"
        found.append(
            Finding(
                code="config-name-mismatch", severity="warning", message=message, evidence=(place,)
            )
        )
    return found


def of_all_experts(model: Model, said: Resolved) -> tuple[Model, list[Finding]]:
    """Take parameters as the most that a token meets, where a text calls the model a mixture of experts.

    Of models that are known by this number alone: it may be of all experts, of which a token meets few.
    """
    total = model.total
    high = None if total is None else total.quantity.interval.high
    if model.dimensions is not None or model.config is not None or model.active is not None:
        return model, []
    if total is None or high is None:
        return model, []
    message = (
        f"{model.place}: {number(high)} parameters are stated, and a text calls the model a mixture of "
        f"experts ({said.derivation}): a token may meet far fewer, so that they bound the work from above; "
        "active_parameters settles it (the same number, if the stated ones are the active ones)"
    )
    finding = Finding(
        code="experts-unstated",
        severity="warning",
        message=message,
        evidence=(total.source, said.derivation),
    )
    return replace(model, total=replace(total, quantity=at_most(high))), [finding]


def active_above_total(model: Model) -> list[Finding]:
    """Find more parameters active for a token than the model has: swapped, or of two models."""
    if model.active is None or model.total is None:
        return []
    active, total = model.active.quantity.interval.low, model.total.quantity.interval.high
    if active is None or total is None or active <= total * (1 + _ROUNDING):
        return []
    message = (
        f"{model.place}: {number(active)} parameters are stated to be active of {number(total)} in all: "
        "the two are swapped, or of different models; the work is counted by the active ones as stated"
    )
    places = (model.active.source, model.total.source)
    return [
        Finding(code="active-exceeds-total", severity="warning", message=message, evidence=places)
    ]


def trained_above_total(model: Model, trainable: Input | None) -> list[Finding]:
    """Find more trained parameters than the model has: they are of another model, or in another unit."""
    if trainable is None or model.total is None:
        return []
    trained, total = trainable.quantity.interval.low, model.total.quantity.interval.high
    if trained is None or total is None or trained <= total * (1 + _ROUNDING):
        return []
    message = (
        f"{model.place}: {number(trained)} parameters are stated to be trained of a model of "
        f"{number(total)}: the two are of different models, or one is in another unit"
    )
    places = (trainable.source, model.total.source)
    return [
        Finding(code="active-exceeds-total", severity="warning", message=message, evidence=places)
    ]


def input_left_out(model: Model) -> list[Finding]:
    """Say so where a size of the input is stated that dimensions of this kind do not meet."""
    unused = unused_sizes(model)
    if not unused or model.dimensions is None:
        return []
    message = (
        f"{model.place}: input {' and '.join(unused)} is stated, which no weights of a "
        f"{model.dimensions.kind} given by its dimensions meet: what an encoder of its own spends on it is "
        "not counted; give the whole model's config.json, or the encoder as a run of its own"
    )
    place = f"{model.place}.input"
    return [
        Finding(code="input-size-unused", severity="warning", message=message, evidence=(place,))
    ]

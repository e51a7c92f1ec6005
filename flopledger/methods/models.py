"""What one sample of a case's model costs, by each route that the case allows.

counted      the real class behind config.json, traced on the meta device (needs the trace extra)
closed-form  formulas over the dimensions of config.json or of ``architecture``
6ND          parameters alone: closed form too, but blind to attention and to embeddings
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from flopcount import FlopcountError, closed_form
from flopcount.config_file import ConfigError, find_config, read_json
from flopledger.case_spec import ModelSpec
from flopledger.errors import CaseError
from flopledger.facts import Finding, Grade
from flopledger.inputs import Input, parameters
from flopledger.logs import RunFacts
from flopledger.methods.work import SampleCost
from flopledger.quantity import Z90, Quantity, exact
from flopledger.text import number

#: sd of ln(true / figure): embeddings, routers, norms and conventions that a figure may mean.
COUNTED_SIGMA = 0.03
CLOSED_FORM_SIGMA = 0.03
#: exact over 6ND on 39 published dense models: geometric mean 1.06 (attention in full), sd 0.08.
SIX_ND_SIGMA = 0.08
#: Parameters are stated in two or three digits; a part may exceed the whole by their rounding.
_ROUNDING = 0.01
_WITHOUT_TEXT = frozenset({"vit", "dit", "unet"})
_INPUT_SIZES = frozenset({"image", "latent", "text_tokens", "audio_frames", "decoder_tokens"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """One model of the case, with what its configuration says about it."""

    key: str
    spec: ModelSpec
    place: str  #: "case.toml: model.base"
    config: Path | None
    dimensions: closed_form.Dimensions | None
    why_no_dimensions: str | None  #: the reason, where ``dimensions`` is ``None``
    total: Input | None  #: parameters, as stated
    active: Input | None  #: parameters that one token meets, as stated


@dataclass(frozen=True, kw_only=True, slots=True)
class Costed:
    """A cost with where it comes from."""

    cost: SampleCost
    inputs: tuple[Input, ...] = ()
    assumptions: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    parameters_total: float | None = None
    parameters_active: float | None = None
    parameters_core: float | None = None  #: those that a token meets, without the lookup tables
    has_two_halves: bool = False  #: encoder and decoder: a token meets one of them


def load(key: str, spec: ModelSpec, config: Path | None, *, place: str) -> Model:
    """Read the dimensions; a configuration without closed form keeps its reason.

    Raises ``CaseError`` for an architecture table or input size that cannot be read.
    """
    strangers = sorted(set(spec.input or {}) - _INPUT_SIZES)
    if strangers:
        raise CaseError(f"{place}.input: unknown key {strangers[0]!r}; known: {_known_sizes()}")
    dimensions, reason = None, None
    if spec.architecture is not None:
        try:
            dimensions = closed_form.Dimensions.from_mapping(spec.architecture)
        except FlopcountError as error:
            raise CaseError(f"{place}.architecture: {error}") from None
    elif config is not None:
        dimensions, reason = _from_config(config)
    return Model(
        key=key,
        spec=spec,
        place=place,
        config=config,
        dimensions=dimensions,
        why_no_dimensions=reason,
        total=parameters(spec, "parameters", place=place),
        active=parameters(spec, "active_parameters", place=place),
    )


def of_evidence(found: RunFacts, config: Path | None) -> Model | None:
    """Make a model of what a run's evidence says about it; ``None`` if it says nothing."""
    if found.architecture is None and config is None:
        return _of_size(found)
    place = found.architecture_source or found.config_file or "evidence"
    dimensions, reason = None, None
    if config is not None:
        dimensions, reason = _from_config(config)
    elif found.architecture is not None:
        try:
            dimensions = closed_form.Dimensions.from_mapping(found.architecture)
        except FlopcountError as error:
            reason = str(error)
    sizes = {key: list(v) if isinstance(v, tuple) else v for key, v in (found.input or {}).items()}
    spec = ModelSpec(config=None if config is None else str(config), input=sizes or None)
    return Model(
        key="evidence",
        spec=spec,
        place=place,
        config=config,
        dimensions=dimensions,
        why_no_dimensions=reason,
        total=None,
        active=None,
    )


def _of_size(found: RunFacts) -> Model | None:
    """Make a model of its size alone, which allows 6ND.

    Not of an adapter, whose size is not its model's, and not where a benchmark's rules fix the cost.
    """
    size = found.parameters
    is_adapter = found.kind is not None and found.kind.value == "lora"
    if size is None or size.number <= 0 or is_adapter or found.benchmark is not None:
        return None
    total = Input(
        name="parameters",
        quantity=exact(size.number),
        unit="parameters",
        source=size.derivation,
        grade=size.facts[0].grade if size.facts else Grade.STATEMENT,
    )
    return Model(
        key="evidence",
        spec=ModelSpec(),
        place=size.derivation,
        config=None,
        dimensions=None,
        why_no_dimensions="the evidence gives the number of parameters and no dimensions",
        total=total,
        active=None,
    )


def per_sample(found: RunFacts) -> Costed | None:
    """Cost of a sample that a benchmark's rules fix: forward FLOP, and twice that backward."""
    forward = found.forward_flop_per_sample
    if forward is None:
        return None
    cost = SampleCost(
        matrix_forward=forward,
        matrix_backward=2 * forward,
        attention_forward=0,
        attention_backward=0,
        mask_share=1.0,
        tokens_per_sample=None,
        sigma=COUNTED_SIGMA,
    )
    return Costed(
        cost=cost,
        assumptions=(f"{number(forward, 4)} FLOP forward a sample, as the benchmark fixes it",),
    )


def closed_form_cost(model: Model, sequence: int | None) -> Costed | None:
    """Cost of one sample from dimensions, or from parameters alone; ``None`` with neither.

    Beside a recording of known length the transcript may have any length up to the model's limit:
    the cost then spans both ends; without a known limit there is none.
    """
    if model.dimensions is None:
        return _six_nd(model)
    sizes = input_sizes(model)
    if sequence is None and "audio_frames" in sizes:
        limit = None if model.config is None else transcript_limit(_content(model.config))
        if limit is None:
            return None
        return between([_closed_form(model, length, sizes) for length in (1, limit)], [1, limit])
    return _closed_form(model, sequence, sizes)


def _closed_form(model: Model, sequence: int | None, sizes: dict[str, Any]) -> Costed:
    assert model.dimensions is not None
    known = sequence is not None or model.dimensions.kind in _WITHOUT_TEXT
    try:
        form = closed_form.count(model.dimensions, batch=1, sequence=sequence or 1, **sizes)
    except FlopcountError as error:
        raise CaseError(f"{model.place}: {error}") from None
    scores = [term for term in form.terms if term.is_attention_score]
    attention_forward = sum(term.forward for term in scores)
    attention_backward = sum(term.backward for term in scores)
    attention = attention_forward + attention_backward
    masked = attention - (form.total - form.masked_total)
    cost = SampleCost(
        matrix_forward=form.forward - attention_forward,
        matrix_backward=form.backward - attention_backward,
        attention_forward=attention_forward if known else 0,
        attention_backward=attention_backward if known else 0,
        mask_share=masked / attention if attention else 1.0,
        tokens_per_sample=_tokens(model, sequence, sizes),
        sigma=CLOSED_FORM_SIGMA if known else SIX_ND_SIGMA,
        sequence_known=known,
    )
    return Costed(
        cost=cost,
        assumptions=form.assumptions,
        parameters_total=form.parameters.total,
        parameters_active=form.parameters.active,
        parameters_core=None
        if model.dimensions.kind == "encoder-decoder"
        else form.parameters.active_without_embeddings,
        has_two_halves=model.dimensions.kind == "encoder-decoder",
    )


def transcript_limit(content: Mapping[str, Any]) -> int | None:
    """Give the most text tokens that a speech model writes, as its configuration says."""
    limit = content.get("max_target_positions")
    return limit if isinstance(limit, int) and limit > 1 else None


def between(costs: list[Costed], lengths: list[int]) -> Costed:
    """Take the middle (in the logarithm) of two costs, with a spread that reaches both."""
    low, high = costs[0].cost, costs[-1].cost
    share = (low.total * high.total) ** 0.5 / low.total
    spread = math.log(high.total / low.total) / 2 / Z90
    note = f"transcripts of {lengths[0]} to {lengths[-1]} tokens: the length is not known"
    assumptions = (*costs[0].assumptions, *costs[-1].assumptions, note)
    return replace(
        costs[0],
        cost=replace(
            low,
            matrix_forward=low.matrix_forward * share,
            matrix_backward=low.matrix_backward * share,
            attention_forward=low.attention_forward * share,
            attention_backward=low.attention_backward * share,
            sigma=math.hypot(low.sigma, spread),
        ),
        assumptions=tuple(dict.fromkeys(assumptions)),
    )


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


def _six_nd(model: Model) -> Costed | None:
    stated = model.active or model.total
    if stated is None:
        return None
    ends = stated.quantity.interval
    count = ends.best or ends.low or ends.high
    assert count is not None
    cost = SampleCost(
        matrix_forward=2 * count,
        matrix_backward=4 * count,
        attention_forward=0,
        attention_backward=0,
        mask_share=1.0,
        tokens_per_sample=1,
        sigma=SIX_ND_SIGMA,
        scale=Quantity(interval=ends / count, spread=stated.quantity.spread),
    )
    note = (
        "6 FLOP a parameter and token: attention left out, input embeddings counted; dense published "
        "models lie 0.72 to 1.31 times this"
    )
    return Costed(
        cost=cost,
        assumptions=(note,),
        parameters_total=model.total.quantity.best if model.total else None,
        parameters_active=model.active.quantity.best if model.active else None,
    )


def _from_config(config: Path) -> tuple[closed_form.Dimensions | None, str | None]:
    """Read dimensions from a configuration; a file that is no configuration is an error."""
    try:
        return closed_form.Dimensions.from_config(_content(config)), None
    except FlopcountError as error:
        return None, str(error)


def _content(config: Path) -> dict[str, Any]:
    try:
        return read_json(find_config(config))
    except ConfigError as error:
        raise CaseError(str(error)) from None


def sequence_of(model: Model, sequence: int | None) -> int | None:
    """Give the tokens of a training sequence: the run's, else the text that the model's input states.

    Only a denoiser tells text apart from its sequence. Raises ``CaseError`` where the two differ.
    """
    text = (model.spec.input or {}).get("text_tokens")
    if text is None or _is_denoiser(model):
        return sequence
    if sequence is not None and sequence != text:
        raise CaseError(
            f"{model.place}.input.text_tokens: found {text!r}, and the run's sequence_length is {sequence}; "
            "for this model they are one thing: give one of them"
        )
    return int(text)


def _is_denoiser(model: Model) -> bool:
    if model.config is not None:
        return "_class_name" in _content(model.config)
    return model.dimensions is not None and model.dimensions.kind in ("dit", "unet")


def input_sizes(model: Model) -> dict[str, Any]:
    """Translate the case's input sizes for the counters."""
    sizes = dict(model.spec.input or {})
    if "text_tokens" in sizes and not _is_denoiser(model):
        del sizes["text_tokens"]  # the sequence's length: sequence_of
    for name in ("image", "latent"):
        if name in sizes:
            pair = sizes[name]
            if not (isinstance(pair, list) and len(pair) == 2):
                raise CaseError(f"{model.place}.input.{name}: found {pair!r}; give [height, width]")
            sizes[name] = tuple(pair)
    if "decoder_tokens" in sizes:
        sizes["decoder_sequence"] = sizes.pop("decoder_tokens")
    return sizes


def _tokens(model: Model, sequence: int | None, sizes: dict[str, Any]) -> float | None:
    """Give the tokens of a sample: both sides of an encoder-decoder, none for images."""
    assert model.dimensions is not None
    if model.dimensions.kind in _WITHOUT_TEXT or "audio_frames" in sizes:
        return None
    length = sequence or 1
    if model.dimensions.kind == "encoder-decoder":
        return float(length + sizes.get("decoder_sequence", length))
    return float(length)


def _known_sizes() -> str:
    return ", ".join(sorted(_INPUT_SIZES))

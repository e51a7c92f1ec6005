"""A case's models: what is stated of each, its dimensions, and the sizes of its inputs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flopcount import FlopcountError, closed_form
from flopcount.model_files.config_file import ConfigError, find_config, read_json
from flopledger.cases.spec import ModelSpec
from flopledger.errors import CaseError
from flopledger.facts import Grade
from flopledger.inputs import Input, parameters
from flopledger.logs import RunFacts
from flopledger.quantity import exact

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


def _from_config(config: Path) -> tuple[closed_form.Dimensions | None, str | None]:
    """Read dimensions from a configuration; a file that is no configuration is an error."""
    try:
        return closed_form.Dimensions.from_config(content(config)), None
    except FlopcountError as error:
        return None, str(error)


def content(config: Path) -> dict[str, Any]:
    """Read a configuration's keys."""
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
        return "_class_name" in content(model.config)
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


#: Kind of dimensions -> the sizes of an input that its closed form meets.
_MET = {
    "encoder-decoder": {"text_tokens", "decoder_tokens", "audio_frames"},
    "vit": {"image"},
    "dit": {"image", "latent", "text_tokens"},
    "unet": {"image", "latent", "text_tokens"},
}


def unused_sizes(model: Model) -> list[str]:
    """List the stated sizes of the input that a model given by its dimensions does not meet."""
    if model.dimensions is None or model.config is not None:
        return []
    met = _MET.get(model.dimensions.kind, {"text_tokens"})
    return sorted(set(model.spec.input or {}) - met)


def _known_sizes() -> str:
    return ", ".join(sorted(_INPUT_SIZES))

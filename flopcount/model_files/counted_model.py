"""From a model file to its count: the trace where the model builds, the closed form where not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flopcount.closed_form import ClosedForm
from flopcount.closed_form import count as closed_form_count
from flopcount.conventions import RULES, state
from flopcount.errors import CountError, FlopcountError
from flopcount.findings import Finding, length_unread, too_long
from flopcount.form_polynomial import polynomial_of
from flopcount.formula_count import formula_count, refuse_rules
from flopcount.idle_experts import Asked, as_routed, without_loops
from flopcount.idle_parts import idle_parts
from flopcount.model_files.architectures import Architecture, load, quiet_and_offline
from flopcount.model_files.config_file import ConfigError, MissingLibraryError, find_config
from flopcount.model_files.families import UnknownFamilyError
from flopcount.model_files.inputs.attempts import Attempts
from flopcount.model_files.model_inputs import InputSizeUnknownError, reads_images_too
from flopcount.model_files.remembered import NOTE, remembering

if TYPE_CHECKING:
    from flopcount.count import FlopCount
    from flopcount.model_files.parameters import ParameterCount


_MOST_PARTS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedModel:
    """What a model file told: its parameters, its FLOP where the input size is known, doubts."""

    name: str
    """The model's class or file name."""
    kind: str
    """How it was read: transformers, diffusers, onnx, pt2, factory or weights."""
    source: Path | None
    batch: int | None
    """None where the inputs' sizes are fixed and none of them was asked for."""
    sequence: int | None
    parameters: ParameterCount | None
    """None where the source has no parameters to count (a function)."""
    count: FlopCount | None
    """None where the input size is unknown; never a zero in its place."""
    closed_form: ClosedForm | None = None
    """The same step by formula, where the family has one."""
    no_closed_form: str | None = None
    """Why there is none."""
    findings: tuple[Finding, ...] = ()
    assumptions: tuple[str, ...] = ()
    polynomial: tuple[tuple[int, int, int], ...] | None = None
    """Terms (coefficient, power of batch, power of sequence) of the dense total, exact."""
    no_polynomial: str | None = None
    """Why there are none."""
    own_length: int | None = None
    """Tokens of a text tower that has one length (CLIP's 77), where the count took it unasked."""


def count_config(
    path: str | Path,
    *,
    batch: int = 1,
    sequence: int | None = None,
    backward: bool = True,
    convention: str = "dense",
    recompute: bool = False,
    remembered: bool = False,
    **sizes: Any,
) -> CountedModel:
    """Count one training step of the model that a config.json describes.

    Args:
        path: a config.json or its folder.
        batch: samples.
        sequence: tokens a sample; without it (and where the configuration does not fix the input
            size) the parameters are counted and the FLOP are None.
        backward: whether the backward pass is part of the step.
        convention: as in :func:`flopcount.count`.
        recompute: run the step with every layer's activations recomputed.
        remembered: whether an earlier answer may be given; see :mod:`flopcount.model_files.remembered`.
        **sizes: further input sizes (``decoder_sequence``, ``image``, ``frames``,
            ``audio_frames``, ``latent``, ``text_tokens``), and ``given``: inputs by name, as texts
            that :mod:`flopcount.model_files.inputs.stated` reads.

    Raises:
        FlopcountError: the file cannot be used or the model cannot be counted.
    """
    step: dict[str, Any] = {
        "batch": batch,
        "sequence": sequence,
        "backward": backward,
        "convention": convention,
    }
    file = find_config(Path(path))

    def compute() -> CountedModel:
        built = load(file)
        counted = _counted(built, recompute=recompute, **step, **sizes)
        if not sizes.get("given"):  # what is stated may have that length
            counted = _without_unread_length(built, counted)
        return counted

    try:
        if not remembered:
            return _beside_weights(compute(), file)
        question = {**step, "recompute": recompute, **sizes}
        counted, known = remembering(CountedModel, file, question, compute)
    except (MissingLibraryError, UnknownFamilyError) as error:
        if recompute:
            raise
        from flopcount.formula_config import count_by_formula

        return count_by_formula(path, missing=error, **step, **sizes)
    if known and counted.count is not None:
        notes = (*counted.count.notes, NOTE)
        counted = replace(counted, count=replace(counted.count, notes=notes))
    return _beside_weights(counted, file)


def _beside_weights(counted: CountedModel, file: Path) -> CountedModel:
    """Add what a comparison with the weights in the same folder finds."""
    from flopcount.model_files.weights import compare_with_config

    if counted.parameters is None:
        return counted
    stored = compare_with_config(file.parent, counted.parameters)
    return counted if stored is None else replace(counted, findings=(*counted.findings, stored))


def count_architecture(
    built: Architecture,
    *,
    batch: int = 1,
    sequence: int | None = None,
    backward: bool = True,
    convention: str = "dense",
    recompute: bool = False,
    **sizes: Any,
) -> CountedModel:
    """Count one training step of a model that :func:`flopcount.model_files.architectures.load` built."""
    counted = _counted(
        built,
        batch=batch,
        sequence=sequence,
        backward=backward,
        convention=convention,
        recompute=recompute,
        **sizes,
    )
    return _beside_weights(counted, built.path)


def _counted(
    built: Architecture,
    *,
    batch: int,
    sequence: int | None,
    backward: bool,
    convention: str,
    recompute: bool,
    **sizes: Any,
) -> CountedModel:
    """The count without what lies beside the configuration."""
    _refuse_foreign(sizes, built)
    plain = {name: size for name, size in sizes.items() if name not in ("given", "frames")}
    findings = list(built.findings)
    count: FlopCount | None = None
    # A rule of the field is stated of what a router asks for, and so after idle experts were left out.
    traced_as = "dense" if convention in RULES else convention
    if built.kind == "transformers":
        without_loops(built.model, built.config)
    if recompute:
        _checkpoint_layers(built)
    try:
        inputs = built.inputs(batch, sequence, **sizes)
        count = _traced(built, inputs, backward=backward, convention=traced_as)
    except CountError as error:
        form, _ = _by_formula(built, batch=batch, sequence=sequence, sizes=plain)
        if form is None or recompute or sizes.get("given"):
            raise  # a form knows nothing of stated inputs
        note = f"counted by the closed form, because the model could not be traced: {error}"
        count = formula_count(form, backward=backward, convention=convention, notes=(note,))
    except InputSizeUnknownError as error:
        findings.append(Finding(code="input-size-unknown", severity="info", message=str(error)))
    if count is not None and count.method == "closed-form":
        message = "; ".join(count.notes)
        findings.append(Finding(code="trace-failed", severity="warning", message=message))
    if count is not None and built.kind == "transformers":
        asked = Asked(
            model=built.model,
            config=built.config,
            inputs=inputs,
            backward=backward,
            convention=traced_as,
            source=built.path,
        )
        count, found = as_routed(count, asked)
        findings += found
        findings += _left_idle(built, inputs, count)
    if count is not None and traced_as != convention and count.convention.name != convention:
        count = _stated(count, convention, built, inputs, backward=backward)
    findings += _drawn_or_assumed(built, count)
    if built.dimensions is not None:
        findings += too_long(built.dimensions, sequence, sizes.get("decoder_sequence"))
    form, reason = _by_formula(built, batch=batch, sequence=sequence, sizes=plain)
    polynomial, why_none = polynomial_of(built, form, count, backward=backward, sizes=plain)
    return CountedModel(
        name=built.class_name,
        kind=built.kind,
        source=built.path,
        batch=batch,
        sequence=sequence,
        parameters=built.parameters,
        count=count,
        closed_form=form,
        no_closed_form=reason,
        findings=tuple(findings),
        assumptions=(*built.assumptions, *_precision(built.config, count)),
        polynomial=polynomial,
        no_polynomial=why_none,
        own_length=None if built.maker is None else built.maker.sizes.own_length,
    )


def _stated(
    dense: FlopCount, convention: str, built: Architecture, inputs: Any, *, backward: bool
) -> FlopCount:
    """State a traced count by a rule of the field.

    Raises:
        ConventionError: the rule does not fit, or a closed form stands in for the trace.
    """
    if dense.method == "closed-form":
        refuse_rules(convention)
    return state(dense, convention, built.model, (), inputs, backward=backward)


def _drawn_or_assumed(built: Architecture, count: FlopCount | None) -> list[Finding]:
    """What of a count rests on random numbers or on sizes that nobody gave."""
    drawn = [
        Finding(code="random-computation", severity="warning", message=note)
        for note in (count.notes if count is not None else ())
        if note.startswith("random: ")
    ]
    assumed = [
        Finding(code="input-size-assumed", severity="info", message=note)
        for note in (built.maker.sizes.notes if built.maker is not None else ())
    ]
    return drawn + assumed


def _left_idle(built: Architecture, inputs: Any, count: FlopCount) -> list[Finding]:
    """Name the towers that these inputs do not reach: of images, sound, video, speech."""
    parts = idle_parts(built.model, count)
    images = reads_images_too(built, inputs)
    if not parts and not images:
        return []
    told = []
    if images:
        told.append(
            "the model also reads images; only text was given, so its image tower is in "
            "the parameters and not in the FLOP; give an image size to count one a sample"
        )
    if parts:
        names = ", ".join(f"{path} ({size:,} parameters)" for path, size in parts[:_MOST_PARTS])
        more = f" and {len(parts) - _MOST_PARTS} more" if len(parts) > _MOST_PARTS else ""
        told.append(
            f"nothing was multiplied in {names}{more}: what they read was not among the inputs; "
            "where they were trained, give it (--input NAME=SHAPE)"
        )
    return [Finding(code="coverage-gap", severity="warning", message="; ".join(told))]


def _precision(config: Mapping[str, Any], count: FlopCount | None) -> list[str]:
    """Tell where ``bf16`` in the split by dtype is our choice and not the file's word."""
    if count is None or "bf16" not in count.by_dtype:
        return []
    nested = config.get("text_config")
    parts = [config, nested] if isinstance(nested, Mapping) else [config]
    stated = next((p[k] for p in parts for k in ("dtype", "torch_dtype") if p.get(k)), None)
    notes = []
    if stated is None:
        notes.append("the file states no dtype: products are listed as bf16")
    elif stated not in ("bfloat16", "bf16", "torch.bfloat16"):
        notes.append(
            f"the file stores {str(stated)[:40]}: products are listed as bf16 all the same"
        )
    if config.get("quantization_config"):
        notes.append("quantization_config is not applied: products are listed as bf16")
    return notes


def _traced(
    built: Architecture,
    inputs: dict[str, Any],
    *,
    backward: bool,
    convention: str,
) -> FlopCount:
    """Trace one step; a model that refuses is asked in every way that changes no FLOP.

    See :mod:`flopcount.model_files.inputs.attempts`.

    Raises:
        CountError: the model raised in every way.
    """
    import flopcount

    failure: CountError | None = None
    by_form: FlopCount | None = None
    attempts = Attempts(built, inputs)
    for _ in attempts:
        try:
            with quiet_and_offline():
                count = flopcount.count(
                    built.model, backward=backward, convention=convention, **inputs
                )
        except CountError as error:
            failure = attempts.failure = error
            continue
        if count.method != "closed-form":
            return count
        by_form = by_form or count
    if by_form is not None:
        return by_form
    assert failure is not None
    raise attempts.told()


def _refuse_foreign(sizes: dict[str, Any], built: Architecture) -> None:
    """Refuse sizes that such a model has not, rather than to leave them unused in silence."""
    known = {"decoder_sequence", "image", "frames", "audio_frames", "given"}
    if built.kind == "diffusers":
        known = {"latent", "text_tokens", "frames", "given"}
    foreign = sorted(set(sizes) - known)
    if foreign:
        asked = sorted({*known, "batch", "sequence"} - {"given"})
        text = "; its text is the sequence" if foreign == ["text_tokens"] else ""
        msg = (
            f"{built.path}: a {built.kind} model has no input size {', '.join(foreign)}{text}\n"
            f"  known: {', '.join(asked)}, and single inputs by name (--input)"
        )
        raise FlopcountError(msg)


def _without_unread_length(built: Architecture, counted: CountedModel) -> CountedModel:
    """Say so where a number of tokens is given and nothing that was counted has that length."""
    if counted.sequence is None or counted.count is None or built.maker is None:
        return counted
    if built.maker.sizes.length_read:
        return counted
    told = length_unread(counted.sequence, built.class_name, built.path)
    return replace(counted, sequence=None, findings=(*counted.findings, told))


def _checkpoint_layers(built: Architecture) -> None:
    """Let the library recompute each layer in the backward pass, as its trainers do."""
    if hasattr(built.model, "enable_gradient_checkpointing"):  # diffusers
        built.model.enable_gradient_checkpointing()
        return
    if not getattr(built.model, "supports_gradient_checkpointing", False):
        msg = (
            f"{built.path}: {built.class_name} does not support recomputation\n"
            "  count it without --recompute"
        )
        raise ConfigError(msg)
    checkpoint_layers(built.model)


def checkpoint_layers(model: Any) -> None:
    """Switch recomputation of every layer on, by the name that the installed library has for it."""
    enable = getattr(model, "activation_checkpointing_enable", None)
    if enable is None:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    else:
        enable()


def _by_formula(
    built: Architecture, *, batch: int, sequence: int | None, sizes: dict[str, Any]
) -> tuple[ClosedForm | None, str | None]:
    if built.dimensions is None:
        return None, built.no_closed_form
    try:
        form = closed_form_count(built.dimensions, batch=batch, sequence=sequence, **sizes)
    except FlopcountError as error:
        return None, str(error)
    return form, None

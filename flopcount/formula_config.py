"""A config.json counted by its closed form alone: at once, without torch, without foreign code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from flopcount.closed_form import ClosedForm, Dimensions, DimensionsError
from flopcount.closed_form import count as closed_form_count
from flopcount.closed_form.inputs import READ, WITHOUT_TOKENS
from flopcount.errors import ConventionError, FlopcountError
from flopcount.findings import (
    Finding,
    length_unread,
    name_mismatch,
    prediction_left_out,
    too_long,
)
from flopcount.form_polynomial import form_polynomial
from flopcount.formula_count import formula_count, formula_parameters
from flopcount.model_files.architectures import names_of
from flopcount.model_files.config_file import (
    ConfigError,
    MissingLibraryError,
    find_config,
    read_json,
)
from flopcount.model_files.counted_model import CountedModel
from flopcount.model_files.families import UnknownFamilyError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flopcount.count import FlopCount

_OPTIONS = {"given": "--input"}


def count_by_formula(
    path: str | Path,
    *,
    batch: int = 1,
    sequence: int | None = None,
    backward: bool = True,
    convention: str = "dense",
    missing: MissingLibraryError | UnknownFamilyError | None = None,
    **sizes: Any,
) -> CountedModel:
    """Count from the closed form alone: at once, without torch, and the answer says so.

    Args:
        path: a config.json or its folder.
        batch: samples.
        sequence: tokens a sample.
        backward: whether the backward pass is part of the step.
        convention: ``dense``, ``masked`` or ``hardware``.
        missing: why nothing was traced, when not by choice: a library that is not installed, or a
            family that the installed one does not know.
        **sizes: further input sizes, see :func:`count_config`.

    Raises:
        DimensionsError: the family has no closed form.
        ConfigError: ``missing`` with that reason, where nothing was traced.
    """
    file = find_config(Path(path))
    config = read_json(file)
    try:
        dimensions = Dimensions.from_config(config)
    except DimensionsError as error:
        if missing is None:
            raise
        # What a form advises where it is asked alone, to trace the file, was tried.
        told = [line for line in str(error).splitlines() if "traced count" not in line]
        text = "\n".join([f"{missing}\n  and no closed form stands in: {told[0]}", *told[1:]])
        raise type(missing)(text) from None
    _refuse_unread(sizes, dimensions, file)
    findings = [_why_no_trace(missing, config, file)]
    if sequence is not None and dimensions.kind in WITHOUT_TOKENS:
        findings.append(length_unread(sequence, str(config.get("model_type") or "the model"), file))
        sequence = None
    left_out = prediction_left_out(config, file)
    findings += [] if left_out is None else [left_out]
    findings += too_long(dimensions, sequence, sizes.get("decoder_sequence"))
    form: ClosedForm | None = None
    count: FlopCount | None = None
    try:
        form = closed_form_count(dimensions, batch=batch, sequence=sequence, **sizes)
        count = formula_count(form, backward=backward, convention=convention)
        findings += _open_routing(dimensions, count, file)
    except (DimensionsError, ConventionError):
        raise
    except FlopcountError as error:
        findings.append(Finding(code="input-size-unknown", severity="info", message=str(error)))
    any_size = form or _at_any_size(dimensions)
    parameters = None if any_size is None else formula_parameters(any_size.parameters)
    if parameters is not None:
        names = names_of(config, file)
        mismatch = name_mismatch(names, parameters.total, active=parameters.active)
        findings += [] if mismatch is None else [mismatch]
    polynomial, why_none = form_polynomial(dimensions, backward, convention, sizes)
    if count is None:
        polynomial, why_none = None, "the input size is not known, so nothing was counted"
    return CountedModel(
        name=str(
            config.get("_class_name") or config.get("model_type") or "a model without a family"
        ),
        kind="diffusers" if "_class_name" in config else "transformers",
        source=file,
        batch=batch,
        sequence=sequence,
        parameters=parameters,
        count=count,
        closed_form=form,
        findings=tuple(findings),
        assumptions=dimensions.assumptions,
        polynomial=polynomial,
        no_polynomial=why_none,
    )


def _open_routing(dimensions: Dimensions, count: FlopCount, file: Path) -> list[Finding]:
    """Tell of experts without weights, which a router may choose: the count is then the most."""
    if count.flop_bounds is None:
        return []
    return [
        Finding(
            code="routing-unknown",
            severity="warning",
            message=(
                "of the experts that a router chooses from, some have no weights, and how many with weights "
                "a token passes is data: the count takes all "
                f"{dimensions.experts_per_token} choices for such with weights, and is at least "
                f"{count.flop_bounds[0]:,} FLOP"
            ),
            evidence=(str(file),),
        )
    ]


def _refuse_unread(sizes: Mapping[str, Any], dimensions: Dimensions, file: Path) -> None:
    """Refuse sizes that such a form does not look at, rather than to pass them over.

    Raises:
        FlopcountError: one is there.
    """
    read = set(READ[dimensions.kind])
    if dimensions.kind == "encoder-decoder" and dimensions.channels is None:
        read -= {"audio_frames"}  # a speech model states the bins of its spectrogram
    unread = sorted(name for name, value in sizes.items() if value is not None and name not in read)
    if unread:
        length = () if dimensions.kind in WITHOUT_TOKENS else ("sequence",)
        known = ", ".join(sorted({*read, "batch", *length}))
        options = ", ".join(_OPTIONS.get(name, f"--{name.replace('_', '-')}") for name in unread)
        msg = (
            f"{file}: the closed form of this model reads no {options}\n"
            f"  its sizes: {known}; leave the others out, or trace it (without --quick)"
        )
        raise FlopcountError(msg)


def _why_no_trace(missing: ConfigError | None, config: dict[str, Any], file: Path) -> Finding:
    if isinstance(missing, UnknownFamilyError):
        what = "asks for code of its own" if config.get("auto_map") else "is of a foreign family"
        return Finding(
            code="remote-code-not-run",
            severity="warning",
            message=(
                f"the file {what}, which was not run; the family "
                f"'{str(config.get('model_type'))[:60]}' is counted by its closed form alone"
            ),
            evidence=(str(file),),
        )
    reason = "nothing was traced, as asked" if missing is None else str(missing)
    return Finding(
        code="trace-missing",
        severity="info" if missing is None else "warning",
        message=f"counted by the closed form alone: {reason}",
        evidence=(str(file),),
    )


def _at_any_size(dimensions: Dimensions) -> ClosedForm | None:
    """Parameters do not depend on the input: read them off the form at a token size."""
    try:
        return closed_form_count(dimensions, sequence=1, latent=(64, 64), text_tokens=1)
    except FlopcountError:
        return None

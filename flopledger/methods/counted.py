"""Counted: the real architecture behind a config.json, traced on the meta device.

No weights, no download, no remote code. Needs the ``trace`` extra; without it, or for an
architecture that cannot be built, the route is left out and a finding says why.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from flopcount import FlopcountError
from flopledger.errors import CaseError
from flopledger.facts import Finding
from flopledger.methods.models import Model, input_sizes
from flopledger.methods.sample_costs import (
    COUNTED_SIGMA,
    SIX_ND_SIGMA,
    Costed,
    between,
    transcript_limit,
    unknown_length,
)
from flopledger.methods.work import SampleCost
from flopledger.text import number

if TYPE_CHECKING:
    from flopcount import FlopCount
    from flopcount.findings import Finding as PillarFinding
    from flopcount.model_files.architectures import Architecture
    from flopcount.model_files.counted_model import CountedModel

#: Long enough for a trace where the case gives no sequence length; attention is then left out.
_PROBE_SEQUENCE = 128


@dataclass(frozen=True, kw_only=True, slots=True)
class Traced:
    """A traced cost, or the reason why there is none."""

    costed: Costed | None
    findings: tuple[Finding, ...] = ()


def cost(model: Model, sequence: int | None) -> Traced:
    """Trace one sample of ``sequence`` tokens, forward and backward.

    Raises ``CaseError`` if the configuration can neither be built nor be described by a closed
    form: the case then names a model that nobody could count.
    """
    assert model.config is not None
    if find_spec("torch") is None or find_spec("transformers") is None:
        message = (
            f"{model.place}: not traced, torch or transformers is missing "
            "(pip install 'flopledger[trace]'); "
        ) + (
            "the closed form stands alone"
            if model.dimensions is not None
            else f"there is no closed form either: {model.why_no_dimensions}"
        )
        return Traced(costed=None, findings=(_finding("trace-missing", message, model),))
    from flopcount.model_files import architectures
    from flopcount.model_files.counted_model import count_architecture

    try:
        built = architectures.load(model.config)
        sizes = input_sizes(model)
        lengths = _lengths(built, sequence)
        results = [count_architecture(built, sequence=length, **sizes) for length in lengths]
    except FlopcountError as error:
        said = _without_folder(str(error), model)
        if model.dimensions is None:
            raise CaseError(f"{model.place}.config: {said}") from None
        message = f"{model.place}: not traced: {said}"
        return Traced(
            costed=None, findings=(_finding("architecture-not-countable", message, model),)
        )
    return _traced(model, built, results, sequence)


def _traced(
    model: Model, built: "Architecture", results: "list[CountedModel]", sequence: int | None
) -> Traced:
    """Turn one or two counts into a cost; the closed form in a trace's place is no second voice."""
    findings = [_carried(finding, model) for finding in results[0].findings]
    own = results[0].own_length if sequence is None else None
    counts = [result.count for result in results]
    unknown = sorted({one.op for count in counts if count for one in count.uncounted})
    if unknown:
        names = ", ".join(unknown)
        message = f"{model.place}: operators without a formula: {names}; the count is a lower bound"
        findings.append(_finding("uncounted-operators", message, model))
    costs = [
        _within_bounds(
            _costed(built, result.count, sequence or own, own or result.sequence), result.count
        )
        for result in results
        if result.count is not None and result.count.method != "closed-form"
    ]
    if len(costs) < len(results):
        return Traced(costed=None, findings=tuple(findings))
    lengths = [result.sequence or 0 for result in results]
    costed = costs[0] if len(costs) == 1 else between(costs, unknown_length(lengths))
    return Traced(costed=costed, findings=tuple(findings))


def _within_bounds(costed: Costed, count: "FlopCount") -> Costed:
    """Spread a cost over what data decides of it: experts that a trace without data cannot tell.

    Of operators without a formula a finding speaks; what they add is no spread around the rest.
    """
    if count.flop_bounds is None or count.uncounted:
        return costed
    low, high = count.flop_bounds
    if high is None or low <= 0 or low >= high:
        return costed
    return between(
        [_scaled(costed, low / count.total), _scaled(costed, high / count.total)],
        f"{low:,} to {high:,} FLOP a sample, as the data decides",
    )


def _scaled(costed: Costed, share: float) -> Costed:
    """Give a cost whose matrix products take or leave what separates it from ``share`` of the whole."""
    cost = costed.cost
    left = 1 - (1 - share) * cost.total / (cost.matrix_forward + cost.matrix_backward)
    changed = replace(
        cost,
        matrix_forward=cost.matrix_forward * left,
        matrix_backward=cost.matrix_backward * left,
    )
    return replace(costed, cost=changed)


def _lengths(built: "Architecture", sequence: int | None) -> Sequence[int | None]:
    """Choose the lengths to trace: the known one, else a probe.

    Beside a recording of known length the transcript may have any length up to the model's limit:
    both ends are traced. A probe stands for text alone: of an image's caption, a latent's conditioning
    or a waveform's samples the length is the cost, and without one there is none.
    """
    if sequence is not None:
        return [sequence]
    if _hears(built) and (limit := transcript_limit(built.config)) is not None:
        return [1, limit]
    return [_PROBE_SEQUENCE if _reads(built) else None]


def _hears(built: "Architecture") -> bool:
    return getattr(built.model, "main_input_name", None) == "input_features"


def _costed(
    built: "Architecture",
    count: "FlopCount",
    sequence: int | None,
    length: int | None,
) -> Costed:
    # Attention between text tokens cannot be known without their number; that between the frames
    # of a recording or the patches of an image can.
    known = sequence is not None or not _reads(built)
    attention = count.attention_flop
    # Two thirds of a training step's attention products belong to its backward pass.
    attention_forward = attention / 3
    masked = attention - (count.forward + count.backward - count.masked_total)
    idle = sum(entry.idle for entry in count.entries if entry.phase in ("forward", "backward"))
    routed = (f"without {number(idle)} FLOP of tokens that no router sends to an expert",)
    asked = "" if length is None else f", sequence {length}"
    sample = SampleCost(
        matrix_forward=count.forward - attention_forward,
        matrix_backward=count.backward - 2 * attention_forward,
        attention_forward=attention_forward if known else 0.0,
        attention_backward=2 * attention_forward if known else 0.0,
        mask_share=masked / attention if attention else 1.0,
        tokens_per_sample=_tokens(built, length),
        sigma=COUNTED_SIGMA if known else SIX_ND_SIGMA,
        sequence_known=known,
    )
    return Costed(
        cost=sample,
        assumptions=(
            f"{built.class_name} traced on the {count.method} device, batch 1{asked}: "
            f"{count.total:,} FLOP forward and backward",
            *(routed if idle else ()),
            *built.assumptions,
            *count.notes,
        ),
        parameters_total=built.parameters.total,
        parameters_active=built.parameters.active,
        has_two_halves=bool(getattr(built.model.config, "is_encoder_decoder", False)),
    )


def _reads(built: "Architecture") -> bool:
    """Say whether a sample is text: not pixels, a latent, a waveform, a spectrogram, a series."""
    main = getattr(built.model, "main_input_name", "")
    names = [main] if isinstance(main, str) else list(main)
    return any("input_ids" in name or "inputs_embeds" in name for name in names)


def _tokens(built: "Architecture", length: int | None) -> float | None:
    """Give the text tokens of a sample: both sides of an encoder-decoder, none for other inputs."""
    if length is None or not _reads(built):
        return None
    both_sides = getattr(built.model.config, "is_encoder_decoder", False)
    return 2.0 * length if both_sides else float(length)


#: How a case states the sizes that a counter may ask for.
_KEYS = {
    "sequence": "sequence_length in the run",
    "decoder_sequence": "decoder_tokens in the model's input",
}


def _carried(finding: "PillarFinding", model: Model) -> Finding:
    """Take over a counting pillar's finding, in the words of a case."""
    message, severity = _without_folder(finding.message, model), finding.severity
    if finding.code == "input-size-unknown":
        asked = message.partition("the input size '")[2].partition("'")[0]
        key = _KEYS.get(asked, f"{asked} in the model's input")
        first = message.splitlines()[0]
        message, severity = f"{model.place}: not counted: {first}; state {key}", "warning"
    return Finding(code=finding.code, severity=severity, message=message, evidence=finding.evidence)


def _without_folder(text: str, model: Model) -> str:
    """Name the configuration as the case does: where the case lies is nobody's business."""
    stated = Path(model.spec.config or "config.json")
    return text.replace(str(model.config), stated.name if stated.is_absolute() else str(stated))


def _finding(code: str, message: str, model: Model) -> Finding:
    return Finding(code=code, severity="warning", message=message, evidence=(model.place,))

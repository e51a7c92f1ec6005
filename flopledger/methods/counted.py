"""Counted: the real architecture behind a config.json, traced on the meta device.

No weights, no download, no remote code. Needs the ``trace`` extra; without it, or for an
architecture that cannot be built, the route is left out and a finding says why.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from flopcount import FlopcountError
from flopledger.errors import CaseError
from flopledger.facts import Finding
from flopledger.methods.models import COUNTED_SIGMA, SIX_ND_SIGMA, Costed, Model, input_sizes
from flopledger.methods.work import SampleCost

if TYPE_CHECKING:
    from flopcount import FlopCount
    from flopcount.architectures import Architecture
    from flopcount.findings import Finding as PillarFinding

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
            "(pip install 'flopledger[trace]'); the closed form stands alone"
        )
        return Traced(costed=None, findings=(_finding("trace-missing", message, model),))
    import flopcount
    from flopcount import architectures

    try:
        built = architectures.load(model.config)
        sizes = input_sizes(model)
        batch = built.inputs(batch=1, sequence=sequence or _PROBE_SEQUENCE, **sizes)
        count = flopcount.count(built.model, **batch)
    except FlopcountError as error:
        if model.dimensions is None:
            raise CaseError(f"{model.place}.config: {error}") from None
        message = f"{model.place}: not traced: {error}"
        return Traced(
            costed=None, findings=(_finding("architecture-not-countable", message, model),)
        )
    findings = [_carried(finding) for finding in built.findings]
    if count.uncounted:
        names = ", ".join(sorted({one.op for one in count.uncounted}))
        message = f"{model.place}: operators without a formula: {names}; the count is a lower bound"
        findings.append(_finding("uncounted-operators", message, model))
    return Traced(costed=_costed(built, count, sequence), findings=tuple(findings))


def _costed(built: "Architecture", count: "FlopCount", sequence: int | None) -> Costed:
    known = sequence is not None
    attention = count.attention_flop
    # Two thirds of a training step's attention products belong to its backward pass.
    attention_forward = attention / 3
    masked = attention - (count.forward + count.backward - count.masked_total)
    sample = SampleCost(
        matrix_forward=count.forward - attention_forward,
        matrix_backward=count.backward - 2 * attention_forward,
        attention_forward=attention_forward if known else 0.0,
        attention_backward=2 * attention_forward if known else 0.0,
        mask_share=masked / attention if attention else 1.0,
        tokens_per_sample=_tokens(built, sequence),
        sigma=COUNTED_SIGMA if known else SIX_ND_SIGMA,
        sequence_known=known,
    )
    return Costed(
        cost=sample,
        assumptions=(
            f"{built.class_name} traced on the {count.method} device, batch 1, "
            f"sequence {sequence or _PROBE_SEQUENCE}: {count.total:,} FLOP forward and backward",
            *built.assumptions,
            *count.notes,
        ),
        parameters_total=built.parameters.total,
        parameters_active=built.parameters.active,
    )


def _tokens(built: "Architecture", sequence: int | None) -> float | None:
    if built.dimensions is not None and built.dimensions.kind in {"vit", "dit", "unet"}:
        return None
    length = float(sequence or _PROBE_SEQUENCE)
    both_sides = built.dimensions is not None and built.dimensions.kind == "encoder-decoder"
    return 2 * length if both_sides else length


def _carried(finding: "PillarFinding") -> Finding:
    """Take over a counting pillar's finding."""
    return Finding(
        code=finding.code,
        severity=finding.severity,
        message=finding.message,
        evidence=finding.evidence,
    )


def _finding(code: str, message: str, model: Model) -> Finding:
    return Finding(code=code, severity="warning", message=message, evidence=(model.place,))

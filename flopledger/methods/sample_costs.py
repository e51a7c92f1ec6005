"""What one sample of a case's model costs, by each route that the case allows.

counted      the real class behind config.json, traced on the meta device (needs the trace extra)
closed-form  formulas over the dimensions of config.json or of ``architecture``
6ND          parameters alone: closed form too, but blind to attention and to embeddings
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from flopcount import FlopcountError, closed_form
from flopledger.errors import CaseError
from flopledger.inputs import Input
from flopledger.logs import RunFacts
from flopledger.methods.models import Model, content, input_sizes
from flopledger.methods.work import SampleCost
from flopledger.quantity import Z90, Quantity
from flopledger.quantity import between as quantity_between
from flopledger.text import number

_WITHOUT_TEXT = frozenset({"vit", "dit", "unet"})
#: sd of ln(true / figure): embeddings, routers, norms and conventions that a figure may mean.
COUNTED_SIGMA = 0.03
CLOSED_FORM_SIGMA = 0.03
#: exact over 6ND on 39 published dense models: geometric mean 1.06 (attention in full), sd 0.08.
SIX_ND_SIGMA = 0.08


@dataclass(frozen=True, kw_only=True, slots=True)
class Costed:
    """A cost with where it comes from."""

    cost: SampleCost
    inputs: tuple[Input, ...] = ()
    assumptions: tuple[str, ...] = ()
    parameters_total: float | None = None
    parameters_active: float | None = None
    parameters_core: float | None = None  #: those that a token meets, without the lookup tables
    has_two_halves: bool = False  #: encoder and decoder: a token meets one of them


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
        return _six_nd(model, sequence)
    sizes = input_sizes(model)
    if sequence is None and "audio_frames" in sizes:
        limit = None if model.config is None else transcript_limit(content(model.config))
        if limit is None:
            return None
        ends = [_closed_form(model, length, sizes) for length in (1, limit)]
        return between(ends, unknown_length([1, limit]))
    return _closed_form(model, sequence, sizes)


def _closed_form(model: Model, sequence: int | None, sizes: dict[str, Any]) -> Costed:
    assert model.dimensions is not None
    known = sequence is not None or model.dimensions.kind in _WITHOUT_TEXT
    try:
        form = closed_form.count(model.dimensions, batch=1, sequence=sequence or 1, **sizes)
    except FlopcountError as error:
        asked = re.sub(r"give (\w+)=\.\.\.", r"give the model input = { \1 = ... }", str(error))
        raise CaseError(f"{model.place}: {asked}") from None
    scores = [term for term in form.terms if term.is_attention_score]
    attention_forward = sum(term.forward for term in scores)
    attention_backward = sum(term.backward for term in scores)
    attention = attention_forward + attention_backward
    masked = attention - (form.total - form.masked_total)
    sigma = CLOSED_FORM_SIGMA if known else SIX_ND_SIGMA
    if assumed_patch(form.assumptions) is not None:
        sigma = math.hypot(sigma, _PATCH_SIGMA)
    cost = SampleCost(
        matrix_forward=form.forward - attention_forward,
        matrix_backward=form.backward - attention_backward,
        attention_forward=attention_forward if known else 0,
        attention_backward=attention_backward if known else 0,
        mask_share=masked / attention if attention else 1.0,
        tokens_per_sample=_tokens(model, sequence, sizes),
        sigma=sigma,
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


#: Patches of 14 pixels, as common as those of 16, make (16 / 14)^2 = 1.31 times as many: 90% lie within.
_PATCH_SIGMA = math.log(1.31) / Z90


def assumed_patch(assumptions: tuple[str, ...]) -> str | None:
    """Give the assumption about the side of an image's patch, where dimensions do not state it."""
    return next((one for one in assumptions if one.startswith("patch is not stated")), None)


def transcript_limit(content: Mapping[str, Any]) -> int | None:
    """Give the most text tokens that a speech model writes, as its configuration says."""
    limit = content.get("max_target_positions")
    return limit if isinstance(limit, int) and limit > 1 else None


def unknown_length(lengths: list[int]) -> str:
    """Say what spans a cost between transcripts of two lengths."""
    return f"transcripts of {lengths[0]} to {lengths[-1]} tokens: the length is not known"


def between(costs: list[Costed], note: str) -> Costed:
    """Take the middle (in the logarithm) of two costs, with a spread that reaches both."""
    low, high = costs[0].cost, costs[-1].cost
    share = (low.total * high.total) ** 0.5 / low.total
    spread = math.log(high.total / low.total) / 2 / Z90
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


#: Hidden size over layers of common models; with 12 x layers x hidden^2 parameters that gives a width.
_WIDTH_PER_LAYER = 128
#: Up to this share of the rest, half of which a mask leaves, the published models' spread about 6ND holds it.
_KNOWN_ATTENTION = 0.5


def unknown_attention(model: Model, sequence: int | None) -> float | None:
    """Give attention in full over 6 FLOP a parameter, where parameters alone are known and it is much.

    12 x layers x hidden x sequence over 6 x 12 x layers x hidden^2 is sequence / (6 x hidden).
    """
    stated = model.active or model.total
    if (
        model.dimensions is not None
        or model.config is not None
        or sequence is None
        or stated is None
    ):
        return None
    ends = stated.quantity.interval
    count = ends.best or ends.low or ends.high
    assert count is not None
    width = (count * _WIDTH_PER_LAYER / 12) ** (1 / 3)
    share = sequence / (6 * width)
    return share if share > _KNOWN_ATTENTION else None


def _with_attention(stated: Quantity, share: float | None) -> Quantity:
    """Widen a factor up to attention in full; a lower bound stays one."""
    ends = stated.interval
    if share is None or ends.high is None:
        return stated
    return quantity_between(ends.low, ends.high * (1 + share)) if ends.low else stated


def _six_nd(model: Model, sequence: int | None) -> Costed | None:
    stated = model.active or model.total
    if stated is None:
        return None
    ends = stated.quantity.interval
    count = ends.best or ends.low or ends.high
    assert count is not None
    scale = Quantity(interval=ends / count, spread=stated.quantity.spread)
    share = unknown_attention(model, sequence)
    cost = SampleCost(
        matrix_forward=2 * count,
        matrix_backward=4 * count,
        attention_forward=0,
        attention_backward=0,
        mask_share=1.0,
        tokens_per_sample=1,
        sigma=SIX_ND_SIGMA,
        scale=_with_attention(scale, share),
    )
    note = (
        "6 FLOP a parameter and token: attention left out, input embeddings counted; dense published "
        "models lie 0.72 to 1.31 times this"
    )
    if share is not None:
        note += f"; at {sequence:,} tokens attention may add {share:.0%}, and the interval reaches there"
    return Costed(
        cost=cost,
        assumptions=(note,),
        parameters_total=model.total.quantity.best if model.total else None,
        parameters_active=model.active.quantity.best if model.active else None,
    )


def _tokens(model: Model, sequence: int | None, sizes: dict[str, Any]) -> float | None:
    """Give the tokens of a sample: both sides of an encoder-decoder, none for images."""
    assert model.dimensions is not None
    if model.dimensions.kind in _WITHOUT_TEXT or "audio_frames" in sizes:
        return None
    length = sequence or 1
    if model.dimensions.kind == "encoder-decoder":
        return float(length + sizes.get("decoder_sequence", length))
    return float(length)

"""Known reasons why a stated total and an estimate differ by a certain factor, ranked by evidence.

Checked before a claim is called false. Many mistakes share a factor (2 alone has a handful), so what
the case says of the run speaks for some of them and against others: a mistake that the run cannot have
made (frozen weights in pre-training, experts in a dense model) ranks behind one that it invites. A fit is
a question to ask, not a correction to apply, so every fit is reported, likeliest first.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from flopledger.inputs import RunFigures
from flopledger.methods import work
from flopledger.parts import Part


@dataclass(frozen=True, kw_only=True, slots=True)
class Fingerprint:
    """One factor between a stated total and an estimate, and what would cause it."""

    code: str
    factor: float  #: stated over estimate
    tolerance: float  #: half-width, in the logarithm
    reason: str
    backed: tuple[str, ...] = ()  #: what in the case speaks for it
    opposed: tuple[str, ...] = ()  #: what in the case speaks against it
    #: how readily people make this mistake, beside others of its factor; 0 is ordinary
    weight: float = 0.0

    def rank(self, distance: float) -> float:
        """Give the order of fits, highest first; ``distance`` is that of the logarithms."""
        return self.weight + len(self.backed) - len(self.opposed) - distance / (2 * self.tolerance)

    @property
    def words(self) -> str:
        """The reason, with what speaks for it and against it."""
        sides = [
            f"{word}: {'; '.join(told)}"
            for word, told in (("for it", self.backed), ("against it", self.opposed))
            if told
        ]
        return f"{self.reason} ({'; '.join(sides)})" if sides else self.reason


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """What the case says of the run that a total is of."""

    run: RunFigures
    part: Part | None = None
    conventions: dict[str, float] = field(default_factory=dict)
    estimate: float = 1.0  #: FLOP


#: A total that equals a product of figures within this (in the logarithm) was computed so.
_EXACT = 0.012
_PREFIXES = {
    3: "thousands for units",
    6: "millions for units",
    9: "billions for units",
    12: "teraFLOP for FLOP",
    15: "petaFLOP for FLOP",
    18: "exaFLOP for FLOP",
    21: "zettaFLOP for FLOP",
}


def _prefixes() -> Iterable[Fingerprint]:
    for power, words in _PREFIXES.items():
        for sign in (1, -1):
            yield Fingerprint(
                code="unit-ambiguity",
                factor=10.0 ** (sign * power),
                tolerance=0.1,
                reason=f"a slip of a metric prefix of 10^{sign * power} ({words}, or the reverse)",
            )


#: Slips of units, whatever the run is.
UNITS = (
    *_prefixes(),
    Fingerprint(
        code="unit-ambiguity",
        factor=1 / 8.64e19,
        tolerance=0.3,
        reason="petaFLOP/s-days were written as FLOP",
    ),
    Fingerprint(
        code="unit-ambiguity",
        factor=1 / 3600,
        tolerance=0.05,
        reason="hours were taken for seconds",
    ),
    Fingerprint(
        code="unit-ambiguity", factor=1 / 24, tolerance=0.05, reason="days were taken for hours"
    ),
    Fingerprint(
        code="unit-ambiguity", factor=24.0, tolerance=0.05, reason="hours were taken for days"
    ),
    Fingerprint(
        code="unit-ambiguity",
        factor=1 / 8,
        tolerance=0.05,
        reason="a node's compute or hours stand for those of its 8 devices",
        weight=-0.5,
    ),
    Fingerprint(
        code="unit-ambiguity",
        factor=8.0,
        tolerance=0.05,
        reason="hours of a node taken for hours of each of its 8 devices, or 8 ranks that each "
        "reported the node",
        weight=-0.5,
    ),
    Fingerprint(
        code="unit-ambiguity",
        factor=4 / 3,
        tolerance=0.03,
        reason="tokens stated where words were counted",
        weight=-1.5,
    ),
    Fingerprint(
        code="unit-ambiguity",
        factor=3 / 4,
        tolerance=0.03,
        reason="words stated where tokens were counted",
        weight=-0.5,
    ),
)


def of_total(value: float, context: Context, *, spread: float) -> list[Fingerprint]:
    """List what fits a stated total of ``value`` FLOP beside the context's estimate."""
    candidates = (
        *UNITS,
        *_of_passes(context),
        *_of_size(context),
        *_of_amount(context),
        *_of_hours(value, context),
    )
    return matching(value / context.estimate, spread=spread, known=tuple(candidates))


def _is_partial(run: RunFigures) -> bool:
    return run.kind == "lora" or run.trainable_parameters is not None


def _of_passes(context: Context) -> Iterable[Fingerprint]:
    """List mistakes about what a pass is: recomputation, frozen weights, forward passes, 2 or 1 FLOP."""
    run = context.run
    partial, forward_only = _is_partial(run), run.kind in work.FORWARD_ONLY
    recomputes = run.recompute in ("full", "selective")
    yield Fingerprint(
        code="hardware-flop-claimed-as-model",
        factor=4 / 3,
        tolerance=0.06,
        reason="recomputed activations were counted: 8 instead of 6 FLOP a weight and token",
        backed=(f"the run recomputes ({run.recompute})",) if recomputes else (),
        opposed=(
            *(("nothing was recomputed, as the case says",) if run.recompute == "none" else ()),
            *(("weights are frozen: one more forward pass is 6 to 4",) if partial else ()),
            *(("only forward passes were made",) if forward_only else ()),
        ),
    )
    trained = context.conventions.get(work.ALL_TRAINED)
    if partial:
        exact = trained / context.estimate if trained else 1.5
        yield Fingerprint(
            code="frozen-parameters",
            # Software that leaves the embeddings out of N comes to less than 6 on every weight.
            factor=exact * 0.95,
            tolerance=0.13,
            reason="frozen weights were counted at 6 FLOP a weight and token, and cost 4",
            backed=(
                f"the run is of kind {run.kind}"
                if run.kind == "lora"
                else "the case states trainable parameters",
            ),
        )
    elif not forward_only:
        yield Fingerprint(
            code="frozen-parameters",
            factor=1.5,
            tolerance=0.04,
            reason="frozen weights were counted 6 instead of 4 FLOP a weight and token",
            opposed=(f"nothing says that the {run.kind} run froze any",),
            weight=-0.5 if run.kind in ("pretraining", "continued") else 0.0,
        )
    if forward_only and trained:
        yield Fingerprint(
            code="backward-counted",
            factor=trained / context.estimate,
            tolerance=0.06,
            reason="backward passes were counted where only forward ones were made",
            backed=(f"the run is of kind {run.kind}",),
        )
    yield Fingerprint(
        code="forward-only-counted",
        factor=1 / 3,
        tolerance=0.05,
        reason="only the forward pass was counted",
        opposed=("only forward passes were made",) if forward_only else (),
    )
    yield Fingerprint(
        code="utilisation-assumed",
        factor=3.0,
        tolerance=0.05,
        reason="a utilisation of 1 was assumed, or backward passes were added to a training total",
        weight=-0.5,
    )
    for factor, reason in (
        (0.5, "multiply-adds were counted as one FLOP, and are two"),
        (2.0, "multiply-adds were counted as two in a figure that had them as two already"),
    ):
        yield Fingerprint(
            code="multiply-adds-counted",
            factor=factor,
            tolerance=0.05,
            reason=reason,
            weight=0.0 if factor < 1 else -0.6,
        )


def _of_size(context: Context) -> Iterable[Fingerprint]:
    """List mistakes about which weights a token meets."""
    everything = context.conventions.get(work.ALL_EXPERTS)
    if everything:
        yield Fingerprint(
            code="experts-all-counted",
            factor=everything / context.estimate,
            tolerance=0.06,
            reason="all experts were counted, not the active ones",
            backed=("the model is a mixture of experts",),
        )
    halves = context.conventions.get(work.BOTH_HALVES)
    if halves:
        yield Fingerprint(
            code="encoder-decoder-doubled",
            factor=halves / context.estimate,
            tolerance=0.08,
            reason="every token was counted through encoder and decoder, and meets one of them",
            backed=("the model has an encoder and a decoder",),
        )


def _of_amount(context: Context) -> Iterable[Fingerprint]:
    """List mistakes about how much was trained on."""
    run = context.run
    epochs = run.epochs.quantity.best if run.epochs is not None else None
    if epochs is not None and epochs > 1.2:
        for passes in (1 / epochs, epochs):
            yield several_epochs(passes)
    length = run.sequence_length
    if length is not None and length > 16:
        for factor, words in (
            (1 / length, "samples were taken for tokens"),
            (float(length), "tokens were taken for samples"),
        ):
            yield Fingerprint(
                code="unit-ambiguity",
                factor=factor,
                tolerance=0.05,
                reason=words,
                backed=(f"a sample has {length:,} tokens",),
            )
    tokens = run.tokens.quantity.best if run.tokens is not None else None
    if tokens is not None and tokens > 1.2e12 and run.device_seconds is not None:
        yield per_trillion_tokens(tokens)


def _of_hours(value: float, context: Context) -> Iterable[Fingerprint]:
    """List other rates that the hours may have been multiplied with."""
    run, part = context.run, context.part
    seconds = run.device_seconds.quantity.best if run.device_seconds is not None else None
    precision = run.precision or "bf16"
    peak = part.peak(precision) if part is not None else None
    if part is None or peak is None or peak.high is None:
        return
    stated = [
        (one.quantity.best, word)
        for one, word in ((run.mfu, "the stated MFU"), (run.hfu, "the stated HFU"))
        if one is not None and one.quantity.best is not None
    ]
    shares = [*stated, *((each, f"an assumed {each:g}") for each in (0.3, 0.4, 0.5, 1.0))]
    for name, rate in part.other_rates(precision):
        product = next(
            (
                words
                for share, words in shares
                if seconds is not None and abs(math.log(value / (seconds * rate * share))) < _EXACT
            ),
            None,
        )
        yield Fingerprint(
            code="wrong-peak",
            factor=rate / peak.high if product is None else value / context.estimate,
            tolerance=0.04,
            reason=f"the {name} was used",
            backed=()
            if product is None
            else (f"the figure is device-hours x that peak x {product}",),
            weight=1.0 if product is not None and "stated" in product else 0.0,
            opposed=() if seconds is not None else ("no hours are stated to multiply it with",),
        )
    for share, words in shares[len(stated) :]:
        if seconds is None or share < 1:
            continue
        if abs(math.log(value / (seconds * peak.high * share))) < _EXACT:
            yield Fingerprint(
                code="utilisation-assumed",
                factor=value / context.estimate,
                tolerance=0.04,
                reason="a utilisation of 1 was assumed",
                backed=(f"the figure is device-hours x the dense peak x {words}",),
                weight=0.5,
            )


#: Factors between device-time and work (device-time over architecture).
ROUTES = (
    Fingerprint(
        code="wrong-peak",
        factor=2.0,
        tolerance=0.12,
        reason="a sparse peak, FP8 for BF16, hours of dies or cores taken for chips, or two runs in "
        "the hours",
    ),
    Fingerprint(
        code="unit-ambiguity",
        factor=0.5,
        tolerance=0.12,
        reason="an encoder-decoder whose tokens meet half of the weights, hours of chips taken for "
        "dies or cores, or half of the period",
    ),
    Fingerprint(
        code="unit-ambiguity",
        factor=8.0,
        tolerance=0.12,
        reason="hours of a node taken for hours of each of its 8 devices",
    ),
    Fingerprint(
        code="unit-ambiguity",
        factor=1 / 8,
        tolerance=0.12,
        reason="node-hours stated as device-hours (8 devices a node)",
    ),
    Fingerprint(
        code="unit-ambiguity",
        factor=1 / 4,
        tolerance=0.12,
        reason="node-hours stated as device-hours (4 devices a node)",
    ),
)


#: Beyond this factor between hours and work no downtime and no fast chip is left to explain it.
ABSURD = 20.0
#: Slips that put hours or tokens wrong by so much: (device-time over work, what was written).
_SLIPS = (
    (1 / 3600, "hours of a figure in seconds' place (or seconds divided by 3,600 twice)"),
    (3600.0, "seconds written as hours"),
    (1e-3, "hours in thousands written as hours, or tokens a thousand times too many"),
    (1e3, "tokens in thousands written as tokens, or hours a thousand times too many"),
    (1e-6, "hours in millions written as hours, or tokens a million times too many"),
    (1e6, "tokens in millions written as tokens, or hours a million times too many"),
    (1e-9, "tokens a billion times too many, such as billions written twice"),
    (1e9, "tokens in billions written as tokens, or parameters in billions"),
    (1e12, "tokens in trillions written as tokens"),
    (1 / 24, "days written as hours"),
)


def absurd(ratio: float, run: RunFigures) -> list[Fingerprint]:
    """List the slips of units that set device-time over work so far off, closest first.

    A utilisation is known to a factor of two at best, so a slip need not fit better than that.
    """
    slips = list(_SLIPS)
    count = run.device_count.quantity.best if run.device_count is not None else None
    if count is not None and count >= 4:
        words = f"hours of the clock written as device-hours (the run had {count:,.0f} devices)"
        slips.append((1 / count, words))
    if run.sequence_length is not None and run.sequence_length > 16:
        length = run.sequence_length
        slips.append((float(length), f"samples of {length:,} tokens written as tokens"))
        slips.append((1 / length, f"tokens multiplied by the {length:,} of a sample once more"))
    found = [
        Fingerprint(code="unit-ambiguity", factor=factor, tolerance=0.8, reason=reason)
        for factor, reason in slips
    ]
    return matching(ratio, spread=0.0, known=tuple(found))


def wall_for_device_hours(devices: float) -> Fingerprint:
    """Hours of the clock in the place of those of all devices."""
    return Fingerprint(
        code="unit-ambiguity",
        factor=1 / devices,
        tolerance=0.3,
        reason=f"hours of the clock stated as device-hours (the run had {devices:,.0f} devices)",
        backed=(f"{devices:,.0f} devices are stated",),
    )


def per_trillion_tokens(tokens: float) -> Fingerprint:
    """Hours that were quoted for each trillion tokens instead of the whole run."""
    return Fingerprint(
        code="unit-ambiguity",
        factor=1e12 / tokens,
        tolerance=0.12,
        reason=f"hours quoted per trillion tokens (the run processed {tokens / 1e12:.3g})",
    )


def several_epochs(epochs: float) -> Fingerprint:
    """The size of the data set in the place of all the tokens that were seen, or passes counted twice."""
    passes = max(epochs, 1 / epochs)
    return Fingerprint(
        code="dataset-size-not-trained",
        factor=epochs,
        tolerance=0.06,
        reason=f"the data set was passed over {passes:.3g} times, and "
        + (
            "its size stands for the tokens seen"
            if epochs < 1
            else "the stated tokens are its size, where the other figure holds every pass"
        ),
        backed=(f"{passes:.3g} epochs are stated",),
    )


def matching(
    ratio: float,
    *,
    spread: float,
    known: tuple[Fingerprint, ...],
    extra: tuple[Fingerprint, ...] = (),
) -> list[Fingerprint]:
    """List the fingerprints that ``ratio`` fits, likeliest first.

    ``spread`` is the standard deviation of the ratio's logarithm: a vague estimate cannot single
    out a factor, so it may widen the tolerance by half of itself at most.
    """
    distance = math.log(ratio)
    found = [
        (one.rank(abs(distance - math.log(one.factor))), one)
        for one in (*known, *extra)
        if abs(distance - math.log(one.factor)) <= one.tolerance + min(spread, one.tolerance) / 2
    ]
    ordered = sorted(found, key=lambda pair: -pair[0])
    seen: dict[tuple[str, str], Fingerprint] = {}
    for _, one in ordered:
        seen.setdefault((one.code, one.reason), one)
    return list(seen.values())

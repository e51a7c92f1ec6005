"""Mistakes about what a pass is, which weights a token meets, and how much was trained on."""

import math
from collections.abc import Iterable

from flopledger.fingerprints.fingerprint import Context, Fingerprint
from flopledger.inputs import FORWARD_ONLY, RunFigures
from flopledger.methods import work
from flopledger.verdict import PLAUSIBLE_UTILISATION

#: Shares of a mixture's parameters that a token meets: a hundredth, to half of them.
_FEW_ACTIVE, _MANY_ACTIVE = 0.01, 0.5


def _is_partial(run: RunFigures) -> bool:
    return run.kind == "lora" or run.trainable_parameters is not None


def of_passes(context: Context) -> Iterable[Fingerprint]:
    """List mistakes about what a pass is: recomputation, frozen weights, forward passes, 2 or 1 FLOP."""
    yield _recomputation(context)
    yield from _frozen_weights(context)
    yield from _forward_passes(context)
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


def _recomputation(context: Context) -> Fingerprint:
    run = context.run
    opposed = []
    if run.recompute == "none":
        opposed.append("nothing was recomputed, as the case says")
    if _is_partial(run):
        opposed.append("weights are frozen: one more forward pass is 6 to 4")
    if run.kind in FORWARD_ONLY:
        opposed.append("only forward passes were made")
    recomputes = run.recompute in ("full", "selective")
    return Fingerprint(
        code="hardware-flop-claimed-as-model",
        factor=4 / 3,
        tolerance=0.06,
        reason="recomputed activations were counted: 8 instead of 6 FLOP a weight and token",
        backed=(f"the run recomputes ({run.recompute})",) if recomputes else (),
        opposed=tuple(opposed),
    )


def _frozen_weights(context: Context) -> Iterable[Fingerprint]:
    run = context.run
    if _is_partial(run):
        trained = context.conventions.get(work.ALL_TRAINED)
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
    elif run.kind not in FORWARD_ONLY:
        yield Fingerprint(
            code="frozen-parameters",
            factor=1.5,
            tolerance=0.04,
            reason="frozen weights were counted 6 instead of 4 FLOP a weight and token",
            opposed=(f"nothing says that the {run.kind} run froze any",),
            weight=-0.5 if run.kind in ("pretraining", "continued") else 0.0,
        )


def _forward_passes(context: Context) -> Iterable[Fingerprint]:
    run = context.run
    forward_only = run.kind in FORWARD_ONLY
    trained = context.conventions.get(work.ALL_TRAINED)
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


def of_size(context: Context) -> Iterable[Fingerprint]:
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
    elif _may_have_experts(context):
        yield Fingerprint(
            code="experts-all-counted",
            factor=math.sqrt(_FEW_ACTIVE * _MANY_ACTIVE),
            tolerance=math.log(_MANY_ACTIVE / _FEW_ACTIVE) / 2,
            reason="the model is a mixture of experts, of which the case states all parameters and not the "
            "active ones (active_parameters)",
            backed=("the hours cannot hold a pass through all of them",)
            if _utilisation(context) is not None
            else (),
            weight=-1.0,
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


def _may_have_experts(context: Context) -> bool:
    """Say whether a model is known by its parameters alone, and hours do not show that a token meets all."""
    totals = context.conventions
    if "6ND" not in totals or totals.get("closed-form, no attention") != totals["6ND"]:
        return False  # dimensions say what it is
    used = _utilisation(context)
    return used is None or used > PLAUSIBLE_UTILISATION


def _utilisation(context: Context) -> float | None:
    """Give the least utilisation at which the hours hold the estimate; ``None`` without hours or a peak."""
    seconds = context.run.device_seconds
    peak = None if context.part is None else context.part.peak(context.run.precision)
    if seconds is None or peak is None or not peak.high or not seconds.quantity.interval.high:
        return None
    return context.conventions["6ND"] / (seconds.quantity.interval.high * peak.high)


def of_amount(context: Context) -> Iterable[Fingerprint]:
    """List mistakes about how much was trained on."""
    run = context.run
    if run.kind != "rl":
        for epochs in run.several_passes:
            yield several_epochs(1 / epochs)
            yield several_epochs(epochs)
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


def per_trillion_tokens(tokens: float) -> Fingerprint:
    """Hours that were quoted for each trillion tokens instead of the whole run."""
    return Fingerprint(
        code="unit-ambiguity",
        factor=1e12 / tokens,
        tolerance=0.12,
        reason=f"hours quoted per trillion tokens (the run processed {tokens / 1e12:.3g})",
    )

"""Known reasons why a claim and an estimate differ by a certain factor.

Checked before a claim is called false. A fit is a question to ask, not a correction to apply, so
every fit is reported, closest first.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Fingerprint:
    """One factor between claim and estimate, and what would cause it."""

    code: str
    factor: float  #: claim over estimate
    tolerance: float  #: half-width, in the logarithm
    reason: str


#: Generic factors; those that depend on the case (active parameters, other peaks) are added to it.
GENERIC = (
    Fingerprint(
        code="hardware-flop-claimed-as-model",
        factor=4 / 3,
        tolerance=0.06,
        reason="recomputed activations were counted: 8 instead of 6 FLOP a weight and token",
    ),
    Fingerprint(
        code="frozen-parameters",
        factor=1.5,
        tolerance=0.04,
        reason="frozen weights were counted 6 instead of 4 FLOP a weight and token",
    ),
    Fingerprint(
        code="wrong-peak",
        factor=2.0,
        tolerance=0.05,
        reason="a sparse peak, FP8 for BF16, cores for chips, or multiply-adds for FLOP",
    ),
    Fingerprint(
        code="wrong-peak",
        factor=0.5,
        tolerance=0.05,
        reason="multiply-adds counted as one, cores or dies counted as chips, or half the run",
    ),
    Fingerprint(
        code="forward-only-counted",
        factor=1 / 3,
        tolerance=0.05,
        reason="only the forward pass was counted",
    ),
    Fingerprint(
        code="utilisation-assumed",
        factor=3.0,
        tolerance=0.05,
        reason="a utilisation of 1 was assumed, or backward passes were added to a training total",
    ),
    Fingerprint(
        code="unit-ambiguity",
        factor=1000.0,
        tolerance=0.1,
        reason="a slip of a metric prefix",
    ),
    Fingerprint(
        code="unit-ambiguity",
        factor=0.001,
        tolerance=0.1,
        reason="a slip of a metric prefix",
    ),
    Fingerprint(
        code="unit-ambiguity",
        factor=1 / 8.64e19,
        tolerance=0.3,
        reason="petaFLOP/s-days were written as FLOP",
    ),
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


def per_trillion_tokens(tokens: float) -> Fingerprint:
    """Hours that were quoted for each trillion tokens instead of the whole run."""
    return Fingerprint(
        code="unit-ambiguity",
        factor=1e12 / tokens,
        tolerance=0.12,
        reason=f"hours quoted per trillion tokens (the run processed {tokens / 1e12:.3g})",
    )


def several_epochs(epochs: float) -> Fingerprint:
    """The size of the data set in the place of all the tokens that were seen."""
    return Fingerprint(
        code="dataset-size-not-trained",
        factor=epochs,
        tolerance=0.06,
        reason=f"the data set was passed over {epochs:.3g} times, and its size stands for the "
        "tokens seen",
    )


def other_peak(factor: float, name: str) -> Fingerprint:
    """A peak of another precision in the denominator or the product."""
    return Fingerprint(
        code="wrong-peak", factor=factor, tolerance=0.04, reason=f"the {name} peak was used"
    )


def matching(
    ratio: float,
    *,
    spread: float,
    known: tuple[Fingerprint, ...] = GENERIC,
    extra: tuple[Fingerprint, ...] = (),
) -> list[Fingerprint]:
    """List the fingerprints that ``ratio`` (claim over estimate) fits, closest first.

    ``spread`` is the standard deviation of the ratio's logarithm: a vague estimate cannot single
    out a factor, so it may widen the tolerance by half of itself at most.
    """
    distance = math.log(ratio)
    found = [
        (abs(distance - math.log(one.factor)), one)
        for one in (*known, *extra)
        if abs(distance - math.log(one.factor)) <= one.tolerance + min(spread, one.tolerance) / 2
    ]
    return [one for _, one in sorted(found, key=lambda pair: pair[0])]

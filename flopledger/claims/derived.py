"""Claims that were computed from the hours: their agreement with the hours confirms nothing.

Device-hours x a rate, x a peak and a stated or assumed utilisation, or the geometric mean of two routes as
databases publish it. Such a claim is no lie; it is no second line of evidence either.
"""

import math
from typing import TYPE_CHECKING

from flopledger.facts import Finding
from flopledger.text import number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flopledger.claims.claim import Claim
    from flopledger.reconcile import RunAudit

#: A claim this near (in the logarithm) to a product of stated figures is that product.
_DERIVED = 0.01
#: A figure printed more coarsely than this share of it agrees with too much to be recognised.
_COARSE = 0.03
#: Utilisations that guidelines and databases assume where nobody measured one.
_ASSUMED = (0.3, 0.4, 0.5)


def derived(claim: "Claim", run: "RunAudit", totals: "Sequence[float]") -> list[Finding]:
    """Notice a claim that is device-time x a rate: it agrees with the hours by construction.

    Only where it is not the count as well (``totals``, by each convention): a figure that two routes
    give is nobody's derivation.
    """
    value = claim.flop.best
    if value is None:
        return []
    if any(abs(math.log(value / figure)) < _DERIVED for figure in totals if figure > 0):
        return []
    seconds = run.figures.device_seconds
    hours = seconds.quantity.best if seconds is not None else None
    products = _products(run)
    words = next(
        (
            name
            for name, rate in products
            if hours is not None and _is_printed_of(claim, hours * rate)
        ),
        None,
    )
    if words is None:
        words = _geometric_mean(value, run)
    if words is None:
        return []
    message = (
        f"the claim of {number(value, 4)} FLOP is {words}: its agreement with the hours confirms "
        "nothing where it was derived from them"
    )
    return [
        Finding(code="circular-evidence", severity="info", message=message, evidence=(claim.place,))
    ]


def _is_printed_of(claim: "Claim", figure: float) -> bool:
    """Say whether the claim is ``figure`` as people print it: rounded, or cut after its last digit."""
    value, low, high = claim.flop.best, claim.flop.low, claim.flop.high
    assert value is not None
    if abs(math.log(value / figure)) < _DERIVED:
        return True
    if low is None or high is None or (high - low) / value > _COARSE:
        return False
    return low <= figure <= value + (high - low)


def _products(run: "RunAudit") -> list[tuple[str, float]]:
    """List the rates a device that a claim may have been multiplied up from."""
    figures, found = run.figures, []
    rate = figures.device_rate.quantity.best if figures.device_rate is not None else None
    if rate is not None:
        found.append(("device-hours x the stated FLOP/s", rate))
    peak = run.part.peak(figures.precision) if run.part is not None else None
    if peak is None or peak.best is None:
        return found
    for stated, word in ((figures.mfu, "MFU"), (figures.hfu, "HFU")):
        if stated is not None and stated.quantity.best is not None:
            found.append(
                (f"device-hours x peak x the stated {word}", peak.best * stated.quantity.best)
            )
    found += [
        (f"device-hours x peak x an assumed {share:g}", peak.best * share) for share in _ASSUMED
    ]
    return found


def _geometric_mean(value: float, run: "RunAudit") -> str | None:
    """Notice a figure between two routes: their geometric mean, as databases publish it."""
    for pair in run.pairs:
        one, two = pair.first.flop.best, pair.second.flop.best
        if one is None or two is None or abs(math.log(one / two)) < 0.1 or pair.second.from_prior:
            continue
        if abs(math.log(value / math.sqrt(one * two))) < _DERIVED:
            return f"the geometric mean of {pair.first.method} and {pair.second.method}"
    return None

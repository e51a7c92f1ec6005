"""A claim's figure against the words that it was taken from: an exponent or a prefix slips easily."""

import math

from flopledger import flop_words
from flopledger.claims.claim import Claim
from flopledger.facts import Finding
from flopledger.text import factor, number

#: People round what they copy.
_ROUNDED = 1.06


def misquoted(claim: Claim | None) -> list[Finding]:
    """Ask, where the claim's statement names amounts of FLOP and none is the claim's figure."""
    if claim is None or not claim.statement:
        return []
    said = [one for one in flop_words.amounts(claim.statement) if one > 0]
    ranges = flop_words.ranges(claim.statement)
    if any(_is_same(one, claim) for one in said) or any(_meets(one, claim) for one in ranges):
        return []
    said += [end for one in ranges for end in one]
    if not said:
        return []
    nearest = min(said, key=lambda one: _distance(one, claim))
    within = next((one for one in ranges if nearest in one), None)
    shown = number(nearest) if within is None else f"{number(within[0])} to {number(within[1])}"
    message = (
        f"the claim's statement says {shown} FLOP, and claim.flop is {_shown(claim)}: a factor "
        f"{factor(math.exp(_distance(nearest, claim)))}; one of the two is copied or converted wrongly"
    )
    return [
        Finding(
            code="claim-misquoted", severity="warning", message=message, evidence=(claim.place,)
        )
    ]


def _ends(claim: Claim) -> list[float]:
    return [one for one in (claim.flop.low, claim.flop.best, claim.flop.high) if one]


def _distance(said: float, claim: Claim) -> float:
    """Give how far (in the logarithm) a figure lies outside of what is claimed."""
    low, high = claim.flop.low or 0.0, claim.flop.high or math.inf
    if low <= said <= high:
        return 0.0
    return min(abs(math.log(said / end)) for end in _ends(claim))


def _is_same(said: float, claim: Claim) -> bool:
    return _distance(said, claim) <= math.log(_ROUNDED)


def _meets(range_: tuple[float, float], claim: Claim) -> bool:
    """Say whether a claim lies in the range that the statement gives."""
    low, high = range_[0] / _ROUNDED, range_[1] * _ROUNDED
    return all(low <= end <= high for end in _ends(claim))


def _shown(claim: Claim) -> str:
    best = claim.flop.best
    return number(best) if best else " to ".join(number(one) for one in _ends(claim))

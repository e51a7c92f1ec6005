"""A claim's figure against the words that it was taken from: an exponent or a prefix slips easily."""

import math
from itertools import combinations

from flopledger import flop_words
from flopledger.claims.claim import Claim
from flopledger.claims.said_limits import said_limits
from flopledger.facts import Finding
from flopledger.text import factor, number

#: People round what they copy.
_ROUNDED = 1.06
_FEW = 6  #: amounts of one statement whose sums are looked at


def misquoted(claim: Claim | None) -> list[Finding]:
    """Ask, where the claim's statement names amounts of FLOP and none is the claim's figure."""
    if claim is None or not claim.statement:
        return []
    said = [one for one in flop_words.amounts(claim.statement) if one > 0]
    ranges = flop_words.ranges(claim.statement)
    same = [*said, *flop_words.beside(claim.statement), *_sums(said)]
    if any(_is_same(one, claim) for one in same) or any(_meets(one, claim) for one in ranges):
        return []
    broken = _beyond_its_words(claim)
    if broken:
        return broken
    said += [end for one in ranges for end in one]
    if not said:
        return []
    nearest = min(said, key=lambda one: _distance(one, claim))
    within = next((one for one in ranges if nearest in one), None)
    shown = number(nearest) if within is None else f"{number(within[0])} to {number(within[1])}"
    times = factor(math.exp(_distance(nearest, claim)))
    return [
        _asked(
            claim,
            f"{shown} FLOP",
            f"a factor {times}; one of the two is copied or converted wrongly",
        )
    ]


def _asked(claim: Claim, shown: str, why: str) -> Finding:
    message = f"the claim's statement says {shown}, and claim.flop is {_shown(claim)}: {why}"
    return Finding(
        code="claim-misquoted", severity="warning", message=message, evidence=(claim.place,)
    )


def _beyond_its_words(claim: Claim) -> list[Finding]:
    """Ask about a claim that lies beyond the end which its own words give it."""
    low, high = claim.flop.low or 0.0, claim.flop.high or math.inf
    if claim.flop.best is not None and not claim.is_range:
        low = high = claim.flop.best
    broken = [
        one for one in said_limits(claim.statement or "") if one.is_broken_by(low, high, _ROUNDED)
    ]
    return [
        _asked(
            claim,
            f"{'less' if one.is_upper else 'more'} than {number(one.flop)} FLOP",
            "one of the two is copied or converted wrongly",
        )
        for one in broken[:1]
    ]


def _sums(said: list[float]) -> list[float]:
    """Give what several amounts come to together: a statement may name phases, and the claim all of them."""
    few = said[:_FEW]
    return [math.fsum(some) for size in range(2, len(few) + 1) for some in combinations(few, size)]


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

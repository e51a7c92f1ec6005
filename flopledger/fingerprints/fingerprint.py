"""What a fingerprint is: a factor, its cause, and what the case says for it and against it."""

import math
from dataclasses import dataclass, field

from flopledger.inputs import RunFigures
from flopledger.methods.passes import Pass
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
    #: passes beside training, and the training alone (FLOP), where the case names any
    passes: tuple[Pass, ...] = ()
    trained: float | None = None


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

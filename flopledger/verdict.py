"""From the numbers to a verdict, by bands that are written down here and nowhere else.

A verdict is the worst of its tests. ``undetermined`` is given when no test of the claim could be
made: refusing is a result.

| test | consistent | needs explanation | inconsistent |
|---|---|---|---|
| routes against one another | 99% band | up to 4 sigma | beyond |
| implied utilisation | up to 0.60 | up to 0.80 | above (1 is impossible) |
| claim against the estimate | within 15% of a convention | up to a factor 1.5 | beyond |
| claim against what hours allow | below the ceiling | - | above |

The claim's bands begin where the estimate's own 95% doubt ends. 0.60 is above every whole-run
utilisation of the disclosures but two suspect ones; no published kernel sustains 0.80 over a run.
"""

from enum import StrEnum

AGREE_Z = 2.33
EXPLAIN_Z = 4.0
PLAUSIBLE_UTILISATION = 0.60
SUSTAINABLE_UTILISATION = 0.80
CLAIM_AGREES = 1.15
CLAIM_EXPLAINABLE = 1.5
#: The margin that the EU guidelines (annex A.2) allow a reported figure.
EU_MARGIN = 0.30


class Verdict(StrEnum):
    """Does the claim hold?"""

    CONSISTENT = "consistent"
    NEEDS_EXPLANATION = "needs-explanation"
    INCONSISTENT = "inconsistent"
    UNDETERMINED = "undetermined"


_ORDER = (Verdict.CONSISTENT, Verdict.NEEDS_EXPLANATION, Verdict.INCONSISTENT)


def worst(verdicts: list[Verdict]) -> Verdict:
    """Give the worst of several tests; no test at all is ``undetermined``."""
    judged = [verdict for verdict in verdicts if verdict is not Verdict.UNDETERMINED]
    return max(judged, key=_ORDER.index, default=Verdict.UNDETERMINED)


def of_z(z: float) -> Verdict:
    """Judge two routes by their distance in standard deviations."""
    if abs(z) <= AGREE_Z:
        return Verdict.CONSISTENT
    return Verdict.NEEDS_EXPLANATION if abs(z) <= EXPLAIN_Z else Verdict.INCONSISTENT


def of_utilisation(utilisation: float) -> Verdict:
    """Judge a utilisation at the precision in use (its lowest, where it is a range)."""
    if utilisation <= PLAUSIBLE_UTILISATION:
        return Verdict.CONSISTENT
    if utilisation <= SUSTAINABLE_UTILISATION:
        return Verdict.NEEDS_EXPLANATION
    return Verdict.INCONSISTENT


def of_claim(distance: float) -> Verdict:
    """Judge the factor (at least 1) that is left between claim and estimate after its doubt."""
    if distance <= CLAIM_AGREES:
        return Verdict.CONSISTENT
    return Verdict.NEEDS_EXPLANATION if distance <= CLAIM_EXPLAINABLE else Verdict.INCONSISTENT


def zone(reported: float, threshold: float) -> str:
    """Place a bare reported figure under the guidelines' margin of 30% of the report.

    A report R is compatible with any truth in [0.7 R, 1.3 R]: below if even 1.3 R stays below the
    threshold, above if even 0.7 R exceeds it.
    """
    if reported * (1 + EU_MARGIN) < threshold:
        return "below"
    return "above" if reported * (1 - EU_MARGIN) > threshold else "indeterminate"

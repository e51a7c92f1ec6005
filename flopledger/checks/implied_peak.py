"""The peak that a log's own MFU was computed against, recovered and checked.

A printed MFU names no peak, but rate / MFU does. Where the part is known the peak must be its dense
one; where it is not, peak and memory together often name the part.
"""

import hardware_db
from flopledger.facts import Finding
from flopledger.inputs import RunFigures
from flopledger.logs import Resolved, RunFacts
from flopledger.parts import TRAINING_PRECISIONS, Part
from flopledger.text import number

_AGREES = 0.005  #: printed rates and percentages carry three to four digits
#: Reported memory over nominal: reserved pages take some of it, GiB against GB the rest.
_MEMORY_SHARE = (0.92, 1.02)


def check(run: RunFigures, found: RunFacts, part: Part | None) -> list[Finding]:
    """Compare the peak behind a printed MFU with the part's, or name the parts it fits."""
    implied = found.implied_peak_flop_per_second
    beyond = _beyond_one(run, found)
    if implied is None:
        return beyond
    if part is not None and part.candidates:
        return [*beyond, *_against_part(run, implied, part)]
    return [*beyond, *_name_part(run, implied, found.implied_memory_bytes)]


def _beyond_one(run: RunFigures, found: RunFacts) -> list[Finding]:
    """Notice an MFU above 1 in a log: no device exceeds its peak, so the peak is another one's."""
    printed = found.claimed_mfu
    if printed is None or printed.number <= 1:
        return []
    message = (
        f"run {run.name}: the log prints an MFU of {printed.number:.0%}, which no device reaches: its "
        "peak is of another part or precision; the figure was not used"
    )
    return [
        Finding(
            code="wrong-peak", severity="warning", message=message, evidence=(printed.derivation,)
        )
    ]


def _against_part(run: RunFigures, implied: Resolved, part: Part) -> list[Finding]:
    place = (implied.derivation,)
    precision = run.precision or "bf16"
    checks = [
        hardware_db.explain_peak(implied.number, candidate, precision)
        for candidate in part.candidates
    ]
    if any(check.correct for check in checks):
        return []
    texts = [one.text for check in checks for one in check.explanations]
    why = "; ".join(dict.fromkeys(texts)) or "no known confusion explains it"
    rated = part.peak(precision)
    message = (
        f"run {run.name}: the log's MFU assumes a peak of {number(implied.number, 4)} FLOP/s, but the "
        f"dense {precision} peak of {part.spelled} is "
        f"{'not on record' if rated is None else number(rated.low, 4)}: {why}"
    )
    return [Finding(code="wrong-peak", severity="warning", message=message, evidence=place)]


def _name_part(run: RunFigures, implied: Resolved, memory: Resolved | None) -> list[Finding]:
    fits = [
        f"{part.name} ({precision})"
        for part in hardware_db.accelerators()
        for precision in TRAINING_PRECISIONS
        if _has_peak(part, precision, implied.number) and _has_memory(part, memory)
    ]
    shown = "; ".join(sorted(set(fits))) or "no part on record"
    beside = "" if memory is None else f" and {number(memory.number / 2**30, 4)} GiB of memory"
    message = (
        f"run {run.name}: the log names no accelerator; its MFU assumes a peak of "
        f"{number(implied.number, 4)} FLOP/s{beside}: {shown}"
    )
    return [
        Finding(
            code="peak-inferred", severity="info", message=message, evidence=(implied.derivation,)
        )
    ]


def _has_peak(part: hardware_db.Accelerator, precision: str, claimed: float) -> bool:
    try:
        peak = part.peak_flop_per_second(precision)
    except hardware_db.HardwareError:
        return False
    return abs(peak / claimed - 1) <= _AGREES


def _has_memory(part: hardware_db.Accelerator, memory: Resolved | None) -> bool:
    if memory is None or part.memory_gb is None:
        return True
    nominal = part.memory_gb * 1e9
    low, high = _MEMORY_SHARE
    # A nominal "80 GB" may be decimal or binary.
    return low * nominal <= memory.number <= high * nominal * 2**30 / 1e9

"""The headline about thresholds: what is surely passed, and what is undecided above it."""

from collections.abc import Sequence

from flopledger.reports.document import Stat
from flopledger.text import chance, round_number

#: From here on a threshold is said to be passed: it lies below the whole of the 90% interval.
PASSED = 0.95


def highest(rows: Sequence[tuple[str, float, float | None]], *, not_known: str) -> Stat:
    """Name the highest threshold that is passed; ``rows`` hold id, threshold and P(exceeded).

    ``not_known`` is the note where some probability is not known.
    """
    label = "Highest threshold passed"
    known = [(name, limit, odds) for name, limit, odds in rows if odds is not None]
    passed = [one for one in known if one[2] >= PASSED]
    top = max(passed, key=lambda one: one[1], default=None)
    between = [
        f"{name}, P(exceeded) {chance(odds)}"
        for name, limit, odds in known
        if 1 - PASSED < odds < PASSED and (top is None or limit >= top[1])
    ]
    undecided = f"undecided: {'; '.join(between)}" if between else ""
    if top is not None:
        note = f"{top[0]}, P(exceeded) {chance(top[2])}"
        value = round_number(top[1])
        return Stat(label=label, value=value, note="; ".join(filter(None, (note, undecided))))
    if rows and len(known) == len(rows):
        return Stat(label=label, value="none", note=undecided or "of the regimes below")
    return Stat(label=label, value="not known", note=not_known)

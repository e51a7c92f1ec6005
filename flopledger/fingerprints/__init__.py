"""Known reasons why a stated total and an estimate differ by a certain factor, ranked by evidence.

Checked before a claim is called false. Many mistakes share a factor (2 alone has a handful), so what
the case says of the run speaks for some of them and against others: a mistake that the run cannot have
made (frozen weights in pre-training, experts in a dense model) ranks behind one that it invites. A fit is
a question to ask, not a correction to apply, so every fit is reported, likeliest first.
"""

from flopledger.fingerprints import amounts, beside, rates
from flopledger.fingerprints.amounts import per_trillion_tokens, several_epochs
from flopledger.fingerprints.beside import Counted, of_runs
from flopledger.fingerprints.fingerprint import Context, Fingerprint, matching
from flopledger.fingerprints.rates import (
    ABSURD,
    ROUTES,
    absurd,
    absurd_energy,
    wall_for_device_hours,
)
from flopledger.fingerprints.units import UNITS

__all__ = [
    "ABSURD",
    "ROUTES",
    "UNITS",
    "Context",
    "Counted",
    "Fingerprint",
    "absurd",
    "absurd_energy",
    "matching",
    "of_runs",
    "of_total",
    "per_trillion_tokens",
    "several_epochs",
    "wall_for_device_hours",
]


def of_total(value: float, context: Context, *, spread: float) -> list[Fingerprint]:
    """List what fits a stated total of ``value`` FLOP beside the context's estimate."""
    candidates = (
        *UNITS,
        *amounts.of_passes(context),
        *amounts.of_size(context),
        *amounts.of_amount(context),
        *rates.of_hours(value, context),
        *rates.of_the_clock(context),
        *beside.of_passes(context),
    )
    return matching(value / context.estimate, spread=spread, known=tuple(candidates))

"""The totals that an honest claim may be of, added up from the runs of a case (design/129)."""

from typing import TYPE_CHECKING

from flopledger import ledgers, scope
from flopledger.claims.which_total import Reading
from flopledger.combine import Combined
from flopledger.estimate import Draws
from flopledger.ledgers import Original
from flopledger.quantity import Quantity
from flopledger.reconcile import RunAudit

if TYPE_CHECKING:
    from collections.abc import Callable


def of_case(runs: list[RunAudit], draws: Draws, original: Original | None) -> list[Reading]:
    """Give the totals that an honest claim may be of, by what the runs' own documents come to."""
    base = None if original is None else original.flop

    def of(ledger: str, start: Quantity | None = None) -> Combined | None:
        return ledgers.total(runs, draws, ledger, start, documented=True)

    found = [
        Reading(name="the compute that updated parameters", total=of("parameter_update")),
        Reading(name="the cumulative compute", total=of("eu_cumulative")),
    ]
    if original is not None:
        name = "the cumulative compute with the original's"
        total = None if base is None else of("eu_cumulative", base)
        found.append(Reading(name=name, total=total, base=original.held))
    return found + _with_what_none_counts(runs, of, base)


def _with_what_none_counts(
    runs: list[RunAudit],
    of: "Callable[[str, Quantity | None], Combined | None]",
    base: Quantity | None,
) -> list[Reading]:
    """Give the total of all listed runs, where no ledger counts some: who adds them says nothing false."""
    extra = [run.figures.name for run in runs if not scope.counts(run.figures, "eu_cumulative")]
    if not extra or len(extra) == len(runs):
        return []
    name = f"everything that the case lists, with what no ledger counts ({', '.join(extra)})"
    total = of(scope.EVERYTHING, None)
    found = [Reading(name=name, total=total, ledger=scope.EVERYTHING)]
    if base is not None:
        total = of(scope.EVERYTHING, base)
        name = f"{name} and the original's"
        found.append(Reading(name=name, total=total, base=base, ledger=scope.EVERYTHING))
    return found

"""Runs that rest on the same document, or on two logs of one training: it is counted twice."""

from collections.abc import Iterable
from itertools import combinations, product

from flopledger.facts import Finding
from flopledger.reconcile import RunAudit

#: A document that gives one of these is of one run; a system description or a model serves many.
_OF_ONE_RUN = frozenset(
    {"tokens", "samples", "steps", "timed_seconds", "seen_seconds", "started", "claimed_flop"}
)


def findings(runs: list[RunAudit]) -> list[Finding]:
    """Name each pair of runs whose amounts or times were read from one training's documents."""
    found = []
    for one, two in combinations(runs, 2):
        message, places = _same_bytes(one, two) or _same_losses(one, two) or ("", ())
        if not message:
            continue
        found.append(
            Finding(
                code="shared-evidence",
                severity="warning",
                message=f"runs {one.figures.name} and {two.figures.name} {message}: if it is of one run, "
                "its compute is counted twice",
                evidence=places,
            )
        )
        if len(found) >= _PAIRS:
            break
    return found


def _same_bytes(one: RunAudit, two: RunAudit) -> tuple[str, tuple[str, str]] | None:
    mine, theirs = _documents(one), _documents(two)
    shared = sorted(set(mine) & set(theirs))
    if not shared:
        return None
    places = (mine[shared[0]], theirs[shared[0]])
    return f"rest on the same document ({' = '.join(dict.fromkeys(places))})", places


def _same_losses(one: RunAudit, two: RunAudit) -> tuple[str, tuple[str, str]] | None:
    """Find two logs of one training: stamps are changed in a minute, losses follow from the data."""
    named = set(_names(one)), set(_names(two))
    for mine, theirs in product(one.evidence_losses.items(), two.evidence_losses.items()):
        if mine[0] not in named[0] or theirs[0] not in named[1]:
            continue
        if not mine[1].isdisjoint(theirs[1]):
            places = (mine[0], theirs[0])
            return (
                f"rest on logs that print the same losses one after the other ({' and '.join(places)})",
                places,
            )
    return None


#: So many pairs are named; the rest says the same.
_PAIRS = 20


def _documents(run: RunAudit) -> dict[str, str]:
    """Give digest -> name of the documents that speak of this run alone."""
    named = set(_names(run))
    return {digest: name for name, digest in run.evidence_digests.items() if name in named}


def _names(run: RunAudit) -> Iterable[str]:
    return (fact.file for fact in run.facts if fact.name in _OF_ONE_RUN)

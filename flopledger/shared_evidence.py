"""Runs that rest on the same document: one run handed in twice is counted twice."""

from collections.abc import Iterable
from itertools import combinations

from flopledger.facts import Finding
from flopledger.reconcile import RunAudit

#: A document that gives one of these is of one run; a system description or a model serves many.
_OF_ONE_RUN = frozenset(
    {"tokens", "samples", "steps", "timed_seconds", "seen_seconds", "started", "claimed_flop"}
)


def findings(runs: list[RunAudit]) -> list[Finding]:
    """Name each pair of runs whose amounts or times were read from the very same bytes."""
    found = []
    for one, two in combinations(runs, 2):
        mine, theirs = _documents(one), _documents(two)
        shared = sorted(set(mine) & set(theirs))
        if not shared:
            continue
        places = (mine[shared[0]], theirs[shared[0]])
        found.append(
            Finding(
                code="shared-evidence",
                severity="warning",
                message=f"runs {one.figures.name} and {two.figures.name} rest on the same document "
                f"({' = '.join(dict.fromkeys(places))}): if it is of one run, its compute is counted "
                "twice",
                evidence=places,
            )
        )
        if len(found) >= _PAIRS:
            break
    return found


#: So many pairs are named; the rest says the same.
_PAIRS = 20


def _documents(run: RunAudit) -> dict[str, str]:
    """Give digest -> name of the documents that speak of this run alone."""
    named = set(_names(run))
    return {digest: name for name, digest in run.evidence_digests.items() if name in named}


def _names(run: RunAudit) -> Iterable[str]:
    return (fact.file for fact in run.facts if fact.name in _OF_ONE_RUN)

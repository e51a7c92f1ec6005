"""Accounts of device-time in one run's evidence, against each other and against what the logs took."""

from flopledger.facts import Fact, Finding, Grade
from flopledger.logs.checks import differ
from flopledger.logs.evidence import Evidence
from flopledger.logs.run_facts import Resolved
from flopledger.text import number

#: Who gave the devices, for how long: the whole of a job, and nothing that it did not have.
_SCHEDULERS = frozenset(
    {"slurm-sacct", "slurm-seff", "pbs-accounting", "pbs-status", "lsf", "job-report"}
)
#: Accounts that hold so much less, or so many times more, than the logs took are of another job, or the
#: logs are of a part of it: what is billed beside steps is up to half as much again.
_HELD_LESS, _HELD_MORE = 0.95, 2.0


def several(evidence: Evidence) -> tuple[Fact, ...]:
    """Give accounts of device-time that differ: of parts of one run, or of the same hours told twice."""
    facts = evidence.named("accelerator_seconds")
    best = min((list(Grade).index(fact.grade) for fact in facts), default=None)
    accounts = [fact for fact in facts if list(Grade).index(fact.grade) == best]
    first_of = {fact.file: fact for fact in reversed(accounts)}
    if len(first_of) < 2 or not any(differ(accounts[0].value, fact.value) for fact in accounts):
        return ()
    return tuple(first_of[fact.file] for fact in accounts if first_of[fact.file] is fact)


def compared(evidence: Evidence) -> list[Finding]:
    """Say so where several accounts of device-time do not agree."""
    different = several(evidence)
    if not different:
        return []
    words = "; ".join(
        f"{number(float(fact.value) / 3600)} h ({fact.place})" for fact in different[:6]
    )
    return [
        Finding(
            code="device-time-mismatch",
            severity="warning",
            message=f"accounts of device-hours differ: {words}. Parts of one run add up, and the same hours "
            "may be told twice: their sum is an upper bound; make each part a [[run]], or give one account",
            evidence=tuple(fact.place for fact in different),
        )
    ]


def held(evidence: Evidence, used: Resolved | None) -> list[Finding]:
    """Hold what a scheduler's account says was held against what the logs took."""
    if used is None or not used.number or used.bound == "at most":
        return []
    if not any(_is_log(evidence, file) for one in used.facts for file in one.file.split(", ")):
        return []  # a recording may be of a part, which its own checks judge
    found = []
    for fact in evidence.named("accelerator_seconds"):
        source = evidence.sources.get(fact.file)
        if fact in used.facts or source is None or source.format not in _SCHEDULERS:
            continue
        ratio = float(fact.value) / used.number
        if ratio >= _HELD_LESS and (ratio <= _HELD_MORE or used.bound == "at least"):
            continue
        reading = (
            "the account is of another job or of one of several, or the logs are of more than it"
            if ratio < 1
            else "the logs are of a part of the jobs, or the devices were held for something else"
        )
        found.append(
            Finding(
                code="device-time-mismatch",
                severity="warning",
                message=f"{number(float(fact.value) / 3600)} device-hours were held, and the logs took "
                f"{number(used.number / 3600)}: {reading}",
                evidence=(fact.place, *(one.place for one in used.facts)),
            )
        )
    return found[:1]


def _is_log(evidence: Evidence, file: str) -> bool:
    source = evidence.sources.get(file)
    return source is not None and (source.format or "").endswith("-log")

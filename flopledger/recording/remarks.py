"""What a reader of a run's totals must know beside the figures."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from flopledger.recording.attempts import (
    Training,
    last_activity,
    left_behind,
    missing_ranks,
)
from flopledger.recording.stepless import Stepless
from flopledger.recording.totals import AttemptTotals, RunFinding
from profilers.steps.record.ledger import ProcessSteps, Unread

if TYPE_CHECKING:
    from flopledger.recording.tallying import Tally

CODES = frozenset(
    {
        "cost-unknown", "forwards-without-steps", "gradients-without-steps", "ledger-broken",
        "ledger-unread", "order-unclear",
        "ranks-missing", "recorded-twice", "recording-interrupted", "resume-step-unknown",
        "several-trainings", "steps-left-behind", "steps-overlap", "steps-redone", "tokens-missing",
        "uncounted-operations",
    }
)  # fmt: skip
"""What is said here of the ledgers as they are; whoever reads them anew need not repeat older words."""
MOST = 100
"""Findings of one kind; a run of ten thousand ranks would repeat itself."""


def remarks(
    found: Sequence[Training],
    tallies: Sequence["Tally"],
    attempts: Sequence[AttemptTotals],
    twice: Sequence[ProcessSteps],
    unread: Sequence[Unread],
    lost: int,
    idle: Stepless,
) -> tuple[RunFinding, ...]:
    """Return the findings of a run, worst first."""
    every = [
        *_unread(unread),
        *_damage(tallies, lost),
        *_overlapping(tallies),
        *_missing_ranks(found),
        *_stepless(idle),
        *_unknown(tallies),
        *_history(attempts),
        *_left_behind(found),
        *_twice(twice),
        *_notes(tallies),
    ]
    order = {"error": 0, "warning": 1, "info": 2}
    return tuple(sorted(every, key=lambda finding: order.get(finding.severity, 3)))


def _unread(ledgers: Sequence[Unread]) -> Iterator[RunFinding]:
    if ledgers:
        yield RunFinding(
            code="ledger-unread",
            severity="error",
            message=f"{_many(len(ledgers), 'step ledger')} cannot be read at all (the first: "
            f"{ledgers[0].reason}): the totals are lower bounds",
            evidence=tuple(f"{one.folder}: {one.reason}" for one in ledgers[:MOST]),
        )


def _damage(tallies: Sequence["Tally"], lost: int) -> Iterator[RunFinding]:
    broken, open_ = [], []
    for tally in tallies:
        process = tally.process
        torn = [p for p in process.problems if "cut short" in p]
        wrong = [p for p in process.problems if "cut short" not in p]
        if wrong:
            broken.append(f"{process.folder.name}: {wrong[0]}")
        elif process.refused is None and (process.sealed is None or torn):
            open_.append(process.folder.name)
    if broken:
        yield RunFinding(
            code="ledger-broken",
            severity="error",
            message=f"{_many(len(broken), 'step ledger')} cannot be read to the end: changed, "
            "damaged, or written by another version; what comes before the damage is counted",
            evidence=tuple(broken[:MOST]),
        )
    refused = [tally.process for tally in tallies if tally.process.refused is not None]
    if refused:
        yield RunFinding(
            code="steps-lost",
            severity="error",
            message=f"the disk took nothing more from {_many(len(refused), 'process', 'processes')} "
            f"({refused[0].refused}): what they did after their last line is in no figure, and the "
            "totals are lower bounds",
            evidence=tuple(process.folder.name for process in refused[:MOST]),
        )
    if open_:
        told = (
            f"; {_many(lost, 'step')} of theirs, which other ranks did, too, or which a checkpoint "
            f"holds from which a later process went on, {'is' if lost == 1 else 'are'} missing: they "
            "are in the bounds, too"
            if lost
            else ""
        )
        yield RunFinding(
            code="recording-interrupted",
            severity="warning",
            message=f"{_many(len(open_), 'process', 'processes')} left the ledger open "
            "(killed, still running, or a full disk): what came after the last line is missing, about "
            "a second of steps after a kill. The figures are of what was written; the upper ends of the "
            f"bounds hold as many steps more as fit into two seconds{told}",
            evidence=tuple(open_[:MOST]),
        )


def _overlapping(tallies: Sequence["Tally"]) -> Iterator[RunFinding]:
    """One process does one step after another: no more seconds of steps than passed."""
    wrong = []
    for tally in tallies:
        passed = max(0.0, (last_activity(tally.process) - tally.process.wall_ns) / 1e9)
        steps = (tally.step_us + tally.redone_us) / 1e6
        if steps > 1.05 * passed + 2.0:
            wrong.append(f"{tally.process.folder.name}: {steps:.4g} s of steps, of {passed:.4g} s")
    if wrong:
        yield RunFinding(
            code="steps-overlap",
            severity="error",
            message=f"{_many(len(wrong), 'process', 'processes')} did more seconds of steps than passed "
            f"from the start to the last one ({wrong[0]}): the ledger contradicts itself, and no figure "
            "that rests on its times (MFU, rates, durations) can be believed",
            evidence=tuple(wrong[:MOST]),
        )


def _missing_ranks(found: Sequence[Training]) -> Iterator[RunFinding]:
    lacking = (
        (training.attempts[place], gone)
        for training in found
        for place, gone in missing_ranks(training).items()
    )
    for attempt, gone in islice(lacking, MOST):
        told = ", ".join(map(str, gone.first)) + (" ..." if gone.count > len(gone.first) else "")
        yield RunFinding(
            code="ranks-missing",
            severity="warning",
            message=f"{gone.count} of {attempt.world_size} ranks left no ledger here ({told}): the "
            "totals are lower bounds; copy the other nodes' steps/ into this folder's, or name their "
            "folders beside this one as evidence. A rank that makes no optimizer (rollouts, an evaluation, a "
            "pipeline's frozen stage) leaves one only where it calls flopledger.record() itself",
        )


def _stepless(idle: Stepless) -> Iterator[RunFinding]:
    if idle.folders:
        many = _many(len(idle.folders), "process", "processes")
        most = _number_of(idle.sent)
        yield RunFinding(
            code="gradients-without-steps",
            severity="warning",
            message=f"{many} computed gradients ({most} FLOP) and stepped no optimizer, while others "
            "did: whether that was training (gradients that were sent to another rank, frozen layers of a "
            "pipeline) or a step that was broken off, nobody can tell; it is in the upper ends of the bounds "
            "alone",
            evidence=idle.folders[:MOST],
        )
    if idle.alone:
        many = _many(len(idle.alone), "process", "processes")
        yield RunFinding(
            code="gradients-without-steps",
            severity="warning",
            message=f"{many} computed gradients, and no torch.optim.Optimizer stepped anywhere: weights "
            "that are updated in another way (by hand, by functional optimizers inside of a backward) make "
            "no step that could be seen; say run.step() after each",
            evidence=idle.alone[:MOST],
        )
    if idle.answering:
        many = _many(len(idle.answering), "process", "processes")
        yield RunFinding(
            code="forwards-without-steps",
            severity="warning",
            message=f"{many} computed forwards alone ({_number_of(idle.answered)} FLOP) and stepped no "
            "optimizer, while others did: whether that was training (frozen stages of a pipeline) or answers "
            "to others (in eval mode and without gradients they would be an evaluation, and in no total), "
            "nobody can tell; it is in the upper ends of the bounds alone",
            evidence=idle.answering[:MOST],
        )


def _unknown(tallies: Sequence["Tally"]) -> Iterator[RunFinding]:
    unknown: Counter[tuple[str, str]] = Counter()
    uncounted: Counter[str] = Counter()
    no_tokens = False
    for tally in tallies:
        for cost in tally.process.costs.values():
            if not cost.known:
                unknown[cost.model, cost.reason or "nobody said why"] += 1
            uncounted.update(cost.uncounted)
        no_tokens |= tally.tokens.known.size < tally.steps - tally.redone_steps
    for (model, reason), kinds in unknown.most_common(MOST):
        yield RunFinding(
            code="cost-unknown",
            severity="warning",
            message=f"{_many(kinds, 'kind')} of calls of {model} could not be counted: {reason}",
        )
    if uncounted:
        names = ", ".join(name for name, _ in uncounted.most_common(8))
        yield RunFinding(
            code="uncounted-operations",
            severity="warning",
            message=f"no rule covers {names}: figures with these operations have bounds",
        )
    if no_tokens:
        yield RunFinding(
            code="tokens-missing",
            severity="info",
            message="not every step's tokens are known: say them with run.step(tokens=...)",
        )


def _history(attempts: Sequence[AttemptTotals]) -> Iterator[RunFinding]:
    stepped = {attempt.training for attempt in attempts if attempt.steps}
    if len(stepped) > 1:
        yield RunFinding(
            code="several-trainings",
            severity="info",
            message=f"{len(stepped)} separate trainings are in this record; their figures are added",
        )
    again = [attempt for attempt in attempts if attempt.redone_steps]
    told = [(attempt.redone_steps, f"attempt {attempt.attempt + 1}") for attempt in again[:MOST]]
    if rest := again[MOST:]:
        told.append((sum(one.redone_steps for one in rest), _many(len(rest), "further attempt")))
    for steps, whose in told:
        yield RunFinding(
            code="steps-redone",
            severity="info",
            message=f"{_many(steps, 'step')} of {whose} were done again by a later one: hardware FLOP, "
            "not model FLOP",
        )


def _left_behind(found: Sequence[Training]) -> Iterator[RunFinding]:
    if steps := sum(map(left_behind, found)):
        yield RunFinding(
            code="steps-left-behind",
            severity="info",
            message=f"{_many(steps, 'step')} {'lies' if steps == 1 else 'lie'} beyond one from which a later "
            "attempt went on, and none did them again: they count as model FLOP, and what was trained last "
            "does not build on them",
        )


def _twice(ledgers: Sequence[ProcessSteps]) -> Iterator[RunFinding]:
    if ledgers:
        yield RunFinding(
            code="recorded-twice",
            severity="info",
            message=f"{_many(len(ledgers), 'ledger')} of processes that have another one for the "
            "same time: counted once",
            evidence=tuple(ledger.folder.name for ledger in ledgers[:MOST]),
        )


def _notes(tallies: Sequence["Tally"]) -> Iterator[RunFinding]:
    seen: Counter[tuple[str, str, str]] = Counter()
    for tally in tallies:
        notes = {(note.code, note.severity, note.message) for note in tally.process.notes}
        seen.update(note for note in notes if note[0] != "cost-unknown")  # the costs say it, too
    for (code, severity, message), processes in seen.most_common(MOST):
        told = f" ({processes} processes)" if processes > 1 else ""
        yield RunFinding(code=code, severity=severity, message=f"{message}{told}")


def _number_of(flop: int | None) -> str:
    return "an unknown number of" if flop is None else f"{flop:,}"


def _many(count: int, one: str, several: str | None = None) -> str:
    return f"{count} {one if count == 1 else several or one + 's'}"

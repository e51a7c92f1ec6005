"""NeMo console logs, progress bars included: a bar rewrites its line with carriage returns."""

import re

from flopledger.logs.document import Document
from flopledger.logs.evidence import EvidenceError
from flopledger.logs.notes import Notes, line
from flopledger.logs.numbers import parse_count, parse_duration, parse_number, parse_positive
from flopledger.logs.reader import Reader
from flopledger.logs.stamps import short_lines
from flopledger.logs.stepping import Step, StepLog

#: ``795/77225 [9:07:58<...``: batches of the epoch that this process did, and its time so far.
_BAR = re.compile(r"\b(\d{1,10})/\d{1,10} \[((?:\d{1,4}:)?\d{1,3}:\d\d)<")
_FIELD = re.compile(
    r"\b(global_step|consumed_samples|train_step_timing in s|reduced_train_loss|"
    r"global_batch_size)(?:=|:\s{0,2})([\d.eE+]{1,24})"
)


def sniff(head: bytes, _name: str) -> bool:
    """Recognise a step with its timing, or beside NeMo's name of the loss."""
    return b"global_step" in head and (
        b"train_step_timing in s" in head
        or b"reduced_train_loss=" in head
        or b"reduced_train_loss: " in head
    )


def read(document: Document, notes: Notes) -> None:
    """Write down steps, samples and step times; steps are counted from 0."""
    log, last = StepLog(), {}
    seen = (0.0, 0)
    for number, text in short_lines(document):
        fields = {
            match[1]: notes.taken(match, 2, f"line {number}, {match[1]}")
            for match in _FIELD.finditer(text)
        }
        index = parse_number(fields.get("global_step"))
        if index is None or index < 0 or index > 10**12:
            continue
        seconds = parse_positive(fields.get("train_step_timing in s"))
        step = Step(
            step=int(index) + 1,
            line=number,
            printed=hash(text),
            mark=fields.get("reduced_train_loss", text),
            seconds=float(seconds) if seconds else None,
        )
        log.add(step)
        if (bar := _BAR.search(text)) and (elapsed := parse_duration(bar[2])):
            seen = (max(elapsed, seen[0]), number)
        for name in ("consumed_samples", "global_batch_size"):
            if (value := parse_count(parse_number(fields.get(name)))) is not None:
                last[name] = (value, number)
    if not log.steps:
        raise EvidenceError(f"{document.name}: NeMo marks but no step")
    is_timed = all(step.seconds is not None for step in log.steps)
    log.note(notes, timed=is_timed or not seen[0])
    if seen[0] and not is_timed:
        notes.fact("seen_seconds", seen[0], f"line {seen[1]}, by the progress bar")
    for name, fact in (("consumed_samples", "samples"), ("global_batch_size", "global_batch")):
        # A resumed run's counter holds what earlier jobs did as well.
        if name in last and not (fact == "samples" and log.first_step):
            notes.fact(fact, last[name][0], line(last[name][1]))


READER = Reader(format="nemo-log", sniff=sniff, read=read)

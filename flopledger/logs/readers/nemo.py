"""NeMo console logs, progress bars included: a bar rewrites its line with carriage returns."""

import re

from flopledger.logs.document import Document
from flopledger.logs.evidence import EvidenceError
from flopledger.logs.notes import Notes, line
from flopledger.logs.numbers import parse_count, parse_number, parse_positive
from flopledger.logs.reader import Reader
from flopledger.logs.stepping import Step, StepLog, short_lines

_FIELD = re.compile(
    r"\b(global_step|consumed_samples|train_step_timing in s|reduced_train_loss|"
    r"global_batch_size)(?:=|:\s{0,2})([\d.eE+]{1,24})"
)


def sniff(head: bytes, _name: str) -> bool:
    """Recognise a step with its timing."""
    return b"train_step_timing in s" in head and b"global_step" in head


def read(document: Document, notes: Notes) -> None:
    """Write down steps, samples and step times; steps are counted from 0."""
    log, last = StepLog(), {}
    for number, text in short_lines(document):
        fields = {match[1]: match[2] for match in _FIELD.finditer(text)}
        index = parse_number(fields.get("global_step"))
        if index is None or index < 0 or index > 10**12:
            continue
        seconds = parse_positive(fields.get("train_step_timing in s"))
        step = Step(
            step=int(index) + 1,
            line=number,
            mark=fields.get("reduced_train_loss", text),
            seconds=float(seconds) if seconds else None,
        )
        log.add(step)
        for name in ("consumed_samples", "global_batch_size"):
            if (value := parse_count(parse_number(fields.get(name)))) is not None:
                last[name] = (value, number)
    if not log.steps:
        raise EvidenceError(f"{document.name}: NeMo marks but no step")
    log.note(notes)
    for name, fact in (("consumed_samples", "samples"), ("global_batch_size", "global_batch")):
        # A resumed run's counter holds what earlier jobs did as well.
        if name in last and not (fact == "samples" and log.first_step):
            notes.fact(fact, last[name][0], line(last[name][1]))


READER = Reader(format="nemo-log", sniff=sniff, read=read)

"""OLMo's console: a step line with its stamp, then one indented ``key=value`` a line.

    2024-06-26 10:00:00.123 host:0 olmo.train:967 INFO [step=100/557000,epoch=0]
        throughput/total_tokens=419,430,400
        throughput/device/tokens_per_second=8,500

OLMo-core says ``throughput/device/TPS`` and counts tokens under the same name as OLMo.

Totals are of the whole run since step 0, so a resumed log's share of them is what its own steps did.
"""

import re

from flopledger.facts import Grade
from flopledger.logs.document import Document
from flopledger.logs.evidence import EvidenceError
from flopledger.logs.notes import Notes, line
from flopledger.logs.numbers import parse_count, parse_positive
from flopledger.logs.reader import Reader
from flopledger.logs.stamps import COLLECTED, short_lines, stamp_seconds
from flopledger.logs.stepping import Step, StepLog, median

#: Versions before the summer of 2024 name no epoch.
_STEP = re.compile(
    r"\[step=([\d,]{1,14})(?:/([\d,]{1,14}))?\s{0,2}(?:,\s{0,2}epoch=\d{1,6}|\])", re.ASCII
)
_VALUE = re.compile(COLLECTED + r"\s{0,12}(throughput/[\w /]{1,60}?)=([\d,.]{1,24})\s*")


def sniff(head: bytes, _name: str) -> bool:
    """Recognise a step with a throughput below it."""
    step = re.search(rb"\[step=[\d,]{1,14}(?:/[\d,]{1,14})?\s{0,2}(?:,\s{0,2}epoch=\d|\])", head)
    return step is not None and b"throughput/" in head


def read(document: Document, notes: Notes) -> None:
    """Write down steps, their stamps, and the tokens that the steps of this log took."""
    log, paces, utilisation = StepLog(), [], []
    total: tuple[int, int, int] | None = None  # step, tokens, line
    planned, is_new = None, False
    for number, text in short_lines(document):
        if match := _STEP.search(text):
            step = parse_count(match[1])
            is_new = step is not None and log.add(
                Step(
                    step=step,
                    line=number,
                    mark="",
                    stamp=stamp_seconds(text),
                    printed=hash(text),
                    planned=parse_count(match[2]),
                )
            )
            planned = parse_count(match[2]) or planned
        elif is_new and (match := _VALUE.fullmatch(text)):
            key, value = match[1].replace(" ", "_").lower(), parse_positive(match[2])
            if value is None:
                continue
            if key == "throughput/total_tokens":
                total = (log.steps[-1].step, int(value), number)
            elif key in ("throughput/device/tokens_per_second", "throughput/device/tps"):
                paces.append(float(value))
            elif key == "throughput/device/mfu":
                utilisation.append(float(value) / (100 if value > 1.5 else 1))
    if not log.steps:
        raise EvidenceError(f"{document.name}: OLMo's marks but no step")
    log.note(notes)
    notes.fact("planned_steps", planned, line(log.steps[-1].line))
    place = f"lines {log.steps[0].line} to {log.steps[-1].line}: median"
    notes.fact("tokens_per_second_per_accelerator", median(paces), place)
    notes.fact("claimed_mfu", median(utilisation), place, grade=Grade.CLAIM)
    if total is not None and total[0] > log.first_step:
        done = round(total[1] * (total[0] - log.first_step) / total[0])
        notes.fact("tokens", done, line(total[2]))


READER = Reader(format="olmo-log", sniff=sniff, read=read)

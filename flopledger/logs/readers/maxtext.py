"""MaxText console logs: ``completed step: N, seconds: S, TFLOP/s/device: X, Tokens/s/device: Y``.

The first versions print ``TFLOP/s`` for one device without saying so. Steps are counted from 0; the
time is of each step, evaluation and checkpoints left out. No accelerator is named.
"""

import re

from flopledger.facts import Grade
from flopledger.logs.document import Document
from flopledger.logs.evidence import EvidenceError
from flopledger.logs.notes import Notes, line
from flopledger.logs.numbers import parse_number, parse_positive
from flopledger.logs.reader import Reader
from flopledger.logs.stamps import short_lines, stamp_seconds
from flopledger.logs.stepping import Step, StepLog, median

_STEP = re.compile(r"\bcompleted step: (\d{1,10}), seconds: ([\d.eE+-]{1,20})")
_RATE = re.compile(r"TFLOP/s(?:/device)?: ([\d.eE+-]{1,20})")
_TOKENS = re.compile(r"Tokens/s/device: ([\d.eE+-]{1,20})")
_WEIGHTS = re.compile(r"total_weights: (\d{1,15})")
_LOSS = re.compile(r"\bloss: ([\d.naif+-]{1,20})")
_PARAMETERS = re.compile(r"number parameters: ([\d.]{1,12}) billion")
_DEVICES = re.compile(r"\bNum_devices: (\d{1,7})|\bNumber of devices: (\d{1,7})")


def sniff(head: bytes, _name: str) -> bool:
    """Recognise a finished step with its rate."""
    return re.search(rb"completed step: \d{1,10}, seconds: .{0,60}TFLOP/s", head) is not None


def read(document: Document, notes: Notes) -> None:
    """Write down steps, time, stated rates, and tokens where weights of the batch count them."""
    log = StepLog()
    rates: list[float] = []
    throughputs: list[float] = []
    tokens = 0
    counted = True
    for number, text in short_lines(document):
        match = _STEP.search(text)
        if match is None:
            _note_setup(text, number, notes)
            continue
        word, loss = notes.taken(match, 2, f"line {number}, seconds"), _LOSS.search(text)
        seconds = parse_positive(word)
        step = Step(
            step=int(match[1]) + 1,
            line=number,
            printed=hash(text),
            mark=f"{loss[1] if loss else ''} {match[2]}",
            seconds=float(seconds) if seconds else None,
            stamp=stamp_seconds(text),
        )
        if not log.add(step):
            continue
        rates += _one(_RATE, text, number, notes)
        throughputs += _one(_TOKENS, text, number, notes)
        weights = _WEIGHTS.search(text)
        done = parse_number(notes.taken(weights, 1, line(number))) if weights else None
        counted = counted and isinstance(done, int)
        tokens += done if isinstance(done, int) else 0
    if not log.steps:
        raise EvidenceError(f"{document.name}: MaxText marks but no step")
    log.note(notes)
    place = f"lines {log.steps[0].line} to {log.steps[-1].line}"
    rate = median(rates)
    if rate is not None:
        notes.fact(
            "claimed_flop_per_second_per_accelerator",
            rate * 1e12,
            f"{place}: median",
            grade=Grade.CLAIM,
        )
    each = median(throughputs)
    notes.fact("tokens_per_second_per_accelerator", each, f"{place}: median")
    if rate is not None and each:
        notes.fact("implied_flop_per_token", rate * 1e12 / each, place, grade=Grade.CLAIM)
    if counted and tokens and log.covered_steps == len(log.steps) and not log.lost_steps:
        # Weights are 1 for a token that is trained on and 0 for padding.
        notes.fact("tokens", tokens, f"{place}: the sum of total_weights")


def _one(pattern: re.Pattern[str], text: str, number: int, notes: Notes) -> list[float]:
    match = pattern.search(text)
    value = parse_positive(notes.taken(match, 1, line(number))) if match else None
    return [float(value)] if value is not None else []


def _note_setup(text: str, number: int, notes: Notes) -> None:
    if match := _PARAMETERS.search(text):
        billions = parse_positive(match[1])
        if billions is not None:
            notes.fact("parameters", round(billions * 1e9), line(number))
    elif match := _DEVICES.search(text):
        notes.count("world_size", match[1] or match[2], line(number))


READER = Reader(format="maxtext-log", sniff=sniff, read=read)

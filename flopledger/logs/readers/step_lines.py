"""Consoles that print a step in one line, each by its pattern (``step_formats``).

What a line says under its label is taken; what it does not say is not made up. The batch is taken where
the rate and the time of one step give the same whole number again and again.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

from flopledger.logs.document import Document
from flopledger.logs.evidence import EvidenceError
from flopledger.logs.notes import Notes, line
from flopledger.logs.numbers import parse_duration, parse_positive
from flopledger.logs.reader import Reader
from flopledger.logs.readers.step_formats import STEP_FORMATS, StepFormat
from flopledger.logs.stamps import STEP_LINE_CHARACTERS, short_lines, stamp_seconds
from flopledger.logs.stepping import Step, StepLog, median

#: What is looked at to recognise a program: its first lines may be warnings and settings.
_SNIFFED_CHARACTERS = 1 << 20
#: The end of a run, in its program's words.
_ENDS = (
    re.compile(r"\bTraining Time\s{0,3}: (?P<s>[\d.]{1,15}) ?s\b"),
    re.compile(r"^\s{0,4}Training time:? (?P<s>[\d.]{1,15})s\b"),
    re.compile(r"^\s{0,4}Training time:? (?P<clock>(?:\d{1,4} days?, )?\d{1,5}:\d\d:\d\d)\s*$"),
)
#: Groups that hold figures, and what they are to people.
_FIGURES = frozenset({"ms", "s", "mean", "pace", "rate", "tokens"})
_FIGURE_NAMES = {"ms": "milliseconds", "s": "seconds", "pace": "steps a second"}
_TOTAL_TOKENS = re.compile(r"\bTotal tokens\s{0,3}: ([\d,]{1,20})\b")
_GPUS = re.compile(
    r"\bGPU ([\d,]{1,400}): ((?:NVIDIA|Tesla|AMD|GeForce|Quadro|RTX|A\d|H\d)[\w \-+/()]{1,60})$"
)


@dataclass(slots=True)
class _Seen:
    """What the lines of one log gave."""

    log: StepLog = field(default_factory=StepLog)
    passes: list[tuple[int, int]] = field(default_factory=list)  #: forward passes done, steps done
    is_micro: bool = False  #: forward passes are counted, and not steps
    clock: float = 0.0  #: seconds since the epoch began
    batches: list[float] = field(default_factory=list)  #: rate x time of a step
    planned: int | None = None
    tokens: tuple[int, int] | None = None
    each: int | None = None  #: steps an epoch


def _text(head: bytes) -> str:
    return head[:_SNIFFED_CHARACTERS].decode("utf-8", "replace")


def sniff(kind: StepFormat, head: bytes, _name: str) -> bool:
    """Recognise a step line."""
    if kind.mark.encode() not in head or b"\0" in head[:4096]:
        return False
    return any(
        kind.line.search(text[:STEP_LINE_CHARACTERS])
        for text in _text(head).splitlines()
        if kind.mark in text
    )


def read(kind: StepFormat, document: Document, notes: Notes) -> None:
    """Write down steps, their time, and what the program prints of its settings."""
    seen, settings = _Seen(), kind.settings()
    for number, text in short_lines(document):
        match = kind.line.search(text) if kind.mark in text else None
        if match is not None:
            _take(kind, seen, number, text, match, notes)
            continue
        if not seen.log.steps:
            settings.take(number, text)
            note_gpus(text, number, notes)
        _note_end(text, number, notes)
    if not seen.log.steps:
        raise EvidenceError(f"{document.name}: marks of {kind.format} but no step")
    settings.note(notes)
    _note(kind, seen, notes)


def _take(
    kind: StepFormat, seen: _Seen, number: int, text: str, match: re.Match[str], notes: Notes
) -> None:
    found = {key: value for key, value in match.groupdict().items() if value is not None}
    for key in _FIGURES & found.keys():
        found[key] = notes.taken(match, key, f"line {number}, {_FIGURE_NAMES.get(key, key)}")
    step = int(found["step"]) + (1 if kind.zero_based else 0)
    if "each" in found:
        seen.each = int(found["each"])
        step += (int(found["epoch"]) - kind.epochs_from) * seen.each
    seconds = now = _seconds(found)
    if kind.mean_of_epoch:
        seconds = _since_last(seen, step, found)
    if "passes" in found:
        seen.is_micro = True
        if step > 0 and "stepped" in found:
            seen.passes.append((int(found["passes"]), step))
        step = int(found["passes"])  # the printed time is of one forward pass
    one = Step(
        step=step,
        line=number,
        printed=hash(text),
        mark=found.get("loss", text),
        seconds=seconds,
        stamp=stamp_seconds(text),
        planned=int(found["total"]) if "total" in found else None,
    )
    if not seen.log.add(one):
        return
    if "total" in found:
        seen.planned = int(found["total"])
    is_short = seen.each is not None and step % seen.each == 0  # the last batch of an epoch
    if (rate := parse_positive(found.get("rate"))) and now and not is_short:
        seen.batches.append(rate * now)
    if (tokens := parse_positive(found.get("tokens"))) is not None:
        seen.tokens = (round(tokens), number)


def _seconds(found: dict[str, str]) -> float | None:
    if (value := parse_positive(found.get("ms"))) is not None:
        return value / 1000
    if (value := parse_positive(found.get("s"))) is not None:
        return float(value)
    pace = parse_positive(found.get("pace"))
    return 1 / pace if pace else None


def _since_last(seen: _Seen, step: int, found: dict[str, str]) -> float | None:
    """Give the mean time of the steps since the last print, of a mean since the epoch began."""
    mean = parse_positive(found.get("mean"))
    if mean is None or not seen.each:
        return None
    done = (step - 1) % seen.each + 1
    before = (seen.log.steps[-1].step - 1) % seen.each + 1 if seen.log.steps else 0
    if before >= done:
        before, seen.clock = 0, 0.0
    clock = mean * done
    seconds = (clock - seen.clock) / (done - before)
    seen.clock = clock
    return seconds if seconds > 0 else None


def _passes(pairs: list[tuple[int, int]]) -> tuple[int, int] | None:
    """Give the forward passes a step, and what the first pass is called; ``None`` where they vary."""
    for first in (1, 0):
        ratios = {(done + 1 - first) / step for done, step in pairs}
        if len(ratios) == 1 and (ratio := ratios.pop()) == int(ratio):
            return int(ratio), first
    return None


def _note(kind: StepFormat, seen: _Seen, notes: Notes) -> None:
    log = seen.log
    last = line(log.steps[-1].line)
    has_end = any(fact.name == "timed_seconds" for fact in notes.facts)
    counted = _passes(seen.passes)
    passes, first = counted if counted is not None else (None, 1)
    if seen.is_micro and passes is None:
        notes.finding(
            "unit-ambiguity",
            "warning",
            "forward passes and optimizer steps are printed and their ratio changes: the steps are not "
            "taken",
            last,
        )
        return
    log.note(notes, zero_based=first == 0, passes=passes or 1, timed=not has_end)
    if passes is not None and "gradient_accumulation" not in {fact.name for fact in notes.facts}:
        notes.fact("gradient_accumulation", passes, f"{last}, iter / step")
    notes.fact("planned_steps", seen.planned, last)
    if seen.tokens is not None and log.first_step == 0:
        notes.fact("tokens", seen.tokens[0], line(seen.tokens[1]))
    if seen.each:
        notes.fact("epochs", round(log.covered_steps / seen.each, 6), last)
    batch = _whole(seen.batches)
    if batch is not None:
        place = f"lines {log.steps[0].line} to {log.steps[-1].line}: rate x seconds of a step"
        notes.fact("global_batch", batch, place)
    if kind.samples_one_step and log.interval > 1 and not has_end:
        notes.finding(
            "coverage-gap",
            "info",
            f"the printed times are of one pass in {log.interval}: their sum stands for the others",
            last,
        )


def _whole(values: list[float]) -> int | None:
    """Give the whole number that nearly all of them are, within rounding."""
    middle = median(values)
    if middle is None or round(middle) < 1:
        return None
    whole = round(middle)
    slack = max(0.05, 0.004 * whole)
    near = sum(abs(value - whole) <= slack for value in values)
    return whole if near >= 0.9 * len(values) else None


def note_gpus(text: str, number: int, notes: Notes) -> None:
    """Read the environment that OpenMMLab prints: ``GPU 0,1,2,3: NVIDIA A100-SXM4-80GB``."""
    if match := _GPUS.search(text.rstrip()):
        notes.fact("accelerator", match[2], line(number))
        notes.fact("visible_accelerators", len(match[1].split(",")), line(number))


def _note_end(text: str, number: int, notes: Notes) -> None:
    for pattern in _ENDS if "raining " in text else ():
        match = pattern.search(text)
        if match is None:
            continue
        found = match.groupdict()
        if found.get("s") is not None:
            notes.positive("timed_seconds", found["s"], line(number))
        else:
            days, _, clock = found["clock"].rpartition(", ")
            seconds = parse_duration(clock)
            if seconds is not None:
                whole = int(days.split()[0]) * 86400 if days else 0
                notes.fact("timed_seconds", seconds + whole, line(number))
        return
    if "Total tokens" in text and (match := _TOTAL_TOKENS.search(text)):
        notes.count("tokens", match[1], line(number))


def readers() -> Iterator[Reader]:
    """Give a reader a format."""
    for kind in STEP_FORMATS:
        yield Reader(format=kind.format, sniff=partial(sniff, kind), read=partial(read, kind))


READERS: tuple[Reader, ...] = tuple(readers())

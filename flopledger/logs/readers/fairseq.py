"""fairseq's console, as JSON (``train_inner | {...}``) and as its simple bar.

``wpb`` are the words of a batch over all devices: tokens of the target, so those of a translation's
source are not in it. ``num_updates`` leaves out steps whose gradients overflowed.
"""

import re
from dataclasses import dataclass, field

from flopledger import foreign_json
from flopledger.logs.document import Document
from flopledger.logs.evidence import EvidenceError
from flopledger.logs.notes import Notes, line
from flopledger.logs.numbers import parse_count, parse_positive
from flopledger.logs.reader import Reader
from flopledger.logs.readers.printed_settings import PrintedSettings
from flopledger.logs.stamps import short_lines, stamp_seconds
from flopledger.logs.stepping import Step, StepLog

_INNER = "train_inner | {"
_BAR = re.compile(r"\bepoch (\d{1,6}):?\s{1,6}(\d{1,9}) / (\d{1,9}) loss=")
_FIELDS = ("num_updates", "wpb", "bsz", "loss", "wall")
_FIELD = re.compile(rf"\b({'|'.join(_FIELDS)})\b\"?\s?[:=]\s?\"?([\d.,e+]{{1,24}}|nan|inf)")
_DONE = re.compile(r"\bdone training in ([\d.]{1,15}) seconds")
_OVERFLOW = "gradient overflow detected"
_TRANSLATION = re.compile(
    r"\bsource[_-]lang\b[\"']?\s?[:=]\s?[\"']?[a-z]{2,}|\| \[\w{2,8}\] [Dd]ictionary"
)
_HALF = re.compile(r"['\"]?\b(fp16|bf16)['\"]?\s?[:=]\s?True\b")


@dataclass(slots=True)
class _Amounts:
    """Words and sentences of a batch, step by printed step: the means since the last print."""

    words: list[float | None] = field(default_factory=list)
    sentences: list[float | None] = field(default_factory=list)
    wall: tuple[float, int] | None = None


def sniff(head: bytes, _name: str) -> bool:
    """Recognise a line of updates."""
    return (
        re.search(
            rb"train_inner \| \{|\bepoch \d{1,6}:?\s{1,6}\d{1,9} / \d{1,9} loss=[\d.]{1,12}.{0,200}wpb=",
            head,
        )
        is not None
    )


_FIGURES = frozenset({"num_updates", "wpb", "bsz", "wall"})


def read(document: Document, notes: Notes) -> None:
    """Write down updates, words, sentences, devices and time."""
    log, amounts, settings = StepLog(), _Amounts(), PrintedSettings()
    overflows, two_sided = [], None
    for number, text in short_lines(document):
        match = _BAR.search(text) if " / " in text else None
        if match is None and _INNER not in text:
            overflows += [number] if _OVERFLOW in text else []
            two_sided = two_sided or (number if _is_two_sided(text) else None)
            if not log.steps:
                settings.take(number, text)
                if half := _HALF.search(text):
                    notes.fact("precision", half[1], line(number))
            elif done := _DONE.search(text):
                notes.positive("timed_seconds", done[1], line(number))
            continue
        fields = _inner_fields(text) if match is None else None
        if fields is None:
            fields = {found[1]: found[2].rstrip(",") for found in _FIELD.finditer(text)}
        for name in _FIGURES & fields.keys():
            notes.misfit(parse_positive(fields[name]), fields[name], f"line {number}, {name}")
        _take(log, amounts, number, text, (fields, match))
    if not log.steps:
        raise EvidenceError(f"{document.name}: fairseq's marks but no update")
    settings.note(notes)
    has_end = any(fact.name == "timed_seconds" for fact in notes.facts)
    log.note(notes, timed=not has_end and amounts.wall is None)
    if not has_end and amounts.wall is not None:
        notes.fact("seen_seconds", amounts.wall[0], f"line {amounts.wall[1]}, wall")
    _note_amounts(log, amounts, two_sided, notes)
    if overflows:
        notes.fact("skipped_steps", len(overflows), line(overflows[-1]))


def _inner_fields(text: str) -> dict[str, str] | None:
    """Give the fields of a ``train_inner`` line, or ``None`` where it is cut or no JSON."""
    found = foreign_json.table(text[text.index(_INNER) + len(_INNER) - 1 :])
    if found is None:
        return None
    return {name: found[name] for name in _FIELDS if isinstance(found.get(name), str)}


def _is_two_sided(text: str) -> bool:
    """Say whether a line tells of a translation, whose source is not among the words."""
    may_be = "source" in text or "ictionary" in text
    return may_be and _TRANSLATION.search(text) is not None


def _take(
    log: StepLog,
    amounts: _Amounts,
    number: int,
    text: str,
    found: tuple[dict[str, str], re.Match[str] | None],
) -> None:
    fields, bar = found
    step = parse_count(fields.get("num_updates"))
    if step is None and bar is not None:  # versions of 2018 count batches of the epoch alone
        step = (int(bar[1]) - 1) * int(bar[3]) + int(bar[2])
    if step is None:
        return
    mark = fields.get("loss", text)
    if not log.add(
        Step(step=step, line=number, mark=mark, stamp=stamp_seconds(text), printed=hash(text))
    ):
        return
    amounts.words.append(parse_positive(fields.get("wpb")))
    amounts.sentences.append(parse_positive(fields.get("bsz")))
    if (wall := parse_positive(fields.get("wall"))) is not None:
        amounts.wall = (float(wall), number)


def _total(log: StepLog, means: list[float | None]) -> int | None:
    """Add up a mean over the steps that each print stands for, the last word on a step counting."""
    total, before = 0.0, log.first_step
    for step, mean in zip(log.steps, means, strict=True):
        if mean is None:
            return None
        if step.step > before:
            total += mean * (step.step - before)
            before = step.step
    return round(total) or None


def _note_amounts(log: StepLog, amounts: _Amounts, two_sided: int | None, notes: Notes) -> None:
    place = f"lines {log.steps[0].line} to {log.steps[-1].line}"
    words, sentences = _total(log, amounts.words), _total(log, amounts.sentences)
    if two_sided is None:
        notes.fact("tokens", words, f"{place}: wpb x updates")
    else:
        notes.fact("target_tokens", words, f"{place}: wpb x updates")
        notes.finding(
            "unit-ambiguity",
            "info",
            "wpb counts the words of the target alone; the source's were encoded besides and are not "
            "in it",
            line(two_sided),
        )
    notes.fact("samples", sentences, f"{place}: bsz x updates")
    if len(set(amounts.sentences)) == 1:
        notes.fact("global_batch", parse_count(amounts.sentences[0]), place)


READER = Reader(format="fairseq-log", sniff=sniff, read=read)

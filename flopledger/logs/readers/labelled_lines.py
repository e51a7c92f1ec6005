"""Step lines of a program that is not known, read by their labels.

``step 12/500 | loss 2.31 | step-time 27.8 sec | tokens-per-second 75,474``: the step, and what has its
unit beside it. A number whose label does not say its unit is not taken, and a finding says that the
program was guessed at. This reader comes after all that know theirs.
"""

import re
import statistics
from collections import Counter
from itertools import pairwise
from typing import NamedTuple

from flopledger.logs import limits
from flopledger.logs.document import Document
from flopledger.logs.evidence import EvidenceError
from flopledger.logs.notes import Notes, line
from flopledger.logs.numbers import parse_positive
from flopledger.logs.reader import Reader
from flopledger.logs.readers.printed_settings import PrintedSettings
from flopledger.logs.stamps import short_lines, stamp_seconds
from flopledger.logs.stepping import Step, StepLog, median

#: They look at a line in small letters, from where a word stands that they cannot do without.
_STEP = re.compile(
    r"(?<![\w/-])(?:global[ _-]?|train(?:ing)?[ _/-]?|optimizer[ _-]?)?(?:step|iter(?:ation)?|update)s?"
    r"['\"\])]?\s{0,2}[:=#]?\s{0,2}[\[(]?\s{0,6}(\d{1,10})"
    r"(?:\s{0,3}(?:/|of)\s{0,3}(\d{1,10})|\s{0,2}\(total: (\d{1,10})\))?(?![\w.]|,\d)",
)
_LOSS = re.compile(r"\bloss\w{0,12}['\"]?\s{0,3}[:= ]\s{0,3}(-?[\d.]{1,20}(?:e[-+]?\d{1,3})?|nan)")
_TIME = re.compile(
    r"\b(?:dt|(?:step|iter(?:ation)?|batch)[ _-]?time|time[ _-](?:per|of)[ _-](?:step|iter(?:ation)?)|"
    r"time/(?:step|iter))['\"]?\s{0,3}[:= ]\s{0,3}([\d.]{1,15})\s{0,2}(ms|msec|s|sec|seconds)\b",
)
#: ``2943 ms/iter``: no label, and its unit says of what.
_EACH = re.compile(
    r"(?<![\w.])([\d.]{1,15})\s{0,2}(ms|s|sec|seconds) ?/ ?(?:it|iter|iteration|step)s?(?!\w)"
)
#: A plain ``time: 98.99 ms`` does not say of what; beside a pace it may tell.
_PLAIN = re.compile(
    r"(?<![\w/ -])\s?time['\"]?\s{0,3}[:= ]\s{0,3}([\d.]{1,15})\s{0,2}(ms|msec|s|sec|seconds)\b"
)
#: Time x pace of one step is the same amount again and again, to this share of it.
_ALIKE, _NEARLY_ALL = 0.02, 0.9
#: Ranks run so many prints apart at most; what falls back farther was started again.
_RANKS_APART = 4
#: A bar's own time and rate stand behind ``[05:12<1:02:11,``; the rate is smoothed.
_BAR = re.compile(r"\[\d{1,3}:\d\d.{0,8}<")
_PACE = re.compile(
    r"\b(?:tok(?:en)?s?[ _/-]{0,2}(?:per[ _-])?s(?:ec(?:ond)?)?)['\"]?\s{0,3}[:= ]\s{0,3}"
    r"([\d,]{1,18}(?:\.\d{1,6})?)(?![\w.])",
)
_EPOCH = re.compile(r"\bepochs?['\"]?\s{0,2}[:=#]?\s{0,2}[\[(]?\s{0,4}(\d{1,6})(?![\w.])")
#: What stands before the word in ``optimizer_step`` and ``iteration time``.
_BEFORE = 10
#: So many steps with a loss are a log; fewer may be a sentence about one.
_ENOUGH = 3


class _Row(NamedTuple):
    """What one line says."""

    number: int
    step: int
    total: int | None
    epoch: int | None
    loss: str
    seconds: float | None
    plain: float | None  #: a time that does not say of what
    stamp: float | None
    pace: float | None
    printed: (
        int  #: hash of the line; 0 where neither time nor stamp tells a copy from work done again
    )


def sniff(head: bytes, name: str) -> bool:
    """Recognise several steps with losses, in a text that is no program and no document of JSON."""
    if b"\0" in head[:4096] or name.lower().endswith(
        (".py", ".ipynb", ".json", ".md", ".html", ".rst")
    ):
        return False
    found = 0
    for text in head.decode("utf-8", "replace").splitlines():
        found += _row(0, text[:4000]) is not None
        if found >= _ENOUGH:
            return True
    return False


def _found(
    pattern: re.Pattern[str], small: str, *words: str, before: int = 0
) -> re.Match[str] | None:
    """Search from the first of the words on; a search of the whole line costs ten times as much."""
    places = [place for word in words if (place := small.find(word)) >= 0]
    return pattern.search(small, max(0, min(places) - before)) if places else None


def _row(number: int, text: str) -> _Row | None:
    small = text.lower()
    loss = _found(_LOSS, small, "loss")
    if loss is None:
        return None
    step = _found(_STEP, small, "step", "iter", "update", before=_BEFORE)
    if step is None:
        return None
    time = _found(_TIME, small, "time", "dt", before=_BEFORE)
    if time is None and not _BAR.search(small):
        time = _found(_EACH, small, "/it", "/ it", "/step", "/ step", before=2 * _BEFORE)
    pace, epoch = _found(_PACE, small, "tok"), _found(_EPOCH, small, "epoch")
    seconds = _in_seconds(time)
    plain = _found(_PLAIN, small, "time", before=2) if time is None and pace is not None else None
    stamp = stamp_seconds(text)
    return _Row(
        number=number,
        step=int(step[1]),
        total=int(step[2] or step[3]) if step[2] or step[3] else None,
        epoch=int(epoch[1]) if epoch is not None else None,
        loss=loss[1],
        seconds=seconds,
        plain=_in_seconds(plain),
        stamp=stamp,
        printed=hash(text) if seconds is not None or stamp is not None else 0,
        pace=float(found) if pace is not None and (found := parse_positive(pace[1])) else None,
    )


def _in_seconds(match: re.Match[str] | None) -> float | None:
    value = parse_positive(match[1]) if match is not None else None
    if value is None or match is None:
        return None
    return value / 1000 if match[2].startswith("m") else float(value)


def _settled(rows: list[_Row]) -> list[_Row]:
    """Take a plain time as a step's where time x pace is one amount: of a clock it would grow."""
    amounts = [row.plain * row.pace for row in rows if row.plain and row.pace]
    usual = median(amounts)
    if usual is None or len(amounts) < max(_ENOUGH, _NEARLY_ALL * len(rows)):
        return rows
    near = sum(abs(amount - usual) <= _ALIKE * usual for amount in amounts)
    if near < _NEARLY_ALL * len(rows) or len({row.plain for row in rows}) < _ENOUGH:
        return rows
    return [row._replace(seconds=row.plain) for row in rows]


def read(document: Document, notes: Notes) -> None:
    """Write down steps, and time where its unit is printed."""
    rows: list[_Row] = []
    settings = PrintedSettings()
    ends = ["", ""]  #: the first step line and the last
    for number, text in short_lines(document):
        row = _row(number, text)
        if row is not None:
            ends = [ends[0] or text, text]
            if len(rows) >= limits.STEPS:
                raise EvidenceError(
                    f"{document.name}: more than {limits.STEPS:,} printed steps; hand in an extract, and "
                    "say so"
                )
            rows.append(row)
        elif not rows:
            settings.take(number, text)
    if not rows:
        raise EvidenceError(f"{document.name}: step lines in its first part alone")
    rows = _settled(rows)
    settings.take_constant(*zip((rows[0].number, rows[-1].number), ends, strict=True))
    settings.note(notes)
    place = f"lines {rows[0].number} to {rows[-1].number}"
    notes.finding(
        "program-unknown",
        "info",
        "the program that wrote this log is not known: steps, and times with their unit, were read by "
        "their labels; nothing else was",
        place,
    )
    steps = _counted(rows)
    if steps is None:
        notes.finding(
            "unit-ambiguity",
            "warning",
            "the step starts again in each epoch and the steps of an epoch are not printed: the steps "
            "are not taken",
            place,
        )
        return
    as_printed = steps == [row.step for row in rows]
    rows, steps = _of_one_rank(rows, steps, notes)
    log = StepLog()
    for row, step in zip(rows, steps, strict=True):
        log.add(
            Step(
                step=step,
                line=row.number,
                mark=row.loss,
                seconds=row.seconds,
                stamp=row.stamp,
                printed=row.printed,
                planned=row.total if as_printed else None,
            )
        )
    log.distrust_samples(notes)
    log.note(notes, zero_based=min(steps) == 0)
    totals = {row.total for row in rows if row.total is not None}
    if len(totals) == 1 and as_printed:
        notes.fact("planned_steps", totals.pop(), line(rows[-1].number))
    done = next((fact for fact in notes.facts if fact.name == "steps"), None)
    each = settings.value("tokens_per_step")
    if done is not None and each is not None and log.steps:
        notes.fact(
            "tokens",
            each * int(done.value),
            f"{settings.place('tokens_per_step')} x {done.value:,} steps",
        )
    paces = [row.pace for row in rows if row.pace is not None]
    # Of one device or of all of them: the line does not say.
    notes.fact("tokens_per_second", median(paces), f"{place}: median", unit="tokens/s")


def _of_one_rank(rows: list[_Row], steps: list[int], notes: Notes) -> tuple[list[_Row], list[int]]:
    """Keep the first print of each step where several ranks print every step, each with its own loss.

    A restart prints some steps again; ranks print nearly all of them equally often, and never fall far back.
    """
    prints = Counter(steps)
    usual = statistics.median_low(prints.values())
    alike = sum(count == usual for count in prints.values())
    farthest = max((before - after for before, after in pairwise(steps)), default=0)
    if usual < 2 or alike < _NEARLY_ALL * len(prints) or farthest > _RANKS_APART * _gap(prints):
        return rows, steps
    first: dict[int, _Row] = {}
    for row, step in zip(rows, steps, strict=True):
        first.setdefault(step, row)
    order = sorted(first)
    notes.finding(
        "duplicate-lines",
        "info",
        f"each step is printed {usual} times, as when several ranks print; each was counted once",
        line(rows[0].number),
    )
    return [first[step] for step in order], order


def _gap(prints: Counter[int]) -> int:
    """Give the steps between two prints."""
    return statistics.median_low([b - a for a, b in pairwise(sorted(prints))] or [1])


def _counted(rows: list[_Row]) -> list[int] | None:
    """Give the steps since the run began, where they start again in each epoch; ``None`` if unknown."""
    turns = [
        (before.step, after.step)
        for before, after in pairwise(rows)
        if after.epoch is not None and before.epoch is not None and after.epoch == before.epoch + 1
    ]
    # A program that prints one step an epoch prints the same one in each.
    alike = bool(turns) and all(after == rows[0].step for _, after in turns)
    if not alike and not any(after < before for before, after in turns):
        return [row.step for row in rows]
    each = {row.total for row in rows}
    if len(each) != 1 or (total := each.pop()) is None or any(row.epoch is None for row in rows):
        return None
    first = min(row.epoch for row in rows if row.epoch is not None)
    base = 1 if first >= 1 else 0
    return [(row.epoch - base) * total + row.step for row in rows if row.epoch is not None]


READER = Reader(format="labelled-log", sniff=sniff, read=read)

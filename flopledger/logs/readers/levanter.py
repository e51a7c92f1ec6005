"""Levanter's console: ``Progress on:train 2.10kit/10.0kit rate:1.2s/it remaining:2:38:00 elapsed:42:10``.

The bar is tqdm-loggable's. Its counts have three digits: up to 999 they are exact, above they are rounded,
and exact again where the settings are printed and the run did all of its steps. The clock is of one process,
compilation, evaluations and checkpoints included; a resumed process begins it at 0 and goes on with the step.
"""

import re
from collections.abc import Sequence

from flopledger.logs.document import Document
from flopledger.logs.evidence import EvidenceError
from flopledger.logs.notes import Notes, line
from flopledger.logs.numbers import parse_count, parse_duration
from flopledger.logs.process_clocks import Tick, note_processes, note_several
from flopledger.logs.reader import Reader
from flopledger.logs.readers.printed_settings import PrintedSettings
from flopledger.logs.stamps import short_lines, stamp_seconds

_BAR = re.compile(
    r"\bProgress on:\s?train (?P<done>[\d.]{1,7}[kMG]?)it/(?P<total>[\d.]{1,7}[kMG]?)(?:it)? .{0,80}?"
    r"\belapsed:(?P<clock>(?:\d{1,6}:)?\d{1,2}:\d\d)\b"
)
_UNITS = {"k": 1_000, "M": 1_000_000, "G": 1_000_000_000}
_SETTING = re.compile(r"\bnum_train_steps['\"]?\s{0,3}[:=]\s{0,3}(\d[\d_,]{0,15})\b")


def sniff(head: bytes, _name: str) -> bool:
    """Recognise the bar of the training."""
    return b"Progress on:" in head and _BAR.search(head.decode("utf-8", "replace")) is not None


def read(document: Document, notes: Notes) -> None:
    """Write down steps, the plan, and the time of each process to its last bar."""
    ticks: list[Tick] = []
    printed = ("", "")
    asked: int | None = None
    settings = PrintedSettings()
    begin: tuple[float, int] | None = None
    for number, text in short_lines(document):
        match = _BAR.search(text) if "Progress on:" in text else None
        if match is None:
            if not ticks:
                settings.take(number, text)
            if asked is None and (found := _SETTING.search(text)):
                asked = parse_count(found[1].replace("_", ""))
            continue
        printed = (match["done"], match["total"])
        ticks.append(
            Tick(
                number,
                _count(match["done"]),
                parse_duration(match["clock"]),
                _count(match["total"]),
            )
        )
        if begin is None and (stamp := stamp_seconds(text)) is not None:
            begin = (stamp, number)
    if not ticks:
        raise EvidenceError(f"{document.name}: marks of Levanter and no bar of its training")
    settings.note(notes)
    if begin is not None:
        notes.fact("stamps_begin", begin[0], line(begin[1]))
    if note_several(ticks, notes):
        return
    exact = (
        asked
        if asked is not None and abs(asked - _count(printed[1])) <= _slack(printed[1])
        else None
    )
    if exact is not None:
        ended = printed[0] == printed[1]
        ticks = [one._replace(planned=exact) for one in ticks]
        ticks[-1] = ticks[-1]._replace(step=exact) if ended else ticks[-1]
    note_processes(ticks, notes)
    _note_rounding(ticks, printed, exact, notes)


def _note_rounding(
    ticks: Sequence[Tick], printed: tuple[str, str], exact: int | None, notes: Notes
) -> None:
    slack = _slack(printed[0])
    if slack and not (exact is not None and ticks[-1].step == exact):
        notes.finding(
            "figures-rounded",
            "info",
            f"the steps are printed with three digits: {printed[0]}, which is {ticks[-1].step:,} give or "
            f"take {slack:,}",
            line(ticks[-1].line),
        )


def _count(text: str) -> int:
    """Read ``11.0``, ``484`` or ``2.10k`` as a whole number."""
    factor = _UNITS.get(text[-1], 1)
    try:
        return round(float(text.rstrip("kMG")) * factor)
    except ValueError:
        raise EvidenceError(f"{text!r} is no count of a bar") from None


def _slack(text: str) -> int:
    """Give how far a printed count may be from the count itself."""
    factor = _UNITS.get(text[-1])
    decimals = len(text.rstrip("kMG").partition(".")[2])
    return 0 if factor is None else round(factor / 10**decimals / 2)


READER = Reader(format="levanter-log", sniff=sniff, read=read)

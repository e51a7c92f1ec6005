"""Logs of programs on CLU, the training loops of JAX (t5x, Scenic, Flax' examples).

``logging_writer.py:48] [100] loss=2.3``, ``[100] uptime=232.1``, ``Setting work unit notes: 2.5 steps/s,
10.0% (100/1000)``. ``uptime`` is of one process, compilation and evaluations included. Stamps have no year.
"""

import re

from flopledger.logs.document import Document
from flopledger.logs.evidence import EvidenceError
from flopledger.logs.notes import Notes
from flopledger.logs.numbers import parse_positive
from flopledger.logs.process_clocks import Tick, note_processes, note_several
from flopledger.logs.reader import Reader
from flopledger.logs.readers.printed_settings import PrintedSettings
from flopledger.logs.stamps import short_lines

_SCALARS = re.compile(
    r"\blogging_writer\.py:\d{1,5}\] \[(?P<step>\d{1,12})\](?: collection=(?P<of>\w{1,40}))? (?P<rest>.*)"
)
_UPTIME = re.compile(r"(?:^|, )uptime=([\d.]{1,15}(?:e[+-]?\d{1,3})?)")
_LOSS = re.compile(r"(?:^|, )(?:train[_/])?loss=")
_TRAINED = re.compile(r"\b(?:Finished training step|Training: step) (\d{1,12})\b")
_PLAN = re.compile(r"\bSetting work unit notes: .{0,80}?\((?P<step>\d{1,12})/(?P<total>\d{1,12})\)")


def sniff(head: bytes, _name: str) -> bool:
    """Recognise a line of CLU's writer."""
    return re.search(rb"\blogging_writer\.py:\d{1,5}\] \[\d{1,12}\]", head) is not None


def read(document: Document, notes: Notes) -> None:
    """Write down steps, the plan, and the time of each process to its last report."""
    ticks: list[Tick] = []
    settings = PrintedSettings()
    planned: int | None = None
    for number, text in short_lines(document):
        if (plan := _PLAN.search(text)) is not None:
            planned = int(plan["total"])
        tick = _tick(number, text, planned)
        if tick is not None:
            ticks.append(tick)
        elif not ticks:
            settings.take(number, text)
    if not ticks:
        raise EvidenceError(f"{document.name}: marks of CLU's writer and no step of a training")
    settings.note(notes)
    if not note_several(ticks, notes):
        note_processes(_once(ticks), notes)


def _tick(number: int, text: str, planned: int | None) -> Tick | None:
    if (trained := _TRAINED.search(text)) is not None:
        return Tick(number, int(trained[1]), None, planned)
    match = _SCALARS.search(text)
    if match is None or match["of"] not in (None, "train"):
        return None
    uptime = _UPTIME.search(match["rest"])
    if uptime is None and not _LOSS.search(match["rest"]):
        return None
    seconds = parse_positive(uptime[1]) if uptime is not None else None
    return Tick(number, int(match["step"]), float(seconds) if seconds else None, planned)


def _once(ticks: list[Tick]) -> list[Tick]:
    """Put what is written of one step one after the other into one row."""
    rows = [ticks[0]]
    for tick in ticks[1:]:
        if tick.step == rows[-1].step and None in (tick.seconds, rows[-1].seconds):
            rows[-1] = rows[-1]._replace(
                seconds=tick.seconds if tick.seconds is not None else rows[-1].seconds,
                planned=tick.planned,
            )
        else:
            rows.append(tick)
    return rows


READER = Reader(format="clu-log", sniff=sniff, read=read)

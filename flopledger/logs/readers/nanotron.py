"""nanotron console logs: one line an iteration, its numbers shortened to three digits.

    [default0]:01/07/2025 21:51:43 [INFO|DP=0|PP=0|TP=0|host]: iteration: 10 / 2000 | consumed_tokens: 21M
    | elapsed_time_per_iteration_ms: 3.02K | tokens_per_sec: 695K | tokens_per_sec_per_gpu: 10.9K |
    global_batch_size: 512 | lm_loss: 8.9 | ... | model_tflops_per_gpu: 180 | hardware_tflops_per_gpu: 190

``1.23K`` stands for 1,225 to 1,235. Below a thousand the batch is exact, and a length is a power of two
where one lies within the digits of tokens / iteration / batch; a sum of tokens is as good as its digits
otherwise. The printed configuration, where it is in the log, says all of it exactly.
"""

import math
import re
from dataclasses import dataclass, field

from flopledger.facts import Grade
from flopledger.logs.document import Document
from flopledger.logs.evidence import EvidenceError
from flopledger.logs.notes import Notes, line
from flopledger.logs.numbers import parse_positive
from flopledger.logs.reader import Reader
from flopledger.logs.stamps import short_lines, stamp_seconds
from flopledger.logs.stepping import Step, StepLog, median

_STEP = re.compile(r"\biteration: (\d{1,10}) / (\d{1,10}) \| consumed_tokens: ")
_CELL = re.compile(r"\b([a-z_]{2,40}): (\d{1,10}(?:\.\d{1,6})?)([KMGBTPE]?)(?= \||\s*$)")
_POWERS = {"": 1.0, "K": 1e3, "M": 1e6, "G": 1e9, "B": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
_STAMP = re.compile(r"\b(\d\d)/(\d\d)/(\d{4}) (\d\d:\d\d:\d\d)")
#: The configuration as Python prints it.
_SETTING = re.compile(
    r"\b(sequence_length|micro_batch_size|batch_accumulation_per_replica|dp|pp|tp|context_parallel_size)="
    r"([1-9]\d{0,8})\b"
)
#: Half a unit of the third digit, of 100.
_DIGITS = 0.005


@dataclass(slots=True)
class _Rows:
    """What the lines said; the first and the last of what grows, all of what varies."""

    settings: dict[str, tuple[int, int]] = field(default_factory=dict)
    batches: set[float] = field(default_factory=set)
    per_step: list[float] = field(default_factory=list)  #: tokens an iteration, by the total
    throughputs: list[float] = field(default_factory=list)
    model_rates: list[float] = field(default_factory=list)


def sniff(head: bytes, _name: str) -> bool:
    """Recognise an iteration."""
    return re.search(rb"\biteration: \d{1,10} / \d{1,10} \| consumed_tokens: ", head) is not None


def read(document: Document, notes: Notes) -> None:
    """Write down iterations, their time, batch and length, and the stated rates."""
    log, rows = StepLog(), _Rows()
    for number, text in short_lines(document):
        match = _STEP.search(text)
        if match is None:
            for setting in _SETTING.finditer(text):
                rows.settings.setdefault(setting[1], (int(setting[2]), number))
            continue
        cells = {cell[1]: float(cell[2]) * _POWERS[cell[3]] for cell in _CELL.finditer(text)}
        milliseconds = parse_positive(cells.get("elapsed_time_per_iteration_ms"))
        step = Step(
            step=int(match[1]),
            line=number,
            printed=hash(text),
            mark=f"{cells.get('lm_loss')} {cells.get('grad_norm')}",
            seconds=milliseconds / 1000 if milliseconds else None,
            stamp=_stamp(text),
            planned=int(match[2]),
        )
        if log.add(step):
            _take(rows, step.step, cells)
    if not log.steps:
        raise EvidenceError(f"{document.name}: nanotron's marks but no iteration")
    log.note(notes)
    last = log.steps[-1]
    notes.fact("planned_steps", last.planned, line(last.line))
    _note_batch(log, rows, notes)
    place = f"lines {log.steps[0].line} to {last.line}: median"
    notes.fact("tokens_per_second_per_accelerator", median(rows.throughputs), place)
    notes.fact(
        "claimed_flop_per_second_per_accelerator",
        median(rows.model_rates),
        place,
        grade=Grade.CLAIM,
    )


def _take(rows: _Rows, step: int, cells: dict[str, float]) -> None:
    rows.batches.add(cells.get("global_batch_size", 0.0))
    if step and cells.get("consumed_tokens"):
        rows.per_step.append(cells["consumed_tokens"] / step)
    if cells.get("tokens_per_sec_per_gpu"):
        rows.throughputs.append(cells["tokens_per_sec_per_gpu"])
    if cells.get("model_tflops_per_gpu"):
        rows.model_rates.append(cells["model_tflops_per_gpu"] * 1e12)


def _stamp(text: str) -> float | None:
    match = _STAMP.search(text)
    return stamp_seconds(f"{match[3]}-{match[1]}-{match[2]} {match[4]}") if match else None


def _note_batch(log: StepLog, rows: _Rows, notes: Notes) -> None:
    """Write down batch, length and devices: by the configuration, else as far as the digits carry."""
    place = f"lines {log.steps[0].line} to {log.steps[-1].line}"
    said = {name: value for name, (value, _) in rows.settings.items()}
    where = ", ".join(dict.fromkeys(line(number) for _, number in rows.settings.values()))
    if {"dp", "pp", "tp"} <= set(said):
        world = said["dp"] * said["pp"] * said["tp"] * said.get("context_parallel_size", 1)
        notes.fact("world_size", world, f"{where}: dp x pp x tp")
    batch = None
    if {"dp", "micro_batch_size", "batch_accumulation_per_replica"} <= set(said):
        batch = said["dp"] * said["micro_batch_size"] * said["batch_accumulation_per_replica"]
        notes.fact("global_batch", batch, f"{where}: dp x micro batch x accumulation")
    elif len(rows.batches) == 1 and 0 < (printed := next(iter(rows.batches))) < 1000:
        batch = round(printed)
        notes.fact("global_batch", batch, place)
    each = median(rows.per_step)
    length = said.get("sequence_length")
    if length is not None:
        notes.fact("sequence_length", length, where)
    elif each is not None and batch is not None and each >= batch:
        power = 2 ** round(math.log2(each / batch))
        if abs(each / batch / power - 1) <= _DIGITS:
            length = power
            how = f"{place}: the power of two within the digits of tokens / iteration / batch"
            notes.fact("sequence_length", length, how)
    if each is not None and (batch is None or length is None):
        notes.fact("tokens", round(each * log.covered_steps), f"{place}: in three digits")


READER = Reader(format="nanotron-log", sniff=sniff, read=read)

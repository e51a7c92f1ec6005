"""torchtitan console logs. ``tps`` and ``tflops`` are of one device and leave out evaluation.

A printed MFU names no peak, so rate / MFU gives the peak that was assumed: an A100's where the
device's name was unknown to the framework.
"""

import math
import re

from flopledger.facts import Grade
from flopledger.logs import stages
from flopledger.logs.document import Document
from flopledger.logs.evidence import EvidenceError
from flopledger.logs.notes import Notes, line
from flopledger.logs.numbers import parse_count, parse_positive, printed
from flopledger.logs.reader import Reader
from flopledger.logs.stamps import short_lines, stamp_seconds
from flopledger.logs.stepping import Step, StepLog, median

_STEP = re.compile(r"\bstep:\s{0,9}(\d{1,10})\b")
_FIELD = re.compile(
    r"\b(loss|memory|tps|wps|tflops|mfu):\s{0,9}([-+\d.,eE]{1,30}|nan)(GiB)?\(?([\d.]{0,8})"
)
#: Versions of 2024 called tokens words.
_RATE = re.compile(r"\b[tw]ps:")
#: A figure ends in a digit: the comma behind it is the sentence's.
_N = r"(\d(?:[\d,]{0,18}\d)?)"
_TRAINING = re.compile(
    rf"local batch size {_N}, global batch size {_N}"
    rf"(?:, gradient accumulation steps {_N})?.{{0,80}}?sequence length {_N}, total steps {_N}"
)
_PARAMETERS = re.compile(rf"size: {_N} total parameters")
_PEAK = re.compile(r"Peak FLOPS used for computing MFU: ([\d.eE+]{1,20})")
_CAPACITY = re.compile(r"(?:CUDA|XPU|GPU) capacity: (.{2,80}?) with ([\d.]{1,10})GiB memory")
_MESH = re.compile(r"Building (?:\d{1,2}-D )?device mesh with .{0,120}?\[([\d, ]{1,60})\]\s*$")
#: Since autumn 2025; the experts' dimensions (ep, etp) lie across the others.
_PARALLELISM = re.compile(r"Building device mesh with parallelism: ([a-z_=\d, ]{1,160})")
_DEGREE = re.compile(r"\b(pp|dp_replicate|dp_shard|cp|tp)=(\d{1,9})")
_GIB = 1 << 30


def sniff(head: bytes, _name: str) -> bool:
    """Recognise a step line with tps beside memory."""
    return (
        re.search(rb"step:\s{0,9}\d.{0,200}memory:.{0,60}GiB\(.{0,60}[tw]ps:", head) is not None
        or b"[titan]" in head
    )


def read(document: Document, notes: Notes) -> None:
    """Write down steps, rates, what they imply, and the set-up lines."""
    log = StepLog()
    rows: list[dict[str, float]] = []
    planned: int | None = None
    for number, text in short_lines(document):
        match = _STEP.search(text)
        if match is None or not _RATE.search(text):
            planned = _note_setup(text, number, notes) or planned
            continue
        step_count = parse_count(notes.taken(match, 1, line(number)))
        if step_count is None:
            continue
        words = {found[1]: found for found in _FIELD.finditer(text)}
        mark = words["loss"][2] if "loss" in words else text
        step = Step(
            step=step_count,
            line=number,
            mark=mark,
            stamp=stamp_seconds(text),
            printed=hash(text),
            planned=planned,
        )
        if log.add(step):
            rows.append(_row(words, number, notes))
    if not log.steps:
        raise EvidenceError(f"{document.name}: torchtitan marks but no step line")
    log.note(notes)
    stages.of_log(log, notes)
    _note_rates(rows, f"lines {log.steps[0].line} to {log.steps[-1].line}", notes)


def _row(words: dict[str, re.Match[str]], number: int, notes: Notes) -> dict[str, float]:
    row = {}
    for name, match in words.items():
        value = parse_positive(notes.taken(match, 2, f"line {number}, {name}"))
        if value is not None:
            row["tps" if name == "wps" else name] = float(value)
        if name == "memory" and (share := parse_positive(match[4])) is not None:
            row["memory_share"] = float(share)
    return row


def _note_rates(rows: list[dict[str, float]], place: str, notes: Notes) -> None:
    def of(needed: tuple[str, ...]) -> list[dict[str, float]]:
        return [row for row in rows if all(name in row for name in needed)]

    tokens = median([row["tps"] for row in of(("tps",))])
    rate = median([row["tflops"] * 1e12 for row in of(("tflops",))])
    utilisation = median([row["mfu"] / 100 for row in of(("mfu",))])
    peak = median([row["tflops"] * 1e14 / row["mfu"] for row in of(("tflops", "mfu"))])
    per_token = median([row["tflops"] * 1e12 / row["tps"] for row in of(("tflops", "tps"))])
    memory = median(
        [row["memory"] / row["memory_share"] * 100 for row in of(("memory", "memory_share"))]
    )
    notes.fact("tokens_per_second_per_accelerator", tokens, f"{place}: median tps")
    names = {
        "claimed_flop_per_second_per_accelerator": rate,
        "claimed_mfu": utilisation,
        "implied_peak_flop_per_second": peak,
        "implied_flop_per_token": per_token,
    }
    for name, value in names.items():
        notes.fact(name, value, f"{place}: median", grade=Grade.CLAIM)
    if memory is not None:
        notes.fact("implied_memory_bytes", round(memory * _GIB), f"{place}: median")


def _note_setup(text: str, number: int, notes: Notes) -> int | None:
    """Read the lines that describe the run before its first step; give the steps that it plans."""
    place = line(number)
    if match := _TRAINING.search(text):
        names = ("per_process_batch", "global_batch", "gradient_accumulation", "sequence_length")
        for group, name in enumerate(names, start=1):
            if match[group] is not None:
                notes.count(name, printed(match, group), place)
        planned = parse_count(notes.taken(match, 5, place))
        notes.fact("planned_steps", planned, place)
        return planned
    if match := _PARAMETERS.search(text):
        notes.count("parameters", match[1], place)
    elif match := _PEAK.search(text):
        notes.positive("assumed_peak", match[1], place, unit="FLOP/s", grade=Grade.CLAIM)
    elif match := _CAPACITY.search(text):
        notes.fact("accelerator", match[1], place)
        notes.fact("accelerator_memory_bytes", round(float(match[2]) * _GIB), place)
    elif match := _PARALLELISM.search(text):
        degrees = [int(degree) for _, degree in _DEGREE.findall(match[1])]
        if degrees and all(degrees):
            notes.fact("world_size", math.prod(degrees), place)
    elif match := _MESH.search(text):
        sizes = [parse_count(word) for word in match[1].split(",")]
        if all(sizes):
            notes.fact("world_size", math.prod(size for size in sizes if size), place)
    return None


READER = Reader(format="torchtitan-log", sniff=sniff, read=read)

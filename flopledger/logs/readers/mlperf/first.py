"""MLPerf Training's first round: ``:::MLPv0.5.0 <benchmark> <unix seconds> (<file>) <tag>: <value>``.

Epochs are counted from 0 or from 1, some logs print ``train_epoch`` once, some each epoch, and
evaluations may name the epoch of either count: the epochs done run from the first printed to the last.
The batch is printed per device or over all, so it is not taken for either.
"""

import re
from dataclasses import dataclass

from flopledger import foreign_json
from flopledger.facts import Grade
from flopledger.logs.benchmarks import benchmark
from flopledger.logs.document import Document
from flopledger.logs.evidence import EvidenceError
from flopledger.logs.notes import Notes, line
from flopledger.logs.numbers import is_placeholder, parse_count, parse_number
from flopledger.logs.reader import Reader

_LINE = re.compile(
    r":::MLPv0\.5\.\d{1,3} ([a-z0-9_]{2,40}) (\d{9,11}(?:\.\d{1,12})?) \([^)]{0,300}\) "
    r"([a-z0-9_]{2,60})(?:: (.{0,2000}))?"
)
_TAGS = frozenset(
    {"run_start", "run_stop", "train_epoch", "eval_accuracy", "eval_start"}
    | {"preproc_num_train_examples", "preproc_num_eval_examples"}
)
_CORES = re.compile(r"tpu[ _-]?v[23]-(\d{1,5})", re.IGNORECASE)
_CORES_PER_CHIP = 2


@dataclass(frozen=True, slots=True)
class _Event:
    line: int
    seconds: float
    tag: str
    value: object


def sniff(head: bytes, _name: str) -> bool:
    """Recognise the marker."""
    return b":::MLPv0.5." in head


def read(document: Document, notes: Notes) -> None:
    """Write down the timed part, the epochs done and how the run ended."""
    events: list[_Event] = []
    names: dict[str, int] = {}
    for number, text in document.lines():
        if (match := _LINE.search(text)) is not None and match[3] in _TAGS:
            names.setdefault(match[1], number)
            events.append(_Event(number, float(match[2]), match[3], _value(match[4])))
    if not events:
        raise EvidenceError(f"{document.name}: marks of round 0.5 but no readable event")
    name, number = next(iter(names.items()))
    notes.fact("benchmark", name, line(number))
    notes.fact("model", name, line(number))
    start = next((one for one in reversed(events) if one.tag == "run_start"), None)
    if start is None:
        notes.finding("aborted-run", "warning", "the log has no run_start: nothing was timed")
        return
    stop = next((one for one in events if one.tag == "run_stop" and one.line > start.line), None)
    _note_window(start, stop, events[-1], notes)
    end = stop.seconds if stop is not None else events[-1].seconds
    inside = [one for one in events if start.seconds <= one.seconds <= end]
    _note_amount(name, events, inside, notes, is_whole=stop is not None)


def _value(text: str | None) -> object:
    return None if text is None else foreign_json.decoded(text)


def _note_window(start: _Event, stop: _Event | None, last: _Event, notes: Notes) -> None:
    notes.fact("started", start.seconds, line(start.line))
    if stop is None:
        seconds = round(last.seconds - start.seconds, 3)
        if seconds > 0:
            notes.fact("seen_seconds", seconds, f"line {start.line} to the last event")
        notes.finding(
            "aborted-run",
            "warning",
            f"run_stop is missing: the run was seen working for {seconds:,.1f} s; its compute was "
            "spent all the same",
            line(start.line),
        )
        return
    notes.fact("ended", stop.seconds, line(stop.line))
    if stop.seconds > start.seconds:
        places = f"lines {start.line} and {stop.line}"
        notes.fact("timed_seconds", round(stop.seconds - start.seconds, 3), places)
    told = stop.value.get("success") if isinstance(stop.value, dict) else None
    if told is None:
        return
    reached = str(told).lower() == "true"
    notes.fact("status", "success" if reached else "aborted", line(stop.line))
    if not reached:
        notes.finding(
            "aborted-run",
            "warning",
            "the run ended without success; its compute was spent all the same",
            line(stop.line),
        )


def _note_amount(
    name: str, events: list[_Event], inside: list[_Event], notes: Notes, *, is_whole: bool
) -> None:
    begun = [(at, one.line) for one in inside if (at := _epoch(one)) is not None]
    starts = [at for one in inside if one.tag == "train_epoch" and (at := _epoch(one)) is not None]
    rules = benchmark(name)
    if rules is None:
        notes.finding(
            "unknown-benchmark",
            "warning",
            f"benchmark {name[:40]!r} is not in the table: its data set is not known",
        )
    size, place = _size(events), ""
    if size is not None:
        notes.fact("dataset_samples", size[0], line(size[1]))
    if not begun:
        notes.finding("tokens-missing", "warning", "the log does not say how much was trained")
        return
    last, number = max(begun)
    first = min(starts, default=0)
    epochs = last - first + (1 if is_whole else 0)
    place = f"train_epoch and eval_accuracy up to line {number}, counted from {first}"
    notes.fact("epochs", epochs, place)
    samples = (
        size[0] if size else rules.dataset_samples[0] if rules and rules.dataset_samples else 0
    )
    if samples and epochs:
        notes.fact("samples", epochs * samples, place)
    elif epochs:
        notes.finding(
            "tokens-missing",
            "warning",
            f"{epochs} epochs of a data set whose size is not logged",
            line(number),
        )
    _note_evaluation(events, inside, notes)


def _epoch(event: _Event) -> int | None:
    value = event.value
    if event.tag == "eval_accuracy" and isinstance(value, dict):
        value = value.get("epoch")
    elif event.tag != "train_epoch":
        return None
    number = parse_number(value)
    return int(number) if number is not None and 0 <= number < 10_000 else None


def _size(events: list[_Event]) -> tuple[int, int] | None:
    for event in events:
        if event.tag == "preproc_num_train_examples" and (count := parse_count(event.value)):
            return count, event.line
    return None


def _note_evaluation(events: list[_Event], inside: list[_Event], notes: Notes) -> None:
    """Write down the forward-only work inside the window: each score is of one evaluation."""
    sizes = [parse_count(one.value) for one in events if one.tag == "preproc_num_eval_examples"]
    scores = [one.line for one in inside if one.tag == "eval_accuracy"]
    if scores and sizes and sizes[0]:
        place = f"{len(scores)} evaluations up to line {scores[-1]}"
        notes.fact("evaluation_samples", len(scores) * sizes[0], place)


def sniff_entry(head: bytes, _name: str) -> bool:
    """Recognise the first round's ``entry.json``."""
    return head.lstrip()[:1] == b"{" and b'"num_accelerators"' in head and b'"num_nodes"' in head


def read_entry(document: Document, notes: Notes) -> None:
    """Write down the part and the count; a TPU slice is named after its cores."""
    entry = document.json()
    nodes = entry.get("nodes") if isinstance(entry, dict) else None
    if not isinstance(nodes, list) or not nodes or not isinstance(nodes[0], dict):
        raise EvidenceError(f"{document.name}: no list of nodes")
    notes.fact("system", entry.get("hardware"), "$.hardware", grade=Grade.STATEMENT)
    if is_placeholder(entry.get("hardware")) and is_placeholder(nodes[0].get("accelerator")):
        notes.finding("unknown-accelerator", "warning", "the part is not named", "$.nodes[0]")
    part = nodes[0].get("accelerator")
    notes.fact("accelerator", part, "$.nodes[0].accelerator", grade=Grade.STATEMENT)
    machines, each = (
        parse_count(nodes[0].get("num_nodes")),
        parse_count(nodes[0].get("num_accelerators")),
    )
    if len(nodes) > 1 or machines is None or each is None:
        return
    notes.fact("nodes", machines, "$.nodes[0].num_nodes", grade=Grade.STATEMENT)
    slice_of = _CORES.search(str(part))
    if slice_of is not None and int(slice_of[1]) == each:
        notes.fact(
            "accelerator_count",
            each // _CORES_PER_CHIP,
            f"$.nodes[0].accelerator: {each} cores, {_CORES_PER_CHIP} a chip",
            grade=Grade.STATEMENT,
        )
        return
    place = "$.nodes[0].num_nodes x $.nodes[0].num_accelerators"
    notes.fact("accelerator_count", machines * each, place, grade=Grade.STATEMENT)


READER = Reader(format="mlperf-log", sniff=sniff, read=read)
ENTRY = Reader(format="mlperf-system", sniff=sniff_entry, read=read_entry)

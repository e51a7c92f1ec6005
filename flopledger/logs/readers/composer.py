"""Composer and LLM-foundry console logs: ``[batch=N/M]:`` and indented metrics below it.

Where a run's length is stated in epochs, ``[epoch=2][batch=3/6]`` counts batches of that epoch, epochs from 1
(``ConsoleLogger._get_progress_string``). Counters are of the whole run: a checkpoint brings them back.
"""

import re
from itertools import pairwise

from flopledger.facts import Grade
from flopledger.logs.document import Document
from flopledger.logs.evidence import EvidenceError
from flopledger.logs.notes import Notes, line
from flopledger.logs.numbers import parse_number, parse_positive
from flopledger.logs.reader import Reader
from flopledger.logs.stamps import COLLECTED, short_lines, stamp_seconds
from flopledger.logs.stepping import Step, StepLog, median

_BATCH = re.compile(
    r"\[(?:epoch=(?P<epoch>\d{1,8})(?:/(?P<epochs>\d{1,8}))?\]\[)?batch=(?P<batch>\d{1,10})/(?P<each>\d{1,10})\]:"
)
_METRIC = re.compile(
    rf"^{COLLECTED}"
    r"(?:\s{0,4}\d{1,6}:)?\s{0,12}(?:Train|Eval)?\s{0,2}"
    r"([a-z_]{3,30}(?:/[A-Za-z_]{2,40}){1,3}): ([-\d.,eE+]{1,40}[kKMGTPB]?)\s*$"
)
_PRECISION = re.compile(r"Using precision Precision\.AMP_(BF16|FP16|FP8)")
_SETTING = re.compile(r"^(?:\s{0,4}\d{1,6}:)?\s{0,12}([a-z_]{4,40}): ([\d.eE+]{1,30})\s*$")

#: Settings of the YAML that LLM-foundry prints before training.
_SETTINGS = {
    "max_seq_len": "sequence_length",
    "global_train_batch_size": "global_batch",
    "n_gpus": "world_size",
    "num_nodes": "nodes",
    "num_gpus_per_node": "accelerators_per_node",
    "n_params": "parameters",
    "n_layers": "architecture.layers",
    "d_model": "architecture.hidden",
    "n_heads": "architecture.heads",
    "vocab_size": "architecture.vocabulary",
}


def sniff(head: bytes, _name: str) -> bool:
    """Recognise a batch line with metrics."""
    return re.search(rb"\[(?:epoch=\d+(?:/\d+)?\]\[)?batch=\d+/\d+\]:", head) is not None


def read(document: Document, notes: Notes) -> None:
    """Write down batches, tokens, hours and rates. Times of the monitor are in hours."""
    log, last = StepLog(), dict[str, tuple[float, int]]()
    rates: dict[str, list[float]] = {}
    begun: Step | None = None  #: the batch whose metrics are being read
    first_loss = ""
    for number, text in short_lines(document):
        if match := _BATCH.search(text):
            _add(log, begun, first_loss)
            begun, first_loss = _batch(match, number, text), ""
        elif match := _METRIC.match(text):
            value = parse_number(match[2])
            notes.misfit(value, match[2], f"line {number}, {match[1]}")
            if value is not None:
                last[match[1]] = (float(value), number)
                rates.setdefault(match[1], []).append(float(value))
            if match[1].startswith("loss/"):
                first_loss = first_loss or match[2]
        elif begun is None and (match := _PRECISION.search(text)):
            notes.fact("precision", match[1].lower(), line(number))
        elif begun is None and (match := _SETTING.match(text)) and match[1] in _SETTINGS:
            notes.count(_SETTINGS[match[1]], match[2], line(number))
    _add(log, begun, first_loss)
    _note_world(notes)
    if not log.steps:
        raise EvidenceError(f"{document.name}: Composer marks but no batch")
    log.note(notes, timed=False)
    final = log.steps[-1]
    notes.fact("planned_steps", final.planned, line(final.line))
    _note_totals(last, log, notes)
    _note_time(last, rates, log, notes)
    _note_rates(rates, notes)


def _batch(match: re.Match[str], number: int, text: str) -> Step:
    """Give the batch of the run that a line speaks of, and how many are planned where it says so."""
    batch, planned = int(match["batch"]), int(match["each"]) or None
    if match["epoch"] is not None:
        batch += (int(match["epoch"]) - 1) * int(match["each"])
        planned = int(match["epochs"]) * int(match["each"]) if match["epochs"] else None
    return Step(step=batch, line=number, mark="", stamp=stamp_seconds(text), planned=planned)


def _add(log: StepLog, begun: Step | None, loss: str) -> None:
    """Take a batch in once its loss is read, which tells another rank's print from work done again."""
    if begun is not None:
        log.add(begun._replace(mark=loss))


def _note_world(notes: Notes) -> None:
    """Multiply nodes and devices, where the configuration gives those."""
    found = {fact.name: fact for fact in notes.facts}
    nodes, each = found.get("nodes"), found.get("accelerators_per_node")
    if nodes is not None and each is not None and "world_size" not in found:
        place = f"{nodes.locator} x {each.locator}"
        notes.fact("world_size", int(nodes.value) * int(each.value), place)


def _note_totals(last: dict[str, tuple[float, int]], log: StepLog, notes: Notes) -> None:
    batches = log.steps[-1].step
    for metric, name in (("time/token", "tokens"), ("time/sample", "samples")):
        if metric not in last:
            continue
        value, number = last[metric]
        done, _ = last.get("time/batch", (0.0, 0))
        # The counter is printed before the batch is added, so it is of one batch fewer.
        if value > 0 and done > 0:
            total = value * batches / done
            share = log.covered_steps / batches if batches else 1.0  # a resumed log's own batches
            notes.fact(name, round(total * share), f"line {number}, to the last batch")


def _note_time(
    last: dict[str, tuple[float, int]], rates: dict[str, list[float]], log: StepLog, notes: Notes
) -> None:
    """Write down the monitor's clock, which a checkpoint sets back to where it was saved."""
    is_whole = not log.first_step and not log.lost_steps
    for metric, factor in (("time/train", 3600.0), ("wall_clock/train", 1.0)):
        if metric in last and last[metric][0] > 0:
            if is_whole:
                notes.fact("timed_seconds", last[metric][0] * factor, line(last[metric][1]))
            else:
                seen = sum(max(after - before, 0.0) for before, after in pairwise(rates[metric]))
                seen += 0.0 if log.first_step else rates[metric][0]
                place = f"lines to {last[metric][1]}: what {metric} grew by"
                notes.fact("seen_seconds", round(seen * factor, 3) or None, place)
            break
    if is_whole and "time/total" in last and last["time/total"][0] > 0:
        notes.fact("wall_seconds", last["time/total"][0] * 3600, line(last["time/total"][1]))


def _note_rates(rates: dict[str, list[float]], notes: Notes) -> None:
    names = {
        "throughput/device/tokens_per_sec": ("tokens_per_second_per_accelerator", Grade.LOG),
        "throughput/device/flops_per_sec": (
            "claimed_flop_per_second_per_accelerator",
            Grade.CLAIM,
        ),
        "throughput/device/mfu": ("claimed_mfu", Grade.CLAIM),
    }
    for metric, (name, grade) in names.items():
        values = [value for value in rates.get(metric, []) if value > 0]
        notes.fact(name, parse_positive(median(values)), f"median of {metric}", grade=grade)
    both = zip(
        rates.get("throughput/device/flops_per_sec", []),
        rates.get("throughput/device/mfu", []),
        strict=False,
    )
    peaks = [rate / share for rate, share in both if rate > 0 and share > 0]
    notes.fact(
        "implied_peak_flop_per_second",
        median(peaks),
        "median of throughput/device/flops_per_sec / mfu",
        grade=Grade.CLAIM,
    )


READER = Reader(format="composer-log", sniff=sniff, read=read)

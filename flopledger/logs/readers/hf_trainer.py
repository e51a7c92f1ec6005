"""Hugging Face ``trainer_state.json`` and the result files beside it.

No hardware is recorded in them. ``total_flos`` is a claim of the software: 6 x elements of the
main input x parameters without input embeddings; 0 means that it was not tracked.
"""

from itertools import pairwise
from typing import Any

from flopledger.facts import Grade
from flopledger.logs import scalars
from flopledger.logs.document import Document
from flopledger.logs.evidence import EvidenceError
from flopledger.logs.notes import Notes
from flopledger.logs.numbers import parse_count, parse_number, parse_positive
from flopledger.logs.reader import Reader

#: From this number of epochs on, the value is "no end given": the data set was streamed.
_ENDLESS_EPOCHS = 2**53


def sniff_state(head: bytes, _name: str) -> bool:
    """Recognise the keys of a trainer state."""
    start = head.lstrip()[:1] == b"{"
    return start and b'"log_history"' in head and b'"global_step"' in head


def sniff_results(head: bytes, _name: str) -> bool:
    """Recognise ``all_results.json`` and ``train_results.json``."""
    return head.lstrip()[:1] == b"{" and b'"train_runtime"' in head and b'"train_loss"' in head


def read_state(document: Document, notes: Notes) -> None:
    """Write down steps, epochs, tokens, rates and the claimed FLOP."""
    state = document.json()
    if not isinstance(state, dict) or not isinstance(state.get("log_history"), list):
        raise EvidenceError(f"{document.name}: log_history is not a list")
    rows = [row for row in state["log_history"] if isinstance(row, dict)]
    steps = parse_count(state.get("global_step"))
    notes.count("steps", state.get("global_step"), "$.global_step")
    planned = parse_count(state.get("max_steps"))
    notes.count("planned_steps", state.get("max_steps"), "$.max_steps")
    if steps and planned and steps < planned:
        notes.finding(
            "stopped-early",
            "info",
            f"{steps:,} of {planned:,} steps were done; the Trainer's rates divide the planned "
            "samples and steps by the time, and so overstate",
            "$.global_step",
            "$.max_steps",
        )
    notes.positive("epochs", state.get("epoch"), "$.epoch")
    limit = parse_count(state.get("num_train_epochs"))
    if limit is not None and limit < _ENDLESS_EPOCHS:
        notes.fact("planned_epochs", limit, "$.num_train_epochs", unit="epochs")
    notes.count("per_process_batch", state.get("train_batch_size"), "$.train_batch_size")
    _note_claim(state.get("total_flos"), notes)
    _note_tokens(state, rows, notes)
    _note_runtime(rows, planned, notes)
    _note_evaluation(rows, notes)


def read_results(document: Document, notes: Notes) -> None:
    """Write down what one process says of its own run."""
    results = document.table()
    notes.positive("timed_seconds", results.get("train_runtime"), "$.train_runtime")
    notes.positive("epochs", results.get("epoch"), "$.epoch")
    notes.count("dataset_samples", results.get("train_samples"), "$.train_samples")
    if "total_flos" in results:
        _note_claim(results["total_flos"], notes)
    tokens = results.get("num_input_tokens_seen", results.get("train_tokens"))
    notes.count("tokens", tokens, "$.num_input_tokens_seen", grade=Grade.CLAIM)
    _note_rates(results, "$", notes)


def _note_claim(value: object, notes: Notes) -> None:
    number = parse_number(value)
    notes.misfit(number, value, "$.total_flos")
    if number is None:
        return
    if number > 0:
        notes.fact("claimed_flop", float(number), "$.total_flos", grade=Grade.CLAIM)
        return
    notes.finding(
        "counter-zero",
        "warning",
        f'total_flos is {number:g}: not tracked (custom model, FSDP), which is not "no compute"',
        "$.total_flos",
    )


#: What the Trainer and TRL count: all tokens so far.
_TOKENS = ("num_tokens", "eval_num_tokens", "num_input_tokens_seen")


def _note_tokens(state: dict[str, Any], rows: list[dict[str, Any]], notes: Notes) -> None:
    """Write down tokens seen: the Trainer's counter, and TRL's in the rows."""
    stated = state.get("num_input_tokens_seen")
    seen = parse_number(stated)
    notes.misfit(seen, stated, "$.num_input_tokens_seen")
    if seen is not None:
        if seen == 0:
            notes.finding(
                "counter-zero",
                "info",
                "num_input_tokens_seen is 0: the counter was not switched on",
                "$.num_input_tokens_seen",
            )
        notes.count("tokens", seen, "$.num_input_tokens_seen", grade=Grade.CLAIM)
    readings = []
    for index, row in enumerate(rows):
        for key in _TOKENS:
            count = parse_count(row.get(key))
            notes.misfit(count, row.get(key), f"$.log_history[{index}].{key}")
            if count is not None:
                readings.append((index, key, count))
    if not readings:
        readings = _of_other_counters(rows, notes)
    total, last, resets = _accumulate([count for _, _, count in readings])
    if not readings or total is None or last is None:
        return
    if seen is not None and seen >= total:
        return  # rows are readings of the same counter, the last of them earlier than its end
    index, key, _ = readings[last]
    place = f"$.log_history[{index}].{key}"
    if resets:
        notes.finding(
            "counter-reset",
            "warning",
            f"{key} fell {resets} times, as after a resume; the parts were added up",
            place,
        )
    notes.fact("tokens", total, place)
    read_at, done = parse_count(rows[index].get("step")), parse_count(state.get("global_step"))
    if read_at is not None and done is not None and read_at < done:
        notes.finding(
            "coverage-gap",
            "info",
            f"{key} was last written at step {read_at:,} of {done:,}: the tokens of "
            f"{done - read_at:,} steps are not in it",
            place,
        )


def _of_other_counters(rows: list[dict[str, Any]], notes: Notes) -> list[tuple[int, str, int]]:
    """Read a counter that a program wrote under another known name; name those that are not understood.

    A total grows from row to row; what falls is of a step, a batch or a window, and says no amount.
    """
    found: dict[str, list[tuple[int, str, int]]] = {}
    for index, row in enumerate(rows):
        for key, value in row.items():
            if "token" in key.lower() and (count := parse_count(value)) is not None:
                found.setdefault(key, []).append((index, key, count))
    totals = [
        readings
        for key, readings in found.items()
        if scalars.counts_tokens(key)
        and all(before[2] <= after[2] for before, after in pairwise(readings))
        and (len(readings) == 1 or readings[-1][2] > readings[0][2])
    ]
    if totals:
        return totals[0]
    for key, readings in list(found.items())[:5]:
        index, _, count = readings[-1]
        notes.finding(
            "unit-ambiguity",
            "info",
            f"{key} (last {count:,}) may be tokens of the run, of a step or of an evaluation: it was not "
            "used",
            f"$.log_history[{index}].{key}",
        )
    return []


def _accumulate(counts: list[int]) -> tuple[int | None, int | None, int]:
    """Add up a counter that may start again: total, place of the last reading, resets."""
    if not counts:
        return None, None, 0
    total, resets, last = 0, 0, 0
    for index, (before, after) in enumerate(pairwise(counts)):
        if after < before:
            total, resets = total + before, resets + 1
        last = index + 1
    return total + counts[-1], last, resets


def _note_runtime(rows: list[dict[str, Any]], planned: int | None, notes: Notes) -> None:
    """Write down the time; every process that ended left one row, so resumed parts add up."""
    ends = []
    for index, row in enumerate(rows):
        stated = row.get("train_runtime")
        notes.misfit(parse_positive(stated), stated, f"$.log_history[{index}].train_runtime")
        if parse_positive(stated) is not None:
            ends.append((index, row))
    if not ends:
        return
    seconds = sum(float(row["train_runtime"]) for _, row in ends)
    places = ", ".join(f"$.log_history[{index}].train_runtime" for index, _ in ends[:4])
    notes.fact("timed_seconds", round(seconds, 6), places)
    if len(ends) > 1:
        notes.finding(
            "resumed-run",
            "info",
            f"{len(ends)} processes reported an end; their times were added up",
            places,
        )
    index, row = ends[-1]
    _note_rates(row, f"$.log_history[{index}]", notes)
    samples = parse_positive(row.get("train_samples_per_second"))
    runtime = parse_positive(row.get("train_runtime"))
    if samples is None or runtime is None or planned is None:
        return
    # Both rates divide what was planned by the same time, so their ratio is the batch.
    batch = samples * runtime / planned
    if batch >= 0.75 and abs(batch - round(batch)) <= max(0.02, 0.01 * batch):
        notes.fact(
            "global_batch",
            round(batch),
            f"$.log_history[{index}]: train_samples_per_second x train_runtime / max_steps",
        )


def _note_rates(row: dict[str, Any], prefix: str, notes: Notes) -> None:
    for key, unit in (("train_samples_per_second", "samples/s"), ("train_steps_per_second", "1/s")):
        value = parse_positive(row.get(key))
        notes.fact(f"planned_{key}", value, f"{prefix}.{key}", unit=unit, grade=Grade.CLAIM)


def _note_evaluation(rows: list[dict[str, Any]], notes: Notes) -> None:
    """Evaluations lie inside ``train_runtime``: forward work and time that trained nothing."""
    seconds, samples, count = 0.0, 0.0, 0
    for row in rows:
        runtime = parse_positive(row.get("eval_runtime"))
        rate = parse_positive(row.get("eval_samples_per_second"))
        if runtime is not None:
            seconds, count = seconds + runtime, count + 1
            samples += runtime * rate if rate is not None else 0.0
    if count:
        place = f"$.log_history: {count} rows with eval_runtime"
        notes.fact("evaluation_seconds", round(seconds, 6), place, unit="s")
        if samples:
            notes.fact("evaluation_samples", round(samples), place)


STATE = Reader(format="hf-trainer-state", sniff=sniff_state, read=read_state)
RESULTS = Reader(format="hf-results", sniff=sniff_results, read=read_results)

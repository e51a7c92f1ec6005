"""MLPerf Training result logs: lines with ``:::MLLOG`` and JSON, among other output.

Three generations are read: ``:::MLLOG {json}`` with and without ``event_type``, and the older
``:::MLL <unix seconds> <key>: {json}``. The timed part runs from the first ``run_start`` to its
``run_stop``; what was trained is decided in ``mlperf_amount``.
"""

import re
from collections.abc import Iterable

from flopledger.facts import Grade
from flopledger.logs import limits
from flopledger.logs.document import Document
from flopledger.logs.evidence import EvidenceError
from flopledger.logs.notes import Notes, line
from flopledger.logs.numbers import is_placeholder, parse_number
from flopledger.logs.reader import Reader
from flopledger.logs.readers.mlperf.amount import Window, note_amount
from flopledger.logs.readers.mlperf.events import Event, events


def sniff(head: bytes, _name: str) -> bool:
    """Recognise the marker; a power log carries it too and belongs to the telemetry."""
    if b'"power_reading"' in head and b'"run_start"' not in head:
        return False
    return b":::MLLOG" in head or re.search(rb":::MLL\S* \d{9,11}\S* \w+: \{", head) is not None


def read(document: Document, notes: Notes) -> None:
    """Write down the run's window, shape, amount and end."""
    broken: list[int] = []
    kept, ranks = _keep(events(document.lines(), broken))
    if not kept:
        raise EvidenceError(f"{document.name}: MLPerf marks but no readable event")
    if broken:
        notes.finding(
            "figure-unread",
            "warning",
            f"lines that bear MLPerf's mark cannot be read ({len(broken):,}): broken by other output, cut, "
            "or without a time that can be one; what they say is missing",
            *(line(number) for number in broken[:5]),
        )
    window = _window(kept, notes)
    _note_settings(kept, notes)
    if ranks > 1:
        notes.fact("ranks_logged", ranks, "lines init_start", unit="ranks")
    if window is None:
        notes.finding("aborted-run", "warning", "the log has no run_start: nothing was timed")
        return
    _note_window(window, notes)
    note_amount(window, notes)


#: Keys that are read; a big log holds tens of thousands of others.
_KEYS = frozenset(
    {
        "run_start",
        "run_stop",
        "submission_benchmark",
        "submission_platform",
        "submission_org",
        "global_batch_size",
        "max_sequence_length",
        "gradient_accumulation_steps",
        "train_samples",
        "trained_samples",
        "eval_samples",
        "init_checkpoint_step",
        "max_steps",
        "block_start",
        "block_stop",
        "epoch_start",
        "epoch_stop",
        "eval_start",
        "eval_stop",
        "eval_accuracy",
        "seed",
    }
)


def _keep(stream: Iterable[Event]) -> tuple[list[Event], int]:
    """Keep the events that matter, the last one of all, and count the ranks that began."""
    kept: list[Event] = []
    ranks = 0
    for event in stream:
        if event.key == "init_start":
            ranks += 1
        timing = event.key == "tracked_stats" and (
            "step" in event.metadata or "samples_count" in event.metadata
        )
        if event.key in _KEYS or timing:
            kept.append(event)
        if len(kept) > limits.KEPT_EVENTS:
            raise EvidenceError(
                f"more than {limits.KEPT_EVENTS:,} events; hand in an extract, and say so"
            )
    return kept, ranks


def _window(kept: list[Event], notes: Notes) -> Window | None:
    """Find the timed part; ranks may print its ends many times."""
    runs: list[tuple[Event, Event | None]] = []
    for event in kept:
        if event.key == "run_start" and (not runs or runs[-1][1] is not None):
            runs.append((event, None))
        elif event.key == "run_stop" and runs and runs[-1][1] is None:
            runs[-1] = (runs[-1][0], event)
    if not runs:
        return None
    if len(runs) > 1:
        notes.finding(
            "several-runs",
            "warning",
            f"the log holds {len(runs)} timed runs; the last one is read, the others are compute "
            "spent as well",
            *(line(start.line) for start, _ in runs),
        )
    start, stop = runs[-1]
    # Some submitters append run_stop after an evaluation that was made later from checkpoints:
    # its time stamp, not its line, ends the timed part.
    end_ms = stop.time_ms if stop else max(event.time_ms for event in kept)
    inside = [event for event in kept if start.time_ms <= event.time_ms <= end_ms]
    return Window(start=start, stop=stop, end_ms=end_ms, everything=kept, inside=inside)


def _note_window(window: Window, notes: Notes) -> None:
    start, stop = window.start, window.stop
    notes.fact("started", start.time_ms / 1000, line(start.line))
    seconds = round((window.end_ms - start.time_ms) / 1000, 3)
    if stop is None:
        if seconds > 0:
            notes.fact("seen_seconds", seconds, f"line {start.line} to the last event", unit="s")
        notes.finding(
            "aborted-run",
            "warning",
            f"run_stop is missing: the run was seen working for {seconds:,.1f} s and did not end "
            "by itself; its compute was spent all the same",
            line(start.line),
        )
        return
    places = f"lines {start.line} and {stop.line}"
    notes.fact("ended", stop.time_ms / 1000, line(stop.line))
    if seconds > 0:
        notes.fact("timed_seconds", seconds, places)
    else:
        notes.finding(
            "clock-disagreement",
            "error",
            f"run_stop lies {-seconds:,.3f} s before run_start",
            places,
        )
    status = stop.metadata.get("status")
    notes.fact("status", status, line(stop.line))
    if isinstance(status, str) and status.lower() != "success":
        notes.finding(
            "aborted-run",
            "warning",
            f"the run ended with status {status[:40]!r}; its compute was spent all the same",
            line(stop.line),
        )


#: Log key -> canonical name, for what is written once.
_SETTINGS = {
    "submission_benchmark": "benchmark",
    "submission_platform": "platform",
    "submission_org": "organisation",
    "global_batch_size": "global_batch",
    "max_sequence_length": "sequence_length",
    "gradient_accumulation_steps": "gradient_accumulation",
    "init_checkpoint_step": "first_step",
    "max_steps": "planned_steps",
}
_NUMERIC = frozenset(
    {"global_batch", "sequence_length", "gradient_accumulation", "first_step", "planned_steps"}
)


def _note_settings(kept: list[Event], notes: Notes) -> None:
    seen: dict[str, object] = {}
    for event in kept:
        name = _SETTINGS.get(event.key)
        value = event.value
        if name is None or is_placeholder(value):
            continue
        if name in _NUMERIC:
            value = parse_number(value)
            if value is None or (value <= 0 and name != "first_step"):
                notes.misfit(None, event.value, f"line {event.line}, {event.key}")
                continue
            value = int(value) if value == int(value) else value
        if seen.get(name) == value:
            continue
        seen[name] = value
        grade = Grade.STATEMENT if name == "platform" else Grade.LOG
        notes.fact(name, value, line(event.line), grade=grade)
        if name == "benchmark":
            notes.fact("model", value, line(event.line))


READER = Reader(format="mlperf-log", sniff=sniff, read=read)

"""Amounts that stand in an MLPerf log and cannot be ones: too large, below zero, no number."""

from collections.abc import Iterable

from flopledger.logs.notes import Notes
from flopledger.logs.numbers import parse_count, parse_positive
from flopledger.logs.readers.mlperf.events import Event

#: Keys, and counters beside them, that say how much was done.
_AMOUNTS = ("train_samples", "trained_samples", "eval_samples")
_COUNTERS = ("samples_count", "step", "epoch_num")


def tell(events: Iterable[Event], notes: Notes) -> None:
    """Name them, for ``figure-unread``."""
    for event in events:
        place = f"line {event.line}"
        if event.key in _AMOUNTS:
            notes.misfit(parse_count(event.value), event.value, f"{place}, {event.key}")
        for name in _COUNTERS:
            stated = event.metadata.get(name)
            notes.misfit(parse_positive(stated), stated, f"{place}, {name}")

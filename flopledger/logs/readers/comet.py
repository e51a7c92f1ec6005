"""Comet's answers about an experiment, as its REST interface gives them and its tools save them.

Metadata (when it began and ended), system details (the host's GPUs), and the summaries of metrics and of
parameters, each a JSON file of its own; or the values of one metric. The last value of a tag is its value.
"""

from collections.abc import Iterator
from typing import Any

from flopledger.logs import scalars
from flopledger.logs.document import Document
from flopledger.logs.evidence import EvidenceError
from flopledger.logs.notes import Notes
from flopledger.logs.numbers import parse_count, parse_number
from flopledger.logs.reader import Reader

_VALUES = 10_000
_MARKS = (b'"durationMillis"', b'"gpuStaticInfoList"', b'"valueCurrent"', b'"metricName"')


def sniff(head: bytes, _name: str) -> bool:
    """Recognise the keys that Comet's answers have."""
    if head.lstrip()[:1] not in (b"{", b"["):
        return False
    if b'"experimentKey"' in head and any(mark in head for mark in _MARKS[:2]):
        return True
    return (b'"valueCurrent"' in head and b'"valueMax"' in head) or (
        b'"metricName"' in head and b'"metricValue"' in head
    )


def read(document: Document, notes: Notes) -> None:
    """Write down what the answer says."""
    content = document.json()
    if isinstance(content, dict):
        _note_time(content, notes)
        _note_devices(content, notes)
    entries = list(_entries(content))
    last: dict[str, tuple[tuple[float, int], object, str]] = {}
    for index, entry in enumerate(entries[:_VALUES]):
        tag = entry.get("metricName") or entry.get("name")
        value = entry.get("metricValue", entry.get("valueCurrent"))
        if not isinstance(tag, str) or value is None:
            continue
        order = (float(parse_number(entry.get("timestamp")) or 0), index)
        if tag not in last or order >= last[tag][0]:
            last[tag] = (order, value, f"$[{index}], {tag[:80]}")
    for tag, (_, value, place) in sorted(last.items()):
        if scalars.is_understood(tag):
            scalars.note_metric(tag, value, place, notes)
        else:
            scalars.note_setting(tag, value, place, notes)
    if len(entries) > _VALUES:
        raise EvidenceError(f"{document.name}: more than {_VALUES:,} values")


def _entries(content: object) -> Iterator[dict[str, Any]]:
    """Give the entries of a summary or of a metric, under the key that holds them or bare."""
    if isinstance(content, dict):
        content = content.get("values", content.get("metrics"))
    if isinstance(content, list):
        yield from (entry for entry in content if isinstance(entry, dict))


def _note_time(content: dict[str, Any], notes: Notes) -> None:
    begin, end = (parse_count(content.get(key)) for key in ("startTimeMillis", "endTimeMillis"))
    lasted = parse_count(content.get("durationMillis"))
    if content.get("running") is True:
        if lasted is not None:
            notes.fact("seen_seconds", lasted / 1000, "$.durationMillis")
        notes.finding(
            "aborted-run",
            "info",
            "the experiment has not ended: it was killed or still runs",
            "$.running",
        )
    elif begin is not None and end is not None and end > begin:
        notes.fact("wall_seconds", (end - begin) / 1000, "$.endTimeMillis - $.startTimeMillis")
    elif lasted is not None:
        notes.fact("wall_seconds", lasted / 1000, "$.durationMillis")


def _note_devices(content: dict[str, Any], notes: Notes) -> None:
    listed = content.get("gpuStaticInfoList")
    gpus = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    if not gpus:
        return
    names = {str(one["name"]) for one in gpus if isinstance(one.get("name"), str)}
    if len(names) == 1:
        notes.fact("accelerator", names.pop(), "$.gpuStaticInfoList")
    notes.fact("visible_accelerators", len(gpus), "$.gpuStaticInfoList")


READER = Reader(format="comet", sniff=sniff, read=read)

"""TensorBoard event files: TFRecords of protocol buffers, read without TensorFlow.

Several files of one run overlap after restarts; each file gives its own facts. A torn tail is
reported: the writer was killed, or the file was cut.
"""

from dataclasses import dataclass

from flopledger.logs import limits, scalars
from flopledger.logs.document import Document
from flopledger.logs.evidence import EvidenceError
from flopledger.logs.notes import Notes
from flopledger.logs.wire import Tail, double, signed, single, tfrecords
from profilers.importers.protobuf import WireError, fields


@dataclass(slots=True)
class _Event:
    """One record: wall time, step, and scalars by tag."""

    wall_time: float = 0.0
    step: int = 0
    scalars: dict[str, float] | None = None


def read(document: Document, notes: Notes) -> None:
    """Write down the span of time, the last values of known tags, and how the file ends."""
    if document.size_bytes > limits.EVENT_FILE_BYTES:
        raise EvidenceError(
            f"{document.name}: {document.size_bytes:,} bytes of events; up to "
            f"{limits.EVENT_FILE_BYTES:,} are read"
        )
    tail, count, first, last = Tail(), 0, 0.0, 0.0
    values: dict[str, tuple[float, int]] = {}
    highest = back = 0
    with document.open() as file:
        for record in tfrecords(file, tail):
            count += 1
            if count > limits.EVENTS:
                raise EvidenceError(f"{document.name}: more than {limits.EVENTS:,} events")
            try:
                event = _event(record)
            except WireError as error:
                raise EvidenceError(f"{document.name}: record {count}: {error}") from None
            first = first or event.wall_time
            last = max(last, event.wall_time)
            if event.scalars:
                back += event.step < highest
                highest = max(highest, event.step)
                for tag, value in event.scalars.items():
                    values[tag] = (value, event.step)
    _note(first, last, count, values, notes)
    if back:
        notes.finding(
            "repeated-steps",
            "info",
            f"{back} records fall back to an earlier step, as after a restart",
            "the file",
        )
    if tail.torn_at is not None:
        notes.finding(
            "torn-tail",
            "warning",
            f"the record at byte {tail.torn_at:,} is cut off or fails its checksum; {count} "
            "records before it were read",
            f"byte {tail.torn_at}",
        )


def _note(
    first: float, last: float, count: int, values: dict[str, tuple[float, int]], notes: Notes
) -> None:
    place = f"records 1 to {count}"
    if last > first > 0:
        notes.fact("wall_seconds", round(last - first, 6), f"{place}, wall_time")
    for tag, (value, step) in sorted(values.items()):
        scalars.note_metric(tag, value, f"tag {tag}, step {step}", notes)


def _event(record: bytes) -> _Event:
    event = _Event()
    for number, value in fields(record):
        if number == 1 and isinstance(value, bytes):
            event.wall_time = max(0.0, min(double(value), 1e11))
        elif number == 2 and isinstance(value, int):
            event.step = signed(value)
        elif number == 5 and isinstance(value, bytes):
            event.scalars = _summary(value)
    return event


def _summary(data: bytes) -> dict[str, float]:
    found = {}
    for number, value in fields(data):
        if number == 1 and isinstance(value, bytes):
            tag, scalar = _value(value)
            if scalar is not None:
                found[tag] = scalar
    return found


def _value(data: bytes) -> tuple[str, float | None]:
    tag, scalar = "", None
    for number, value in fields(data):
        if number == 1 and isinstance(value, bytes):
            tag = value[:200].decode("utf-8", "replace")
        elif number == 2 and isinstance(value, bytes):
            scalar = single(value)
        elif number == 8 and isinstance(value, bytes):
            scalar = _tensor(value)
    return tag, scalar


def _tensor(data: bytes) -> float | None:
    """Read a tensor of one float or double; anything larger is no scalar."""
    dtype, content = 0, b""
    for number, value in fields(data):
        if number == 1 and isinstance(value, int):
            dtype = value
        elif number in (4, 5, 6) and isinstance(value, bytes):
            content = value
    if dtype == 1 and len(content) == 4:
        return single(content)
    return double(content) if dtype == 2 and len(content) == 8 else None

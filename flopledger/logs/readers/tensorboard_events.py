"""TensorBoard event files: TFRecords of protocol buffers, read without TensorFlow.

Several files of one run overlap after restarts; each file gives its own facts. A torn tail is
reported: the writer was killed, or the file was cut.
"""

from dataclasses import dataclass, field
from typing import Any

from flopledger import foreign_json
from flopledger.facts import Grade
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
    scalars: dict[str, float] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    settings: dict[str, object] = field(default_factory=dict)  #: of the hyper-parameter plugin


def read(document: Document, notes: Notes) -> None:
    """Write down the span of time, the last values of known tags, and how the file ends."""
    if document.size_bytes > limits.EVENT_FILE_BYTES:
        raise EvidenceError(
            f"{document.name}: {document.size_bytes:,} bytes of events; up to "
            f"{limits.EVENT_FILE_BYTES:,} are read"
        )
    tail, count, first, last = Tail(), 0, 0.0, 0.0
    values: dict[str, tuple[float, int]] = {}
    texts: dict[str, str] = {}
    settings: dict[str, object] = {}
    highest = back = 0
    begun: int | None = None
    with document.open() as file:
        for record in tfrecords(file, tail):
            count += 1
            if count > limits.EVENTS:
                raise EvidenceError(f"{document.name}: more than {limits.EVENTS:,} events")
            try:
                event = _event(record)
            except WireError as error:
                raise EvidenceError(f"{document.name}: record {count}: {error}") from None
            texts |= event.texts
            settings |= event.settings
            # The file's own head and its hyper-parameters are no part of the run's time.
            if event.scalars:
                first = first or event.wall_time
                begun = event.step if begun is None else begun
                last = max(last, event.wall_time)
                back += event.step < highest
                highest = max(highest, event.step)
                for tag, value in event.scalars.items():
                    values[tag] = (value, event.step)
    _note(first, last, count, values, notes)
    if begun is not None and begun >= 0 and last > first > 0:
        notes.fact("events_first_step", begun, "the first event with a figure")
    _note_steps(values, texts, notes)
    _note_settings(texts, settings, notes)
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
        notes.fact("events_begin", first, place)
        notes.fact("events_end", last, place)
    for tag, (value, step) in sorted(values.items()):
        scalars.note_metric(tag, value, f"tag {tag}, step {step}", notes)


#: Tags that the Hugging Face Trainer alone writes, under the optimizer step.
_TRAINERS = ("train/total_flos", "train/train_runtime", "train/epoch")
_ARGUMENTS = "args/text_summary"
_MODEL = "model_config/text_summary"


def _note_steps(values: dict[str, tuple[float, int]], texts: dict[str, str], notes: Notes) -> None:
    """Give the last step: the Trainer's is an optimizer step, another program's may be anything."""
    if not values:
        return
    last = max(step for _, step in values.values())
    trainers = next((tag for tag in _TRAINERS if tag in values), None)
    if trainers is not None or _ARGUMENTS in texts:
        tag = trainers or max(values, key=lambda one: values[one][1])
        notes.fact("steps", values[tag][1] or None, f"tag {tag}, its step")
    elif last > 0:
        notes.fact("last_logged_step", last, "the highest step of an event")


def _note_settings(texts: dict[str, str], settings: dict[str, object], notes: Notes) -> None:
    """Write down arguments that were logged as a text, or as hyper-parameters."""
    for key, value in settings.items():
        scalars.note_setting(key, value, f"hyper-parameter {key}", notes)
    arguments = _json(texts.get(_ARGUMENTS))
    for key, value in arguments.items():
        if not (key == "max_steps" and isinstance(value, int) and value <= 0):
            scalars.note_setting(key, value, f"tag {_ARGUMENTS}, {key}", notes)
    kind = _json(texts.get(_MODEL)).get("model_type")
    if isinstance(kind, str):
        notes.fact("model_type", kind, f"tag {_MODEL}, model_type", grade=Grade.STATEMENT)


def _json(text: str | None) -> dict[str, Any]:
    return foreign_json.table(text or "") or {}


def _event(record: bytes) -> _Event:
    event = _Event()
    for number, value in fields(record):
        if number == 1 and isinstance(value, bytes):
            event.wall_time = max(0.0, min(double(value), 1e11))
        elif number == 2 and isinstance(value, int):
            event.step = signed(value)
        elif number == 5 and isinstance(value, bytes):
            for part, content in fields(value):
                if part == 1 and isinstance(content, bytes):
                    _value(content, event)
    return event


def _value(data: bytes, event: _Event) -> None:
    """Take one value of a summary in: a scalar, a text, or the hyper-parameters of a session."""
    tag, tensor, metadata = "", b"", b""
    scalar: float | None = None
    for number, value in fields(data):
        if not isinstance(value, bytes):
            continue
        if number == 1:
            tag = value[:200].decode("utf-8", "replace")
        elif number == 2:
            scalar = single(value)
        elif number == 8:
            tensor = value
        elif number == 9:
            metadata = value
    if tag == "_hparams_/session_start_info":
        event.settings = _hyper_parameters(metadata)
    elif scalar is not None:
        event.scalars[tag] = scalar
    elif tensor:
        found = _tensor(tensor)
        if isinstance(found, str):
            event.texts[tag] = found
        elif found is not None:
            event.scalars[tag] = found


def _tensor(data: bytes) -> float | str | None:
    """Read a tensor of one float, double or string; anything larger is no scalar."""
    dtype, content, word = 0, b"", b""
    for number, value in fields(data):
        if number == 1 and isinstance(value, int):
            dtype = value
        elif number in (4, 5, 6) and isinstance(value, bytes):
            content = value
        elif number == 8 and isinstance(value, bytes):
            word = value
    if dtype == 7:
        return word.decode("utf-8", "replace")
    if dtype == 1 and len(content) == 4:
        return single(content)
    return double(content) if dtype == 2 and len(content) == 8 else None


def _inside(data: bytes, *path: int) -> bytes:
    """Follow fields of messages within messages; what is not there is empty."""
    for wanted in path:
        found = b""
        for number, value in fields(data):
            if number == wanted and isinstance(value, bytes):
                found = value
        data = found
    return data


def _hyper_parameters(metadata: bytes) -> dict[str, object]:
    """Read ``plugin_data.content.session_start_info.hparams``, a map of names to values."""
    found: dict[str, object] = {}
    for number, entry in fields(_inside(metadata, 1, 2, 3)):
        if number != 1 or not isinstance(entry, bytes):
            continue
        key = _inside(entry, 1)[:200].decode("utf-8", "replace")
        for kind, value in fields(_inside(entry, 2)):
            if kind == 2 and isinstance(value, bytes):
                found[key] = double(value)
            elif kind == 3 and isinstance(value, bytes):
                found[key] = value[:200].decode("utf-8", "replace")
            elif kind == 4:
                found[key] = bool(value)
    return found

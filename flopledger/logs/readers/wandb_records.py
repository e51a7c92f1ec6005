"""Records of ``run-<id>.wandb``, the append log of W&B. Read without the package.

LevelDB framing after a file header, protocol buffers inside. The fields that are used: record 2
history, 3 summary, 5 configuration, 17 run, 18 exit, 26 environment.
"""

from flopledger import foreign_json
from flopledger.logs import limits, scalars
from flopledger.logs.document import Document
from flopledger.logs.evidence import EvidenceError
from flopledger.logs.notes import Notes
from flopledger.logs.numbers import parse_number, parse_positive
from flopledger.logs.wire import double
from profilers.importers.protobuf import WireError, fields
from profilers.importers.record_log import Damage, records

_FILE_HEADER_BYTES = 7
_HISTORY, _SUMMARY, _CONFIG, _RUN, _EXIT, _ENVIRONMENT = 2, 3, 5, 17, 18, 26
_Values = dict[str, object]


def read(document: Document, notes: Notes) -> None:
    """Write down the last values of known counters, arguments and the host's GPUs."""
    last: dict[str, tuple[object, int]] = {}
    config: dict[str, tuple[object, int]] = {}
    damage, count, counts = None, 0, scalars.StepCounts()
    for record in records(document.bytes(limits.EVENT_FILE_BYTES), _FILE_HEADER_BYTES):
        if isinstance(record, Damage):
            damage = record
            break
        count += 1
        try:
            _take(record, count, last, config, notes, counts)
        except WireError as error:
            raise EvidenceError(f"{document.name}: record {count}: {error}") from None
    counts.note(notes)
    runtime = last.get("_runtime")
    if runtime is not None:
        seconds = parse_positive(runtime[0])
        notes.fact("wall_seconds", seconds, f"record {runtime[1]}: _runtime")
    for key, (value, number) in sorted(last.items()):
        scalars.note_metric(key, value, f"record {number}: {key}", notes)
    for key, (value, number) in sorted(config.items()):
        scalars.note_setting(key, value, f"record {number}: {key}", notes)
    if damage is not None:
        notes.finding(
            "torn-tail",
            "warning",
            f"{damage.reason} at byte {damage.offset:,}: the run was killed or the file was cut; "
            f"{count} records before it were read",
            f"byte {damage.offset}",
        )


def _take(
    record: bytes,
    count: int,
    last: dict[str, tuple[object, int]],
    config: dict[str, tuple[object, int]],
    notes: Notes,
    counts: scalars.StepCounts,
) -> None:
    for number, value in fields(record):
        if not isinstance(value, bytes):
            continue
        if number in (_HISTORY, _SUMMARY, _CONFIG):
            target = config if number == _CONFIG else last
            for key, item in _items(value).items():
                target[key] = (item, count)
                if number == _HISTORY:
                    counts.take(key, item, f"record {count}: {key}")
        elif number == _RUN:
            for inner, part in fields(value):
                if inner == 4 and isinstance(part, bytes):
                    config.update({key: (item, count) for key, item in _items(part).items()})
        elif number == _ENVIRONMENT:
            _note_environment(value, count, notes)
        elif number == _EXIT:
            code = next((item for field, item in fields(value) if field == 1), 0)
            notes.fact("exit_code", code, f"record {count}: exit", unit="code")


def _items(data: bytes) -> _Values:
    """Read ``item`` and ``update`` entries: a key and a value in one of several forms."""
    found: _Values = {}
    for number, value in fields(data):
        if number == 1 and isinstance(value, bytes):
            key, item = _item(value)
            if key:
                found[key] = item
    return found


def _item(data: bytes) -> tuple[str, object]:
    key, nested = "", []
    item: object = None
    for number, value in fields(data):
        if number == 1 and isinstance(value, bytes):
            key = value[:200].decode("utf-8", "replace")
        elif number == 2 and isinstance(value, bytes):
            nested.append(value[:200].decode("utf-8", "replace"))
        elif number == 5 and isinstance(value, int):
            item = (value >> 1) ^ -(value & 1)
        elif number == 6:
            item = double(value)
        elif number in (8, 16) and isinstance(value, bytes):
            item = _json(value)
    return key or "/".join(nested), item


def _json(value: bytes) -> object:
    return foreign_json.decoded(value) if len(value) <= 200 else None


def _note_environment(data: bytes, count: int, notes: Notes) -> None:
    place = f"record {count}: environment"
    for number, value in fields(data):
        if number == 18 and isinstance(value, bytes):
            notes.fact("accelerator", value[:200].decode("utf-8", "replace"), place)
        elif number == 19:
            notes.fact("visible_accelerators", parse_number(value) or None, place)

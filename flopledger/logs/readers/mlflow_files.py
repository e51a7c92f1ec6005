"""MLflow file stores: ``meta.yaml`` of a run, ``metrics/<key>`` and ``params/<key>``.

One file holds one key, so the key is the file's path. Device telemetry under ``metrics/system`` is
no business of this reader.
"""

import re

from flopledger.logs import scalars
from flopledger.logs.document import Document
from flopledger.logs.evidence import EvidenceError
from flopledger.logs.notes import Notes, line
from flopledger.logs.numbers import parse_count, parse_number
from flopledger.logs.reader import Reader

_METRIC_PATH = re.compile(r"(?:^|/)metrics/(?!system/)(.{1,200})$")
_PARAM_PATH = re.compile(r"(?:^|/)params/(.{1,200})$")
_METRIC_LINE = re.compile(rb"\d{12,14} [-+\d.eEnaif]{1,30} -?\d{1,12}(?: |\r?\n|$)")
_STATUS = {"1": "RUNNING", "2": "SCHEDULED", "3": "FINISHED", "4": "FAILED", "5": "KILLED"}
_PARAM_BYTES = 6_000


def sniff_meta(head: bytes, _name: str) -> bool:
    """Recognise the description of a run."""
    return b"artifact_uri:" in head and b"start_time:" in head and b"run_id:" in head


def sniff_metric(head: bytes, name: str) -> bool:
    """Recognise lines of time, value and step under ``metrics/``."""
    return _METRIC_PATH.search(name) is not None and _METRIC_LINE.match(head) is not None


def sniff_param(head: bytes, name: str) -> bool:
    """Recognise a small text under ``params/``."""
    return _PARAM_PATH.search(name) is not None and len(head) <= _PARAM_BYTES and b"\0" not in head


def sniff_other(head: bytes, name: str) -> bool:
    """Recognise tags and the description of an experiment, which hold nothing for an audit."""
    experiment = b"artifact_location:" in head and b"experiment_id:" in head
    return experiment or re.search(r"(?:^|/)tags/mlflow\.[\w.]{1,60}$", name) is not None


def read_nothing(_document: Document, _notes: Notes) -> None:
    """Leave names of people, hosts and programs where they are."""


def read_meta(document: Document, notes: Notes) -> None:
    """Write down the run's begin, end and status."""
    times: dict[str, tuple[int, int]] = {}
    for number, text in document.lines():
        key, _, value = text.partition(":")
        value = value.strip().strip("'\"")
        if key in ("start_time", "end_time") and (stamp := parse_count(value)):
            times[key] = (stamp, number)
        elif key == "status":
            notes.fact("status", _STATUS.get(value, value), line(number))
    if "start_time" in times and "end_time" in times:
        begin, end = times["start_time"], times["end_time"]
        if end[0] > begin[0]:
            place = f"lines {begin[1]} and {end[1]}"
            notes.fact("wall_seconds", (end[0] - begin[0]) / 1000, place)
    elif "start_time" in times:
        notes.finding(
            "aborted-run",
            "info",
            "the run has no end time: it was killed or still runs",
            "the file",
        )


def read_metric(document: Document, notes: Notes) -> None:
    """Write down the last value by time stamp."""
    key = _key(_METRIC_PATH, document)
    if not scalars.is_understood(key):
        return
    last: tuple[int, object, int] | None = None
    for number, text in document.lines():
        words = text.split(" ")
        stamp = parse_count(words[0]) if len(words) >= 3 else None
        value = parse_number(words[1]) if stamp is not None else None
        if stamp is not None and value is not None and (last is None or stamp >= last[0]):
            last = (stamp, value, number)
    if last is not None:
        scalars.note_metric(key, last[1], line(last[2]), notes)


def read_param(document: Document, notes: Notes) -> None:
    """Write a trainer's argument down."""
    key = _key(_PARAM_PATH, document)
    scalars.note_setting(key, document.text(_PARAM_BYTES).strip(), "line 1", notes)


def _key(path: re.Pattern[str], document: Document) -> str:
    match = path.search(document.name)
    if match is None:
        raise EvidenceError(f"{document.name}: not inside a run's metrics or params folder")
    return match[1]


META = Reader(format="mlflow-run", sniff=sniff_meta, read=read_meta)
METRIC = Reader(format="mlflow-metric", sniff=sniff_metric, read=read_metric)
OTHER = Reader(format="mlflow-other", sniff=sniff_other, read=read_nothing)
PARAM = Reader(format="mlflow-param", sniff=sniff_param, read=read_param)

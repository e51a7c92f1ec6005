"""Accounting logs of PBS and Torque: one record a line, ``stamp;type;job;key=value ...``.

Records of type E tell what a job was given and how long it ran; those of type R tell the starts before, of a
job that was started again. What was given is not what was used.
"""

import re
from dataclasses import dataclass

from flopledger.logs import limits
from flopledger.logs.document import Document
from flopledger.logs.evidence import EvidenceError
from flopledger.logs.notes import Notes, line
from flopledger.logs.numbers import parse_count, parse_duration
from flopledger.logs.reader import Reader

_RECORD = re.compile(
    r"^\d\d/\d\d/\d{4} \d\d:\d\d:\d\d(?:\.\d{1,9})?;([A-Z]);([\w.\[\]-]{1,120});(.{0,20000})$",
    re.ASCII,
)
_SNIFF = re.compile(
    rb"(?m)^\d\d/\d\d/\d{4} \d\d:\d\d:\d\d(?:\.\d{1,9})?;[A-Za-z];[\w.\[\]-]{1,120};"
)
_PAIR = re.compile(r"(?<!\S)([A-Za-z_]{1,40}(?:\.[A-Za-z_]{1,40})?)=(\S{0,4000})")
#: "2:ncpus=64:ngpus=8+1:ngpus=4": chunks, each a number of times.
_CHUNK = re.compile(r"^(?:(\d{1,6}):)?(.{0,400})$")
_GPUS = re.compile(r"(?:^|:)(?:ngpus|gpus)=(\d{1,5})(?=:|$)")


def sniff(head: bytes, _name: str) -> bool:
    """Recognise records by their form."""
    return _SNIFF.search(head[: 1 << 16]) is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Start:
    """One start of a job that ended."""

    job: str
    seconds: int | None
    gpus: int | None
    status: str
    place: str


def read(document: Document, notes: Notes) -> None:
    """Write down the jobs that ended, as an account of devices held."""
    starts: dict[str, _Start] = {}
    records = 0
    for number, text in document.lines():
        match = _RECORD.match(text)
        if match is None:
            continue
        records += 1
        if match[1] in ("E", "R") and len(starts) < limits.FACTS_PER_FILE:
            pairs = dict(_PAIR.findall(match[3]))
            one = _Start(
                job=match[2],
                seconds=_elapsed(pairs),
                gpus=_gpus(pairs),
                status=_status(match[1], pairs.get("Exit_status")),
                place=line(number),
            )
            starts.setdefault(text, one)  # a record that stands twice is one
    if not starts:
        raise EvidenceError(
            f"{document.name}: {records} records of PBS, none of a job that ended (type E)"
        )
    _note(list(starts.values()), notes)


def _note(starts: list[_Start], notes: Notes) -> None:
    held = [one for one in starts if one.seconds and one.gpus]
    places = ", ".join(one.place for one in held[:5])
    if held:
        total = sum((one.seconds or 0) * (one.gpus or 0) for one in held)
        notes.fact("accelerator_seconds", float(total), places)
        counts = {one.gpus for one in held}
        if len(counts) == 1:
            notes.fact("accelerator_count", counts.pop(), places)
    lasted = [one.seconds for one in starts if one.seconds]
    if len({one.job for one in starts}) == 1 and len(lasted) == len(starts):
        notes.fact("wall_seconds", float(sum(lasted)), places or starts[0].place)
    notes.fact("status", starts[-1].status, starts[-1].place)
    bare = [one for one in starts if one.seconds and one.gpus is None]
    if bare:
        notes.finding(
            "device-count-missing",
            "warning",
            f"{len(bare)} records name no ngpus: not asked for as a resource here, or none were held",
            *(one.place for one in bare[:5]),
        )
    failed = [one for one in starts if one.status != "completed"]
    if failed:
        notes.finding(
            "aborted-run",
            "info",
            f"{len(failed)} of {len(starts)} starts failed or were run again; their devices were held all "
            "the same",
            *(one.place for one in failed[:5]),
        )
    if len(starts) > 1:
        notes.finding(
            "several-jobs",
            "info",
            f"{len(starts)} records of jobs that ended are listed; their GPU-seconds were added up",
            *(one.place for one in starts[:5]),
        )


def _status(kind: str, status: str | None) -> str:
    if kind == "R":
        return "run again"
    return "completed" if status in (None, "0") else f"failed, exit status {status[:10]}"


def _elapsed(pairs: dict[str, str]) -> int | None:
    wall = parse_duration(pairs.get("resources_used.walltime", ""))
    if wall is not None:
        return int(wall)
    start, end = parse_count(pairs.get("start")), parse_count(pairs.get("end"))
    return end - start if start is not None and end is not None and end > start else None


def _gpus(pairs: dict[str, str]) -> int | None:
    """Give the GPUs of the job: stated in all, else chunk by chunk."""
    total = parse_count(pairs.get("Resource_List.ngpus"))
    if total is not None:
        return total
    for key in ("Resource_List.select", "Resource_List.nodes", "Resource_List.neednodes"):
        found = 0
        for chunk in pairs.get(key, "").split("+"):
            match = _CHUNK.match(chunk)
            gpus = _GPUS.search(match[2]) if match else None
            if match is not None and gpus is not None:
                found += int(match[1] or 1) * int(gpus[1])
        if found:
            return found
    return None


READER = Reader(format="pbs-accounting", sniff=sniff, read=read)

"""Accounting logs of PBS and Torque: one record a line, ``stamp;type;job;key=value ...``.

Records of type E tell what a job was given and how long it ran; those of type R tell the starts before, of a
job that was started again. What was given is not what was used.
"""

import re

from flopledger.logs import limits
from flopledger.logs.document import Document
from flopledger.logs.evidence import EvidenceError
from flopledger.logs.notes import Notes, line
from flopledger.logs.numbers import parse_count, parse_duration
from flopledger.logs.reader import Reader
from flopledger.logs.readers.job_accounts import Start, note

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


def read(document: Document, notes: Notes) -> None:
    """Write down the jobs that ended, as an account of devices held."""
    starts: dict[str, Start] = {}
    records = 0
    for number, text in document.lines():
        match = _RECORD.match(text)
        if match is None:
            continue
        records += 1
        if match[1] in ("E", "R"):
            if len(starts) >= limits.JOBS:
                raise EvidenceError(
                    f"{document.name}: more than {limits.JOBS:,} jobs; hand in the run's own"
                )
            pairs = dict(_PAIR.findall(match[3]))
            said = status(match[1], pairs.get("Exit_status"))
            one = Start(
                job=match[2],
                seconds=elapsed(pairs),
                gpus=gpus(pairs),
                status=said,
                place=line(number),
                failed=said != "completed",
            )
            starts.setdefault(text, one)  # a record that stands twice is one
    if not starts:
        raise EvidenceError(
            f"{document.name}: {records} records of PBS, none of a job that ended (type E)"
        )
    note(list(starts.values()), notes, lacking="ngpus")


def status(kind: str, status: str | None) -> str:
    """Say how a start ended."""
    if kind == "R":
        return "run again"
    return "completed" if status in (None, "0") else f"failed, exit status {status[:10]}"


def elapsed(pairs: dict[str, str]) -> int | None:
    """Give the seconds that a job ran."""
    wall = parse_duration(pairs.get("resources_used.walltime", ""))
    if wall is not None:
        return int(wall)
    start, end = parse_count(pairs.get("start")), parse_count(pairs.get("end"))
    return end - start if start is not None and end is not None and end > start else None


def gpus(pairs: dict[str, str]) -> int | None:
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

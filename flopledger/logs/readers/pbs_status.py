"""PBS' and Torque's view of jobs: ``qstat -f`` (``-xf`` of jobs that ended), as a page or as JSON.

Users have no accounting log; this is what they can print. A job that still ran gives a lower bound, one that
waited nothing.
"""

import re
from collections.abc import Iterator
from typing import Any

from flopledger.logs import limits
from flopledger.logs.document import Document
from flopledger.logs.evidence import EvidenceError
from flopledger.logs.notes import Notes, line
from flopledger.logs.numbers import parse_count
from flopledger.logs.reader import Reader
from flopledger.logs.readers.job_accounts import Start, note
from flopledger.logs.readers.pbs import elapsed, gpus, status

_JOB = re.compile(r"^\s{0,4}Job Id\s?: (\d[\w.\[\]-]{0,120})\s*$", re.ASCII)
_SNIFF = re.compile(
    rb"(?m)^\s{0,4}Job Id\s?: \d[\w.\[\]-]{0,120}\s*\n(?:[ \t][^\n]*\n){0,200}?\s+job_state = [A-Z]"
)
_PAIR = re.compile(r"^\s{1,8}([A-Za-z_]{1,40}(?:\.[A-Za-z_]{1,40})?) = (.*)$")
_OVER = (
    "F",
    "C",
    "E",
    "X",
)  #: finished; completed (Torque); exiting; a part of an array that ended
_RUNS = ("R", "S", "U", "T")
_LONGEST = 20_000


def sniff(head: bytes, _name: str) -> bool:
    """Recognise a page by a job's number above its attributes."""
    return _SNIFF.search(head[: 1 << 16]) is not None


def read(document: Document, notes: Notes) -> None:
    """Write down what the jobs of a page held."""
    _note(document, _of_page(document), notes)


def sniff_json(head: bytes, _name: str) -> bool:
    """Recognise ``qstat -f -F json``."""
    beginning = head[:4000]
    return beginning.lstrip()[:1] == b"{" and b'"pbs_version"' in beginning and b'"Jobs"' in head


def read_json(document: Document, notes: Notes) -> None:
    """Write down the same of PBS' JSON."""
    jobs = document.table().get("Jobs")
    _note(document, _of_json(jobs if isinstance(jobs, dict) else {}), notes)


def _note(
    document: Document, jobs: Iterator[tuple[str, str, dict[str, str]]], notes: Notes
) -> None:
    starts: list[Start] = []
    for place, job, pairs in jobs:
        if len(starts) >= limits.JOBS:
            raise EvidenceError(f"{document.name}: more than {limits.JOBS:,} jobs")
        if pairs.get("job_state") in (*_OVER, *_RUNS):
            starts.append(_start(place, job, pairs))
    if not starts:
        raise EvidenceError(f"{document.name}: no job of PBS that ran")
    note(starts, notes, lacking="ngpus")


def _start(place: str, job: str, pairs: dict[str, str]) -> Start:
    is_over = pairs["job_state"] in _OVER
    ended = status("E", pairs.get("Exit_status", pairs.get("exit_status")))
    return Start(
        job=job,
        seconds=elapsed(pairs),
        gpus=gpus(pairs),
        status=ended if is_over else "running",
        place=place,
        failed=is_over and ended != "completed",
        is_over=is_over,
        earlier=(parse_count(pairs.get("run_count")) or 1) - 1,
    )


def _of_page(document: Document) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Give place, number and attributes of each job; a value goes on in lines that a tab sets in."""
    job, place, key = "", "", ""
    pairs: dict[str, str] = {}
    for number, text in document.lines():
        begun = _JOB.match(text)
        if begun is not None:
            if job:
                yield place, job, pairs
            job, place, key, pairs = begun[1], line(number), "", {}
        elif job and text.startswith("\t") and key and len(pairs[key]) < _LONGEST:
            pairs[key] += text.strip()
        elif job and (found := _PAIR.match(text[:_LONGEST])):
            key = found[1]
            pairs[key] = found[2].strip()
    if job:
        yield place, job, pairs


def _of_json(jobs: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Give the same of a document, whose tables of resources are laid flat."""
    for job, said in jobs.items():
        if not isinstance(said, dict):
            continue
        pairs: dict[str, str] = {}
        for key, value in said.items():
            if isinstance(value, dict):
                pairs |= {f"{key}.{name}": str(one) for name, one in value.items()}
            else:
                pairs[key] = str(value)
        yield f"$.Jobs.{job[:120]}", job[:120], pairs


PAGE = Reader(format="pbs-status", sniff=sniff, read=read)
JSON = Reader(format="pbs-status", sniff=sniff_json, read=read_json)

"""What ``seff`` and ``jobstats`` print of one Slurm job: state, nodes, time by the clock, and GPUs."""

import re

from flopledger.logs.document import Document
from flopledger.logs.evidence import EvidenceError
from flopledger.logs.notes import Notes, line
from flopledger.logs.numbers import parse_count, parse_duration
from flopledger.logs.reader import Reader

_SNIFF = re.compile(
    rb"(?m)^[ \t]{0,40}Job ID: {1,20}\d[^\n]*\n(?:[^\n]*\n){0,40}[ \t]{0,40}"
    rb"(?:Job Wall-clock time|Run Time): "
)
_LABEL = re.compile(r"^\s*([A-Z][A-Za-z -]{2,30}): {1,20}(\S.{0,200}?)\s*$")
#: Of the job as a whole; what stands below the first ruler of jobstats is utilisation by node.
_KEYS = {
    "State": "state",
    "Job Wall-clock time": "time",
    "Run Time": "time",
    "GPUs": "gpus",
    "Number of GPUs": "gpus",
    "Nodes": "nodes",
}
_OVER = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "OUT_OF_MEMORY")


def sniff(head: bytes, _name: str) -> bool:
    """Recognise the page by its first labels."""
    return _SNIFF.search(head[: 1 << 14]) is not None


def read(document: Document, notes: Notes) -> None:
    """Write down how long the job held what."""
    found: dict[str, tuple[str, str]] = {}
    jobs = 0
    for number, text in document.lines():
        match = _LABEL.match(text)
        if match is None:
            continue
        jobs += match[1] == "Job ID"
        key = _KEYS.get(match[1])
        if key is not None:
            found.setdefault(key, (match[2], line(number)))
    if jobs != 1:
        raise EvidenceError(f"{document.name}: {jobs} jobs on one page; hand in one file for each")
    _note(found, notes)


def _note(found: dict[str, tuple[str, str]], notes: Notes) -> None:
    state, place = found.get("state", ("", ""))
    word = state.split()[0] if state else ""
    if word:
        notes.fact("status", word, place)
    is_over = word in _OVER
    text, place = found.get("time", ("", ""))
    seconds = parse_duration(text)
    if seconds is None or seconds <= 0:
        return
    notes.fact("wall_seconds" if is_over else "seen_seconds", seconds, place)
    if not is_over:
        notes.finding(
            "coverage-gap",
            "warning",
            f"the job was {word or 'in no state'} when the page was printed: its time is a lower bound",
            place,
        )
    nodes, where = found.get("nodes", ("", ""))
    if parse_count(nodes) is not None:
        notes.count("nodes", nodes, where)
    gpus, where = found.get("gpus", ("", ""))
    count = parse_count(gpus)
    if count is None:
        notes.finding(
            "device-count-missing",
            "warning",
            "the page names no GPUs: print the account with `sacct --parsable2 "
            "--format=JobID,State,ElapsedRaw,AllocTRES`, or state accelerator_count",
            place,
        )
        return
    notes.fact("accelerator_count", count, where)
    name = "accelerator_seconds" if is_over else "accelerator_seconds_at_least"
    notes.fact(name, seconds * count, f"{place} and {where}", unit="s")


READER = Reader(format="slurm-seff", sniff=sniff, read=read)

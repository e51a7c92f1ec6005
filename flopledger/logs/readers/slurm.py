"""Slurm accounting, ``sacct`` output: which allocation was held, and for how long.

Only job rows count: the steps ``.batch``, ``.extern`` and ``.0`` repeat the allocation. A job that
failed, was cancelled or was pre-empted was held all the same.
"""

import re
from collections.abc import Iterator
from typing import Any

from flopledger.logs import limits
from flopledger.logs.document import Document
from flopledger.logs.evidence import EvidenceError
from flopledger.logs.notes import Notes, line
from flopledger.logs.numbers import parse_number
from flopledger.logs.reader import Reader
from flopledger.logs.readers.slurm_jobs import Row, note_jobs, once
from flopledger.logs.stamps import short_lines

_JOB_COLUMNS = ("JobID", "JobIDRaw")
_MARKS = ("|", ";", "\t")
#: What a table without its header is told by: an allocation and an end, between bars.
_HEADLESS = re.compile(
    r"^[\d_+.\w-]{1,60}\|.*\b(?:COMPLETED|FAILED|TIMEOUT|CANCELLED|NODE_FAIL|PREEMPTED|"
    r"OUT_OF_MEMORY|RUNNING)\b.*\|.*(?:^|[|,])(?:billing|cpu|gres/gpu|mem|node)="
)


def sniff(head: bytes, _name: str) -> bool:
    """Recognise the header, in parsable or in fixed-width form, or rows without one."""
    lines = head.split(b"\n", 2)
    first = lines[0].decode("utf-8", "replace")
    if _HEADLESS.search(first[:4000]):
        return True
    words = set(re.split(r"[|;\s]+", first.strip()))
    if not words & set(_JOB_COLUMNS):
        return False
    known = {"State", "Elapsed", "ElapsedRaw", "AllocTRES", "Start", "End", "JobName", "NNodes"}
    return len(words & known) >= 2


def read(document: Document, notes: Notes) -> None:
    """Write down GPU-seconds, time and energy of the jobs, one fact a job."""
    jobs = once([row for row in _rows(document, notes) if _is_job(row)], notes)
    if not jobs:
        raise EvidenceError(f"{document.name}: an sacct header without a job row")
    if len(jobs) > limits.JOBS:
        raise EvidenceError(
            f"{document.name}: {len(jobs):,} jobs, and an account is read up to {limits.JOBS:,}; print the "
            "run's own (`sacct -j`)"
        )
    note_jobs(jobs, notes)


def _guessed(cells: list[str]) -> list[str]:
    """Name the columns of a row by their contents; what is not certain keeps no name."""
    names = [f"?{index}" for index in range(len(cells))]
    kinds = (
        ("AllocTRES", r"(?:[a-z/]+(?::[\w.-]+)?=[\w.]+,?)+"),
        ("State", r"[A-Z_]{6,20}\+?(?: by \d+)?"),
        ("Elapsed", r"(?:\d+-)?\d\d:\d\d:\d\d(?:\.\d+)?"),
    )
    for name, pattern in kinds:
        fits = [index for index, cell in enumerate(cells) if re.fullmatch(pattern, cell.strip())]
        if name == "AllocTRES" and len(fits) > 1:
            # Requested and allocated resources look alike; alike they may be, and then either does.
            same = {cells[index] for index in fits}
            fits = fits[:1] if len(same) == 1 else []
        if len(fits) == 1:
            names[fits[0]] = name
    stamps = [i for i, cell in enumerate(cells) if re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:]{8}", cell)]
    if len(stamps) == 2:
        names[stamps[0]], names[stamps[1]] = "Start", "End"
    names[0] = "JobID"
    return names


def _rows(document: Document, notes: Notes) -> Iterator[Row]:
    header: list[str] | None = None
    spans: list[tuple[int, int]] = []
    bar = "|"
    is_framed = False
    for place, text in short_lines(document):
        if not text.strip():
            continue
        if is_framed:
            # A table of Markdown: a bar before each row, and a rule below the header.
            if set(text.strip()) <= set("|-: "):
                continue
            text = text.strip().removeprefix("|")
        if header is None:
            # sacct --delimiter writes another mark between the cells; a comma stands inside of them.
            bar = next((mark for mark in _MARKS if mark in text), "|")
            parsable = bar in text
            if parsable and _HEADLESS.search(text):
                header = _guessed(text.rstrip("\r").rstrip("|").split("|"))
                notes.finding(
                    "header-missing",
                    "warning",
                    "the table has no header (sacct --noheader): columns were told by what stands in "
                    "them, those that could be several things were left out",
                    line(place),
                )
            else:
                is_framed = text.lstrip().startswith("|")
                titles = text.strip(f" \r{bar}").split(bar) if parsable else text.split()
                header = [title.strip() for title in titles]
                continue
        if not parsable and set(text.strip()) <= {"-", " "}:
            spans = [(match.start(), match.end()) for match in re.finditer(r"-+", text)]
            continue
        if parsable:
            cells = text.rstrip("\r").split(bar)
        elif len(spans) == len(header):
            cells = [text[start:end].strip() for start, end in spans]
        else:
            raise EvidenceError(
                f"{document.name}: line {place}: a fixed-width table without its line of dashes; "
                "use sacct --parsable2"
            )
        if len(cells) < len(header) or len(cells) > len(header) + 1:
            raise EvidenceError(
                f"{document.name}: line {place}: {len(cells)} cells under {len(header)} columns"
            )
        yield Row(line(place), dict(zip(header, (cell.strip() for cell in cells), strict=False)))


def _is_job(row: Row) -> bool:
    job = row.get("JobID", "JobIDRaw")
    return job is not None and re.fullmatch(r"[\d_+\[\]\-,%]{1,60}", job) is not None


#: What ``scontrol show job`` calls a column of the account.
_SHOWN = {
    "JobId": "JobID", "JobState": "State", "RunTime": "Elapsed", "StartTime": "Start", "EndTime": "End",
    "AllocTRES": "AllocTRES", "TRES": "AllocTRES", "Restarts": "Restarts",
}  # fmt: skip
_PAIR = re.compile(r"(?<!\S)([A-Z][A-Za-z]{1,30})=(\S{0,2000})")


def sniff_shown(head: bytes, _name: str) -> bool:
    """Recognise ``scontrol show job``."""
    return re.search(rb"(?m)^\s{0,4}JobId=\d", head) is not None and b" RunTime=" in head


def read_shown(document: Document, notes: Notes) -> None:
    """Write down the same of ``scontrol show job``, which shows a job as pairs."""
    jobs: list[Row] = []
    for place, text in short_lines(document):
        for match in _PAIR.finditer(text):
            if match[1] == "JobId":
                jobs.append(Row(line(place), {}))
            if jobs and match[1] in _SHOWN:
                jobs[-1].cells.setdefault(_SHOWN[match[1]], match[2])
    if not jobs:
        raise EvidenceError(f"{document.name}: no job")
    note_jobs(once(jobs, notes), notes)


def sniff_json(head: bytes, _name: str) -> bool:
    """Recognise ``sacct --json``."""
    return (
        head.lstrip()[:1] == b"{"
        and b'"jobs"' in head
        and b'"tres"' in head
        and b'"allocated"' in head
    )


def read_json(document: Document, notes: Notes) -> None:
    """Write down the same of ``sacct --json``, whose jobs are tables."""
    content = document.json()
    jobs = content.get("jobs") if isinstance(content, dict) else None
    if not isinstance(jobs, list):
        raise EvidenceError(f"{document.name}: no list of jobs")
    rows = [
        Row(f"$.jobs[{index}]", _cells(job))
        for index, job in enumerate(jobs)
        if isinstance(job, dict)
    ]
    if not rows:
        raise EvidenceError(f"{document.name}: sacct's answer lists no job")
    note_jobs(rows, notes)


def _cells(job: dict[str, Any]) -> dict[str, str]:
    """Give a job of the JSON form the columns of a table."""
    time, tres, state = job.get("time"), job.get("tres"), job.get("state")
    if isinstance(state, dict):
        state = state.get("current")
    if isinstance(state, list):
        state = " ".join(str(word) for word in state)
    cells = {"JobID": str(_number(job.get("job_id")) or ""), "State": str(state or "")}
    elapsed = _number(time.get("elapsed")) if isinstance(time, dict) else None
    cells["ElapsedRaw"] = "" if elapsed is None else str(elapsed)
    listed = tres.get("allocated") if isinstance(tres, dict) else None
    cells["AllocTRES"] = ",".join(
        f"{entry.get('type')}{'/' if entry.get('name') else ''}{entry.get('name') or ''}="
        f"{_number(entry.get('count')) or 0}"
        for entry in (listed if isinstance(listed, list) else [])
        if isinstance(entry, dict)
    )
    return cells


def _number(value: object) -> int | None:
    """Read a number, which newer versions wrap with whether it is set and whether it ends."""
    if isinstance(value, dict):
        value = value.get("number") if value.get("set") and not value.get("infinite") else None
    found = parse_number(value)
    return None if found is None else int(found)


#: States in which a job's end is over; before, "end_time" is when its time runs out.
_OVER = frozenset(
    {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "OUT_OF_MEMORY"}
    | {"DEADLINE", "BOOT_FAIL"}
)


def sniff_queue(head: bytes, _name: str) -> bool:
    """Recognise ``squeue --json`` and ``scontrol show job --json``."""
    return head.lstrip()[:1] == b"{" and b'"jobs"' in head and b'"tres_alloc_str"' in head


def read_queue(document: Document, notes: Notes) -> None:
    """Write down the same of the scheduler's view, of the jobs that are over."""
    content = document.json()
    jobs = content.get("jobs") if isinstance(content, dict) else None
    rows = [
        Row(f"$.jobs[{index}]", _queued(job))
        for index, job in enumerate(jobs if isinstance(jobs, list) else [])
        if isinstance(job, dict)
    ]
    if not rows:
        raise EvidenceError(f"{document.name}: the scheduler's answer lists no job")
    note_jobs(rows, notes)


def _queued(job: dict[str, Any]) -> dict[str, str]:
    state = job.get("job_state")
    words = [str(word) for word in state] if isinstance(state, list) else str(state or "").split()
    cells = {
        "JobID": str(_number(job.get("job_id")) or ""),
        "State": " ".join(words),
        "AllocTRES": str(job.get("tres_alloc_str") or ""),
    }
    start, end = _number(job.get("start_time")), _number(job.get("end_time"))
    if set(words) & _OVER and start is not None and end is not None and end > start:
        cells["ElapsedRaw"] = str(end - start)
    return cells


READER = Reader(format="slurm-sacct", sniff=sniff, read=read)
SHOWN = Reader(format="slurm-sacct", sniff=sniff_shown, read=read_shown)
JSON = Reader(format="slurm-sacct", sniff=sniff_json, read=read_json)
QUEUE = Reader(format="slurm-sacct", sniff=sniff_queue, read=read_queue)

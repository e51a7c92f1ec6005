"""Slurm accounting, ``sacct`` output: which allocation was held, and for how long.

Only job rows count: the steps ``.batch``, ``.extern`` and ``.0`` repeat the allocation. A job that
failed, was cancelled or was pre-empted was held all the same.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from flopledger.facts import Grade
from flopledger.logs.document import Document
from flopledger.logs.evidence import EvidenceError
from flopledger.logs.notes import Notes, line
from flopledger.logs.numbers import (
    is_placeholder,
    parse_count,
    parse_duration,
    parse_number,
    parse_positive,
)
from flopledger.logs.reader import Reader
from flopledger.logs.stepping import short_lines, stamp_seconds
from flopledger.text import number

_JOB_COLUMNS = ("JobID", "JobIDRaw")
_GPU = re.compile(r"(?:^|,)gres/gpu(:[^=,]{1,60})?=(\d{1,7})(?=,|$)")
_SLICE = re.compile(r"(?<![0-9a-z])\d{1,2}g\.\d{1,3}gb", re.IGNORECASE)
_MARKS = ("|", ";", "\t")
_MULTIPLE = {"": 1.0, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}
#: Without --parsable2 and Raw, sacct writes energy with a letter and two decimals: "12.53M".
_SHORT_ENERGY = re.compile(r"(\d{1,18}(?:\.\d{1,6})?)([KMGTP]?)")
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


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    place: str  #: the line, or the key in a document
    cells: dict[str, str]

    def get(self, *names: str) -> str | None:
        """Give the first cell that says something."""
        for name in names:
            value = self.cells.get(name, "").strip()
            if not is_placeholder(value):
                return value
        return None


def read(document: Document, notes: Notes) -> None:
    """Write down GPU-seconds, time and energy of the jobs, one fact a job."""
    jobs = _once([row for row in _rows(document, notes) if _is_job(row)], notes)
    if not jobs:
        raise EvidenceError(f"{document.name}: an sacct header without a job row")
    _note_jobs(jobs, notes)


def _once(jobs: list[Row], notes: Notes) -> list[Row]:
    """Drop rows that are there twice, as where two tables were put together."""
    kept: dict[tuple[str, ...], Row] = {}
    again = [row for row in jobs if kept.setdefault(tuple(row.cells.values()), row) is not row]
    if again:
        notes.finding(
            "duplicate-lines",
            "info",
            f"{len(again)} rows repeat another to the letter; each was counted once",
            *(row.place for row in again[:5]),
        )
    return list(kept.values())


def _note_jobs(jobs: list[Row], notes: Notes) -> None:
    held = 0.0
    counted: list[Row] = []
    # The starts of one requeued job: its time is their sum, and its last word the job's.
    restarted = len(jobs) > 1 and len({row.get("JobIDRaw", "JobID") for row in jobs}) == 1
    if restarted and all(_elapsed(row) is not None for row in jobs):
        places = ", ".join(row.place for row in jobs[:5])
        notes.fact("wall_seconds", sum(_elapsed(row) or 0.0 for row in jobs), places)
    for row in jobs:
        seconds, gpus = _elapsed(row), _gpus(row)
        if seconds is not None and not restarted:
            notes.fact("wall_seconds", seconds, row.place)
        if gpus is not None:
            notes.fact("allocated_accelerators", gpus, row.place, unit="devices")
        if not restarted or row is jobs[-1]:
            notes.fact("status", row.get("State"), row.place)
        if seconds is not None and gpus is not None:
            held += seconds * gpus
            counted.append(row)
        elif seconds is not None and seconds > 0:
            notes.finding(
                "device-count-missing",
                "warning",
                "the job's AllocTRES is cut to its column's width: print it with --parsable2"
                if (row.get("AllocTRES", "AllocGRES") or "").endswith("+")
                else "the job's AllocTRES names no gres/gpu: not accounted here, or none were held",
                row.place,
            )
        _note_end(row, notes)
    places = ", ".join(row.place for row in counted[:5])
    if held > 0:
        notes.fact("accelerator_seconds", held, places, grade=Grade.LOG)
        counts = {_gpus(row) for row in counted}
        if len(counts) == 1:
            notes.fact("accelerator_count", counts.pop(), places)
        _note_part(counted, notes)
    _note_energy(jobs, places or jobs[0].place, notes)
    _note_restarts(jobs, notes)
    if all(_elapsed(row) is None for row in jobs):
        notes.finding(
            "not-evidence-alone",
            "warning",
            "the table has no time of a job: print it with --format=JobID,State,ElapsedRaw,AllocTRES",
            jobs[0].place,
        )
    if len(jobs) > 1:
        notes.finding(
            "several-jobs",
            "info",
            f"{len(jobs)} starts of one job are listed; their GPU-seconds were added up"
            if restarted
            else f"{len(jobs)} jobs are listed; their GPU-seconds were added up",
            *(row.place for row in jobs[:5]),
        )


def _note_energy(jobs: list[Row], places: str, notes: Notes) -> None:
    """Add the energy up, unless a job that ran has none: the sum would be a silent part."""
    accounted = [joules for row in jobs if (joules := _energy(row)) is not None]
    lacking = [row for row in jobs if _energy(row) is None and not _never_ran(row)]
    if accounted and lacking:
        notes.finding(
            "coverage-gap",
            "warning",
            f"energy is accounted for {len(accounted)} of {len(jobs)} jobs, {number(sum(accounted))} J; "
            "the others' is not known, so there is no sum",
            *(row.place for row in lacking[:5]),
        )
    elif accounted:
        notes.fact("energy_joules", sum(accounted), places, grade=Grade.INSTRUMENT)
        notes.fact("energy_boundary", "node", places)


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
    for place, text in short_lines(document):
        if not text.strip():
            continue
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
                header = text.strip(f" \r{bar}").split(bar) if parsable else text.split()
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


def _elapsed(row: Row) -> float | None:
    raw = row.get("ElapsedRaw")
    if raw is not None:
        value = parse_positive(raw)
        return float(value) if value is not None else None
    elapsed = row.get("Elapsed")
    if elapsed is not None:
        return parse_duration(elapsed)
    start, end = row.get("Start"), row.get("End")
    if start is None or end is None:
        return None
    begin, finish = stamp_seconds(start), stamp_seconds(end)
    return finish - begin if begin is not None and finish is not None and finish > begin else None


def _never_ran(row: Row) -> bool:
    return row.get("ElapsedRaw") == "0" or row.get("Elapsed") == "00:00:00"


def _gpus(row: Row) -> int | None:
    """Give the GPUs of the allocation; the typed entries repeat the untyped one."""
    tres = row.get("AllocTRES", "AllocGRES")
    if tres is None:
        return None
    untyped, typed = None, 0
    for match in _GPU.finditer(tres):
        if match[1] is None:
            untyped = int(match[2])
        else:
            typed += int(match[2])
    return untyped or typed or None


def _note_part(rows: list[Row], notes: Notes) -> None:
    for row in rows:
        for match in _GPU.finditer(row.get("AllocTRES", "AllocGRES") or ""):
            if match[1] is not None:
                name = match[1][1:]
                notes.fact("accelerator", name, row.place, grade=Grade.STATEMENT)
                if _SLICE.search(name):
                    notes.finding(
                        "unit-ambiguity",
                        "warning",
                        f"{name}: slices of GPUs (MIG) are counted as devices; the peak of the whole "
                        "part is an upper bound for one",
                        row.place,
                    )
                return


def _energy(row: Row) -> float | None:
    raw = parse_positive(row.get("ConsumedEnergyRaw"))
    if raw is not None:
        # An unset counter is written as the largest 64-bit number.
        return float(raw) if raw < 2**62 else None
    for column in ("AllocTRES", "TRESUsageInTot"):
        listed = re.search(r"(?:^|,)energy=(\d{1,18})(?:,|$)", row.get(column) or "")
        if listed is not None and int(listed[1]) > 0:
            return float(listed[1])
    match = _SHORT_ENERGY.fullmatch(row.get("ConsumedEnergy") or "")
    joules = float(match[1]) * _MULTIPLE[match[2]] if match else 0.0
    return joules if joules > 0 else None  # 0: nothing was accounted


def _note_end(row: Row, notes: Notes) -> None:
    state = (row.get("State") or "").split()
    word = state[0].rstrip("+") if state else ""
    if word in ("FAILED", "CANCELLED", "NODE_FAIL", "PREEMPTED", "TIMEOUT", "OUT_OF_MEMORY"):
        notes.finding(
            "aborted-run",
            "info",
            f"the job ended as {word}; its devices were held all the same",
            row.place,
        )
    elif word in ("RUNNING", "SUSPENDED", "COMPLETING"):
        notes.finding(
            "coverage-gap",
            "warning",
            f"the job was {word} when the table was printed: its time so far is a lower bound",
            row.place,
        )


def _note_restarts(jobs: list[Row], notes: Notes) -> None:
    """Say where a job was started again and the table shows its last start alone."""
    for row in jobs:
        starts = parse_count(row.get("Restarts"))
        job = row.get("JobIDRaw", "JobID")
        listed = sum(row.get("JobIDRaw", "JobID") == job for row in jobs)
        if starts is not None and listed < starts + 1 and row is jobs[-1]:
            notes.finding(
                "coverage-gap",
                "warning",
                f"the job was started again {starts} times and {listed} of its starts are listed: print "
                "the others with sacct --duplicates",
                row.place,
            )


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
    _note_jobs(_once(jobs, notes), notes)


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
    _note_jobs(rows, notes)


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


READER = Reader(format="slurm-sacct", sniff=sniff, read=read)
SHOWN = Reader(format="slurm-sacct", sniff=sniff_shown, read=read_shown)
JSON = Reader(format="slurm-sacct", sniff=sniff_json, read=read_json)

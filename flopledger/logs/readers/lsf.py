"""LSF: the pages of ``bhist -l`` and ``bacct -l``, and its accounting file (``lsb.acct``).

A page is a history: submitted, dispatched to hosts, ended; beneath it stand the seconds in each state, or
the turnaround and the wait. Long lines are wrapped anywhere and indented. The GPUs are those of the table
of the allocation where one is printed; else those asked for on each host (or for each task), times hosts.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from flopledger.facts import Grade
from flopledger.logs import limits
from flopledger.logs.document import Document
from flopledger.logs.evidence import EvidenceError
from flopledger.logs.notes import Notes, line
from flopledger.logs.reader import Reader
from flopledger.logs.readers.job_accounts import Start, note

_JOB = re.compile(r"^Job <(\d{1,12}(?:\[\d{1,9}\])?)>,")
_SNIFF = re.compile(rb"(?m)^Job <\d{1,12}(?:\[\d{1,9}\])?>,")
#: What bhist -l and bacct -l alone print, and bjobs -l does not.
_PAGE = re.compile(
    rb"Summary of time in seconds spent in various states|Accounting information about this job"
)
_EVENT = re.compile(r"^[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d(?: \d{4})?: {0,2}(.*)")
_WRAPPED = re.compile(r"^ {19,24}(?=\S)")
_STATES = re.compile(r"^\s*PEND\s+PSUSP\s+RUN\s+USUSP\s+SSUSP\s+UNKWN\s+TOTAL\s*$")
_TIMES = re.compile(r"^\s*CPU_T\s+WAIT\s+TURNAROUND\s+STATUS\b")
_HOSTS = re.compile(
    r"(?:on|to)\s*(?:\d+\s*)?(?:Task\(s\)\s*on\s*)?Host\(s\)((?:\s*<[^<>]{1,80}>)+)"
)
_OLDER = re.compile(
    r"(?:started on|Dispatched to|Started on)\s*(?:\d{1,6} Hosts/Processors\s*)?((?:<[^<>]{1,80}>\s*)+)",
    re.I,
)
_TASKS = re.compile(r"(?:Dispatched|Starting)\s+(\d{1,7})\s*Task\(s\)")
_NAME = re.compile(r"<(?:\d{1,6}\*)?([^<>]{1,80})>")
_NUM = re.compile(r"\bnum=(\d{1,4})(/task|/host)?")
_PHYSICAL = re.compile(r"\bngpus_physical=(\d{1,4})(?:\.0+)?(?!\d)")
_TABLE = re.compile(r"^\s*HOST\s+TASK\s+(?:GPU_)?ID\s")
_TABLE_ROW = re.compile(r"^\s*(\S{1,80})?\s+(?:\d+(?:,\d+)*|-)\s+(\d{1,3})\s+\S")
#: What DCGM counted on the job's GPUs, added up by LSF where it accounts for them.
_ENERGY = re.compile(r"^\s*GPU Energy Consumed: (\d{1,15}(?:\.\d{1,9})?) Joules\s*$", re.ASCII)
_STATUS = re.compile(r"\bStatus <(\w{1,12})>")
_MOST_LINE = 20_000


@dataclass(kw_only=True, slots=True)
class _Page:
    """What one job's page says while it is read."""

    job: str
    place: str
    seconds: float | None = None
    hosts: set[str] = field(default_factory=set)
    tasks: int = 0
    asked: int | None = None
    is_by_task: bool = False
    devices: set[tuple[str, str]] = field(default_factory=set)
    status: str | None = None
    joules: float | None = None
    """Of the job's GPUs."""


def sniff(head: bytes, _name: str) -> bool:
    """Recognise a page of bhist or bacct."""
    return _SNIFF.search(head) is not None and _PAGE.search(head) is not None


def read(document: Document, notes: Notes) -> None:
    """Write down what the jobs held."""
    pages = list(_pages(document))
    if not pages:
        raise EvidenceError(f"{document.name}: no job of LSF")
    note(
        [_start(page) for page in pages], notes, lacking="GPUs (num=, or a table of GPU_ALLOCATION)"
    )
    metered = [page for page in pages if page.joules]
    if metered and len(metered) == len([page for page in pages if page.seconds]):
        total = sum(page.joules or 0.0 for page in metered)
        place = ", ".join(page.place for page in metered[:5])
        notes.fact("energy_joules", total, place, grade=Grade.INSTRUMENT)
        notes.fact("energy_boundary", "device", place)


def _start(page: _Page) -> Start:
    status = page.status or "not ended"
    return Start(
        job=page.job,
        seconds=page.seconds,
        gpus=_gpus(page),
        status=status,
        place=page.place,
        failed=status in ("EXIT", "exit"),
        is_over=page.status is not None,
    )


def _gpus(page: _Page) -> int | None:
    if page.devices:
        return len(page.devices)
    if page.asked is None:
        return None
    times = page.tasks if page.is_by_task else len(page.hosts)
    return page.asked * times or None


def _pages(document: Document) -> Iterator[_Page]:
    """Give the jobs in order; what stands below a job's first line is of it."""
    page: _Page | None = None
    heading, host, count = "", "", 0
    for number, text in _whole(document):
        match = _JOB.match(text)
        if match is not None:
            count += 1
            if count > limits.JOBS:
                raise EvidenceError(f"{document.name}: more than {limits.JOBS:,} jobs")
            if page is not None:
                yield page
            page, heading = _Page(job=match[1], place=line(number)), ""
            ended = _STATUS.search(text)
            if ended is not None and ended[1] in ("DONE", "EXIT"):
                page.status = ended[1]
            _asked(text, page)
            continue
        if page is None:
            continue
        if _STATES.match(text):
            heading = "states"
        elif _TIMES.match(text):
            heading = "times"
        elif _TABLE.match(text):
            heading, host = "table", ""
        elif heading:
            heading, host = _below(heading, host, text, page)
        elif joules := _ENERGY.match(text):
            page.joules = float(joules[1])
        else:
            _asked(text, page)
            event = _EVENT.match(text)
            if event is not None:
                _of_event(event[1], page)
    if page is not None:
        yield page


def _below(heading: str, host: str, text: str, page: _Page) -> tuple[str, str]:
    """Read the row below a heading; give the heading that still holds, and the row's host."""
    cells = text.split()
    if heading == "table":
        row = _TABLE_ROW.match(text)
        if row is None:
            return "", ""
        host = row[1] or host  # the host is printed once, above all of its devices
        page.devices.add((host, row[2]))
        return heading, host
    if heading == "states" and len(cells) == 7 and cells[2].isdecimal():
        page.seconds = float(cells[2])
    if heading == "times" and len(cells) > 3 and cells[1].isdecimal() and cells[2].isdecimal():
        page.seconds = float(max(0, int(cells[2]) - int(cells[1]))) or None
    return "", ""


def _of_event(text: str, page: _Page) -> None:
    for pattern in (_HOSTS, _OLDER):
        found = pattern.search(text)
        if found is not None:
            page.hosts |= set(_NAME.findall(found[1]))
            break
    tasks = _TASKS.search(text)
    if tasks is not None:
        page.tasks = int(tasks[1])
    if text.startswith(("Done successfully", "Completed <done>")):
        page.status = "DONE"
    elif text.startswith(("Exited", "Completed <exit>", "Termination")):
        page.status = "EXIT"


def _asked(text: str, page: _Page) -> None:
    """Take the GPUs that a requirement names: of each host, unless it says of each task."""
    match = _NUM.search(text) if "GPU" in text or "Effective" in text else None
    if match is not None:
        page.asked, page.is_by_task = int(match[1]), match[2] == "/task"
        return
    match = _PHYSICAL.search(text)
    if match is not None and page.asked is None:
        page.asked = int(match[1])


def _whole(document: Document) -> Iterator[tuple[int, str]]:
    """Give lines with their continuations; the number is that of the first."""
    kept, first = "", 0
    for number, text in document.lines():
        wrapped = _WRAPPED.match(text)
        is_of_event = _EVENT.match(kept) is not None or _JOB.match(kept) is not None
        if wrapped is not None and is_of_event and len(kept) < _MOST_LINE:
            kept += text[21:] if text[:21].isspace() else text.lstrip()
            continue
        if first:
            yield first, kept
        kept, first = text[:_MOST_LINE], number
    if first:
        yield first, kept


_FIELD = re.compile(r'"((?:[^"]|"")*)"|(\S+)')
_FINISH = re.compile(rb'(?m)^"JOB_FINISH" "')


def sniff_file(head: bytes, _name: str) -> bool:
    """Recognise ``lsb.acct`` by its records."""
    return _FINISH.search(head) is not None


def read_file(document: Document, notes: Notes) -> None:
    """Write down the jobs that ended, by the documented places of ``JOB_FINISH``."""
    starts: dict[str, Start] = {}
    for number, text in document.lines():
        if not text.startswith('"JOB_FINISH" ') or text in starts:
            continue
        if len(starts) >= limits.JOBS:
            raise EvidenceError(f"{document.name}: more than {limits.JOBS:,} jobs")
        starts[text] = _of_record([a or b for a, b in _FIELD.findall(text)], text, line(number))
    if not starts:
        raise EvidenceError(f"{document.name}: no record of a job that ended (JOB_FINISH)")
    kept = [one for one in starts.values() if one.seconds is not None]
    note(kept or list(starts.values()), notes, lacking="ngpus_physical or num=")


#: Places in a record: when it ended, its number, when it started, how many hosts were asked for.
_ENDED, _NUMBER, _STARTED, _ASKED_HOSTS = 2, 3, 10, 22
_DONE = "64"


def _of_record(fields: list[str], text: str, place: str) -> Start:
    page = _Page(job="?", place=place)
    try:
        page.job = fields[_NUMBER]
        ended, started = int(fields[_ENDED]), int(fields[_STARTED])
        begin = _ASKED_HOSTS + 1 + int(fields[_ASKED_HOSTS])
        count = int(fields[begin])
        names = fields[begin + 1 : begin + 1 + count]
        state = fields[begin + 1 + count]
    except (IndexError, ValueError):
        raise EvidenceError(
            f"{place}: a record JOB_FINISH whose fields do not stand where LSF documents them"
        ) from None
    # 0: never started. A host stands once for each of its slots, or as "4*host".
    page.seconds = float(ended - started) if 0 < started < ended else None
    page.hosts = {name.rpartition("*")[2] for name in names}
    page.status = "DONE" if state == _DONE else "EXIT"
    page.tasks = sum(int(n) if (n := name.partition("*")[0]).isdecimal() else 1 for name in names)
    match = _NUM.search(text)
    if match is not None:
        page.asked, page.is_by_task = int(match[1]), match[2] == "/task"
    else:
        _asked(text, page)
    return _start(page)


READER = Reader(format="lsf", sniff=sniff, read=read)
FILE = Reader(format="lsf", sniff=sniff_file, read=read_file)

"""What schedulers print at the end of a job's output: LSF's report, and the page of NCI's PBS.

A report stands below whatever the job printed, often below a training log, and below other reports where jobs
append to one file. So it is read beside the log, or alone where no reader knows what stands above. LSF's GPUs
are those that the script asks for on each host (``#BSUB -gpu num=``); asked for on the command line, they are
not printed.
"""

import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from flopledger.logs import limits
from flopledger.logs.document import Document
from flopledger.logs.evidence import EvidenceError
from flopledger.logs.notes import Notes, line
from flopledger.logs.numbers import parse_count, parse_duration
from flopledger.logs.reader import Reader
from flopledger.logs.readers.job_accounts import Start, note

_SNIFF = re.compile(
    rb"(?m)^Sender: LSF System <[^\n]{0,200}\r?\nSubject: Job \d"
    rb"|^[ \t]{0,60}Resource Usage on \d{4}-\d\d-\d\d "
)
_LSF = re.compile(r"^Subject: Job (\d{1,12}(?:\[\d{1,9}\])?): ", re.ASCII)
_NCI = re.compile(r"^\s*Job Id:\s{1,30}(\d{1,12}\S{0,60})\s*$", re.ASCII)
_NCI_BEGINS = re.compile(r"^\s*Resource Usage on \d{4}-\d\d-\d\d ", re.ASCII)
_STAMP = re.compile(
    r"^(Started|Terminated|Results reported) at [A-Z][a-z]{2} ([A-Z][a-z]{2}) {1,2}(\d{1,2}) "
    r"(\d\d):(\d\d):(\d\d) (\d{4})\.?\s*$",
    re.ASCII,
)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_HOSTS = re.compile(r"^Job was executed on host\(s\) (<.*)$")
_MORE_HOSTS = re.compile(r"^\s{10,40}(<[^<>]{1,80}>)\s*$")
_HOST = re.compile(r"<(?:(\d{1,6})\*)?([^<>]{1,80})>")
_ASKED = re.compile(r"^#BSUB\s+-gpu\s+[\"']?(-|[^\"']{1,200})", re.ASCII)
_NUM = re.compile(r"(?:^|:)num=(\d{1,4})(/task|/host)?(?=:|\s|$)", re.ASCII)
_ENDED = re.compile(r"^(Successfully completed|Exited with (?:exit|signal)\b|TERM_\w+: |Exited)")
_RUN_TIME = re.compile(r"^\s*Run time :\s{1,60}(\d{1,12}) sec", re.ASCII)
_PAIR = re.compile(r"(Exit Status|NGPUs Requested|Walltime Used):\s{1,40}(\S{1,40})")
_LONGEST_LINE = 4_000
_LACKING = "GPUs that the job asked for"
#: Files of these names show reports as examples.
_TEXTS = (".md", ".markdown", ".mdx", ".rst", ".html", ".htm", ".tex")


@dataclass(kw_only=True, slots=True)
class _Report:
    """One job, while its report is read."""

    job: str
    place: str
    is_lsf: bool
    stamps: dict[str, float] = field(default_factory=dict)
    run_seconds: float | None = None
    hosts: dict[str, int] = field(default_factory=dict)
    """Slots by host."""
    asked: int | None = None
    is_by_task: bool = False
    status: str | None = None


def sniff(head: bytes, name: str) -> bool:
    """Recognise a report by its first lines, wherever it stands."""
    return not name.lower().endswith(_TEXTS) and _SNIFF.search(head) is not None


def read(document: Document, notes: Notes) -> None:
    """Write down what the jobs held, and for how long."""
    reports = list(_reports(document))
    if not reports:
        raise EvidenceError(f"{document.name}: a scheduler's report without its job")
    note([_start(one) for one in reports], notes, lacking=_LACKING)


def read_below(document: Document, notes: Notes) -> None:
    """Read what stands below a log, if anything does; damage there takes nothing from the log."""
    if not sniff(document.head, document.name):
        return
    try:
        starts = [_start(one) for one in _reports(document)]
    except EvidenceError as error:
        notes.finding(
            "no-facts", "warning", f"the scheduler's report below the log: {error}", "the file"
        )
        return
    if starts:
        note(starts, notes, lacking=_LACKING)


def _reports(document: Document) -> Iterator[_Report]:
    report: _Report | None = None
    is_nci = False
    count = 0
    for number, text in document.lines():
        text = text[:_LONGEST_LINE]
        found = _LSF.match(text) or (_NCI.match(text) if is_nci else None)
        if found is not None:
            count += 1
            if count > limits.JOBS:
                raise EvidenceError(f"{document.name}: more than {limits.JOBS:,} jobs' reports")
            if report is not None:
                yield report
            report = _Report(job=found[1], place=line(number), is_lsf=not is_nci)
        elif report is not None:
            (_of_lsf if report.is_lsf else _of_nci)(text, report)
        is_nci = (is_nci and found is None) or _NCI_BEGINS.match(text) is not None
    if report is not None:
        yield report


def _of_lsf(text: str, report: _Report) -> None:
    if stamp := _STAMP.match(text):
        report.stamps.setdefault(stamp[1], _moment(stamp))
    elif hosts := _HOSTS.match(text) or (
        report.hosts and not report.stamps and _MORE_HOSTS.match(text)
    ):
        listed = hosts[1].partition(", in queue")[0]
        for slots, name in _HOST.findall(listed):
            report.hosts[name] = report.hosts.get(name, 0) + int(slots or 1)
    elif (asked := _ASKED.match(text)) and report.asked is None:
        number = _NUM.search(asked[1])
        report.asked = int(number[1]) if number else 1  # LSF's own default
        report.is_by_task = number is not None and number[2] == "/task"
    elif (ended := _ENDED.match(text)) and report.status in (None, "Exited"):
        report.status = text.strip().rstrip(".")[:100] if ended[1] != "Exited" else "Exited"
    elif run := _RUN_TIME.match(text):
        report.run_seconds = float(run[1])


def _of_nci(text: str, report: _Report) -> None:
    for key, value in _PAIR.findall(text):
        if key == "Exit Status" and report.status is None:
            report.status = "completed" if value == "0" else f"failed, exit status {value}"
        elif key == "NGPUs Requested" and report.asked is None:
            report.asked = parse_count(value)
        elif key == "Walltime Used" and report.run_seconds is None:
            report.run_seconds = parse_duration(value)


def _moment(stamp: "re.Match[str]") -> float:
    _, month, day, hour, minute, second, year = stamp.groups()
    try:
        at = dt.datetime(
            int(year),
            _MONTHS.index(month) + 1,
            int(day),
            int(hour),
            int(minute),
            int(second),
            tzinfo=dt.UTC,
        )
    except ValueError:
        raise EvidenceError(f"a stamp that is no moment: {stamp[0].strip()}") from None
    return at.timestamp()


def _start(report: _Report) -> Start:
    return Start(
        job=report.job,
        seconds=_seconds(report),
        gpus=_gpus(report),
        status=report.status or "not ended",
        place=report.place,
        failed=report.status not in (None, "Successfully completed", "completed"),
    )


def _seconds(report: _Report) -> float | None:
    """Give the time between the stamps; LSF's run time alone is sampled, and seconds off for short jobs."""
    begin = report.stamps.get("Started")
    end = report.stamps.get("Terminated", report.stamps.get("Results reported"))
    if begin is not None and end is not None and end > begin:
        return end - begin
    return report.run_seconds or None


def _gpus(report: _Report) -> int | None:
    if not report.is_lsf:
        return report.asked
    if report.asked is None or not report.hosts:
        return None
    return report.asked * (sum(report.hosts.values()) if report.is_by_task else len(report.hosts))


READER = Reader(format="job-report", sniff=sniff, read=read)

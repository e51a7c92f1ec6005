"""What the rows of Slurm's account say: which devices were held, for how long, and how it ended."""

import re
from collections import Counter
from dataclasses import dataclass

from flopledger.facts import Grade
from flopledger.logs.notes import Notes
from flopledger.logs.numbers import is_placeholder, parse_count, parse_duration, parse_positive
from flopledger.logs.stamps import stamp_seconds
from flopledger.text import number

_GPU = re.compile(r"(?:^|,)gres/gpu(:[^=,]{1,60})?=(\d{1,7})(?=,|$)")
_SLICE = re.compile(r"(?<![0-9a-z])\d{1,2}g\.\d{1,3}gb", re.IGNORECASE)
_MULTIPLE = {"": 1.0, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}
#: Without --parsable2 and Raw, sacct writes energy with a letter and two decimals: "12.53M".
_SHORT_ENERGY = re.compile(r"(\d{1,18}(?:\.\d{1,6})?)([KMGTP]?)")


_CUT = "AllocTRES is cut to its column's width: print it with --parsable2"
_NO_GPUS = "AllocTRES names no gres/gpu: not accounted here, or none were held"
_BADLY = frozenset({"FAILED", "CANCELLED", "NODE_FAIL", "PREEMPTED", "TIMEOUT", "OUT_OF_MEMORY"})
_STILL_RUNS = frozenset({"RUNNING", "SUSPENDED", "COMPLETING"})


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


def once(jobs: list[Row], notes: Notes) -> list[Row]:
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


def note_jobs(jobs: list[Row], notes: Notes) -> None:
    """Write down what the jobs of one account held, used and ended as."""
    is_part = _lacks_time(jobs, notes)
    # The starts of one requeued job: its time is their sum, and its last word the job's.
    restarted = len(jobs) > 1 and len({_job(row) for row in jobs}) == 1
    if restarted and all(_elapsed(row) is not None for row in jobs):
        total = sum(_elapsed(row) or 0.0 for row in jobs)
        notes.fact("seen_seconds" if is_part else "wall_seconds", total, _places(jobs))
    _note_status(jobs[-1:] if restarted else jobs, notes)
    held = _note_held(jobs, notes, is_part=is_part)
    _note_energy(jobs, _places(held) or jobs[0].place, notes)
    _note_rows(jobs, notes, is_part=is_part, restarted=restarted)
    _note_ends(jobs, notes)
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


def _places(rows: list[Row]) -> str:
    return ", ".join(row.place for row in rows[:5])


def _note_held(jobs: list[Row], notes: Notes, *, is_part: bool) -> list[Row]:
    """Add up what was held, before the single jobs are written down: a long table may fill a file's room."""
    counted = []
    held = 0.0
    for row in jobs:
        seconds, gpus = _elapsed(row), _gpus(row)
        if seconds is not None and gpus is not None:
            held += seconds * gpus
            counted.append(row)
    if held > 0:
        name = "accelerator_seconds_at_least" if is_part else "accelerator_seconds"
        notes.fact(name, held, _places(counted), unit="s", grade=Grade.LOG)
        counts = {_gpus(row) for row in counted}
        if len(counts) == 1:
            notes.fact("accelerator_count", counts.pop(), _places(counted))
        _note_part(counted, notes)
    return counted


def _note_rows(jobs: list[Row], notes: Notes, *, is_part: bool, restarted: bool) -> None:
    """Write down what each job was given, and how long it took where it is the only one of its number."""
    lacking: dict[str, list[Row]] = {}
    for row in jobs:
        seconds, gpus = _elapsed(row), _gpus(row)
        if seconds is not None and not restarted:
            alone = is_part and len(jobs) == 1
            notes.fact("seen_seconds" if alone else "wall_seconds", seconds, row.place)
        if gpus is not None:
            notes.fact("allocated_accelerators", gpus, row.place, unit="devices")
        elif seconds is not None and seconds > 0:
            cut = (row.get("AllocTRES", "AllocGRES") or "").endswith("+")
            lacking.setdefault(_CUT if cut else _NO_GPUS, []).append(row)
    for told, rows in lacking.items():
        of_how_many = "the job's" if len(jobs) == 1 else f"{len(rows)} of {len(jobs)} jobs:"
        notes.finding(
            "device-count-missing",
            "warning",
            f"{of_how_many} {told}",
            *(row.place for row in rows[:5]),
        )


def _note_status(jobs: list[Row], notes: Notes) -> None:
    """Write down how the jobs ended; of several that ended unlike, every way."""
    states = dict.fromkeys(state for row in jobs if (state := row.get("State")) is not None)
    if states:
        notes.fact("status", ", ".join(list(states)[:6]), ", ".join(row.place for row in jobs[:5]))


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


def _note_ends(jobs: list[Row], notes: Notes) -> None:
    ended: dict[str, list[Row]] = {}
    for row in jobs:
        word = _first_word(row)
        if word in _BADLY:
            ended.setdefault(word, []).append(row)
    for word, rows in ended.items():
        who = "the job" if len(jobs) == 1 else f"{len(rows)} of {len(jobs)} jobs"
        notes.finding(
            "aborted-run",
            "info",
            f"{who} ended as {word}; the devices were held all the same",
            *(row.place for row in rows[:5]),
        )


def _first_word(row: Row) -> str:
    return ((row.get("State") or "").split() or [""])[0].rstrip("+")


def _lacks_time(jobs: list[Row], notes: Notes) -> bool:
    """Say whether the table shows a part of the jobs' time alone: then it is a lower bound."""
    unlisted = _note_restarts(jobs, notes)
    running = [row for row in jobs if _first_word(row) in _STILL_RUNS]
    if running:
        who = (
            f"the job was {running[0].get('State')}"
            if len(jobs) == 1
            else f"{len(running)} of {len(jobs)} jobs had not ended"
        )
        notes.finding(
            "coverage-gap",
            "warning",
            f"{who} when the table was printed: the time so far is a lower bound",
            *(row.place for row in running[:5]),
        )
    return unlisted or bool(running)


def _note_restarts(jobs: list[Row], notes: Notes) -> bool:
    """Say where a job was started again and the table shows its last start alone."""
    found = False
    listed = Counter(_job(row) for row in jobs)
    last = {_job(row): row for row in jobs}
    for job, row in last.items():
        starts = parse_count(row.get("Restarts"))
        if starts is not None and listed[job] < starts + 1:
            found = True
            notes.finding(
                "coverage-gap",
                "warning",
                f"the job was started again {starts} times and {listed[job]} of its starts are listed: print "
                "the others with sacct --duplicates; until then the time is a lower bound",
                row.place,
            )
    return found


def _job(row: Row) -> str | None:
    return row.get("JobIDRaw", "JobID")

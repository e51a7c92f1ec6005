"""What ``Recording.summary`` answers: the run's ledgers and its devices' telemetry, joined."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flopledger.recording.book import Book
    from flopledger.recording.totals import RunTotals
    from profilers.trace import DeviceKey, Trace

KEYS = (
    "steps", "tokens", "samples", "model_flop", "hardware_flop", "duration_seconds", "mfu", "hfu",
    "energy_joules", "devices",
)  # fmt: skip


def summarised(run_dir: Path, book: Book | None = None) -> dict[str, Any]:
    """Return the summary of a run's folder; what is not known is None and has a finding.

    Args:
        run_dir: The run's folder.
        book: What this process recorded; what of it did not get into the folder is said.

    """
    ledger = None if book is None else book.ledger
    own = frozenset() if ledger is None else frozenset({ledger.folder.name})
    answer = _of_folder(run_dir, own)
    if book is not None:
        _withhold(answer, run_dir, book)
    return answer


def _withhold(answer: dict[str, Any], run_dir: Path, book: Book) -> None:
    """Say what this process did and the folder does not hold; no figure is whole then."""
    if book.withheld:
        text = (
            f"{book.withheld} of this process's {book.steps} steps could not be written into "
            f"{run_dir} ({book.refusal}): no figure holds them"
        )
    elif book.ledger is not None and not book.ledger.in_place:
        text = (
            f"{run_dir} was moved while it was recorded: this process's {book.steps} steps are where "
            "it lies now"
        )
    else:
        return
    found = [f for f in answer["findings"] if f["code"] != "no-steps"]
    answer["findings"] = [_finding("steps-lost", "error", text), *found]
    answer.update(dict.fromkeys(KEYS[1:8]))  # ``detail`` is what the folder holds


def _of_folder(run_dir: Path, whole: frozenset[str]) -> dict[str, Any]:
    from flopledger.recording.steps_summary import as_findings, steps_section
    from flopledger.recording.totals import read_totals
    from profilers.errors import ProfilersError

    answer: dict[str, Any] = {**dict.fromkeys(KEYS), "steps": 0, "findings": []}
    findings: list[dict[str, Any]] = answer["findings"]
    try:
        totals = read_totals(run_dir, whole=whole)
    except (ProfilersError, OSError) as error:
        findings.append(_finding("ledger-broken", "error", f"no step ledger can be read: {error}"))
        return answer
    if totals is None or not totals.windows:
        findings.append(_finding("no-steps", "warning", "no step was recorded"))
        return answer
    if not totals.steps:
        text = "no optimizer step ended: what ran outside of steps stands in detail.span_flop"
        findings.append(_finding("no-steps", "warning", text))
    _devices(answer, run_dir, totals)
    telemetry = answer["devices"] or ()
    section, told = steps_section(
        totals, telemetry=telemetry, energy_joules=answer["energy_joules"]
    )
    answer["steps"] = totals.steps
    for name in KEYS[1:8]:
        answer[name] = section[name]
    answer["detail"] = section
    findings.extend(as_findings(told))
    if answer["mfu"] is None and not any(f["message"].startswith("no MFU") for f in findings):
        text = "no MFU: the training ran on no device with a known peak, or its FLOP are not known"
        findings.append(_finding("mfu-unknown", "info", text))
    return answer


def _devices(answer: dict[str, Any], run_dir: Path, totals: RunTotals) -> None:
    findings: list[dict[str, Any]] = answer["findings"]
    seen = measured(run_dir, totals)
    if not seen:
        text = "no sample of a device is here: energy and device time are not known"
        findings.append(_finding("no-devices", "info", text))
        return
    if not seen["devices"]:
        text = "the recorded processes computed on the processor; what was sampled beside is not theirs"
        findings.append(_finding("energy-of-others", "info", text))
        return
    answer["energy_joules"], answer["devices"] = seen["energy_joules"], seen["devices"]
    findings.extend(seen["findings"])


def measured(run_dir: Path, totals: RunTotals | None) -> dict[str, Any]:
    """Return ``energy_joules``, ``devices`` and ``findings`` of the time in which somebody trained.

    Without ``totals``: of the whole recording, as of one that was imported. They are worked out from
    the samples as the wrapper does for its summary; empty without samples.
    """
    from flopledger.profiling.process_tree import Attribution
    from flopledger.profiling.summary import RunFacts, summarise
    from profilers.errors import ProfilersError
    from profilers.record import read_record

    try:
        trace = read_record(run_dir)
    except (ProfilersError, OSError, LookupError):
        return {}
    if totals is None:
        start, end = _whole(trace)
        used = frozenset(trace.devices)
    else:
        start, end = totals.windows[0][0], totals.windows[-1][1]
        used = _used(trace, totals)
    if not used and trace.devices:
        return {"energy_joules": None, "devices": [], "findings": []}
    facts = RunFacts(
        command=[],
        exit_code=0,
        started="",
        duration_seconds=(end - start) / 1e9,
        start_ns=start,
        end_ns=end,
        interval_seconds=1.0,
        attribution=Attribution(used=used, evidence="record", shared={}),
        sources=[],
        trouble=[],
    )
    seen = summarise(facts, trace)
    told = [f for f in seen["findings"] if f["code"] != "model-flop-unknown"]
    return {"energy_joules": seen["energy_joules"], "devices": seen["devices"], "findings": told}


def _whole(trace: Trace) -> tuple[int, int]:
    """From the beginning of the first sample's time to the last one."""
    seen = [device for device in trace.devices.values() if len(device)]
    return (
        min((int(one.time_ns[0] - one.period_ns[0]) for one in seen), default=0),
        max((int(one.time_ns[-1]) for one in seen), default=0),
    )


def _used(trace: Trace, totals: RunTotals) -> frozenset[DeviceKey]:
    """The devices that the training processes named, else all of the record's; none on a processor."""
    named = {device.uuid for device in totals.devices if device.uuid is not None}
    found = frozenset(key for key in trace.devices if key.uuid in named)
    if not found and totals.on_processor and all(one.type == "cpu" for one in totals.devices):
        return frozenset()
    return found or frozenset(trace.devices)


def _finding(code: str, severity: str, message: str) -> dict[str, Any]:
    return {"code": code, "severity": severity, "message": message, "evidence": []}

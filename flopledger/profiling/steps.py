"""The steps of a profiled run in its summary: what the training processes wrote, or why nothing.

``flopledger.profiling.summary`` tells what devices did; this adds what the training did, and the figures
that need both.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from flopledger.injection import Seen, read_processes

MOST = 100
"""So many processes are named."""

if TYPE_CHECKING:
    from flopledger.profiling.process_tree import ProcessTree
    from flopledger.recording.totals import RunTotals


def add_steps(
    summary: dict[str, Any], folder: Path, tree: "ProcessTree | None", *, wanted: bool = True
) -> None:
    """Complete a summary in place: ``steps``, ``processes``, model FLOP, MFU, and findings.

    ``wanted`` is False where the recorder was not brought to the children (``--no-steps``).
    """
    from flopledger.recording.steps_summary import as_findings, steps_section
    from flopledger.recording.totals import read_totals
    from profilers.errors import ProfilersError

    seen = read_processes(folder)
    unreached = tree.interpreters.out_of_reach(seen) if tree is not None and wanted else {}
    summary["processes"] = {**seen.as_json(), "out_of_reach": unreached} if wanted else None
    findings: list[dict[str, Any]] = summary["findings"]
    totals: RunTotals | None = None
    try:
        totals = read_totals(folder)
    except (ProfilersError, OSError) as error:
        findings.append(_finding("ledger-broken", "error", f"no step ledger can be read: {error}"))
    summary.update({"steps": None, "mfu": None, "hfu": None})
    if totals is not None and (totals.steps or totals.span_flop):
        section, told = steps_section(
            totals,
            telemetry=summary["devices"],
            energy_joules=summary["energy_joules"],
            attributed=summary["attribution"] != "none",
        )
        summary["steps"] = section
        for name in ("model_flop", "hardware_flop", "mfu", "hfu"):
            summary[name] = section[name]
        findings.extend(as_findings(told))
    if totals is None or not totals.steps:
        # No step is not a training of 0 FLOP: what ran outside steps stands in the spans.
        summary.update({"model_flop": None, "hardware_flop": None})
        why = _why_no_steps(seen, unreached) if wanted else "the recorder was left out (--no-steps)"
        findings.append(_finding("model-flop-unknown", "info", f"no step was seen: {why}"))
    findings.extend(_about_processes(seen, unreached))
    findings.extend(_without_ledgers(seen, folder))


def _why_no_steps(seen: Seen, unreached: dict[str, int]) -> str:
    if seen.recording:
        why = (
            f"{_processes(seen.recording)} made an optimizer, and no step of it came into the record "
            "(none ended, all in the last second before a kill, or the disk took nothing)"
        )
    elif seen.refused:
        why = "the recorder could not be started (see the findings)"
    elif seen.torch:
        why = f"{_processes(seen.torch)} imported torch and none made an optimizer"
    elif seen.python:
        why = f"{_processes(seen.python, 'Python ')} started and none imported torch"
    elif unreached:
        return "no Python process could be reached"
    else:
        return "no Python process of this host was started with the recorder's environment"
    missed = sum(unreached.values())
    return f"{why}; {_processes(missed, 'Python ')} could not be reached" if missed else why


def _about_processes(seen: Seen, unreached: dict[str, int]) -> list[dict[str, Any]]:
    found = [
        _finding(
            "recorder-refused",
            "warning",
            f"{_processes(count)} with torch could not be recorded: {reason}",
        )
        for reason, count in sorted(seen.refused.items())
    ]
    found += [
        _finding("python-out-of-reach", "info", f"{_processes(count, 'Python ')} {reason}")
        for reason, count in sorted(unreached.items())
    ]
    return found


def _without_ledgers(seen: Seen, folder: Path) -> list[dict[str, Any]]:
    """Processes that began to record and left nothing: one that ends in order leaves an empty ledger."""
    left = {path.name.split("-")[-2] for path in (folder / "steps").glob("rank=*-*-*-*")}
    gone = sorted((host, pid) for host, pid in seen.recorded if str(pid) not in left)
    if not gone:
        return []
    told = _finding(
        "ledger-missing",
        "warning",
        f"{_processes(len(gone))} made an optimizer and left no step ledger: killed within about a second, "
        "or nothing could be written there; what was trained is in no figure",
    )
    return [{**told, "evidence": [f"{host}: process {pid}" for host, pid in gone[:MOST]]}]


def _processes(count: int, kind: str = "") -> str:
    return f"{count} {kind}process{'' if count == 1 else 'es'}"


def _finding(code: str, severity: str, message: str) -> dict[str, Any]:
    return {"code": code, "severity": severity, "message": message, "evidence": []}

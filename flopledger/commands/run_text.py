"""A profiled run's summary on the terminal."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flopledger.text import duration, energy, number, per_cent
from flopledger.unseen import visible

if TYPE_CHECKING:
    from rich.console import Console


def print_run(summary: dict[str, Any], folder: Path, out: "Console") -> None:
    """Print the summary of a run in a few lines. Unknown figures are said to be unknown."""
    out.print()
    for line in _lines(summary, folder):
        # Folders, devices and findings have words of others in them.
        out.print(visible(line), soft_wrap=True, markup=False)


def _lines(summary: dict[str, Any], folder: Path) -> Iterator[str]:
    yield f"flopledger: {_time(summary)}, exit code {summary['exit_code']}, record in {folder}"
    for line in steps_lines(summary):
        yield f"  {line}"
    for device in summary["devices"]:
        yield f"  {_device(device)}"
    yield f"  energy {energy(summary['energy_joules'])}"
    bounds = summary["flop_bounds"]
    if bounds is None:
        yield "  executed FLOP: no bound (see the findings)"
    else:
        yield f"  executed FLOP {_range(bounds)} ({bounds['grade']}; dense, any precision)"
        each = ", ".join(f"{name} {_range(ends)}" for name, ends in bounds["by_precision"].items())
        yield f"    if all of it was: {each}"
    warnings = [one for one in summary["findings"] if one["severity"] != "info"]
    # Each launch of one record has its own: the same words are told once.
    yield from dict.fromkeys(f"  {one['code']}: {one['message']}" for one in warnings)


def _range(ends: dict[str, Any]) -> str:
    low, high = ends["low"], ends["high"]
    return f"at least {number(low)}" if high is None else f"{number(low)} to {number(high)}"


def steps_lines(summary: dict[str, Any]) -> list[str]:
    """Return what the training did in a few lines, or why no step was seen."""
    steps = summary.get("steps")
    if not steps or not steps["count"]:
        about = ("model-flop-unknown", "python-out-of-reach")
        why = [f["message"] for f in summary["findings"] if f["code"] in about]
        return [*(why or ["no step ended"]), *_beside(steps)] if steps else why
    redone = f" ({steps['redone']:,} more were done again)" if steps["redone"] else ""
    number_of = "1 step" if steps["count"] == 1 else f"{steps['count']:,} steps"
    first = [f"{number_of} in {duration(steps['duration_seconds'])}{redone}"]
    if steps["tokens"] is not None:
        rate = steps["tokens_per_second"]
        first.append(f"{steps['tokens']:,} tokens" + (f", {rate:,.4g} a second" if rate else ""))
    elif steps["samples"] is not None:
        first.append(f"{steps['samples']:,} samples")
    lines = [", ".join(first)]
    model, hardware = _flop(steps, "model_flop"), _flop(steps, "hardware_flop")
    lines.append(f"model FLOP {model}, hardware FLOP {hardware}{_dtypes(steps)}")
    lines += _beside(steps)
    basis = steps["mfu_basis"]
    if basis is not None and steps["mfu"] is not None:
        hfu = "" if steps["hfu"] is None else f", HFU {per_cent(steps['hfu'])}"
        lines.append(
            f"MFU {per_cent(steps['mfu'])}{hfu} of {basis['count']} × {basis['name']} in {basis['dtype']}"
        )
    shares = sorted(steps["time_shares"].items(), key=lambda pair: -pair[1])
    told = ", ".join(f"{per_cent(share)} {what}" for what, share in shares if share >= 0.001)
    if told:
        lines.append(f"time: {told}")
    return lines


def _beside(steps: dict[str, Any]) -> list[str]:
    """What was computed outside of steps: evaluation, rollouts, and what no optimizer's step ended."""
    told = ", ".join(f"{what} {number(flop, 4)} FLOP" for what, flop in _spans(steps))
    return [f"beside the steps: {told}"] if told else []


def _spans(steps: dict[str, Any]) -> list[tuple[str, int]]:
    found = [(what, flop) for what, flop in steps["span_flop"].items() if flop]
    return sorted(found, key=lambda pair: -pair[1])


def _flop(steps: dict[str, Any], name: str) -> str:
    if steps[name] is not None:
        return number(steps[name], 4)
    low, high = steps[f"{name}_bounds"]
    return (
        f"at least {number(low, 4)}" if high is None else f"{number(low, 4)} to {number(high, 4)}"
    )


def _dtypes(steps: dict[str, Any]) -> str:
    whole = sum(steps["hardware_by_dtype"].values())
    if not whole:
        return ""
    shares = {name: flop / whole for name, flop in steps["hardware_by_dtype"].items()}
    if len(shares) == 1:
        return f", all in {next(iter(shares))}"
    return ", " + ", ".join(f"{per_cent(share)} {name}" for name, share in shares.items())


def _device(device: dict[str, Any]) -> str:
    name = device["name"] or "device"
    parts = [f"{name} {device['mig'] or device['uuid']}: {device['status']}"]
    parts.append(f"energy {energy(device['energy_joules'])}")
    parts.append(f"busy {duration(device['busy_seconds'])}")
    parts.append(f"tensor {per_cent(device['tensor_activity'])}")
    parts.append(f"seen {duration(device['covered_seconds'])}")
    return ", ".join(parts)


def _time(summary: dict[str, Any]) -> str:
    """Return the wall time, and beside it that of all nodes where several ran at once."""
    wall, nodes = summary["duration_seconds"], summary.get("node_seconds")
    if wall is None or nodes is None or nodes - wall < 0.05:
        return duration(wall)
    launches = len(summary.get("launches") or [])
    return f"{duration(wall)} of wall time ({duration(nodes)} over {launches} launches)"

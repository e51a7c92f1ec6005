"""A record that is continued: each launch of ``flopledger run --append`` adds to the ones before.

The figures at the top of ``summary.json`` are over all launches, so that energy and FLOP speak of
the same time; ``launches`` keeps each one. A figure that one launch lacks is lacking in the sum.
Launches at the same time (a node each) share their seconds: ``duration_seconds`` is wall time, in which
each moment counts once, and ``node_seconds`` adds the launches up.
"""

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from flopledger.errors import FlopledgerError

_MOST_BYTES = 64 << 20
_Key = tuple[str, str | None]
_SLACK_SECONDS = 0.01
"""Stamps of two launches agree no better: one that follows another at once does not overlap it."""
_KEPT = ("started", "duration_seconds", "exit_code", "command", "energy_joules", "flop_bounds")


def manifest_name(folder: Path, *, append: bool) -> str:
    """Claim the name under which this launch is described: ``run.json``, ``run-2.json`` ...

    Without ``append`` only the first will do: of two that began at once in one folder, one has it.
    Raises ``FileExistsError`` for the other.
    """
    number, name = 1, "run.json"
    while True:
        try:
            (folder / name).touch(exist_ok=False)
        except FileExistsError:
            if not append:
                raise
            number += 1
            name = f"run-{number}.json"
        else:
            return name


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Let launches that end together (a node each) add to the summary one after the other."""
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def earlier_summary(folder: Path) -> dict[str, Any] | None:
    """Return the summary that a folder holds; None without one (a wrapper that was killed)."""
    path = folder / "summary.json"
    try:
        if not path.exists():
            return None
        if path.stat().st_size > _MOST_BYTES:
            raise FlopledgerError(f"{path}: larger than any summary; choose another --out")
        summary = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise FlopledgerError(f"{path}: cannot be continued ({error})") from error
    if not isinstance(summary, dict):
        raise FlopledgerError(f"{path}: cannot be continued: it holds no summary")
    return summary


def continued(earlier: Mapping[str, Any] | None, summary: dict[str, Any]) -> dict[str, Any]:
    """Return a launch's summary with everything that came before it added in.

    Launches that saw one device at the same time saw the same joules: then there is no sum, but still
    bounds, from the larger of the low ends to the sum of the high ones.
    """
    launch = _launch(summary)
    if earlier is None:
        return {**summary, "node_seconds": summary["duration_seconds"], "launches": [launch]}
    before = [one for one in earlier.get("launches") or [] if isinstance(one, dict)]
    before = before or [_launch(earlier)]
    launches = [*before, launch]
    twice = _seen_twice(before, launch)
    joules = None if twice else _sum(launches, "energy_joules")
    findings = [
        {**finding, "launch": number}
        for number, one in enumerate(launches, start=1)
        for finding in one.get("findings") or []
    ]
    return {
        **summary,
        "started": launches[0].get("started"),
        "duration_seconds": wall_seconds(launches),
        "node_seconds": _sum(launches, "duration_seconds"),
        "energy_joules": joules,
        "energy_bounds_joules": _both_ends(
            earlier.get("energy_bounds_joules"), summary["energy_bounds_joules"], twice=bool(twice)
        ),
        "flop_bounds": _bounds(
            earlier.get("flop_bounds"), summary["flop_bounds"], twice=bool(twice)
        ),
        "devices": _devices(earlier.get("devices"), summary.get("devices"), twice),
        "findings": [*findings, *_tell_twice(twice, len(launches))],
        "launches": launches,
    }


def _launch(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is kept of one launch: its figures, devices and findings."""
    devices = [
        [entry.get("uuid"), entry.get("mig")]
        for entry in summary.get("devices") or []
        if isinstance(entry, dict)
    ]
    findings = [one for one in summary.get("findings") or [] if isinstance(one, dict)]
    return {
        **{name: summary.get(name) for name in _KEPT},
        "devices": devices,
        "findings": findings,
    }


def _seen_twice(before: Iterable[Mapping[str, Any]], launch: Mapping[str, Any]) -> set[_Key]:
    """Return the devices that an earlier launch saw while this one ran; all shared where times lack."""
    own, found = _keys(launch), set()
    for one in before:
        shared = own & _keys(one)
        alone, both = (
            _sum([dict(one), dict(launch)], "duration_seconds"),
            wall_seconds([one, launch]),
        )
        if alone is None or both is None or both < alone - _SLACK_SECONDS:
            found |= shared
    return found


def _keys(launch: Mapping[str, Any]) -> set[_Key]:
    told = launch.get("devices")
    pairs = told if isinstance(told, list) else []
    return {
        (str(pair[0]), None if pair[1] is None else str(pair[1]))
        for pair in pairs
        if isinstance(pair, list) and len(pair) == 2
    }


def _tell_twice(twice: set[_Key], launch: int) -> list[dict[str, Any]]:
    if not twice:
        return []
    names = ", ".join(sorted("/".join(filter(None, key)) for key in twice)[:8])
    message = (
        f"launch {launch} ran on {names} while an earlier one did: both saw the same joules and the "
        "same work, so the record has bounds and no sum"
    )
    return [
        {
            "code": "launches-share-devices",
            "severity": "warning",
            "message": message,
            "evidence": [],
            "launch": launch,
        }
    ]


def wall_seconds(launches: Iterable[Mapping[str, Any]]) -> float | None:
    """Return the seconds in which any launch ran; None where one does not say when it did."""
    spans = []
    for launch in launches:
        length, told = launch.get("duration_seconds"), launch.get("started")
        if not isinstance(length, int | float) or not isinstance(told, str):
            return None
        try:
            start = datetime.fromisoformat(told).timestamp()
        except ValueError:
            return None
        spans.append((start, start + length, length))
    total, until = 0.0, -math.inf
    for start, end, length in sorted(spans):
        # A launch by itself keeps its monotonic length to the last digit.
        total += length if start >= until else max(0.0, end - until)
        until = max(until, end)
    return total


def _devices(earlier: Any, later: Any, twice: set[_Key]) -> list[dict[str, Any]]:
    """Return each device of any launch once, with what all launches saw of it."""
    found: dict[tuple[Any, Any], dict[str, Any]] = {}
    for entry in [*(earlier if isinstance(earlier, list) else []), *(later or [])]:
        if isinstance(entry, dict):
            key = (entry.get("uuid"), entry.get("mig"))
            found[key] = _device(found[key], entry, key in twice) if key in found else entry
    return list(found.values())


def _device(first: dict[str, Any], second: dict[str, Any], twice: bool) -> dict[str, Any]:
    """Add up what two launches saw of one device; what one of them lacks is lacking.

    What both saw at once (``twice``) has no sum.
    """
    bases = {first.get("energy_basis"), second.get("energy_basis")}
    fine = {first.get("status"), second.get("status")} == {"ok"}
    return {
        **second,
        **{
            name: None if twice else _sum([first, second], name)
            for name in ("energy_joules", "busy_seconds", "covered_seconds")
        },
        "energy_basis": second.get("energy_basis") if len(bases) == 1 else "mixed",
        "energy_bounds_joules": _both_ends(
            first.get("energy_bounds_joules"), second.get("energy_bounds_joules"), twice=twice
        ),
        "tensor_activity": None if twice else _mean(first, second),
        "status": second.get("status") if fine or second.get("status") == "lost" else "partial",
        "gaps": [*(first.get("gaps") or []), *(second.get("gaps") or [])],
    }


def _mean(first: Mapping[str, Any], second: Mapping[str, Any]) -> float | None:
    """Return the tensor activity of two launches, each by the time for which it was seen."""
    shared = seconds = 0.0
    for one in (first, second):
        share, covered = one.get("tensor_activity"), one.get("covered_seconds")
        if not isinstance(share, int | float) or not isinstance(covered, int | float):
            return None
        shared, seconds = shared + share * covered, seconds + covered
    return shared / seconds if seconds else None


def _sum(launches: list[dict[str, Any]], name: str) -> float | None:
    values = [launch.get(name) for launch in launches]
    numbers = [value for value in values if isinstance(value, int | float)]
    return sum(numbers) if len(numbers) == len(values) else None


def _both_ends(first: Any, second: Any, *, twice: bool) -> list[float | None] | None:
    if not isinstance(first, list) or not isinstance(second, list) or len(first) != 2:
        return None
    return [_low(first[0], second[0], twice=twice), _both(first[1], second[1])]


def _both(one: float | None, two: float | None) -> float | None:
    """Add two ends; an end that is open stays open."""
    return None if one is None or two is None else one + two


def _low(one: float | None, two: float | None, *, twice: bool) -> float | None:
    """Add two low ends; of what both saw at once the larger is all that is certain."""
    return max(one, two) if twice and one is not None and two is not None else _both(one, two)


def _bounds(first: Any, second: Any, *, twice: bool) -> dict[str, Any] | None:
    """Add bounds up; the sum is as good as the worse of the two."""
    if not isinstance(first, dict) or not isinstance(second, dict):
        return None
    try:
        precisions = first["by_precision"].keys() & second["by_precision"].keys()
        return {
            **second,
            "grade": second["grade"] if first["grade"] == second["grade"] else "mixed",
            **_ends(first, second, twice=twice),
            "hard": _ends(first["hard"], second["hard"], twice=twice),
            "by_precision": {
                name: _ends(first["by_precision"][name], second["by_precision"][name], twice=twice)
                for name in sorted(precisions)
            },
        }
    except (KeyError, TypeError, AttributeError):
        return None


def _ends(
    first: Mapping[str, Any], second: Mapping[str, Any], *, twice: bool
) -> dict[str, float | None]:
    return {
        "low": _low(first["low"], second["low"], twice=twice),
        "high": _both(first["high"], second["high"]),
    }

"""One source under examination, in a process of its own: ``python -m profilers.examine JSON``.

Prints what could be opened, which signals each device offers, why others are missing and what that
costs; with ``seconds``, also how the energy counter compares with the power readings.
"""

import json
import os
import sys
from typing import Any

from profilers.calibration import (
    answers,
    energy_checks,
    missing_costs,
    refusals,
    sweep_latency,
)
from profilers.reading import SIGNALS
from profilers.source import Source, SourceError, VersionedSource
from profilers.sources import make_source


def examine(request: dict[str, Any]) -> dict[str, Any]:
    """Open one source and describe it."""
    name = str(request["name"])
    try:
        source = make_source(name, request.get("options", {}))
        source.open()
        try:
            return {"name": name, "open": True, **_described(source, request.get("seconds"))}
        finally:
            source.close()
    except SourceError as error:
        why = error.unavailable
        return {
            "name": name,
            "open": False,
            "reason": why.reason.value,
            "detail": why.detail,
            "devices": [],
        }


def _described(source: Source, seconds: float | None) -> dict[str, Any]:
    readings = answers(source)
    latency = sweep_latency(source)
    checks = {c.device.key: c for c in energy_checks(source, seconds)} if seconds else {}
    devices = []
    for device in source.devices():
        known = readings.get(device.key, {})
        refused = refusals(device, known)
        signals = [signal for signal in SIGNALS if signal in known and signal not in refused]
        entry: dict[str, Any] = {
            "key": str(device.key),
            "name": device.name,
            "driver": device.driver_version,
            "readable": len(signals),
            "signals": signals,
            "missing": [
                {
                    "signal": one.signal,
                    "reason": one.why.reason.value,
                    "detail": one.why.detail,
                    "cost": one.cost,
                    "mend": one.mend,
                }
                for one in missing_costs(device, refused)
            ],
        }
        if (check := checks.get(device.key)) is not None:
            entry["energy"] = {
                "seconds": check.seconds,
                "counter_watts": check.counter_watts,
                "power_watts": check.power_watts,
                "update_ms": check.update_ms,
            }
        devices.append(entry)
    return {
        "library": source.library() if isinstance(source, VersionedSource) else None,
        "sweep": {"median_ms": latency.median_ms, "worst_ms": latency.worst_ms},
        "devices": devices,
    }


if __name__ == "__main__":
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints is not our answer
    json.dump(examine(json.loads(sys.argv[1])), answer)
    answer.flush()
    os._exit(0)

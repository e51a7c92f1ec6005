"""Devices, gaps, events and absences as JSON, for the pipe between processes and for the ledger."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from profilers.reading import Reading, Reason, Unavailable
from profilers.values import Device, DeviceKey, Event, Gap

CALM = b'{"t":"sweep"'
"""How a probe's message begins that holds samples and nothing that somebody must act on at once."""

_PLAIN = [f.name for f in fields(Device) if f.name not in {"key", "missing", "compute_capability"}]
_WORDS = {"name", "vendor", "node", "pci_bus_id", "driver_version"}
"""Those that are text; the others are numbers, and one is true or false."""


def device_to_json(device: Device) -> dict[str, Any]:
    """Return a device as plain JSON; what is unknown is left out."""
    answer: dict[str, Any] = {"uuid": device.key.uuid}
    if device.key.mig:
        answer["mig"] = device.key.mig
    for name in _PLAIN:
        if (value := getattr(device, name)) is not None:
            answer[name] = value
    if device.compute_capability is not None:
        answer["compute_capability"] = list(device.compute_capability)
    if device.missing:
        answer["missing"] = {
            name: [why.reason.value, why.detail] for name, why in device.missing.items()
        }
    return answer


def device_from_json(entry: Mapping[str, Any]) -> Device:
    """Read a device back. Unknown keys (of a later version) are ignored.

    Raises ``LookupError``, ``TypeError`` or ``ValueError`` where it is none: it may come from anybody.
    """
    capability = entry.get("compute_capability")
    missing = {
        str(name): Unavailable(reason=reason_of(why[0]), detail=str(why[1]))
        for name, why in entry.get("missing", {}).items()
    }
    return Device(
        key=DeviceKey(uuid=str(entry["uuid"]), mig=str(entry.get("mig", ""))),
        compute_capability=(int(capability[0]), int(capability[1])) if capability else None,
        missing=missing,
        **{name: _plain(name, entry[name]) for name in _PLAIN if name in entry},
    )


def _plain(name: str, value: Any) -> Any:
    if value is not None and not isinstance(value, str if name in _WORDS else int | float):
        raise TypeError(f"{name} of a device is {value!r}")
    return value


def gap_to_json(gap: Gap) -> dict[str, Any]:
    """Return a gap as plain JSON."""
    answer: dict[str, Any] = {
        "start_ns": gap.start_ns,
        "end_ns": gap.end_ns,
        "reason": gap.reason,
    }
    if gap.device is not None:
        answer["device"] = str(gap.device)
    if gap.node is not None:
        answer["node"] = gap.node
    if gap.detail:
        answer["detail"] = gap.detail
    return answer


def gap_from_json(entry: Mapping[str, Any]) -> Gap:
    """Read a gap back."""
    return Gap(
        start_ns=int(entry["start_ns"]),
        end_ns=int(entry["end_ns"]),
        reason=str(entry["reason"]),
        device=_key(entry.get("device")),
        node=entry.get("node"),
        detail=str(entry.get("detail", "")),
    )


def event_to_json(event: Event) -> dict[str, Any]:
    """Return an event as plain JSON."""
    answer: dict[str, Any] = {"time_ns": event.time_ns, "event": event.kind}
    if event.device is not None:
        answer["device"] = str(event.device)
    if event.node is not None:
        answer["node"] = event.node
    if event.detail:
        answer["detail"] = dict(event.detail)
    return answer


def event_from_json(entry: Mapping[str, Any]) -> Event:
    """Read an event back."""
    return Event(
        time_ns=int(entry["time_ns"]),
        kind=str(entry["event"]),
        device=_key(entry.get("device")),
        node=entry.get("node"),
        detail=dict(entry.get("detail", {})),
    )


def reason_of(word: str) -> Reason:
    """Return the reason; a word of a later version is ``failed``, never a number."""
    try:
        return Reason(word)
    except ValueError:
        return Reason.FAILED


def absences(readings: Mapping[str, Reading]) -> str | None:
    """Return what a sample lacks as one short text, or None when nothing is missing.

    ``power_mw=lost gpu_util_permille=rejected:255`` - one word a signal, sorted by the reader's eye
    and repeated from row to row, so that it costs nothing in a dictionary-encoded column.
    """
    words = [
        f"{name}={why.reason.value}" + (f":{why.raw}" if why.raw is not None else "")
        for name, why in readings.items()
        if isinstance(why, Unavailable)
    ]
    return " ".join(words) or None


def absence_text(absent: Mapping[str, list[Any]]) -> str | None:
    """Return the same text from a probe's message: signal to (reason, since, detail, raw)."""
    words = [
        f"{name}={told[0]}" + (f":{told[3]}" if told[3] is not None else "")
        for name, told in absent.items()
    ]
    return " ".join(words) or None


def absences_from_text(text: str) -> dict[str, Unavailable]:
    """Read ``absences`` back."""
    found = {}
    for word in text.split():
        name, _, told = word.partition("=")
        reason, _, raw = told.partition(":")
        found[name] = Unavailable(reason=reason_of(reason), raw=_number(raw))
    return found


def sweep_message(
    rows: list[list[Any]],
    *,
    kind: str = "sweep",
    events: Sequence[Mapping[str, Any]] = (),
    late_ns: int = 0,
    skipped: int = 0,
    marks: Sequence[str] = (),
    shut: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Return a probe's message about one sweep (see ``profilers.probe``)."""
    return {
        "t": kind,
        "rows": rows,
        "events": events,
        "late_ns": late_ns,
        "skipped": skipped,
        "marks": marks,
        "shut": shut,
    }


def first_line(descriptor: int) -> bytes:
    """Read one line and not a byte more: what follows belongs to whoever polls the descriptor."""
    line = bytearray()
    while (byte := os.read(descriptor, 1)) not in {b"", b"\n"}:
        line += byte
    return bytes(line)


def _number(text: str) -> int | float | None:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return None


def _key(text: object) -> DeviceKey | None:
    return DeviceKey.parse(text) if isinstance(text, str) else None

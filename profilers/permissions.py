"""With which right this process asks: who it is, and what the kernel and the driver let it open."""

import os
from pathlib import Path
from typing import Any

_DEVICE_FILES = ("nvidia[0-9]*", "nvidiactl", "kfd")
_MOST_FILES = 64
_PARAMETERS = "proc/driver/nvidia/params"
_PARANOID = "proc/sys/kernel/perf_event_paranoid"
_MOST_BYTES = 1 << 16


def permissions(root: Path = Path("/")) -> dict[str, Any]:
    """Return user, device files and the two settings that close counters; null where not known."""
    return {
        "user": os.geteuid(),
        "root": os.geteuid() == 0,
        "device_files": _device_files(root / "dev"),
        "perf_event_paranoid": _whole(_text(root / _PARANOID)),
        "profiling_for_root_only": _admin_only(_text(root / _PARAMETERS)),
    }


def sentence(told: dict[str, Any]) -> str:
    """Say it in one line."""
    closed = [name for name, may in told["device_files"].items() if not may]
    open_ones = len(told["device_files"]) - len(closed)
    parts = ["root" if told["root"] else f"user {told['user']}, not root"]
    if told["device_files"]:
        parts.append(f"{open_ones} of {len(told['device_files'])} GPU device files can be opened")
        if closed:
            parts.append(f"closed: {', '.join(closed)} (groups `video` and `render` open them)")
    else:
        parts.append("no GPU device files (/dev/nvidia*, /dev/kfd)")
    if told["profiling_for_root_only"]:
        parts.append("the driver keeps performance counters for root")
    if told["perf_event_paranoid"] is not None:
        parts.append(f"perf_event_paranoid {told['perf_event_paranoid']}")
    return f"asked as {'; '.join(parts)}"


def _device_files(folder: Path) -> dict[str, bool]:
    found = sorted(path for pattern in _DEVICE_FILES for path in folder.glob(pattern))
    return {path.name: os.access(path, os.R_OK | os.W_OK) for path in found[:_MOST_FILES]}


def _admin_only(parameters: str | None) -> bool | None:
    for line in (parameters or "").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "RmProfilingAdminOnly":
            return value.strip() == "1"
    return None


def _whole(text: str | None) -> int | None:
    try:
        return None if text is None else int(text)
    except ValueError:
        return None


def _text(path: Path) -> str | None:
    try:
        with path.open("rb") as stream:
            return stream.read(_MOST_BYTES).decode("utf-8", "replace")
    except OSError:
        return None

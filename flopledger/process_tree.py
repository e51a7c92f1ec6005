"""Which devices does a process tree use? Evidence from /proc and the driver, never a guess.

A driver's process list is the best witness, but inside a container it names other ids; an open
device file is the next one; a visible-devices variable says at least what was allowed.
"""

import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from profilers.trace import DeviceKey, Trace

PROC = Path("/proc")


class ProcessTree:
    """Everything that a child process ever started, as far as somebody looked in time."""

    def __init__(self, root: int, proc: Path = PROC) -> None:
        self.pids: set[int] = {root}
        self.device_minors: set[int] = set()
        self._proc = proc

    def look(self) -> None:
        """Walk the tree once: new processes, and the device files that they hold open."""
        waiting = list(self.pids)
        seen: set[int] = set()
        while waiting:
            pid = waiting.pop()
            if pid in seen:
                continue
            seen.add(pid)
            waiting.extend(self._children(pid))
            self._device_files(pid)
        self.pids |= seen

    def _children(self, pid: int) -> Iterable[int]:
        found: list[int] = []
        with contextlib.suppress(OSError):
            for task in (self._proc / str(pid) / "task").iterdir():
                with contextlib.suppress(OSError, ValueError):
                    found.extend(int(w) for w in (task / "children").read_text().split())
        return found

    def _device_files(self, pid: int) -> None:
        with contextlib.suppress(OSError):
            for entry in (self._proc / str(pid) / "fd").iterdir():
                with contextlib.suppress(OSError, ValueError):
                    target = str(entry.readlink())
                    if target.startswith("/dev/nvidia") and target[11:].isdigit():
                        self.device_minors.add(int(target[11:]))


def used_devices(
    trace: Trace, tree: ProcessTree, environment: Mapping[str, str]
) -> tuple[set[DeviceKey], str]:
    """Return the devices of a trace that the tree used, and the kind of evidence.

    The kinds: ``driver-process-list``, ``device-files``, ``visible-devices``, or ``none``; with
    ``none`` every device is returned, because nothing says which ones were not used.
    """
    listed = {
        key
        for key, device in trace.devices.items()
        for event in device.events
        if event.kind == "processes"
        and tree.pids & {int(word) for word in str(event.detail.get("pids", "")).split()}
    }
    if listed:
        return listed, "driver-process-list"
    everything = set(trace.devices)
    visible = _visible(trace, environment)
    by_index = {d.device.index: key for key, d in trace.devices.items() if not key.mig}
    if tree.device_minors:
        opened = {by_index[minor] for minor in tree.device_minors if minor in by_index}
        # CUDA opens every device that it may see; what it may not see was not used.
        opened &= visible if visible is not None else everything
        if opened:
            return opened, "device-files"
    if visible is not None:
        return visible, "visible-devices"
    return everything, "none"


def _visible(trace: Trace, environment: Mapping[str, str]) -> set[DeviceKey] | None:
    """Return what CUDA_VISIBLE_DEVICES allows; None where it says nothing."""
    text = environment.get("CUDA_VISIBLE_DEVICES")
    if text is None:
        return None
    allowed: set[DeviceKey] = set()
    for word in (part.strip() for part in text.split(",")):
        matches = {
            key
            for key, device in trace.devices.items()
            if (word.isdigit() and not key.mig and device.device.index == int(word))
            or (not word.isdigit() and word and (key.mig or key.uuid).startswith(word))
        }
        if not matches:
            break  # CUDA, too, ignores everything from the first invalid entry on
        allowed |= matches
    return allowed

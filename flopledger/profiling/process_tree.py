"""Which devices does a process tree use? Evidence from /proc and the driver, never a guess.

A driver's process list is the best witness, but inside a container it names other ids; an open
device file is the next one; a visible-devices variable says at least what was allowed.
"""

import contextlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from flopledger.injection.interpreters import Interpreters
from profilers.trace import Device, DeviceKey, Trace

PROC = Path("/proc")
MAX_ENVIRONMENT = 1 << 20
LAUNCHERS = frozenset(
    {"srun", "sbatch", "salloc", "qsub", "bsub", "jsrun", "aprun", "flux", "kubectl", "ssh", "pdsh"}
)
"""Programs whose work is done by others' processes, as a rule on other hosts."""
_ERRANDS = frozenset({"git", "rsync", "scp", "sftp", "git-remote-ssh"})
"""Programs that use ``ssh`` to carry files, not to compute."""


class ProcessTree:
    """Everything that a child process ever started, as far as somebody looked in time."""

    def __init__(self, root: int, proc: Path = PROC) -> None:
        self.pids: set[int] = {root}
        self.jobs: set[str] = set()
        """Slurm jobs for which the command started a launcher (``srun``)."""
        self.nodes = 1
        """The most nodes that such a job has."""
        self.elsewhere: set[str] = set()
        """Launchers whose work this host does not see; not an ``srun`` inside a job of this host."""
        self._strangers: set[int] = set()
        self.device_minors: set[int] = set()
        self.interpreters = Interpreters(proc)
        self._proc = proc

    def look(self, adopted: Iterable[int] = ()) -> None:
        """Walk the tree once: new processes, and the device files that they hold open.

        ``adopted`` are orphans of the tree, whose parents cannot be asked any more.
        """
        waiting = [*self.pids, *adopted]
        seen: set[int] = set()
        while waiting:
            pid = waiting.pop()
            if pid in seen:
                continue
            seen.add(pid)
            waiting.extend(self.children(pid, self._proc))
            self._device_files(pid)
            self._launcher(pid)
            if not waiting and self.jobs:
                waiting.extend(self._tasks() - seen)
        self.pids |= seen
        self.interpreters.look(seen)

    @staticmethod
    def children(pid: int, proc: Path = PROC) -> set[int]:
        """Return the children of a process; none where it is gone."""
        found: set[int] = set()
        with contextlib.suppress(OSError):
            for task in (proc / str(pid) / "task").iterdir():
                with contextlib.suppress(OSError, ValueError):
                    found.update(int(w) for w in (task / "children").read_text().split())
        return found

    def _launcher(self, pid: int) -> None:
        """Remember who hands its work to others: their tasks are no children of ours.

        The tasks of an ``srun`` inside a job are found on this host by the job.
        """
        name = _name(self._proc, pid)
        if name not in LAUNCHERS:
            return
        told = self._variables(pid) if name == "srun" else {}
        if "SLURM_JOB_ID" in told:
            self.jobs.add(told["SLURM_JOB_ID"])
            nodes = told.get("SLURM_JOB_NUM_NODES", "")
            self.nodes = max(self.nodes, int(nodes) if nodes.isdecimal() else 1)
        elif name != "ssh" or _name(self._proc, _parent(self._proc, pid)) not in _ERRANDS:
            self.elsewhere.add(name)

    def _tasks(self) -> set[int]:
        """Return this host's processes that run as tasks of the jobs. Others' cannot be looked into."""
        found: set[int] = set()
        step = os.environ.get("SLURM_STEP_ID")  # ours, where we are a task ourselves
        with contextlib.suppress(OSError):
            for entry in self._proc.iterdir():
                if not entry.name.isdigit() or int(entry.name) in self._strangers:
                    continue
                told = self._variables(int(entry.name))
                if not told and not _readable(entry / "environ"):
                    self._strangers.add(int(entry.name))
                # The batch script has the job's id, too, but no port of an `srun`.
                ours = told.get("SLURM_JOB_ID") in self.jobs and "SLURM_SRUN_COMM_PORT" in told
                if ours and (step is None or told.get("SLURM_STEP_ID") != step):
                    found.add(int(entry.name))
        return found

    def _variables(self, pid: int) -> dict[str, str]:
        with contextlib.suppress(OSError):
            told = (self._proc / str(pid) / "environ").read_bytes()[:MAX_ENVIRONMENT]
            pairs = (entry.partition("=") for entry in told.decode("utf-8", "replace").split("\0"))
            return {name: value for name, _, value in pairs if name.startswith("SLURM_")}
        return {}

    def _device_files(self, pid: int) -> None:
        with contextlib.suppress(OSError):
            for entry in (self._proc / str(pid) / "fd").iterdir():
                with contextlib.suppress(OSError, ValueError):
                    target = str(entry.readlink())
                    if target.startswith("/dev/nvidia") and target[11:].isdigit():
                        self.device_minors.add(int(target[11:]))


def _name(proc: Path, pid: int) -> str:
    """Return a program's name; an empty one where it is gone."""
    with contextlib.suppress(OSError):
        return (proc / str(pid) / "comm").read_text(errors="replace").strip()
    return ""


def _parent(proc: Path, pid: int) -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        # The name before it may hold blanks and brackets; its last bracket is the field's end.
        return int((proc / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
    return 0


def _readable(path: Path) -> bool:
    return os.access(path, os.R_OK)


@dataclass(frozen=True, kw_only=True, slots=True)
class Attribution:
    """Which devices a run used, and how that is known."""

    used: frozenset[DeviceKey]
    evidence: str
    """``driver-process-list``, ``device-files``, ``visible-devices``, or ``none``: then every device
    is returned, because nothing says which ones were not used."""
    shared: Mapping[DeviceKey, int]
    """Devices on which the driver listed processes of others, too, and how many. Empty in a
    container where the driver lists no process of the run: the numbers there are the host's."""


def attribute(
    trace: Trace, tree: ProcessTree | None, environment: Mapping[str, str]
) -> Attribution:
    """Say which devices of a trace the tree used."""
    if tree is None:
        return Attribution(used=frozenset(trace.devices), evidence="none", shared={})
    used, evidence = _used_devices(trace, tree, environment)
    shared = {}
    # A driver lists processes by the host's numbers: in a container, ours may be among the others.
    if evidence == "driver-process-list" or _host_numbers(PROC):
        strangers = {key: _listed(trace, key) - tree.pids for key in used}
        shared = {key: len(pids) for key, pids in strangers.items() if pids}
    return Attribution(used=frozenset(used), evidence=evidence, shared=shared)


_FIRST_NAMESPACE = "pid:[4026531836]"
"""The kernel's name of the host's own namespace of process numbers (``PROC_PID_INIT_INO``)."""


def _host_numbers(proc: Path) -> bool:
    try:
        return str((proc / "self/ns/pid").readlink()) == _FIRST_NAMESPACE
    except OSError:
        return False


def _listed(trace: Trace, key: DeviceKey) -> set[int]:
    """Return every process that the driver listed on a device during the run."""
    events = [event for event in trace.devices[key].events if event.kind == "processes"]
    # The list that was in force at the start counts, too; what came after the end does not.
    begin = trace.started_ns or 0
    before = [event for event in events if event.time_ns < begin][-1:]
    end = trace.ended_ns
    during = [e for e in events if e.time_ns >= begin and (end is None or e.time_ns <= end)]
    return {
        int(word) for event in before + during for word in str(event.detail.get("pids", "")).split()
    }


def _used_devices(
    trace: Trace, tree: ProcessTree, environment: Mapping[str, str]
) -> tuple[set[DeviceKey], str]:
    listed = {key for key in trace.devices if tree.pids & _listed(trace, key)}
    if listed:
        return listed, "driver-process-list"
    everything = set(trace.devices)
    visible = _visible(trace, environment)
    if tree.device_minors:
        numbers = {key: _file_number(d.device) for key, d in trace.devices.items() if not key.mig}
        opened = {key for key, number in numbers.items() if number in tree.device_minors}
        # CUDA opens every device that it may see; what it may not see was not used. Where it opened none
        # of those, a program within has set the variable otherwise.
        if visible is not None and (not visible or _boards(visible) & _boards(opened)):
            opened &= visible
        if opened:
            return opened, "device-files"
    if visible is not None:
        return visible, "visible-devices"
    return everything, "none"


def _boards(keys: Iterable[DeviceKey]) -> set[str]:
    """Return the whole devices, also of partitions."""
    return {key.uuid for key in keys}


def _file_number(device: Device) -> int | None:
    """Return N of ``/dev/nvidiaN``; records from before it was asked have the place in its stead."""
    return device.index if device.file_number is None else device.file_number


def _visible(trace: Trace, environment: Mapping[str, str]) -> set[DeviceKey] | None:
    """Return what CUDA_VISIBLE_DEVICES allows; None where it says nothing."""
    text = environment.get("CUDA_VISIBLE_DEVICES")
    if text is None:
        return None
    # By itself CUDA puts the fastest first, and only among equals goes by the place.
    kinds = {one.device.name for one in trace.devices.values() if one.device.vendor != "cpu"}
    ordered = environment.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID" or len(kinds) < 2
    allowed: set[DeviceKey] = set()
    for word in (part.strip() for part in text.split(",")):
        if word.isdecimal() and not ordered:
            return None
        partitioned = word.removeprefix("MIG-").partition("/")[0]  # ``MIG-GPU-.../1/0``
        matches = {
            key
            for key, device in trace.devices.items()
            if (word.isdecimal() and not key.mig and device.device.index == int(word))
            or (not word.isdecimal() and word and (key.mig or key.uuid).startswith(word))
            or (word.startswith("MIG-GPU-") and key.mig and key.uuid == partitioned)
        }
        if not matches:
            break  # CUDA, too, ignores everything from the first invalid entry on
        allowed |= matches
    return allowed

"""Recorded telemetry among a run's evidence, opened by the telemetry pillar or as a run's own record."""

import re
import shutil
import tempfile
from collections.abc import Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flopledger.facts import Fact, Finding, Grade
from flopledger.logs import run_records
from flopledger.logs.document import Document
from flopledger.logs.evidence import EvidenceError, EvidenceFile
from flopledger.logs.notes import Notes
from profilers.errors import ProfilersError

if TYPE_CHECKING:
    from profilers.importers import Options
    from profilers.trace import DeviceKey, DeviceTrace

#: Scope of an importer whose meter covers all devices of a host, and how it counts them in their name.
_TOGETHER = "devices-together"
_COUNTED = re.compile(r"\b(\d{1,3}) x\s")


@dataclass(kw_only=True, slots=True, eq=False)
class Recording:
    """One file or record, read."""

    file: EvidenceFile
    kind: str  #: the importer's format, or that of a run record
    scope: str  #: device, node or rack; group: devices of an unknown number, metered together
    devices: "dict[DeviceKey, DeviceTrace]"
    each: int = 1  #: devices behind one row of ``devices``, where a meter sums them up
    is_whole_run: bool = False
    window: tuple[int, int] | None = None  #: of a watched command; else what was recorded
    findings: tuple[Finding, ...] = ()

    @property
    def span(self) -> tuple[int, int]:
        """Beginning and end of what it speaks for, in ns of its clock; there must be a sample."""
        if self.window is not None:
            return self.window
        devices = [device for device in self.devices.values() if len(device)]
        starts = [int(device.time_ns[0] - device.period_ns[0]) for device in devices]
        return min(starts), max(int(device.time_ns[-1]) for device in devices)


def is_telemetry(document: Document) -> bool:
    """Say whether an importer of the telemetry pillar claims the file."""
    from profilers.importers import Opened, recognise

    head = document.head[: 64 * 1024]
    opened = Opened(path=document.path, size=document.size_bytes, head=head)
    try:
        return recognise(opened) is not None
    except (ProfilersError, ValueError):
        return False


def options(file: EvidenceFile) -> "Options":
    """Give what the case states about a recording: the zone of stamps that carry none."""
    from profilers.importers import Options, stamps

    return Options(zone=None if file.zone is None else stamps.zone(file.zone))


def opened(file: EvidenceFile) -> Recording | Finding:
    """Read one file or record; a finding tells why it cannot be read."""
    if file.path.is_dir() and run_records.is_record(file.path):
        return _record(file)
    try:
        return _imported(file)
    except (ProfilersError, EvidenceError) as error:
        # Where the case lies on this machine is nobody's business.
        message = str(error).replace(str(file.path), file.name)
        return Finding(
            code="evidence-unreadable", severity="error", message=message, evidence=(file.name,)
        )


def _record(file: EvidenceFile) -> Recording:
    """Read a run's own record; without devices where it says nothing of them."""
    record = run_records.read(file.path, Notes(file.name))
    if record is None or record.trace is None or record.scope == "mixed":
        return Recording(file=file, kind=run_records.FORMAT, scope="device", devices={})
    start, end = record.trace.started_ns, record.trace.ended_ns
    return Recording(
        file=file,
        kind=run_records.FORMAT,
        scope=record.scope,
        devices={key: record.trace.devices[key] for key in record.used},
        is_whole_run=record.is_whole_run,
        window=(start, end) if start is not None and end is not None else None,
    )


@contextmanager
def _plain(file: EvidenceFile) -> Iterator[Path]:
    """Give the path of the plain text: what is packed, or in a wide encoding, is written out beside."""
    document = None if file.path.is_dir() else Document(file.path, file.name)
    if document is None or document.is_plain:
        yield file.path
        return
    with tempfile.TemporaryDirectory(prefix="flopledger-") as folder:
        path = Path(folder) / "recording"
        with document.open() as packed, path.open("wb") as plain:
            shutil.copyfileobj(packed, plain)
        try:
            yield path
        except ProfilersError as error:
            message = str(error).replace(str(path), file.name)
            raise EvidenceError(message) from None


def _imported(file: EvidenceFile) -> Recording:
    """Read a file by the importer of the telemetry pillar that claims it."""
    from profilers.importers import collect, open_recording

    with _plain(file) as path:
        _, recording = open_recording(path, options(file))
        trace = collect([recording])
    seen = {key: device for key, device in trace.devices.items() if len(device)}
    devices = {key: device for key, device in seen.items() if not key.mig}
    scope, each = recording.scope, 1
    if scope == _TOGETHER:
        counts = {_count_in_name(device.device.name) for device in devices.values()}
        known = counts.pop() if len(counts) == 1 else None
        scope, each = ("group", 1) if known is None else ("device", known)
    return Recording(
        file=file,
        kind=recording.format,
        scope=scope,
        each=each,
        devices=devices,
        findings=tuple(
            Finding(code=one.code, severity="info", message=one.message, evidence=(file.name,))
            for one in recording.findings
        )
        + _parts_alone(file.name, seen.keys() - devices.keys(), devices.keys()),
    )


def _parts_alone(
    name: str, parts: "Set[DeviceKey]", boards: "Set[DeviceKey]"
) -> tuple[Finding, ...]:
    """Name partitions of whose board nothing is recorded: how many devices they are, nobody can tell."""
    alone = {key for key in parts if not any(board.uuid == key.uuid for board in boards)}
    if not alone:
        return ()
    message = (
        f"{name}: {len(alone)} MIG partitions without a figure of their boards; neither device time nor "
        "energy was taken from them"
    )
    return (Finding(code="no-devices", severity="warning", message=message, evidence=(name,)),)


def _count_in_name(name: str | None) -> int | None:
    """Add up the devices that a name counts: ``4 x NVIDIA A100`` are four."""
    counts = [int(match[1]) for match in _COUNTED.finditer(name or "")]
    return sum(counts) or None


def names_of(recording: Recording) -> Iterator[Fact]:
    """The part that a recording names; a run's record has told its own."""
    if recording.scope != "device" or recording.kind == run_records.FORMAT:
        return
    names = {one.device.name for one in recording.devices.values() if one.device.name}
    for name in sorted({_COUNTED.sub("", name).strip() for name in names}):
        yield Fact(
            name="accelerator",
            value=name,
            unit=None,
            file=recording.file.name,
            locator=f"{recording.kind}, name of the device",
            grade=Grade.INSTRUMENT,
        )

"""A recording into a run's record: one journal a file, samples straight into Parquet.

Memory stays flat: row groups are written as they fill. The columns are those of
``profilers.journal``; a figure that is not whole stays a float, nothing is rounded away.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from profilers.clocks import ClockPair
from profilers.importers.assemble import Assembler, Stretch, event_of
from profilers.importers.columns import table_of_block
from profilers.importers.errors import ImportFormatError
from profilers.importers.identity import safe
from profilers.importers.recording import Block, Clock, Finding, Recording
from profilers.importers.segments import Segments
from profilers.journal import LEDGER, Journal, node_folder
from profilers.trace import Device, DeviceKey

PARSER_VERSION = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Imported:
    """What became of one file."""

    file: str
    format: str
    sha256: str
    clock: str
    scope: str
    folder: Path
    rows: int
    devices: tuple[Device, ...]
    first_ns: int | None
    last_ns: int | None
    covered_seconds: float
    """Device-seconds that some sample speaks for."""
    findings: tuple[Finding, ...]


def store(
    run_dir: Path,
    recording: Recording,
    *,
    file: str,
    sha256: str,
    node: str | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Imported:
    """Write a recording into ``run_dir``. ``progress`` is told the rows written so far.

    ``file`` and ``sha256`` say what was read. Raises ``ImportFormatError`` where the same content
    is there already.
    """
    host = safe(node or recording.format)
    folder = node_folder(run_dir, host, sha256)
    if (folder / LEDGER).exists():
        raise ImportFormatError(
            f"is already in this record ({folder.name}); the same content counts once",
            file=file,
        )
    journal = Journal.open(
        run_dir,
        node=host,
        boot=sha256,
        anchor=ClockPair(monotonic_ns=0, wall_ns=0),
        about={
            "imported": {
                "file": Path(file).name,
                "sha256": sha256,
                "format": recording.format,
                "parser": PARSER_VERSION,
                "clock": recording.clock.value,
                "scope": recording.scope,
                **recording.facts,
            }
        },
    )
    written = _Written(journal, recording.clock)
    segments = Segments(journal)
    try:
        assembler = Assembler(recording)
        for block in recording.blocks:
            if parts := list(assembler.stretches(block)):
                segments.add(written.add(block, parts))
                progress(written.rows)
        segments.close()
        if not written.rows:
            raise ImportFormatError("holds no sample of any device", file=file)
        _tell(journal, written, recording)
    finally:
        segments.abandon()
        journal.seal("imported")
    return Imported(
        file=file,
        format=recording.format,
        sha256=sha256,
        clock=recording.clock.value,
        scope=recording.scope,
        folder=folder,
        rows=written.rows,
        devices=tuple(written.devices.values()),
        first_ns=written.first_ns,
        last_ns=written.last_ns,
        covered_seconds=written.covered_ns / 1e9,
        findings=tuple(recording.findings),
    )


def _tell(journal: Journal, written: "_Written", recording: Recording) -> None:
    """Record devices, the run's ends and the findings, once all rows were read."""
    journal.describe(list(written.devices.values()))
    assert written.first_ns is not None
    assert written.last_ns is not None
    journal.note("run", what="start", time_ns=written.first_ns)
    journal.note("run", what="end", time_ns=written.last_ns)
    for finding in recording.findings:
        journal.event(event_of(finding, written.first_ns))


@dataclass(slots=True)
class _Written:
    """What was written so far of one recording."""

    journal: Journal
    clock: Clock
    rows: int = 0
    first_ns: int | None = None
    last_ns: int | None = None
    covered_ns: int = 0
    devices: dict[DeviceKey, Device] = field(default_factory=dict)

    def add(self, block: Block, parts: Sequence[Stretch]) -> pa.Table:
        """Count a block, record its gaps and return its table."""
        for part in parts:
            for gap in part.gaps:
                self.journal.gap(gap)
            device = block.devices[part.place]
            self.devices[device.key] = device
            first = int(part.time_ns[0] - part.period_ns[0])
            last = int(part.time_ns[-1])
            self.first_ns = first if self.first_ns is None else min(self.first_ns, first)
            self.last_ns = last if self.last_ns is None else max(self.last_ns, last)
            self.covered_ns += int(part.period_ns.sum())
            self.rows += len(part.rows)
        return table_of_block(block, parts, self.clock)

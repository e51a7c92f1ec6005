"""A recording into a run's record: one journal a file, samples straight into Parquet.

Memory stays flat: row groups are written as they fill. The columns are those of
``profilers.journal``; a figure that is not whole stays a float, nothing is rounded away.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
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
    sha256: Future[str],
    node: str | None = None,
    about: Mapping[str, object] | None = None,
    refuse: Callable[[str], None] = lambda _: None,
    progress: Callable[[int], None] = lambda _: None,
) -> Imported:
    """Write a recording into ``run_dir``. ``progress`` is told the rows written so far.

    ``file`` and ``sha256`` say what was read; the digest may still be under way, and names the
    journal once it is known. ``refuse`` is told it then, and raises where it is not wanted.
    ``about`` is what else the journal shall say of the file. Raises ``ImportFormatError`` where the
    same content is there already.
    """
    run_dir.mkdir(parents=True, exist_ok=True)
    record = _Record(
        run_dir, recording, file, sha256, safe(node or recording.format), about or {}, refuse
    )
    written = _Written(recording.clock)
    segments = Segments(run_dir)
    try:
        assembler = Assembler(recording)
        for block in recording.blocks:
            if parts := list(assembler.stretches(block)):
                segments.add(written.add(block, parts))
                for gap in (gap for part in parts for gap in part.gaps):
                    record.journal.gap(gap)
                progress(written.rows)
            if sha256.done():
                _ = record.journal  # content that is there already is refused before all is read
        if not written.rows:
            told = "; ".join(finding.message for finding in recording.findings)
            raise ImportFormatError(
                f"holds no sample of any device{f' ({told[:400]})' if told else ''}", file=file
            )
        segments.close(record.journal)
        _tell(record.journal, written, recording)
    finally:
        segments.abandon()
        record.seal()
    return Imported(
        file=file,
        format=recording.format,
        sha256=sha256.result(),
        clock=recording.clock.value,
        scope=recording.scope,
        folder=record.journal.folder,
        rows=written.rows,
        devices=tuple(written.devices.values()),
        first_ns=written.first_ns,
        last_ns=written.last_ns,
        covered_seconds=written.covered_ns / 1e9,
        findings=tuple(recording.findings),
    )


class _Record:
    """The journal of one recording, opened when something is to be written or its name is known.

    Its name and its first line carry the content's digest. Waiting for that before the first row
    is read would leave all but one processor idle.
    """

    def __init__(
        self,
        run_dir: Path,
        recording: Recording,
        file: str,
        sha256: Future[str],
        host: str,
        about: Mapping[str, object],
        refuse: Callable[[str], None],
    ) -> None:
        self._run_dir, self._recording, self._file = run_dir, recording, file
        self._sha256, self._host, self._about, self._refuse = sha256, host, about, refuse
        self._journal: Journal | None = None

    @property
    def journal(self) -> Journal:
        if self._journal is None:
            self._journal = self._opened(self._sha256.result())
        return self._journal

    def seal(self) -> None:
        if self._journal is not None:
            self._journal.seal("imported")

    def _opened(self, digest: str) -> Journal:
        self._refuse(digest)
        folder = node_folder(self._run_dir, self._host, digest)
        if (folder / LEDGER).exists():
            raise ImportFormatError(
                f"is already in this record ({folder.name}); the same content counts once",
                file=self._file,
            )
        return Journal.open(
            self._run_dir,
            node=self._host,
            boot=digest,
            anchor=ClockPair(monotonic_ns=0, wall_ns=0),
            about={
                "imported": {
                    "file": Path(self._file).name,
                    "sha256": digest,
                    "format": self._recording.format,
                    "parser": PARSER_VERSION,
                    "clock": self._recording.clock.value,
                    "scope": self._recording.scope,
                    **self._recording.facts,
                    **self._about,
                }
            },
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

    clock: Clock
    rows: int = 0
    first_ns: int | None = None
    last_ns: int | None = None
    covered_ns: int = 0
    devices: dict[DeviceKey, Device] = field(default_factory=dict)

    def add(self, block: Block, parts: Sequence[Stretch]) -> pa.Table:
        """Count a block and return its table."""
        for part in parts:
            device = block.devices[part.place]
            self.devices[device.key] = device
            first = int(part.time_ns[0] - part.period_ns[0])
            last = int(part.time_ns[-1])
            self.first_ns = first if self.first_ns is None else min(self.first_ns, first)
            self.last_ns = last if self.last_ns is None else max(self.last_ns, last)
            self.covered_ns += int(part.period_ns.sum())
            self.rows += len(part.rows)
        return table_of_block(block, parts, self.clock)

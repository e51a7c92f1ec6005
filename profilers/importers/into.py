"""Files of recorded telemetry into a run's folder: all of them, or nothing."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from profilers.importers.errors import ImportFormatError
from profilers.importers.options import Options
from profilers.importers.prometheus_range import fetch
from profilers.importers.recording import Recording
from profilers.importers.registry import open_recording
from profilers.importers.store import Imported, store
from profilers.journal import TELEMETRY

LIST = "imports.jsonl"
"""One line for each imported file, in the run's folder."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Skipped:
    """A file that was left out on request, and why."""

    file: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What an import did."""

    imported: tuple[Imported, ...]
    skipped: tuple[Skipped, ...]


def import_files(
    files: Sequence[str],
    run_dir: Path,
    options: Options | None = None,
    *,
    skip_unknown: bool = False,
    append: bool = False,
    end_ns: int | None = None,
    progress: Callable[[str, int], None] = lambda _file, _rows: None,
) -> Outcome:
    """Import files, folders, or the address of a Prometheus server, into ``run_dir``.

    Everything is written beside ``run_dir`` first and moved into place at the end. Raises
    ``ImportFormatError`` for the first file that is not understood (nothing is then written),
    unless ``skip_unknown``; and where ``run_dir`` exists without ``append``.
    """
    if not files:
        raise ImportFormatError("no file was given")
    if run_dir.exists() and not append:
        raise ImportFormatError(
            "exists already; add to it with --append, or name a new folder", file=str(run_dir)
        )
    if run_dir.exists() and not run_dir.is_dir():
        raise ImportFormatError("is no folder", file=str(run_dir))
    chosen = options or Options()
    run_dir.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{run_dir.name}-", dir=run_dir.parent))
    imported: list[Imported] = []
    skipped: list[Skipped] = []
    try:
        for file in files:
            try:
                imported.append(_one(file, staging, run_dir, chosen, end_ns, progress))
            except ImportFormatError as error:
                if not skip_unknown:
                    raise
                skipped.append(Skipped(file=file, reason=str(error)))
        if not imported:
            raise ImportFormatError(
                "nothing was understood: " + "; ".join(one.reason for one in skipped)
            )
        return _settled(run_dir, imported, skipped)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _one(
    file: str,
    staging: Path,
    run_dir: Path,
    options: Options,
    end_ns: int | None,
    progress: Callable[[str, int], None],
) -> Imported:
    there = run_dir / TELEMETRY

    def refuse(digest: str) -> None:
        if any(digest[:8] == path.name[-8:] for path in there.glob("node=*")):
            raise ImportFormatError(
                "is already in this record; the same content counts once", file=file
            )

    before = {path.name for path in (staging / TELEMETRY).glob("node=*")}
    with ThreadPoolExecutor(max_workers=1) as beside:
        try:
            recording, digest = _opened(file, options, end_ns, beside)
            return store(
                staging,
                recording,
                file=file,
                sha256=digest,
                node=options.node,
                refuse=refuse,
                progress=lambda rows: progress(file, rows),
            )
        except BaseException:
            for path in (staging / TELEMETRY).glob("node=*"):
                if path.name not in before:
                    shutil.rmtree(path, ignore_errors=True)
            raise


def _opened(
    file: str, options: Options, end_ns: int | None, beside: ThreadPoolExecutor
) -> tuple[Recording, Future[str]]:
    """Return a recording and, in the making, the digest of its content."""
    if file.startswith(("http://", "https://")):
        if options.started_ns is None or end_ns is None or options.period_ns is None:
            raise ImportFormatError(
                "a server needs the range to ask for: --start, --end and --step", file=file
            )
        recording, digest = fetch(
            file,
            start_ns=options.started_ns,
            end_ns=end_ns,
            step_ns=options.period_ns,
            node=options.node,
        )
        return recording, beside.submit(lambda: digest)
    opened, recording = open_recording(Path(file), options)
    return recording, beside.submit(opened.digest)


def _settled(run_dir: Path, imported: list[Imported], skipped: list[Skipped]) -> Outcome:
    """Move what was written into place: each node's folder in one step."""
    target = run_dir / TELEMETRY
    target.mkdir(parents=True, exist_ok=True)
    moved: list[Imported] = []
    for one in imported:
        place = target / one.folder.name
        one.folder.rename(place)
        moved.append(_at(one, place))
    with (run_dir / LIST).open("a", encoding="utf-8") as stream:
        for one in moved:
            stream.write(json.dumps(as_json(one), allow_nan=False) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    return Outcome(imported=tuple(moved), skipped=tuple(skipped))


def _at(one: Imported, place: Path) -> Imported:
    return replace(one, folder=place)


def as_json(one: Imported) -> dict[str, object]:
    """Return what became of one file in plain JSON; times in seconds, absent ones null."""
    dated = one.clock == "wall"
    return {
        "file": one.file,
        "format": one.format,
        "sha256": one.sha256,
        "clock": one.clock,
        "scope": one.scope,
        "record": one.folder.name,
        "samples": one.rows,
        "covered_device_seconds": one.covered_seconds,
        "started_unix_seconds": one.first_ns / 1e9 if dated and one.first_ns is not None else None,
        "ended_unix_seconds": one.last_ns / 1e9 if dated and one.last_ns is not None else None,
        "span_seconds": None
        if one.first_ns is None or one.last_ns is None
        else (one.last_ns - one.first_ns) / 1e9,
        "devices": [
            {"uuid": str(device.key), "name": device.name, "node": device.node}
            for device in one.devices
        ],
        "findings": [
            {"code": f.code, "message": f.message, "line": f.line, "count": f.count}
            for f in one.findings
        ],
    }

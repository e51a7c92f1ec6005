"""Files of recorded telemetry into a run's folder: all of them, or nothing."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from profilers.importers.errors import ImportFormatError
from profilers.importers.opened import open_file
from profilers.importers.options import Options
from profilers.importers.prometheus_range import fetch
from profilers.importers.recording import Recording
from profilers.importers.registry import read
from profilers.importers.repeats import Earlier, continued, earlier, refuse_repeats
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


@dataclass(frozen=True, kw_only=True, slots=True)
class _Asked:
    """What a Prometheus server is asked for, beside the start and the step."""

    end_ns: int | None
    selector: str
    timeout_s: float


def import_files(
    files: Sequence[str | Path],
    run_dir: Path,
    options: Options | None = None,
    *,
    skip_unknown: bool = False,
    append: bool = False,
    end_ns: int | None = None,
    selector: str = "",
    timeout_s: float = 30.0,
    progress: Callable[[str, int], None] = lambda _file, _rows: None,
) -> Outcome:
    """Import files, folders, or the address of a Prometheus server, into ``run_dir``.

    Of a server ``end_ns`` (with the options' start and step), ``selector`` and ``timeout_s`` say what to
    ask for (``prometheus_range.fetch``).

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
    asked = _Asked(end_ns=end_ns, selector=selector, timeout_s=timeout_s)
    staging = _draft(run_dir)
    imported: list[Imported] = []
    skipped: list[Skipped] = []
    try:
        for file in map(str, files):
            try:
                imported.append(_one(file, staging, run_dir, chosen, asked, progress))
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


def _draft(run_dir: Path) -> Path:
    """Make the hidden folder beside ``run_dir``; where that cannot be, it is ``run_dir`` that fails."""
    try:
        run_dir.parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f".{run_dir.name}-", dir=run_dir.parent))
    except OSError as error:
        raise ImportFormatError(
            f"cannot be written ({error.strerror or error}); name another folder", file=str(run_dir)
        ) from error


def _one(
    file: str,
    staging: Path,
    run_dir: Path,
    options: Options,
    asked: _Asked,
    progress: Callable[[str, int], None],
) -> Imported:
    there = run_dir / TELEMETRY

    def refuse(digest: str) -> None:
        if any(digest[:8] == path.name[-8:] for path in there.glob("node=*")):
            raise ImportFormatError(
                "is already in this record; the same content counts once", file=file
            )

    mine = staging / TELEMETRY
    before = {path.name for path in mine.glob("node=*")}
    known = earlier([*there.glob("node=*"), *mine.glob("node=*")])
    with ThreadPoolExecutor(max_workers=1) as beside:
        try:
            source = _opened(file, options, asked, known, beside)
            stored = store(
                staging,
                source.recording,
                file=file,
                sha256=source.digest,
                node=source.node,
                about=source.about,
                refuse=refuse,
                progress=lambda rows: progress(file, rows),
            )
            refuse_repeats(stored, known)
        except BaseException:
            for path in mine.glob("node=*"):
                if path.name not in before:
                    shutil.rmtree(path, ignore_errors=True)
            raise
    return stored


@dataclass(frozen=True, kw_only=True, slots=True)
class _Source:
    """One recording, about to be read."""

    recording: Recording
    digest: Future[str]
    """In the making, beside the reading."""
    node: str | None
    """The host that the user named, for this file or for the one that it continues."""
    about: Mapping[str, object]
    """What the journal shall say of it, so that a later copy is known."""


def _opened(
    file: str,
    options: Options,
    asked: _Asked,
    known: Sequence[Earlier],
    beside: ThreadPoolExecutor,
) -> _Source:
    if file.startswith(("http://", "https://")):
        if options.started_ns is None or asked.end_ns is None or options.period_ns is None:
            raise ImportFormatError(
                "a server needs the range to ask for: --start, --end and --step", file=file
            )
        recording, digest = fetch(
            file,
            start_ns=options.started_ns,
            end_ns=asked.end_ns,
            step_ns=options.period_ns,
            selector=asked.selector,
            node=options.node,
            timeout_s=asked.timeout_s,
        )
        return _Source(
            recording=recording,
            digest=beside.submit(lambda: digest),
            node=options.node,
            about={"bytes": 0, "stated_node": options.node},
        )
    opened = open_file(Path(file))
    if not opened.is_folder and (one := continued(opened, known)) is not None:
        if options.node not in (None, one.node):
            raise ImportFormatError(
                f"continues {one.file}, which was imported "
                f"{f'with --node {one.node}' if one.node else 'without --node'}; say the same "
                "here, or import it into a record of its own",
                file=file,
            )
        opened = replace(opened, continues=one.mark)
        options = replace(options, node=one.node)
    return _Source(
        recording=read(opened, options),
        digest=beside.submit(opened.digest),
        node=options.node,
        about={"bytes": opened.size, "mark": opened.mark, "stated_node": options.node},
    )


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

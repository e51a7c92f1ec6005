"""MLflow's file store: a run's folder with ``meta.yaml`` and ``metrics/system/...`` files.

One file a metric, a line a point: ``milliseconds value step``. With a node id the metrics of each
node have a folder of their own; without one, several nodes write over each other in one file,
which shows as repeated stamps. The folder of an experiment or of a whole store holds many runs:
give the run's own folder.
"""

import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

from profilers.importers import identity, units
from profilers.importers.errors import ImportFormatError, LimitError
from profilers.importers.gather import BySeries
from profilers.importers.opened import Opened, open_file
from profilers.importers.options import Options
from profilers.importers.recording import Block, Clock, Findings, Recording
from profilers.importers.stamps import epoch_ns
from profilers.reading import Reading, Reason, Unavailable

NAME = "mlflow"
MAX_FILES = 10_000
MAX_FILE = 256 * 1024**2

_METRIC = re.compile(r"gpu_(\d{1,4})_(\w+)")
_SIGNALS = {
    "utilization_percentage": ("gpu_util_permille", "%"),
    "power_usage_watts": ("power_mw", "W"),
    "memory_usage_megabytes": ("memory_used_bytes", "MB"),
}
_DERIVED = {"memory_usage_percentage", "power_usage_percentage"}


def recognise(opened: Opened) -> bool:
    """Say whether a folder is an MLflow run with system metrics."""
    if not opened.is_folder:
        return False
    return (opened.path / "meta.yaml").is_file() and (opened.path / "metrics/system").is_dir()


def read(opened: Opened, options: Options) -> Recording:
    """Open a run's folder."""
    findings = Findings()
    return Recording(
        format=NAME, clock=Clock.WALL, blocks=_blocks(opened, options, findings), findings=findings
    )


def _blocks(opened: Opened, options: Options, findings: Findings) -> Iterator[Block]:
    rows = BySeries(findings)
    system = opened.path / "metrics/system"
    for path in _files(system):
        found = _METRIC.fullmatch(path.name)
        if not found or found[2] in _DERIVED:
            continue
        if found[2] not in _SIGNALS:
            findings.add("metric-unread", f"{path.name} was left out")
            continue
        node = path.parent.relative_to(system).as_posix()
        device = identity.gpu(
            uuid=None,
            index=int(found[1]),
            node=options.node or (identity.safe(node) if node != "." else None),
            fallback=f"mlflow-{identity.safe(opened.path.resolve().name)[:32]}",
        )
        signal, unit = _SIGNALS[found[2]]
        for time, reading in _points(path, signal, unit, findings):
            rows.point(device, signal, time, reading)
    if not rows.points:
        raise ImportFormatError("the run has no metric of a GPU", file=opened.name)
    findings.add("host-devices", "MLflow records all devices of the host, used by the run or not")
    yield rows.block()


def _files(system: Path) -> list[Path]:
    """Return the metric files, without following links out of the folder."""
    root = system.resolve()
    found: list[Path] = []
    for path in sorted(system.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        if not path.resolve().is_relative_to(root):
            continue
        found.append(path)
        if len(found) > MAX_FILES:
            raise LimitError(f"holds more than {MAX_FILES} metrics", file=str(system))
    return found


def _points(
    path: Path, signal: str, unit: str, findings: Findings
) -> Iterator[tuple[int, Reading]]:
    opened = open_file(path)
    if opened.size > MAX_FILE:
        raise LimitError(f"{opened.size} bytes are more than {MAX_FILE}", file=opened.name)
    by = units.factor(signal, unit)
    for number, line in opened.text_lines():
        words = line.split()
        if not words:
            continue
        stamp = units.number(words[0])
        time = None if stamp is None else epoch_ns(stamp, "unix-ms")
        value = units.number(words[1]) if len(words) in (2, 3) else None
        if time is None or (value is None and (len(words) not in (2, 3) or words[1] != "nan")):
            raise ImportFormatError(
                f"{line[:60]!r} is no `milliseconds value step`", file=opened.name, line=number
            )
        if value is None:
            yield time, Unavailable(reason=Reason.FAILED, detail="nan")
        else:
            yield time, units.judged(signal, units.scaled(Decimal(value), by))
    if not path.read_bytes().endswith(b"\n"):
        findings.add(
            "torn-tail", f"{path.name} does not end with a line end; its last figure may be cut"
        )

"""All formats, recognised by their content. A file's name says nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from profilers.importers import (
    amd_smi,
    codecarbon,
    mapping,
    mlflow,
    mlperf_power,
    nvidia_smi,
    nvidia_smi_dmon,
    nvidia_smi_xml,
    prometheus_range,
    prometheus_text,
    victoria_metrics,
    wandb_events,
    wandb_file,
    zeus,
)
from profilers.importers.errors import ImportFormatError, UnknownFormatError
from profilers.importers.hints import hint
from profilers.importers.opened import Opened, open_file
from profilers.importers.options import Options
from profilers.importers.recording import Recording


@dataclass(frozen=True, kw_only=True, slots=True)
class Format:
    """One importer."""

    name: str
    recognise: Callable[[Opened], bool]
    """Says from the first 64 KiB whether this is it; never raises."""
    read: Callable[[Opened, Options], Recording]
    what: str
    """One line for people."""


FORMATS: tuple[Format, ...] = tuple(
    Format(name=module.NAME, recognise=module.recognise, read=module.read, what=what)
    for module, what in (
        (wandb_file, "Weights & Biases run log (.wandb)"),
        (mlflow, "MLflow run folder with system metrics"),
        (prometheus_range, "Prometheus query_range JSON"),
        (victoria_metrics, "VictoriaMetrics export, JSON lines"),
        (wandb_events, "Weights & Biases system events, JSON lines"),
        (mlperf_power, "MLPerf power log"),
        (nvidia_smi_dmon, "nvidia-smi dmon"),
        (nvidia_smi_xml, "nvidia-smi -q -x in a loop"),
        (prometheus_text, "Prometheus text of dcgm-exporter or nvidia_gpu_exporter"),
        (zeus, "Zeus window log"),
        (codecarbon, "CodeCarbon emissions.csv"),
        (amd_smi, "amd-smi metric/monitor CSV"),
        (nvidia_smi, "nvidia-smi --query-gpu CSV"),
    )
)
"""Most distinctive first. At most one may claim a file; two are an error, not a choice."""
_ROWS = frozenset({nvidia_smi_dmon.NAME, zeus.NAME, amd_smi.NAME, nvidia_smi.NAME})
"""Whose rows may end in a plain figure, with nothing behind it that would tell a whole one from a cut one."""


def recognise(opened: Opened) -> Format | None:
    """Return the one format that claims the content, or None.

    Raises ``ImportFormatError`` where several do.
    """
    claims = [candidate for candidate in FORMATS if candidate.recognise(opened)]
    if len(claims) > 1:
        names = ", ".join(claim.name for claim in claims)
        raise ImportFormatError(f"could be {names}; split what is mixed in it", file=opened.name)
    return claims[0] if claims else None


def open_recording(path: Path, options: Options | None = None) -> tuple[Opened, Recording]:
    """Open a file of any known format; the mapping (if given) is for those that none claims.

    Raises ``UnknownFormatError`` where nothing fits, ``ImportFormatError`` where the content is
    damaged or contradicts itself.
    """
    chosen = options or Options()
    opened = open_file(path)
    return opened, read(opened, chosen)


def read(opened: Opened, chosen: Options) -> Recording:
    """Read an opened file; raises as ``open_recording`` does."""
    found = recognise(opened)
    if found is not None:
        recording = found.read(opened, chosen)
        return _told_if_cut(opened, recording) if found.name in _ROWS else recording
    if chosen.mapping is not None and not opened.is_folder:
        return _told_if_cut(opened, mapping.read(opened, chosen))
    if opened.is_folder:
        raise UnknownFormatError(
            _other_folder(opened.path),
            file=opened.name,
        )
    if (told := hint(opened)) is not None:
        raise UnknownFormatError(told, file=opened.name)
    raise UnknownFormatError(
        f"is of no format that is read here ({_names(FORMATS)}); for a CSV file of your own give "
        "--mapping",
        file=opened.name,
    )


def _told_if_cut(opened: Opened, recording: Recording) -> Recording:
    """Say so where a table ends in a digit: what was cut behind it would make another figure."""
    if opened.ends_in_a_figure:
        recording.findings.add(
            "torn-tail",
            "the file ends in a figure and not with a line end; if it was cut there, the last figure is "
            "another one",
        )
    return recording


def _other_folder(folder: Path) -> str:
    """Say what a folder is that is no MLflow run, and where it belongs."""
    if any((folder / name).is_dir() for name in ("telemetry", "steps")):
        return (
            "is a run's record already: `estimate`, `report` and a case's evidence take it as it is"
        )
    if (folder / "meta.yaml").is_file():
        return (
            "is an MLflow run without device telemetry (metrics/system); a case's evidence takes it"
        )
    return (
        "is no MLflow run (meta.yaml beside metrics/system); give telemetry's files; logs and trackers' "
        "folders without telemetry belong into a case's evidence"
    )


def _names(formats: Sequence[Format]) -> str:
    return ", ".join(one.name for one in formats)

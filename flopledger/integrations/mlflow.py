"""MLflow both ways: a tracking server's run as evidence, and an audit written back as a run.

from flopledger.integrations import mlflow

mlflow.download_run("3f2a...", Path("evidence"), tracking_uri="http://127.0.0.1:5000")
run_id = mlflow.write_audit(report, tracking_uri="http://127.0.0.1:5000", bundle=Path("e.zip"))

The server is asked through MLflow's own client, so its logins and proxies work as ever.
"""

import contextlib
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from flopledger.errors import FlopledgerError
from flopledger.integrations.requirements import require

if TYPE_CHECKING:
    from flopledger.auditing import AuditReport

MOST_METRICS = 10_000
MOST_POINTS = 5_000_000
_LONGEST_NAME = 250
_STATUS = {"RUNNING": 1, "SCHEDULED": 2, "FINISHED": 3, "FAILED": 4, "KILLED": 5}


class MlflowError(FlopledgerError):
    """A run that cannot be had, or a server that does not take one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Downloaded:
    """A run as files, which an audit reads as evidence."""

    folder: Path
    """The run's own folder: name it in a case's ``evidence``."""
    metrics: int
    points: int
    params: int
    refused: tuple[str, ...]
    """Keys that would not make a file inside the folder."""


def download_run(run_id: str, into: Path, *, tracking_uri: str | None = None) -> Downloaded:
    """Write a server's run into ``into/<run id>`` in the layout of MLflow's file store.

    The readers of ``flopledger audit`` and ``flopledger import`` know that layout, system metrics
    included. Files are evidence that can be sealed; a server's answer is not. Artifacts are left
    where they are. ``tracking_uri`` ``None`` is MLflow's own default.

    Raises ``MlflowError`` where the run cannot be had, is larger than 10,000 metrics or 5,000,000
    points, or the folder exists.
    """
    client = _client(tracking_uri)
    try:
        run = client.get_run(run_id)
    except Exception as error:
        raise MlflowError(f"run {run_id}: {_said(error)}; check the id and the server") from error
    if len(run.data.metrics) > MOST_METRICS:
        raise MlflowError(f"run {run_id}: more than {MOST_METRICS:,} metrics; export it by hand")
    folder = into / PurePosixPath(run.info.run_id).name
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise MlflowError(f"{folder}: exists already; choose another folder") from None
    _write(folder / "meta.yaml", _meta(run.info))
    refused: list[str] = []
    points = 0
    for key in sorted(run.data.metrics):
        path = _inside(folder / "metrics", key, refused)
        history = client.get_metric_history(run_id, key) if path is not None else []
        points += len(history)
        if points > MOST_POINTS:
            raise MlflowError(f"run {run_id}: more than {MOST_POINTS:,} points; export it by hand")
        if path is not None:
            _write(path, "".join(f"{p.timestamp} {p.value!r} {p.step}\n" for p in history))
    for key, value in sorted(run.data.params.items()):
        path = _inside(folder / "params", key, refused)
        if path is not None:
            _write(path, str(value))
    return Downloaded(
        folder=folder,
        metrics=len(run.data.metrics),
        points=points,
        params=len(run.data.params),
        refused=tuple(refused),
    )


def write_audit(
    report: "AuditReport",
    *,
    tracking_uri: str | None = None,
    experiment: str = "flopledger audits",
    audited_run: str | None = None,
    bundle: Path | None = None,
) -> str:
    """Write an audit as a run: verdict, interval, probabilities, and the report as artifacts.

    Args:
        report: What ``flopledger.audit`` gave.
        tracking_uri: The server; ``None`` is MLflow's own default.
        experiment: Name of the experiment; made where it is missing.
        audited_run: Id of the run that was audited; the audit becomes its child and tags it with
            the verdict.
        bundle: A sealed bundle to store beside the report.

    Returns:
        The new run's id.

    Raises:
        MlflowError: when the server does not take it; the run is then marked as failed.

    """
    client = _client(tracking_uri)
    run_id = None
    try:
        run_id = _create(client, report, experiment, audited_run)
        _describe(client, run_id, report)
        _store(client, run_id, report, bundle)
        if audited_run is not None:
            client.set_tag(audited_run, "flopledger.verdict", str(report.verdict))
            client.set_tag(audited_run, "flopledger.audit_run", run_id)
        client.set_terminated(run_id)
    except Exception as error:
        if run_id is not None:
            _fail(client, run_id)
        raise MlflowError(f"the audit was not written: {_said(error)}") from error
    return run_id


def _create(client: Any, report: "AuditReport", experiment: str, parent: str | None) -> str:
    found = client.get_experiment_by_name(experiment)
    identifier = found.experiment_id if found is not None else client.create_experiment(experiment)
    tags = {
        "flopledger.verdict": str(report.verdict),
        "flopledger.case_sha256": report.case.sha256,
        **{f"flopledger.data.{name}": digest for name, digest in report.data_digests.items()},
    }
    if parent is not None:
        tags["mlflow.parentRunId"] = parent
    run = client.create_run(
        identifier, tags=tags, run_name=f"audit: {report.case.spec.title}"[:250]
    )
    return str(run.info.run_id)


def _describe(client: Any, run_id: str, report: "AuditReport") -> None:
    """Log what is known; what is not known has no metric, never a 0."""
    client.log_param(run_id, "title", report.case.spec.title[:500])
    client.log_param(run_id, "seed", report.seed)
    if report.claim is not None:
        client.log_param(run_id, "claim_basis", report.claim.basis)
        _metric(client, run_id, "claim_flop", report.claim.flop.best)
        _metric(client, run_id, "claim_ratio", report.claim_ratio)
    if report.combined is not None:
        for end in ("low", "best", "high"):
            _metric(client, run_id, f"flop_{end}", getattr(report.combined.flop, end))
    for one in report.standings:
        _metric(client, run_id, f"probability_exceeded/{one.regime.id}", one.probability_exceeded)
    for severity in ("error", "warning", "info"):
        count = sum(finding.severity == severity for finding in report.findings)
        _metric(client, run_id, f"findings/{severity}", count)


def _store(client: Any, run_id: str, report: "AuditReport", bundle: Path | None) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        report.save(folder / "audit.json")
        report.save(folder / "report.html")
        client.log_artifact(run_id, str(folder / "audit.json"))
        client.log_artifact(run_id, str(folder / "report.html"))
    if bundle is not None:
        client.log_artifact(run_id, str(bundle), artifact_path="bundle")


def _metric(client: Any, run_id: str, name: str, value: float | None) -> None:
    if value is not None and math.isfinite(value):
        client.log_metric(run_id, name, value)


def _fail(client: Any, run_id: str) -> None:
    with contextlib.suppress(Exception):  # the first error is the one to tell
        client.set_terminated(run_id, status="FAILED")


def _client(tracking_uri: str | None) -> Any:
    return require("mlflow", extra="mlflow").MlflowClient(tracking_uri=tracking_uri)


def _meta(info: Any) -> str:
    """Describe a run as the file store does; a missing end stays out of the file."""
    end = f"end_time: {int(info.end_time)}\n" if info.end_time else ""
    return (
        f"artifact_uri: ''\n{end}experiment_id: '{_plain(info.experiment_id)}'\n"
        f"lifecycle_stage: {_plain(info.lifecycle_stage)}\nrun_id: {_plain(info.run_id)}\n"
        f"start_time: {int(info.start_time)}\nstatus: {_STATUS.get(info.status, info.status)}\n"
    )


def _plain(text: object) -> str:
    return "".join(letter for letter in str(text) if letter.isalnum() or letter in "-_")


def _inside(root: Path, key: str, refused: list[str]) -> Path | None:
    """Give the file of a key, or note it as refused: keys come from the audited party."""
    parts = key.split("/")
    if (
        not key.isprintable()
        or len(key) > _LONGEST_NAME
        or "\\" in key
        or any(part in ("", ".", "..") for part in parts)
    ):
        refused.append(key[:_LONGEST_NAME])
        return None
    return root.joinpath(*parts)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("x", encoding="utf-8") as file:
        file.write(text)


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:500]

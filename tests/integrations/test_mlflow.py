"""MLflow both ways against a real tracking server on loopback."""

import json
import os
import shutil
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flopledger import bundle, logs
from flopledger.auditing import audit
from flopledger.bundle.sealing import Choices
from flopledger.cases.case import AuditCase
from flopledger.integrations import mlflow as ours
from flopledger.integrations.mlflow import MlflowError
from profilers import read_record

Need = Callable[[str, str], object]
START = 1_700_000_000_000


@pytest.fixture(scope="module")
def trained(mlflow_server: str) -> str:
    """Log what a trainer would: arguments, counters, system metrics of two nodes."""
    mlflow = pytest.importorskip("mlflow", reason='pip install "flopledger[mlflow]"')
    client = mlflow.MlflowClient(tracking_uri=mlflow_server)
    run = client.create_run(client.create_experiment(f"training-{os.getpid()}"), start_time=START)
    identifier: str = run.info.run_id
    client.log_param(identifier, "per_device_train_batch_size", 8)
    client.log_param(identifier, "gradient_accumulation_steps", 4)
    for step in range(1, 31):
        now = START + 1000 * step
        client.log_metric(identifier, "train/num_input_tokens_seen", 512 * step, now, step)
        client.log_metric(identifier, "system/n0/gpu_0_power_usage_watts", 300, now, step)
    client.log_metric(identifier, "train/total_flos", 1.5e15, START + 30_000, 30)
    client.set_terminated(identifier, end_time=START + 60_000)
    return identifier


def test_a_run_becomes_evidence(mlflow_server: str, trained: str, tmp_path: Path) -> None:
    got = ours.download_run(trained, tmp_path, tracking_uri=mlflow_server)
    assert got.folder == tmp_path / trained
    assert (got.metrics, got.points, got.params, got.refused) == (3, 61, 2, ())
    evidence = logs.read([logs.EvidenceFile(path=got.folder, name="run")])
    facts = {fact.name: fact.value for fact in evidence.facts}
    assert facts["wall_seconds"] == 60
    assert facts["status"] == "FINISHED"
    assert facts["tokens"] == 512 * 30
    assert facts["claimed_flop"] == 1.5e15
    assert facts["per_process_batch"] == 8
    assert facts["gradient_accumulation"] == 4
    (claim,) = evidence.named("claimed_flop")
    assert claim.grade == "claim"
    assert claim.file == "run/metrics/train/total_flos"
    # The system metrics are telemetry, for the importer: 300 W from second 1 to second 30.
    assert sorted(p.name for p in (got.folder / "metrics/system/n0").iterdir()) == [
        "gpu_0_power_usage_watts"
    ]


def test_system_metrics_are_imported(mlflow_server: str, trained: str, tmp_path: Path) -> None:
    from flopledger.commands import main

    got = ours.download_run(trained, tmp_path, tracking_uri=mlflow_server)
    assert main(["import", str(got.folder), "--out", str(tmp_path / "record")]) == 0
    (device,) = read_record(tmp_path / "record").devices.values()
    power = device.series["power_mw"]
    assert device.time_ns.tolist() == [(START // 1000 + step) * 10**9 for step in range(1, 31)]
    assert power.payload.tolist() == [300_000] * 30


def test_what_cannot_be_had(
    mlflow_server: str, trained: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(MlflowError, match="check the id and the server"):
        ours.download_run("0" * 32, tmp_path, tracking_uri=mlflow_server)
    ours.download_run(trained, tmp_path, tracking_uri=mlflow_server)
    with pytest.raises(MlflowError, match="exists already"):
        ours.download_run(trained, tmp_path, tracking_uri=mlflow_server)
    monkeypatch.setattr(ours, "MOST_POINTS", 60)
    with pytest.raises(MlflowError, match="more than 60 points"):
        ours.download_run(trained, tmp_path / "again", tracking_uri=mlflow_server)


def test_keys_that_would_leave_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A real server refuses such keys; a hostile one would not.
    keys = ["../../up", "/root", "a//b", "a/../b", "nul\0", "back\\slash", "x" * 300, "fine"]
    info = SimpleNamespace(
        run_id="../../escape", experiment_id="0", lifecycle_stage="active: no\nrun_id: x",
        start_time=START, end_time=None, status="RUNNING",
    )  # fmt: skip

    class Client:
        def get_run(self, _: str) -> Any:
            data = SimpleNamespace(metrics=dict.fromkeys(keys, 1.0), params={"../p": "1"})
            return SimpleNamespace(info=info, data=data)

        def get_metric_history(self, _: str, key: str) -> list[Any]:
            return [SimpleNamespace(timestamp=START, value=1.0, step=1)]

    monkeypatch.setattr(ours, "_client", lambda _: Client())
    got = ours.download_run("x", tmp_path / "in")
    assert got.folder == tmp_path / "in" / "escape"
    assert set(got.refused) == {*(key[:250] for key in keys if key != "fine"), "../p"}
    files = sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file())
    assert [str(p) for p in files] == ["in/escape/meta.yaml", "in/escape/metrics/fine"]
    text = (got.folder / "meta.yaml").read_text()
    assert "end_time" not in text
    assert text.count("run_id:") == 1


def test_an_audit_is_written_back(
    mlflow_server: str, trained: str, root: Path, tmp_path: Path
) -> None:
    shutil.copytree(root / "examples/llama-2-70b", tmp_path / "case")
    report = audit(AuditCase.load(tmp_path / "case/case.toml"), trace=False)
    bundle.generate_key(tmp_path)
    sealed = tmp_path / "evidence.zip"
    bundle.seal_report(
        report,
        keys=[bundle.load_private(tmp_path / "flopledger.key")],
        out=sealed,
        choices=Choices(html=False),
    )
    run_id = ours.write_audit(
        report, tracking_uri=mlflow_server, audited_run=trained, bundle=sealed
    )
    run = _get(mlflow_server, run_id)
    tags = {item["key"]: item["value"] for item in run["data"]["tags"]}
    assert tags["flopledger.verdict"] == "consistent"
    assert tags["flopledger.case_sha256"] == report.case.sha256
    assert tags["mlflow.parentRunId"] == trained
    assert run["info"]["status"] == "FINISHED"
    metrics = {item["key"]: item["value"] for item in run["data"]["metrics"]}
    assert report.combined is not None
    assert metrics["flop_low"] == report.combined.flop.low
    assert metrics["flop_best"] == report.combined.flop.best
    assert metrics["claim_flop"] == 8.1e23
    assert metrics["probability_exceeded/eu-gpai-1e23"] == 1.0
    audited = {item["key"]: item["value"] for item in _get(mlflow_server, trained)["data"]["tags"]}
    assert audited["flopledger.audit_run"] == run_id
    # The artifacts, as whoever opens the run gets them.
    import mlflow

    client = mlflow.MlflowClient(tracking_uri=mlflow_server)
    folder = Path(client.download_artifacts(run_id, "", str(tmp_path)))
    told = json.loads((folder / "audit.json").read_text())
    assert told["verdict"] == "consistent"
    assert (folder / "report.html").read_text().startswith("<!")
    checked = bundle.verify(folder / "bundle/evidence.zip")
    assert checked.ok
    assert checked.audit is not None
    assert checked.audit["verdict"] == "consistent"


def test_an_audit_that_the_server_does_not_take(
    mlflow_server: str, root: Path, tmp_path: Path
) -> None:
    report = audit(AuditCase.load(root / "examples/llama-2-70b/case.toml"), trace=False)
    with pytest.raises(MlflowError, match="the audit was not written"):
        ours.write_audit(
            report,
            tracking_uri=mlflow_server,
            experiment="half",
            bundle=tmp_path / "no-such-bundle.zip",
        )
    import mlflow

    client = mlflow.MlflowClient(tracking_uri=mlflow_server)
    experiment = client.get_experiment_by_name("half")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FAILED"  # never a half audit that looks whole


def _get(server: str, run_id: str) -> dict[str, Any]:
    url = f"{server}/api/2.0/mlflow/runs/get?run_id={run_id}"
    with urllib.request.urlopen(url) as answer:
        found: dict[str, Any] = json.load(answer)["run"]
    return found

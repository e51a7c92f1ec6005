"""Recordings placed on a run's window: zones that the case states, and MLflow's system metrics."""

import datetime as dt
import json

import pytest

from flopledger.errors import CaseError

START = dt.datetime(2026, 1, 2, 3, 4, 0, tzinfo=dt.UTC)
SECONDS = 60


def mlperf() -> str:
    def event(key, at, value=None, **metadata):
        time_ms = int((START.timestamp() + at) * 1000)
        record = {"time_ms": time_ms, "key": key, "value": value, "metadata": metadata}
        return f":::MLLOG {json.dumps(record | {'event_type': 'POINT_IN_TIME'})}\n"

    return (
        event("submission_benchmark", -1, "llama31_8b")
        + event("run_start", 10)
        + event("run_stop", 50, status="success", samples_count=10)
    )


def smi(hours: float) -> str:
    """One H100 at 500 W, stamps in a zone that the file does not name."""
    lines = ["timestamp, index, uuid, name, power.draw [W]"]
    local = START.replace(tzinfo=None) + dt.timedelta(hours=hours)
    for second in range(SECONDS + 1):
        stamp = (local + dt.timedelta(seconds=second)).strftime("%Y/%m/%d %H:%M:%S.000")
        lines.append(
            f"{stamp}, 0, GPU-11111111-2222-3333-4444-555555555501, NVIDIA H100 80GB HBM3, 500.00 W"
        )
    return "\n".join(lines) + "\n"


def test_a_stated_zone_places_a_recording_on_the_window(run_audit, tmp_path):
    (tmp_path / "r.txt").write_text(mlperf())
    (tmp_path / "smi.csv").write_text(smi(2))
    run = '[[run]]\nname = "r"\nevidence = ["r.txt", "smi.csv"]\n'
    placed = run_audit(f'{run}telemetry_zone = "+02:00"')
    # 40 s of the 60 that were recorded, at 500 W
    assert placed.runs[0].figures.energy_joules.quantity.best == pytest.approx(20_000, rel=0.03)
    wrong = run_audit(f'{run}telemetry_zone = "UTC"')
    assert wrong.runs[0].figures.energy_joules is None
    assert "clock-disagreement" in {one.code for one in wrong.findings}
    unstated = run_audit(run)
    assert unstated.runs[0].figures.energy_joules.quantity.best == pytest.approx(30_000, rel=0.03)
    assert "zone-unknown" in {one.code for one in unstated.findings}


def test_a_zone_that_is_none_is_bad_input(run_audit, tmp_path):
    with pytest.raises(CaseError, match="no time zone"):
        run_audit('[[run]]\nname = "r"\ntelemetry_zone = "Mars/Olympus"')


def test_the_system_metrics_of_an_mlflow_run(run_audit, tmp_path):
    run = tmp_path / "mlruns" / "0" / "abc"
    (run / "metrics" / "system").mkdir(parents=True)
    begin = int(START.timestamp() * 1000)
    (run / "meta.yaml").write_text(
        "artifact_uri: file:///nowhere\nrun_id: abc\nrun_uuid: abc\nstatus: 3\n"
        f"start_time: {begin}\nend_time: {begin + 60_000}\n"
    )
    watts = "".join(f"{begin + 10_000 * step} 400.0 {step}\n" for step in range(7))
    (run / "metrics" / "system" / "gpu_0_power_usage_watts").write_text(watts)
    (run / "metrics" / "train_runtime").write_text(f"{begin} 60.0 1\n")
    report = run_audit('[[run]]\nname = "r"\nevidence = ["mlruns"]')
    figures = report.runs[0].figures
    # 60 s at 400 W
    assert figures.energy_joules.quantity.best == pytest.approx(24_000, rel=0.2)
    assert figures.status == "FINISHED"
    assert not [one for one in report.findings if one.code == "evidence-unread"]

"""Recordings among the evidence: device-seconds, energy, and bounds on the FLOP."""

from pathlib import Path

import pytest

from flopledger.auditing import AuditReport, audit
from flopledger.cases.case import AuditCase
from flopledger.verdict import Verdict

HEAD = 'schema = "flopledger/case/1"\ntitle = "t"\n[model.m]\nparameters = 1e9\n'

#: Two windows of 10 s on two GPUs, 3 kJ and 2 kJ a window.
ZEUS = """start_time,window_name,elapsed_time,gpu0_energy,gpu1_energy
100.0,epoch_0,10.0,3000.0,2000.0
120.0,epoch_1,10.0,3000.0,2000.0
"""


def _dcgm(tensor: float, seconds: int = 100) -> str:
    """A minute and a half of one H100 at 1 Hz, as dcgm-exporter prints it."""
    lines = []
    for second in range(seconds):
        stamp = (1_700_000_000 + second) * 1000
        labels = '{gpu="0",UUID="GPU-1",modelName="NVIDIA H100 80GB HBM3",Hostname="n0"}'
        lines.append(f"DCGM_FI_PROF_PIPE_TENSOR_ACTIVE{labels} {tensor} {stamp}")
        lines.append(f"DCGM_FI_DEV_SM_CLOCK{labels} 1500 {stamp}")
    return "# TYPE DCGM_FI_DEV_SM_CLOCK gauge\n" + "\n".join(lines) + "\n"


def _audit(folder: Path, name: str, content: str, figures: str = "") -> AuditReport:
    (folder / name).write_text(content)
    (folder / "case.toml").write_text(
        f'{HEAD}[[run]]\nname = "r"\nmodel = "m"\nevidence = ["{name}"]\n{figures}\n'
    )
    return audit(AuditCase.load(folder / "case.toml"), trace=False)


def test_windows_of_energy(tmp_path: Path) -> None:
    (run,) = _audit(tmp_path, "zeus.csv", ZEUS).runs
    assert run.figures.device_seconds.quantity.best == pytest.approx(2 * 2 * 10)
    assert run.figures.energy_joules.quantity.best == pytest.approx(2 * (3000 + 2000))
    assert "evidence-unread" not in {one.code for one in run.findings}


def test_tensor_activity_bounds_the_work(tmp_path: Path) -> None:
    # 132 SMs x 4096 FLOP x 1.5e9 Hz x 0.5 x 99 s = 4.0e16 FLOP executed
    figures = 'precision = "bf16"\naccelerator = "NVIDIA H100 80GB HBM3"'
    report = _audit(tmp_path, "dcgm.prom", _dcgm(0.5), figures)
    bound, seen = [one for one in report.estimates if one.method == "tensor-activity"]
    assert bound.bound_only
    assert seen.basis == "hardware"
    assert seen.flop.low <= 132 * 4096 * 1.5e9 * 0.5 * 99 <= seen.flop.high
    assert seen.flop.high <= bound.flop.high * 1.001


def test_work_beyond_the_telemetry_is_refuted(tmp_path: Path) -> None:
    # 6 * 1e9 * 1e9 = 6e18 FLOP, where the pipes cannot have done more than about 1e17 in the 99 s
    figures = (
        'precision = "bf16"\naccelerator = "NVIDIA H100 80GB HBM3"\ntokens = 1e9\n'
        "accelerator_hours = 0.0275"
    )
    report = _audit(tmp_path, "dcgm.prom", _dcgm(0.5), figures)
    assert report.verdict is Verdict.INCONSISTENT
    assert "exceeds-physical-limit" in {one.code for one in report.findings}


def test_a_damaged_recording_is_a_finding(tmp_path: Path) -> None:
    broken = ZEUS.replace("10.0,3000.0,2000.0\n120.0", "ten,3000.0,2000.0\n120.0")
    report = _audit(tmp_path, "zeus.csv", broken, "tokens = 1e9")
    assert {"evidence-unreadable", "evidence-unread"} & {one.code for one in report.findings}
    assert report.combined is not None


CODECARBON = (
    "timestamp,project_name,run_id,duration,emissions,emissions_rate,cpu_power,gpu_power,ram_power,"
    "cpu_energy,gpu_energy,ram_energy,energy_consumed,country_name,country_iso_code,region,cloud_provider,"
    "cloud_region,os,python_version,codecarbon_version,cpu_count,cpu_model,gpu_count,gpu_model,longitude,"
    "latitude,ram_total_size,tracking_mode,on_cloud,pue\n"
    "2025-03-04T12:00:00,p,aaaa,7200.0,1.2,0.0001,100,2800.0,50,0.2,5.6,0.1,5.9,France,FRA,idf,,,Linux,3.11,"
    "2.8.0,64,AMD EPYC,8,{model},0,0,512,machine,N,1.0\n"
)


@pytest.mark.parametrize(("model", "covered"), [("8 x NVIDIA A100-SXM4-80GB", True), ("", False)])
def test_a_meter_of_all_devices_of_a_host(tmp_path: Path, model: str, covered: bool) -> None:
    figures = 'tokens = 7e8\naccelerator_count = 8\nwall_clock_hours = 2\nprecision = "bf16"\n'
    if not covered:
        figures += 'accelerator = "NVIDIA A100-SXM4-80GB"\n'
    report = _audit(tmp_path, "emissions.csv", CODECARBON.format(model=model), figures)
    run = report.runs[0].figures
    # 5.6 kWh of the GPUs, CPU and memory left out
    assert run.energy_joules is not None
    assert run.energy_joules.quantity.best == pytest.approx(5.6 * 3.6e6)
    assert run.energy_boundary == "device"
    assert run.device_seconds is not None
    assert run.device_seconds.quantity.best == 8 * 7200  # as stated: who used them it does not say
    assert report.runs[0].part is not None
    assert report.runs[0].part.id == "nvidia-a100-sxm4-80gb"
    told = {one.code for one in report.findings}
    assert ("coverage-unknown" in told) is not covered


def test_a_meter_of_half_of_the_devices(tmp_path: Path) -> None:
    figures = 'tokens = 7e8\naccelerator_count = 16\nwall_clock_hours = 2\nprecision = "bf16"\n'
    content = CODECARBON.format(model="8 x NVIDIA A100-SXM4-80GB")
    report = _audit(tmp_path, "emissions.csv", content, figures)
    assert "8 of 16 devices were recorded" in " ".join(one.message for one in report.findings)


def _partitions(signals: dict[str, float]) -> str:
    """One board cut into two, as dcgm-exporter writes it: its own figures stand under each partition."""
    lines = []
    for at in range(101):
        for part in ("1", "2"):
            of = f'gpu="0",UUID="GPU-11111111-2222-3333-4444-555555555555",GPU_I_ID="{part}"'
            of += f',modelName="{_A100}",Hostname="n1"'
            for name, value in signals.items():
                figure = 10**6 + at * value if name.endswith("CONSUMPTION") else value
                lines.append(f"DCGM_FI_{name}{{{of}}} {figure} {1_780_000_000_000 + at * 1000}")
    return "\n".join(lines) + "\n"


_A100 = "NVIDIA A100-SXM4-80GB"


def test_a_board_in_parts_is_one_device(tmp_path: Path) -> None:
    # 300 W for 100 s: 30 kJ and 100 device-seconds, not twice as much.
    board = {"DEV_POWER_USAGE": 300.0, "DEV_TOTAL_ENERGY_CONSUMPTION": 300_000.0}
    content = _partitions({**board, "PROF_PIPE_TENSOR_ACTIVE": 0.4})
    report = _audit(tmp_path, "gpu.prom", content, f'accelerator = "{_A100}"\n')
    (run,) = report.runs
    assert run.figures.energy_joules.quantity.best == pytest.approx(30_000)
    assert run.figures.device_seconds.quantity.best == pytest.approx(100)
    assert "no-devices" not in {finding.code for finding in report.findings}


def test_parts_without_their_board_are_no_devices(tmp_path: Path) -> None:
    report = _audit(
        tmp_path,
        "gpu.prom",
        _partitions({"PROF_PIPE_TENSOR_ACTIVE": 0.4}),
        f'accelerator = "{_A100}"\n',
    )
    (run,) = report.runs
    assert run.figures.device_seconds is None
    assert any(f.code == "no-devices" and "2 MIG partitions" in f.message for f in report.findings)

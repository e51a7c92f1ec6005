"""What the real libraries write while they watch the stand-in, imported and held against its script.

The committed fixtures hold one version of each library; these hold the version that is installed.
"""

import contextlib
import importlib.util
import os
import subprocess
import sys
from datetime import UTC
from pathlib import Path

import pytest

from profilers.importers import ImportFormatError, Options, collect, open_recording
from profilers.reading import Unavailable
from profilers.trace import DeviceKey
from tests.profilers.conftest import start_clock

SCRIPT = """device model=h100
device model=a100
set * util 73
set 0 power 612250
set 1 power 301000
set 0 sm_clock 1410
set 0 mem_used 40e9
set 0 tensor 42.5
set 0 sm 61
set 0 temp 61"""
H100_W, A100_W = 612.25, 301.0


def _python(library: str) -> str:
    """Return an interpreter that has a library: this one, or the one that a variable names."""
    if importlib.util.find_spec(library) is not None:
        return sys.executable
    variable = f"FLOPLEDGER_{library.upper()}_PYTHON"
    if variable not in os.environ:
        pytest.skip(f"{library} IS NOT INSTALLED: set {variable} to a Python that has it")
    return os.environ[variable]


def _alone() -> dict[str, str]:
    """Return the environment without W&B's: a run of this process left its collector's address."""
    return {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}


def _watched(python: str, program: str, folder: Path, *arguments: str, **environment: str) -> None:
    done = subprocess.run(
        [python, "-c", program, str(folder), *arguments],
        capture_output=True,
        text=True,
        timeout=90,
        cwd=folder,
        env={**_alone(), "HOME": str(folder), **environment},
    )
    assert done.returncode == 0, done.stderr[-2000:]


def _readings(trace, key, name):
    seen = trace.devices[key]
    return [seen.reading(name, row) for row in range(len(seen))]


MLFLOW = """
import sys, time, mlflow
mlflow.set_tracking_uri("file://" + sys.argv[1] + "/mlruns")
mlflow.set_system_metrics_sampling_interval(0.2)
mlflow.set_system_metrics_samples_before_logging(1)
mlflow.set_system_metrics_node_id("host-a")
with mlflow.start_run(log_system_metrics=True):
    time.sleep(3)
"""


def test_mlflow_as_installed(nvml, tmp_path):
    python = _python("mlflow")
    nvml(SCRIPT)
    start_clock(tmp_path)
    _watched(python, MLFLOW, tmp_path, MLFLOW_ALLOW_FILE_STORE="true")
    (run,) = [path.parent for path in tmp_path.glob("mlruns/*/*/metrics")]
    _, recording = open_recording(run, Options())
    trace = collect([recording])
    assert recording.format == "mlflow"
    h100, a100 = DeviceKey(uuid="host-a/gpu0"), DeviceKey(uuid="host-a/gpu1")
    assert set(trace.devices) == {h100, a100}
    # MLflow rounds power to a tenth: 612.25 W is 612.2 (half to even) or 612.3
    power = _readings(trace, h100, "power_mw")
    assert len(power) >= 3
    assert set(power) <= {612_200, 612_250, 612_300}
    assert set(_readings(trace, a100, "power_mw")) == {301_000}
    assert set(_readings(trace, h100, "gpu_util_permille")) == {730}


WANDB = """
import sys, time, wandb
run = wandb.init(
    mode="offline", dir=sys.argv[1], project="p",
    settings=wandb.Settings(x_stats_sampling_interval=0.5, silent=True),
)
for step in range(int(sys.argv[2])):
    run.log({"loss": 1 / (step + 1)})
    time.sleep(0.4)
run.finish()
"""


def test_wandb_as_installed(nvml, tmp_path):
    """Its collector is a program of its own, which loads the library by name like any other."""
    python = _python("wandb")
    nvml(SCRIPT)
    start_clock(tmp_path)
    # The collector starts beside the run, and on a busy machine long after it.
    for steps in ("10", "50", "150"):
        folder = tmp_path / steps
        folder.mkdir()
        _watched(python, WANDB, folder, steps, WANDB_ERROR_REPORTING="false")
        (log,) = folder.glob("wandb/offline-run-*/*.wandb")
        with contextlib.suppress(ImportFormatError):
            _, recording = open_recording(log, Options())
            trace = collect([recording])
            if trace.devices and all(len(device) >= 3 for device in trace.devices.values()):
                break
    else:
        pytest.fail("W&B wrote less than three statistics of a device in any of three runs")
    h100 = next(key for key in trace.devices if key.uuid.endswith("01"))
    assert len(trace.devices) == 2
    assert trace.devices[h100].device.name == "NVIDIA H100 80GB HBM3"
    assert set(_readings(trace, h100, "power_mw")) == {612_250}
    assert set(_readings(trace, h100, "sm_clock_mhz")) == {1410}
    assert 425 in _readings(trace, h100, "tensor_activity_permille")
    assert 610 in _readings(trace, h100, "sm_activity_permille")
    # 612.25 W between the first look and the last; the counter steps by 0.1 s
    device = trace.devices[h100]
    seconds = (device.time_ns[-1] - device.time_ns[0]) / 1e9
    energy = _readings(trace, h100, "energy_mj")
    assert (energy[-1] - energy[0]) / 1000 == pytest.approx(H100_W * seconds, abs=0.2 * H100_W)


CODECARBON = """
import sys, time
from codecarbon import OfflineEmissionsTracker
tracker = OfflineEmissionsTracker(
    country_iso_code="USA", output_dir=sys.argv[1], measure_power_secs=0.5, log_level="error",
    allow_multiple_runs=True, save_to_file=True,
)
tracker.start()
time.sleep(float(sys.argv[2]))
tracker.stop()
"""


def _carbon(folder, path, seconds):
    _watched(_python("codecarbon"), CODECARBON, folder, seconds, PATH=path)
    told = Options(node="host-a", zone=UTC)
    _, recording = open_recording(folder / "emissions.csv", told)
    trace = collect([recording])
    assert recording.scope == "devices-together"
    (key,) = trace.devices
    device = trace.devices[key]
    seconds = (device.time_ns[-1] - device.time_ns[0]) / 1e9
    return _readings(trace, key, "energy_mj")[-1], seconds


def test_codecarbon_as_installed(nvml, tmp_path):
    """It looks for GPUs only where a program called nvidia-smi answers, so there is one here."""
    nvml(SCRIPT)
    start_clock(tmp_path)
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    energy, seconds = _carbon(tmp_path, f"{program.parent}:{os.environ['PATH']}", "3")
    # Both devices together: (612.25 + 301) W for the row's duration, less what it does before its
    # first look and after its last one (half a second apart, and a counter that steps 0.1 s).
    assert 0.5 * seconds < energy / 1000 / (H100_W + A100_W) <= seconds + 0.1


def test_codecarbon_that_sees_no_gpu_leaves_no_zero(nvml, tmp_path):
    """Without an nvidia-smi program it writes 0 kWh for two GPUs that draw 913 W."""
    nvml(SCRIPT)
    start_clock(tmp_path)
    energy, _ = _carbon(tmp_path, "/nowhere", "1")
    assert isinstance(energy, Unavailable)
    assert "0 kWh" in energy.detail

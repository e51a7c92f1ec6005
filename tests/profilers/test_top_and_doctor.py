"""The two verbs that look: on a stand-in, on a record, and on nothing."""

import io
import json
import os
import subprocess
import sys
from datetime import UTC
from types import SimpleNamespace

import pytest

from flopledger.commands import doctor
from flopledger.errors import FlopledgerError
from flopledger.profiling.top_view import DeviceView, RecordFeed
from profilers import Device, DeviceKey
from profilers.importers import Options, import_files
from tests.command_line import CLI, flopledger
from tests.profilers.conftest import build_stub

SCRIPT = """device model=h100
device model=a100
set 0 power 612000
set 0 sm_clock 1755
set 0 tensor 41.2
set * util 97"""


@pytest.mark.parametrize("width", [40, 80, 200])
def test_top_fits_its_terminal(nvml, width):
    nvml(SCRIPT)
    done = flopledger("top", "--once", variables={"COLUMNS": str(width), "NO_COLOR": "1"})
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= width
    assert "\x1b[" not in done.stdout
    assert "612/700 W" in done.stdout
    if width >= 80:
        assert "1755/1980 MHz" in done.stdout
        assert "41.2%" in done.stdout


def test_top_as_json_tells_reasons(nvml):
    nvml(SCRIPT)
    told = json.loads(flopledger("top", "--json").stdout)
    first, second = told["devices"]
    assert first["readings"]["tensor_activity_permille"] == 412
    assert "tensor_activity_permille" not in second["readings"]
    assert second["absent"]["tensor_activity_permille"] == "unsupported"


def test_top_without_a_gpu(tmp_path):
    done = flopledger("top", "--once", variables={"LD_LIBRARY_PATH": str(tmp_path)})
    assert done.returncode == 0
    assert "no device can be read here" in done.stdout


def test_top_on_a_record(nvml, record, tmp_path):
    nvml(SCRIPT)
    record(0.4)
    done = flopledger("top", "--once", tmp_path / "run", variables={"COLUMNS": "120"})
    assert "612/700 W" in done.stdout
    missing = flopledger("top", "--once", tmp_path / "nowhere")
    assert missing.returncode == 2
    assert "no run record here" in missing.stderr


def test_doctor_says_what_is_missing_and_what_it_costs(nvml, tmp_path):
    nvml(SCRIPT + "\nfault 0 nvmlGpmSampleGet code=4")
    out = tmp_path / "doctor.json"
    done = flopledger("doctor", "--calibrate", "--seconds", "2", "--out", out)
    assert done.returncode == 0, done.stderr
    assert "no lower bound" in done.stdout
    told = json.loads(out.read_text())
    nvml_told, dcgm_told = told["sources"][:2]
    assert nvml_told["open"]
    forbidden, unsupported = nvml_told["devices"]
    why = {m["signal"]: m["reason"] for m in forbidden["missing"]}
    assert why["tensor_activity_permille"] == "forbidden"
    assert {m["reason"] for m in unsupported["missing"]} == {"unsupported"}
    assert dcgm_told["reason"] == "absent"


def test_doctor_survives_a_library_that_crashes(nvml):
    nvml("device model=h100\nfault 0 nvmlDeviceGetUUID segv")
    done = flopledger("doctor", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)["sources"][0]
    assert (told["open"], told["reason"]) == (False, "failed")
    assert "-11" in told["detail"]
    done = flopledger("doctor")
    # A driver that crashes is no proof that there is no GPU.
    assert "Whether there is a GPU is not known: nvml" in done.stdout
    assert "No GPU can be read here" not in done.stdout


DRIVERS = {
    "no driver": (
        "init 9",
        [
            "nvml: absent - NVML does not start: NVML error 9 (Driver Not Loaded)",
            "install NVIDIA's",
        ],
    ),
    "no permission at all": ("init 4", ["nvml: forbidden", "/dev/nvidiactl"]),
    "no permission for one device": (
        "device model=a100\nfault 0 nvmlDeviceGetHandleByIndex_v2 code=4",
        ["nothing can be read - forbidden", "Insufficient Permissions", "counts as unseen"],
    ),
    "no permission for GPM": (
        "fault 0 nvmlGpmSampleGet code=4",
        ["H100", "19 signals", "tensor_activity_permille (forbidden", "NVreg_Restrict", "no lower"],
    ),
    "no permission for processes": (
        "fault 0 nvmlDeviceGetComputeRunningProcesses_v3 code=4",
        ["no process_count (forbidden", "whether others shared them is unknown"],
    ),
    "lost": (
        "device model=a100\nfault 0 * code=15",
        ["A100", "2 devices", "nothing can be read - lost", "GPU is lost", "reset the device"],
    ),
    "unknown code": (
        "fault 0 nvmlDeviceGetClockInfo code=4711",
        ["no sm_clock_mhz (failed: NVML error 4711", "every bound uses the highest clock"],
    ),
    "neither energy nor power": (
        "fault 0 nvmlDeviceGetFieldValues code=3\nfault 0 nvmlDeviceGetPowerUsage code=3\n"
        "fault 0 nvmlDeviceGetTotalEnergyConsumption code=3",
        ["no energy_mj (unsupported): energy is unknown", "no power_mw (unsupported): energy is"],
    ),
    "segfault": (
        "fault 0 nvmlDeviceGetUUID segv",
        ["failed", "SIGSEGV", "install both from one package"],
    ),
    "MIG": ("mig 0 2 -5000", ["3 devices", "2 x NVIDIA H100", "the whole device has it"]),
    "GPM unsupported": ("gpm=0", ["19 signals", "NVML has it from Hopper on"]),
    "old library": ("", ["no tensor_activity_permille", "newer driver", "driver 450.80.02"]),
}
"""What is written into the script behind one H100, and what the terminal must then show."""


@pytest.mark.parametrize("fault", DRIVERS)
def test_doctor_says_each_fault_of_a_driver_in_words(nvml, tmp_path, fault):
    more, words = DRIVERS[fault]
    if fault == "old library":
        library = build_stub(tmp_path / "old", "-DOMIT_GPM", "-DOMIT_EVENT_REASONS")
        nvml("driver 450.80.02\ndevice model=h100", library)
    else:
        nvml("device model=h100" + (f" {more}" if "=" in more.split()[0] else f"\n{more}"))
    shown = "\n".join(doctor._source_lines(doctor._source("nvml", {}, None)))
    assert [word for word in words if word not in shown] == [], shown


def test_doctor_does_not_wait_for_a_driver_that_hangs(nvml, monkeypatch):
    nvml("device model=h100\nfault 0 nvmlDeviceGetUUID hang")
    monkeypatch.setattr(doctor, "_PATIENCE", 3.0)
    shown = "\n".join(doctor._source_lines(doctor._source("nvml", {}, None)))
    assert "nvml: timed_out - the library did not answer within 3 s" in shown
    assert "the kernel's log" in shown


def test_doctor_says_by_whom_it_asks_and_which_library(nvml):
    nvml("device model=h100")
    done = flopledger("doctor")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"asked as {'root' if os.geteuid() == 0 else 'user'}" in done.stdout
    assert "nvml (driver 580.65.06, NVML 13.580.65.06, CUDA 13.0): 1 device," in done.stdout


def test_permissions_are_read_from_the_kernel_and_the_driver(tmp_path):
    from profilers.permissions import permissions, sentence

    for name in ("dev/nvidia0", "dev/nvidiactl", "proc/driver/nvidia/params"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "proc/driver/nvidia/params").write_text("Mobile: 4\nRmProfilingAdminOnly: 1\n")
    told = permissions(tmp_path)
    assert told["device_files"] == {"nvidia0": True, "nvidiactl": True}
    assert told["profiling_for_root_only"] is True
    assert told["perf_event_paranoid"] is None  # this kernel does not say
    assert "keeps performance counters for root" in sentence(told)
    closed = told | {"device_files": {"nvidia0": False}, "root": False, "user": 1000}
    assert "user 1000, not root; 0 of 1 GPU device files" in sentence(closed)
    assert permissions(tmp_path / "nothing")["profiling_for_root_only"] is None


def test_top_tells_the_steps_and_the_mfu_of_a_run_that_goes_on(tmp_path, monkeypatch):
    """Without summary.json a run goes on: its steps so far speak, against the devices on the screen."""
    asked = []

    def so_far(folder):
        asked.append(folder)
        return SimpleNamespace(steps=1234)

    def used(totals, devices):
        assert [device["name"] for device in devices] == ["NVIDIA H100 80GB HBM3"]
        return SimpleNamespace(mfu=0.4123, device_count=1, name="NVIDIA H100", dtype="bf16")

    monkeypatch.setattr("flopledger.recording.totals.read_totals", so_far)
    monkeypatch.setattr("flopledger.recording.utilisation.utilisation", used)
    feed = RecordFeed(tmp_path)
    views = [DeviceView(Device(key=DeviceKey(uuid="GPU-1"), name="NVIDIA H100 80GB HBM3"))]
    line = "running: 1,234 steps, MFU 41.2% of 1 x NVIDIA H100 in bf16"
    assert feed._summary_note(views) == [line]
    feed._steps_again = float("inf")  # not yet time to work it out again
    assert feed._summary_note(views) == [line]
    assert asked == [tmp_path]
    for damaged in ('{"exit_code": 0, "mf', "[" * 100_000):  # half written; nested too deep to read
        (tmp_path / "summary.json").write_text(damaged)
        with pytest.raises(FlopledgerError, match=r"summary\.json is not a summary"):
            feed._summary_note(views)
    (tmp_path / "summary.json").write_text('{"exit_code": 0, "mfu": 0.4}')
    assert feed._summary_note(views) == ["ended with exit code 0; MFU 40.0%"]


def test_an_imported_record_has_ended(tmp_path):
    made = {"stamp": "2026/01/01 00:00:0{}.000", "row": "0, NVIDIA H100 80GB HBM3, 350.00 W"}
    rows = [f"{made['stamp'].format(second)}, {made['row']}" for second in range(5)]
    text = "\n".join(["timestamp, index, name, power.draw [W]", *rows, ""])
    (tmp_path / "gpu.csv").write_text(text)
    out = tmp_path / "run"
    import_files([str(tmp_path / "gpu.csv")], out, Options(zone=UTC))
    view = RecordFeed(out).look(first=True)
    assert [one.ended for one in view.devices] == [True]
    assert "imported from recordings; nothing more is to come" in view.notes
    (out / "run.json").write_text("{}")  # a run is added to it, and goes on
    assert [one.ended for one in RecordFeed(out).look(first=True).devices] == [False]


def test_energy_counter_against_power(nvml, tmp_path):
    from tests.profilers.conftest import start_clock

    nvml("device model=h100\nset 0 power 500000")
    start_clock(tmp_path)
    told = json.loads(flopledger("doctor", "--calibrate", "--seconds", "3", "--json").stdout)
    energy = told["sources"][0]["devices"][0]["energy"]
    assert energy["power_watts"] == pytest.approx(500)
    assert energy["counter_watts"] == pytest.approx(500, rel=0.1)
    assert 80 <= energy["update_ms"] <= 200


def test_a_screen_of_forty_columns_cuts_no_figure(nvml):
    nvml(
        "device model=h100\n" * 15 + "device model=b200\nset * power 612000\nset * util 97\n"
        "set * tensor 41"
    )
    environment = {**os.environ, "COLUMNS": "40", "NO_COLOR": "1"}
    command = [sys.executable, CLI, "top", "--once"]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=60, check=True
    )
    assert max(map(len, done.stdout.splitlines())) <= 40
    assert "\x1b" not in done.stdout
    lines = done.stdout.splitlines()
    assert sum("612/700 W  97.0%   41.0%" in line for line in lines) == 15
    assert any(line.startswith("15 B200") and "612/1000 W  97.0%" in line for line in lines)
    assert "…" not in done.stdout


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_a_lost_device_is_told_at_any_width(width):
    """Where there is no room for a column of faults they stand below the table."""
    from rich.console import Console

    from flopledger.commands.top_screen import render
    from flopledger.profiling.top_view import DeviceView, View

    key = DeviceKey(uuid="GPU-3", mig="MIG-11111111-2222-3333-4444-555555555555")
    well = Device(key=DeviceKey(uuid="GPU-15"), name="NVIDIA B200", index=15, power_limit_mw=10**6)
    lost = Device(key=key, name="NVIDIA H100 80GB HBM3", index=3)
    readings = {"power_mw": 612_000, "gpu_util_permille": 970, "tensor_activity_permille": 410}
    view = View(
        title="this host",
        devices=[
            DeviceView(device=well, readings=readings, absent={}, age_seconds=0.0),
            DeviceView(device=lost, readings={}, absent={"power_mw": "lost"}, age_seconds=0.0),
        ],
        notes=["a note"],
    )
    console = Console(width=width, no_color=True, record=True, file=io.StringIO())
    console.print(render(view, width))
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= width
    assert "LOST" in text
    assert "3/555555" in text
    assert "612/1000 W" in text
    assert "97.0%" in text
    assert "a note" in text

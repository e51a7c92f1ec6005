"""The two verbs that look: on a stand-in, on a record, and on nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def flopledger(*words, **variables):
    return subprocess.run(
        [sys.executable, str(ROOT / "cli.py"), *map(str, words)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, **variables},
    )


SCRIPT = """device model=h100
device model=a100
set 0 power 612000
set 0 sm_clock 1755
set 0 tensor 41.2
set * util 97"""


@pytest.mark.parametrize("width", [40, 80, 200])
def test_top_fits_its_terminal(nvml, width):
    nvml(SCRIPT)
    done = flopledger("top", "--once", COLUMNS=str(width), NO_COLOR="1")
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= width
    assert "\x1b[" not in done.stdout
    assert "612/700 W" in done.stdout
    if width >= 80:
        assert "1755/1980 MHz" in done.stdout
        assert "41.2 %" in done.stdout


def test_top_as_json_tells_reasons(nvml):
    nvml(SCRIPT)
    told = json.loads(flopledger("top", "--json").stdout)
    first, second = told["devices"]
    assert first["readings"]["tensor_activity_permille"] == 412
    assert "tensor_activity_permille" not in second["readings"]
    assert second["absent"]["tensor_activity_permille"] == "unsupported"


def test_top_without_a_gpu(tmp_path):
    done = flopledger("top", "--once", LD_LIBRARY_PATH=str(tmp_path))
    assert done.returncode == 0
    assert "no device can be read here" in done.stdout


def test_top_on_a_record(nvml, record, tmp_path):
    nvml(SCRIPT)
    record(0.4)
    done = flopledger("top", "--once", tmp_path / "run", COLUMNS="120")
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
    nvml("device model=h100\nset 0 power 612000\nset 0 util 97\nset 0 tensor 41")
    environment = {**os.environ, "COLUMNS": "40", "NO_COLOR": "1"}
    command = [sys.executable, str(ROOT / "cli.py"), "top", "--once"]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=60, check=True
    )
    assert max(map(len, done.stdout.splitlines())) <= 40
    assert "\x1b" not in done.stdout
    assert "612/700 W" in done.stdout
    assert "97.0 %" in done.stdout
    assert "41.0 %" in done.stdout

"""``flopledger run`` as a user runs it: another process, any command, a stand-in driver."""

import contextlib
import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from flopledger.commands import main
from flopledger.profiling.summary import summarise
from tests.command_line import CLI, ROOT, flopledger
from tests.profilers.conftest import start_clock

H100 = "GPU-00000000-0000-0000-0000-000000000001"


def clocked(folder: Path, *command: str) -> list[str]:
    """Start the script's time with the command, then become the command."""
    program = (
        "import os, sys, time; "
        "open(sys.argv[1] + '.part', 'w').write(str(time.monotonic_ns())); "
        "os.rename(sys.argv[1] + '.part', sys.argv[1]); "
        "os.execvp(sys.argv[2], sys.argv[2:])"
    )
    return [sys.executable, "-S", "-W", "ignore", "-c", program, str(folder / "epoch"), *command]


def summary(folder: Path) -> dict:
    return json.loads((folder / "summary.json").read_text())


def codes(told: dict) -> set[str]:
    return {finding["code"] for finding in told["findings"]}


def test_a_run_is_measured_from_start_to_end(nvml, tmp_path):
    nvml(
        "device model=h100\nset 0 power 500000\nset 0 util 80\nset 0 tensor 50\nset 0 sm_clock 1600"
    )
    start_clock(tmp_path)
    out = tmp_path / "out"
    done = flopledger(
        "run",
        "--out",
        out,
        "--interval",
        "100ms",
        "--",
        "bash",
        "-c",
        "echo hello; sleep 2; exit 5",
    )
    assert done.returncode == 5, done.stderr
    assert done.stdout == "hello\n"  # nothing of ours among the child's output
    told = summary(out)
    assert told["command"] == ["bash", "-c", "echo hello; sleep 2; exit 5"]
    assert told["exit_code"] == 5
    seconds = told["duration_seconds"]
    assert 2.0 <= seconds < 6.0
    (device,) = told["devices"]
    assert (device["uuid"], device["status"], device["gaps"]) == (H100, "ok", [])
    # 500 W over the child's life; the counter is coarse to 0.1 s at either end.
    assert told["energy_joules"] == pytest.approx(500 * seconds, abs=500 * 0.15)
    assert device["covered_seconds"] == pytest.approx(seconds, abs=0.02)
    assert device["busy_seconds"] == pytest.approx(0.8 * seconds, abs=0.02)
    assert device["tensor_activity"] == pytest.approx(0.5)
    # H100 SXM: 132 SM x 4096 FLOP/clock (bf16 dense) x 1.6 GHz x 0.5 x seconds.
    truth = 132 * 4096 * 1.6e9 * 0.5 * seconds
    bf16 = told["flop_bounds"]["by_precision"]["bf16"]
    assert bf16["low"] <= truth <= bf16["high"]
    assert bf16["high"] / bf16["low"] < 1.08
    assert told["model_flop"] is None
    assert "model-flop-unknown" in codes(told)


def test_without_any_gpu_everything_unknown_is_null(tmp_path, monkeypatch):
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    done = flopledger("run", "--out", tmp_path / "out", "--", "true")
    assert done.returncode == 0, done.stderr
    told = summary(tmp_path / "out")
    assert told["devices"] == []
    assert told["energy_joules"] is None
    assert told["flop_bounds"] is None
    assert {"no-devices", "source-unavailable"} <= codes(told)


def test_a_command_that_does_not_exist(tmp_path):
    done = flopledger("run", "--out", tmp_path / "out", "--", "no-such-program-anywhere")
    assert done.returncode == 127
    assert "not found" in done.stderr
    assert summary(tmp_path / "out")["exit_code"] == 127


def test_a_command_keeps_its_exit_code_whatever_becomes_of_the_sums(tmp_path, monkeypatch, capsys):
    """A tool that was upgraded meanwhile, a module that is gone: the days before count."""

    def broken(*_):
        raise ImportError("no such name")

    monkeypatch.setattr("flopledger.profiling.run.summarise", broken)
    out = tmp_path / "a run"
    assert main(["run", "--out", str(out), "--", "sh", "-c", "exit 5"]) == 5
    told = capsys.readouterr().err
    assert "summary.json could not be made (ImportError: no such name)" in told
    assert f"flopledger report '{out}'" in told
    assert list(out.glob("telemetry/*/journal.jsonl"))


def test_talk_that_nobody_takes_costs_no_exit_code(tmp_path):
    words = [sys.executable, CLI, "run", "--out", tmp_path / "out", "--", "sh", "-c", "exit 5"]
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        assert subprocess.run(words, stderr=full, check=False).returncode == 5
    words[4] = tmp_path / "other"
    with subprocess.Popen(words, stderr=subprocess.PIPE) as child:
        child.stderr.close()  # `2>&1 | head -0`
        assert child.wait(60) == 5


def test_a_ctrl_c_behind_the_commands_end_leaves_its_exit_code_and_the_summary(
    tmp_path, monkeypatch, capsys
):
    def impatient(*words):
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        return summarise(*words)

    monkeypatch.setattr("flopledger.profiling.run.summarise", impatient)
    out = tmp_path / "out"
    assert main(["run", "--out", str(out), "--", "sh", "-c", "exit 5"]) == 5
    assert summary(out)["exit_code"] == 5
    assert "exit code 5, record in" in capsys.readouterr().err


def test_a_hang_is_a_gap_and_the_energy_is_still_known(nvml, tmp_path):
    nvml(
        "device model=h100\nset 0 power 400000\n"
        "fault 0 nvmlDeviceGetUtilizationRates hang from=0.5 to=1.5"
    )
    out = tmp_path / "out"
    command = clocked(tmp_path, "sleep", "6")
    done = flopledger("run", "--out", out, "--interval", "100ms", "--", *command)
    assert done.returncode == 0, done.stderr
    told = summary(out)
    (device,) = told["devices"]
    assert device["status"] == "partial"
    # A loaded machine may add gaps of its own; the hang's is the long one, and has its own reason.
    hang = max(device["gaps"], key=lambda gap: gap["end"] - gap["start"])
    assert hang["reason"] == "timed_out"
    assert hang["end"] - hang["start"] > 0.9
    assert "coverage-gap" in codes(told)
    seconds = told["duration_seconds"]
    # The script's clock, and with it the counter, begins within the command: between its start and 6 s
    # before its end. The counter moves by a tenth of a second.
    assert 400 * (6 - 0.15) <= told["energy_joules"] <= 400 * (seconds + 0.15)
    assert device["covered_seconds"] < seconds - 0.9


def test_only_the_devices_of_the_process_tree_count(nvml, tmp_path, monkeypatch):
    nvml("device model=h100\ndevice model=h100")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    flopledger("run", "--out", tmp_path / "out", "--", "sleep", "0.2")
    told = summary(tmp_path / "out")
    assert [device["uuid"][-1] for device in told["devices"]] == ["2"]
    assert told["attribution"] == "visible-devices"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_are_passed_and_the_record_is_kept(nvml, tmp_path, number, code):
    nvml("device model=h100")
    out = tmp_path / "out"
    # A shell starts what it puts into the background with SIGINT ignored, tests included.
    program = subprocess.Popen(
        [sys.executable, CLI, "run", "-q", "--out", str(out), "--", "sleep", "60"],
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )
    until = time.monotonic() + 20
    while not _child_runs(program.pid) and time.monotonic() < until:
        time.sleep(0.05)
    program.send_signal(number)
    assert program.wait(20) == code
    told = summary(out)
    assert told["exit_code"] == code
    assert told["duration_seconds"] < 20


def _child_runs(pid: int, program: str = "sleep") -> bool:
    """Say whether a process has such a child; one that ends while we look is not one."""
    for child in psutil.Process(pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if child.name() == program:
                return True
    return False


def test_a_child_that_handles_its_signal_keeps_its_own_code(tmp_path):
    program = subprocess.Popen(
        [
            sys.executable,
            CLI,
            "run",
            "-q",
            "--out",
            str(tmp_path / "out"),
            "--",
            "bash",
            "-c",
            "trap 'exit 9' TERM; while true; do sleep 0.1; done",
        ]
    )
    until = time.monotonic() + 20
    while time.monotonic() < until:
        if _child_runs(program.pid, "bash"):
            break
        time.sleep(0.05)
    time.sleep(0.3)
    program.send_signal(signal.SIGTERM)
    assert program.wait(20) == 9


def test_a_record_is_never_overwritten(tmp_path):
    out = tmp_path / "out"
    assert flopledger("run", "-q", "--out", out, "--", "true").returncode == 0
    again = flopledger("run", "-q", "--out", out, "--", "true")
    assert again.returncode == 2
    assert "holds a record already" in again.stderr


def test_two_runs_that_begin_at_once_do_not_share_a_folder(tmp_path, monkeypatch):
    """Both looked before either wrote: one has the folder, the other's command is not started."""
    from flopledger.profiling.run import ProfiledRun, RunError

    monkeypatch.chdir(tmp_path)
    mark = tmp_path / "started"
    asked = {"interval_seconds": 1.0, "sources": [], "steps": False}
    first = ProfiledRun(["true"], folder=tmp_path / "run", **asked)
    second = ProfiledRun(["touch", str(mark)], folder=tmp_path / "run", **asked)
    assert first.run()["exit_code"] == 0
    with pytest.raises(RunError, match="holds a record already"):
        second.run()
    assert not mark.exists()
    unnamed = [ProfiledRun(["true"], folder=None, **asked).folder for _ in range(3)]
    assert len(set(unnamed)) == 3


def test_bad_usage_is_told_without_a_traceback(tmp_path):
    for words, told in (
        (["run", "--interval", "0", "--", "true"], "10ms to 60m"),
        (["run", "--out", "/proc/nowhere", "--", "true"], "cannot hold a record"),
        (["run"], "COMMAND"),
    ):
        done = flopledger(*words, cwd=tmp_path, variables={"PYTHONPATH": str(ROOT)})
        assert done.returncode == 2, words
        assert told in done.stderr
        assert "Traceback" not in done.stderr


def test_secrets_stay_out_of_the_record(tmp_path):
    out = tmp_path / "out"
    flopledger(
        "run",
        "-q",
        "--out",
        out,
        "--",
        "true",
        "--api-key=abc123",
        "--hf-token",
        "xyz789",
        "--lr",
        "3e-4",
        variables={"HF_TOKEN": "hf_verysecret"},
    )
    text = "".join(p.read_text(errors="replace") for p in out.rglob("*") if p.is_file())
    for secret in ("hf_verysecret", "abc123", "xyz789"):
        assert secret not in text
    assert "3e-4" in text


def test_a_python_child_sees_the_same_world(tmp_path, monkeypatch):
    """Without the recorder of steps no environment of ours leaks; the signal mask is untouched."""
    program = (
        "import os, signal; "
        "print(os.environ.get('PYTHONPATH'), sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])))"
    )
    monkeypatch.delenv("PYTHONPATH", raising=False)
    words = ["run", "-q", "--no-steps", "--out", tmp_path / "out", "--"]
    done = flopledger(*words, sys.executable, "-c", program)
    assert done.stdout.strip() == "None []"


def test_a_disk_that_is_full_at_the_start_starts_nothing(tmp_path, monkeypatch):
    from flopledger.profiling.run import ProfiledRun, RunError

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    mark = tmp_path / "started"
    run = ProfiledRun(
        ["touch", str(mark)], folder=tmp_path / "run", interval_seconds=1.0, sources=[]
    )
    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(RunError, match=r"No space left on device.*not started; make room"):
        run.run()
    assert not mark.exists()

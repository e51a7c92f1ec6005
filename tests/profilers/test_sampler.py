"""Many ranks, forks, dying parents: one recorder a node, and never a lost record."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from profilers import DeviceKey, read_record
from profilers.probe_process import spawn
from profilers.record import RecordError, node_records, verify
from profilers.sampler import Sampler, SamplerError, SamplerSettings

ROOT = Path(__file__).parents[2]
ONE = DeviceKey(uuid="GPU-00000000-0000-0000-0000-000000000001")
FAST = {"interval_seconds": 0.1, "node": "n1"}


def test_two_ranks_are_one_recorder(nvml, tmp_path):
    nvml("device model=h100")
    ranks = [Sampler(tmp_path / "run", SamplerSettings(**FAST)) for _ in range(2)]
    for rank in ranks:
        rank.start()
        assert rank.wait_ready(60)
    assert [rank.shared for rank in ranks] == [False, True]
    time.sleep(0.5)
    stopped = [rank.stop(60) for rank in reversed(ranks)]
    assert stopped == [True, True]
    trace = read_record(tmp_path / "run")
    assert list(trace.devices) == [ONE]
    assert len(node_records(tmp_path / "run")) == 1
    seen = trace.devices[ONE]
    assert seen.covered_seconds() <= (seen.time_ns[-1] - seen.time_ns[0]) / 1e9 + 1e-5


def test_two_nodes_and_a_device_shared_by_two_runs(nvml, tmp_path):
    nvml("device model=h100")
    first = Sampler(tmp_path / "a", SamplerSettings(**FAST))
    second = Sampler(tmp_path / "b", SamplerSettings(**FAST))
    for sampler in (first, second):
        sampler.start()
    for sampler in (first, second):
        assert sampler.wait_ready(60)
        assert not sampler.shared  # another run's folder is another record
    time.sleep(0.6)
    for sampler in (first, second):
        assert sampler.stop(60)
    one, other = read_record(tmp_path / "a"), read_record(tmp_path / "b")
    both = one.merge(other)
    # The same device twice is one device: its seconds are not added up.
    assert list(both.devices) == [ONE]
    alone = max(one.devices[ONE].covered_seconds(), other.devices[ONE].covered_seconds())
    sum_of_both = one.devices[ONE].covered_seconds() + other.devices[ONE].covered_seconds()
    assert alone - 0.01 <= both.devices[ONE].covered_seconds() < 0.95 * sum_of_both + 0.1


PARENT = """
import os, sys, time
from pathlib import Path
from profilers.sampler import Sampler, SamplerSettings
sampler = Sampler(Path(sys.argv[1]), SamplerSettings(interval_seconds=0.1, node="n1"))
sampler.start()
assert sampler.wait_ready(60)
if sys.argv[2] == "fork":
    child = os.fork()
    if child == 0:
        time.sleep(30)  # a data loader that outlives its parent
        os._exit(0)
    print(child, flush=True)
print("ready", sampler.pid, flush=True)
time.sleep(30)
"""


FORKS = """
import gc, os, sys
from pathlib import Path
from profilers.sampler import Sampler, SamplerSettings
sampler = Sampler(Path(sys.argv[1]), SamplerSettings(interval_seconds=0.1, node="n1"))
sampler.start()
assert sampler.wait_ready(60)
child = os.fork()
if child == 0:
    gc.collect()
    os._exit(0)
os.waitpid(child, 0)
assert sampler.stop(60)
"""


def test_a_forked_child_lets_go_of_the_sampler_without_a_word(nvml, tmp_path):
    nvml("device model=h100")
    words = [sys.executable, "-W", "always::ResourceWarning", "-c", FORKS, str(tmp_path / "run")]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, timeout=90, check=False)
    # From Python 3.13 on a file whose descriptor is gone complains without the option, too.
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("way", ["plain", "fork"])
def test_a_killed_parent_leaves_a_sealed_record(nvml, tmp_path, way):
    nvml("device model=h100")
    run = tmp_path / "run"
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(run), way],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    loader = int(parent.stdout.readline()) if way == "fork" else None
    recorder = psutil.Process(int(parent.stdout.readline().split()[1]))
    (probe,) = recorder.children()
    time.sleep(0.5)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    _, alive = psutil.wait_procs([recorder, probe], timeout=20)
    assert alive == []
    if loader:
        os.kill(loader, signal.SIGKILL)
    assert verify(run) == []
    assert len(read_record(run).devices[ONE]) >= 3


def test_a_killed_recorder_loses_the_sweep_in_flight_at_most(nvml, tmp_path):
    nvml("device model=h100")
    run = tmp_path / "run"
    sampler = Sampler(run, SamplerSettings(**FAST))
    sampler.start()
    assert sampler.wait_ready(60)
    time.sleep(0.7)
    recorder = psutil.Process(sampler.pid)
    (probe,) = recorder.children()
    killed = time.time_ns()
    recorder.kill()
    sampler.stop(10)
    psutil.wait_procs([probe], timeout=20)
    assert not probe.is_running()
    seen = read_record(run).devices[ONE]
    # Everything up to the sweep before the kill is there; a machine that is late with it was late before.
    late = max(b - a for a, b in pairwise(map(int, seen.time_ns))) / 1e9 - FAST["interval_seconds"]
    assert (killed - int(seen.time_ns[-1])) / 1e9 < 0.35 + 2 * late
    assert {p.code for p in verify(run)} == {"unsealed"}
    # And the next recorder continues the same chain.
    again = Sampler(run, SamplerSettings(**FAST))
    again.start()
    assert again.wait_ready(60)
    assert again.stop(60)
    assert verify(run) == []
    assert len(read_record(run).devices[ONE]) > len(seen)


def test_a_paused_machine_is_no_reason_to_kill_the_probe(nvml, tmp_path):
    nvml("device model=h100")
    settings = SamplerSettings(deadline_seconds=0.5, **FAST)
    sampler = Sampler(tmp_path / "run", settings)
    sampler.start()
    assert sampler.wait_ready(60)
    recorder = psutil.Process(sampler.pid)
    (probe,) = recorder.children()
    for process in (recorder, probe):
        process.suspend()
    time.sleep(2.5)
    for process in (recorder, probe):
        process.resume()
    time.sleep(0.6)
    assert recorder.children() == [probe]
    assert sampler.stop(60)
    kinds = [event.kind for event in read_record(tmp_path / "run").events]
    assert "recorder-paused" in kinds
    assert "sampler-restart" not in kinds


def test_a_parent_that_never_listens_keeps_no_recorder_waiting(nvml, tmp_path):
    nvml("device model=h100")
    mine, its = os.pipe()
    os.set_blocking(its, False)
    with contextlib.suppress(BlockingIOError):
        while True:  # words of hours without a device, to nobody
            os.write(its, b"x" * 4096)
    os.set_blocking(its, True)
    recorder = spawn(
        "profilers.recorder", stdin=subprocess.PIPE, stdout=its, start_new_session=True
    )
    settings = {
        "run_dir": str(tmp_path / "run"), "node": "n1", "interval_ns": 10**8, "deadline_ns": 10**9,
        "start_deadline_ns": 30 * 10**9, "sources": [{"name": "nvml"}],
    }  # fmt: skip
    recorder.stdin.write(json.dumps(settings).encode() + b"\n")
    recorder.stdin.flush()
    try:
        until = time.monotonic() + 60
        seen = 0
        while (
            seen < 3 and time.monotonic() < until
        ):  # the second comes behind the word of the first
            time.sleep(0.2)
            with contextlib.suppress(RecordError):
                seen = max(map(len, read_record(tmp_path / "run").devices.values()), default=0)
        assert seen >= 3
        recorder.stdin.close()
        assert recorder.wait(60) == 0
    finally:
        recorder.kill()
        recorder.wait()
        os.close(mine)
        os.close(its)


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    blocker = tmp_path / "file"
    blocker.write_text("")
    sampler = Sampler(blocker, SamplerSettings(**FAST))
    sampler.start()
    with pytest.raises(SamplerError, match="choose another folder"):
        sampler.wait_ready(60)
    sampler.stop(10)


def test_a_record_that_is_removed_is_begun_anew(nvml, tmp_path):
    """With its header, its devices and the marks of the run; what went with the old one is said."""
    nvml("device model=h100")
    sampler = Sampler(tmp_path / "run", SamplerSettings(**FAST))
    sampler.start()
    assert sampler.wait_ready(60)
    sampler.mark("start", 10)
    shutil.rmtree(tmp_path / "run")
    removed = time.time_ns()
    time.sleep(2.5)  # calm sweeps become a batch a second
    assert sampler.stop(60)
    assert verify(tmp_path / "run") == []
    (node,) = node_records(tmp_path / "run")
    assert node.sealed
    trace = read_record(tmp_path / "run")
    seen = trace.devices[ONE]
    assert seen.time_ns[0] > removed - 1.3e9  # of the second before the rest may have waited
    assert seen.covered_seconds() > 1.0
    assert [event.kind for event in trace.events].count("record-removed") == 1
    assert trace.started_ns is not None


def test_settings_are_checked():
    with pytest.raises(SamplerError, match=r"give 0\.01 s to 3600 s"):
        SamplerSettings(interval_seconds=0)


def test_the_sampler_processes_never_import_numpy_or_pyarrow():
    program = (
        "import sys, profilers.recorder, profilers.probe, profilers.sources.nvml; "
        "print({'numpy', 'pyarrow', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.strip() == "set()"


NO_ROOM = """
import os
from profilers import recorder
start, left = recorder.ProbeProcess, [2]
def refused(settings):
    if left[0]:
        left[0] -= 1
        raise BlockingIOError(11, "Resource temporarily unavailable")
    return start(settings)
recorder.ProbeProcess = refused
os._exit(recorder.main())
"""


def test_a_machine_without_room_for_a_process_is_asked_again(nvml, tmp_path):
    """A container's limit on processes is no end of the record."""
    nvml("device model=h100")
    settings = {
        "run_dir": str(tmp_path / "run"), "node": "n1", "interval_ns": 100_000_000,
        "deadline_ns": 3_000_000_000, "start_deadline_ns": 30_000_000_000,
        "sources": [{"name": "nvml"}],
    }  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "-c", NO_ROOM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as recorder:
        recorder.stdin.write(json.dumps(settings) + "\n")
        recorder.stdin.flush()
        told = [json.loads(recorder.stdout.readline()) for _ in range(3)]
        recorder.communicate("stop\n", timeout=60)
    assert [message["t"] for message in told] == ["trouble", "trouble", "ready"]
    assert "Resource temporarily unavailable" in told[0]["detail"]
    trace = read_record(tmp_path / "run")
    assert [gap.reason for gap in trace.gaps] == ["failed"]
    assert list(trace.devices) == [ONE]
    assert verify(tmp_path / "run") == []


def test_a_marks_name_is_one_line(nvml, tmp_path):
    """What followed a line's end in it would be an order of its own: here, to stop."""
    nvml("device model=h100")
    sampler = Sampler(tmp_path / "run", SamplerSettings(**FAST))
    sampler.start()
    assert sampler.wait_ready(60)
    assert sampler.mark("epoch\nstop", 10)
    assert sampler.mark("after", 10)
    assert sampler.stop(60)
    (node,) = node_records(tmp_path / "run")
    names = [entry["what"] for entry in node.entries if entry.get("kind") == "run"]
    assert names == ["epoch stop", "epoch stop-sweep", "after", "after-sweep"]

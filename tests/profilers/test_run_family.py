"""``flopledger run`` around whole families of processes: pipes, daemons, torchrun, terminals."""

import datetime as dt
import json
import os
import pty
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from flopledger.profiling.process_tree import ProcessTree, attribute
from profilers import Device, DeviceKey, DeviceTrace, Event, Trace, read_record
from profilers.integrals import energy
from tests.profilers.conftest import start_clock

ROOT = Path(__file__).parents[2]
CLI = str(ROOT / "cli.py")


def profile(out: Path, *command, **more):
    words = [sys.executable, CLI, "run", "-q", "--out", str(out), "--", *map(str, command)]
    more = {"capture_output": True, "text": True, "timeout": 120, "check": False} | more
    return subprocess.run(words, **more)


def summary(out: Path) -> dict:
    return json.loads((out / "summary.json").read_text())


def codes(told: dict) -> set[str]:
    return {finding["code"] for finding in told["findings"]}


def wait_for(condition, seconds=30.0):
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)
    return found


def test_a_pipeline_keeps_its_streams_and_its_code(tmp_path):
    script = "set -o pipefail; printf 'b\\na\\n' | sort | tee /dev/stderr; cat; exit 4"
    done = profile(tmp_path / "out", "bash", "-c", script, input="from stdin\n")
    assert (done.returncode, done.stdout) == (4, "a\nb\nfrom stdin\n")
    assert done.stderr == "a\nb\n"


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL])
def test_an_end_by_signal_is_told_as_shells_do(tmp_path, number):
    done = profile(tmp_path / "out", "bash", "-c", f"kill -{int(number)} $$")
    assert done.returncode == 128 + number
    assert summary(tmp_path / "out")["exit_code"] == 128 + number


DAEMON = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:  # the daemon: its parent is gone, its session is its own
        open(sys.argv[1] + ".part", "w").write(str(os.getpid()))
        os.rename(sys.argv[1] + ".part", sys.argv[1])
        time.sleep(60)
    os._exit(0)
os.wait()
while not os.path.exists(sys.argv[1]):
    time.sleep(0.01)
time.sleep(float(sys.argv[2]))
"""


def test_a_daemon_is_left_alone_and_told(tmp_path):
    out, pid_file = tmp_path / "out", tmp_path / "pid"
    started = time.monotonic()
    # The daemon keeps whatever streams it was given open.
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    words = (sys.executable, "-c", DAEMON, pid_file, "0.5")
    done = profile(out, *words, capture_output=False, text=False, **streams)
    daemon = int(pid_file.read_text())
    try:
        assert done.returncode == 0
        assert time.monotonic() - started < 30  # nobody waits for a daemon
        assert psutil.Process(daemon).is_running()
        told = summary(out)
        assert "processes-left-running" in codes(told)
    finally:
        os.kill(daemon, signal.SIGKILL)


ADOPTS = """
import os, signal, sys
from flopledger.profiling.child import AWAITED, run_child

previous = signal.pthread_sigmask(signal.SIG_BLOCK, AWAITED)
ended = run_child([sys.executable, "-c", *sys.argv[1:]], mask=previous)
daemon = int(open(sys.argv[2]).read())
os.kill(daemon, signal.SIGKILL)
os.waitpid(daemon, 0)  # we adopted it
print(ended.code, ended.left, daemon in ended.tree.pids)
"""


def test_orphans_stay_in_the_tree(tmp_path):
    """In a process of its own: this one may have adopted other tests' orphans."""
    words = [sys.executable, "-c", ADOPTS, DAEMON, str(tmp_path / "pid"), "0.3"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "0 1 True\n"


def listing(index: int, *lists: tuple[int, str]) -> DeviceTrace:
    key = DeviceKey(uuid=f"GPU-{index}")
    events = tuple(
        Event(time_ns=at, kind="processes", device=key, detail={"pids": pids}) for at, pids in lists
    )
    return DeviceTrace.of_samples(Device(key=key, index=index), [], events=events)


def test_a_shared_device_is_told():
    """Our processes are 10 and 11. Device 0 is ours, 1 shared, 2 others', 3 ours after the end."""
    devices = [
        listing(0, (5, "10")),
        listing(1, (1, "99"), (5, "11 99 100")),
        listing(2, (5, "99")),
        listing(3, (1, "77"), (3, ""), (25, "11")),
    ]
    trace = Trace(devices={d.device.key: d for d in devices}, started_ns=4, ended_ns=20)
    tree = ProcessTree(10)
    tree.pids = {10, 11}
    found = attribute(trace, tree, {})
    assert {key.uuid for key in found.used} == {"GPU-0", "GPU-1"}
    assert found.evidence == "driver-process-list"
    assert found.shared == {DeviceKey(uuid="GPU-1"): 2}  # 99 and 100


def _hosted(*places: tuple[str, str, int]) -> Trace:
    """Devices as (id, name, N of its file), in the order in which the driver lists them."""
    keys = [DeviceKey.parse(name) for name, _, _ in places]
    whole = list(dict.fromkeys(key.uuid for key in keys))
    made = [
        Device(key=key, name=kind, vendor="nvidia", index=whole.index(key.uuid), file_number=file)
        for key, (_, kind, file) in zip(keys, places, strict=True)
    ]
    return Trace(devices={one.key: DeviceTrace.of_samples(one, []) for one in made})


PAIR = (("GPU-a", "H100", 3), ("GPU-b", "H100", 1))
MIXED = (("GPU-t", "T1000", 0), ("GPU-h", "H100", 1))
PARTS = (
    ("GPU-m", "H100", 0),
    ("GPU-m/MIG-1", "H100", 0),
    ("GPU-m/MIG-2", "H100", 0),
    ("GPU-n", "H100", 1),
)


@pytest.mark.parametrize(
    ("places", "opened", "environment", "used", "evidence"),
    [
        # A container with two of a host's devices: files keep the host's numbers, places do not.
        (PAIR, {1}, {}, {"GPU-b"}, "device-files"),
        (PAIR, {1, 3}, {}, {"GPU-a", "GPU-b"}, "device-files"),
        (PAIR, {1, 3}, {"CUDA_VISIBLE_DEVICES": "1"}, {"GPU-b"}, "device-files"),
        (PAIR, set(), {"CUDA_VISIBLE_DEVICES": "GPU-b,GPU-a"}, {"GPU-a", "GPU-b"}, "visible-devices"),
        # A program within set it otherwise; one that only reads the driver opens all.
        (PAIR, {1}, {"CUDA_VISIBLE_DEVICES": "0"}, {"GPU-b"}, "device-files"),
        (PAIR, {1, 3}, {"CUDA_VISIBLE_DEVICES": ""}, set(), "visible-devices"),
        (PAIR, {1, 3}, {"CUDA_VISIBLE_DEVICES": "-1"}, set(), "visible-devices"),
        (PAIR, set(), {"CUDA_VISIBLE_DEVICES": "²"}, set(), "visible-devices"),
        # CUDA's 0 is the faster one, unless it is told to go by the bus.
        (MIXED, set(), {"CUDA_VISIBLE_DEVICES": "0"}, {"GPU-t", "GPU-h"}, "none"),
        (MIXED, {1}, {"CUDA_VISIBLE_DEVICES": "0"}, {"GPU-h"}, "device-files"),
        (MIXED, set(), {"CUDA_VISIBLE_DEVICES": "GPU-h"}, {"GPU-h"}, "visible-devices"),
        (
            MIXED, set(), {"CUDA_VISIBLE_DEVICES": "1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"},
            {"GPU-h"}, "visible-devices",
        ),
        (PARTS, {0}, {"CUDA_VISIBLE_DEVICES": "MIG-2"}, {"GPU-m/MIG-2"}, "visible-devices"),
        (
            PARTS, set(), {"CUDA_VISIBLE_DEVICES": "MIG-GPU-m/1/0"},
            {"GPU-m/MIG-1", "GPU-m/MIG-2"}, "visible-devices",
        ),
    ],
)  # fmt: skip
def test_devices_are_told_by_their_files_and_by_what_cuda_may_see(
    places, opened, environment, used, evidence
):
    tree = ProcessTree(10)
    tree.device_minors = opened
    found = attribute(_hosted(*places), tree, environment)
    assert ({str(key) for key in found.used}, found.evidence) == (used, evidence)


def test_the_terminal_stays_the_commands_own(tmp_path):
    """A pseudo-terminal: the command reads and writes it, ^C reaches it once, ^Z stops and resumes."""
    script = textwrap.dedent(
        """
        import os, signal, sys, time
        hits = []
        signal.signal(signal.SIGINT, lambda *_: hits.append(1))
        print("tty", sys.stdin.isatty(), os.tcgetpgrp(0) == os.getpgrp(), flush=True)
        print("line", sys.stdin.readline().strip(), flush=True)
        until = time.monotonic() + 60
        while not hits and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(0.3)
        print("interrupts", len(hits), flush=True)
        """
    )
    words = [sys.executable, CLI, "run", "-q", "--out", str(tmp_path / "out"), "--"]
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [*words, sys.executable, "-c", script])
    try:
        seen = ""

        def shows(text: str) -> str:
            nonlocal seen
            while text not in seen:
                seen += os.read(terminal, 4096).decode()
            return seen

        shows("tty True True")
        os.write(terminal, b"hello\n")
        shows("line hello")
        os.write(terminal, b"\x03")  # the terminal's own ^C
        shows("interrupts 1")
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0
    finally:
        os.close(terminal)


def test_a_stopped_command_goes_on(tmp_path):
    """A stop for the whole group, later SIGCONT, as ^Z and `fg` do.

    SIGSTOP stands in for SIGTSTP, which the kernel ignores in a group without a shell above it.
    """
    words = [sys.executable, CLI, "run", "-q", "--out", str(tmp_path / "out"), "--"]
    program = subprocess.Popen([*words, "sleep", "2"], start_new_session=True)
    parent = psutil.Process(program.pid)

    def child():
        return next((c for c in parent.children() if c.name() == "sleep"), None)

    sleeper = wait_for(child)
    os.killpg(program.pid, signal.SIGSTOP)
    wait_for(lambda: parent.status() == sleeper.status() == psutil.STATUS_STOPPED)
    os.killpg(program.pid, signal.SIGCONT)
    assert program.wait(30) == 0
    assert summary(tmp_path / "out")["exit_code"] == 0


def test_a_stop_that_is_sent_to_us_reaches_the_command(tmp_path):
    """As a scheduler suspends a job by the number of the process that it started."""
    up = tmp_path / "up"
    work = (
        "import pathlib, signal, sys, time; signal.signal(signal.SIGTSTP, lambda *_: sys.exit(44)); "
        f"pathlib.Path({str(up)!r}).touch(); time.sleep(30)"
    )
    words = [sys.executable, CLI, "run", "-q", "--no-steps", "--out", str(tmp_path / "out"), "--"]
    # A session of its own: there the kernel does not stop us, and nobody has to send SIGCONT.
    program = subprocess.Popen([*words, sys.executable, "-c", work], start_new_session=True)
    wait_for(up.exists)
    program.send_signal(signal.SIGTSTP)
    assert program.wait(30) == 44


def test_a_command_that_handles_a_stop_and_is_followed_by_nothing(tmp_path):
    """Below a shell's kind of parent, where SIGTSTP stops: the command goes on, so we wait for it."""
    up = tmp_path / "up"
    work = (
        "import pathlib, signal, sys; signal.signal(signal.SIGTSTP, lambda *_: sys.exit(44)); "
        f"pathlib.Path({str(up)!r}).touch(); signal.pause()"
    )
    words = [sys.executable, CLI, "run", "-q", "--no-steps", "--out", str(tmp_path / "out"), "--"]
    # A group of its own in our session is no orphan: there SIGTSTP stops a process that does not handle it.
    program = subprocess.Popen([*words, sys.executable, "-c", work], process_group=0)
    wait_for(up.exists)
    program.send_signal(signal.SIGTSTP)
    assert program.wait(30) == 44


def test_one_stop_and_one_continue(tmp_path):
    """^Z tells the group, so both have the signal: after one SIGCONT both run, and neither stops again."""
    words = [sys.executable, CLI, "run", "-q", "--out", str(tmp_path / "out"), "--"]
    program = subprocess.Popen([*words, "sleep", "2"], process_group=0)
    parent = psutil.Process(program.pid)
    sleeper = wait_for(lambda: next((c for c in parent.children() if c.name() == "sleep"), None))
    os.killpg(program.pid, signal.SIGTSTP)
    wait_for(lambda: parent.status() == sleeper.status() == psutil.STATUS_STOPPED)
    os.killpg(program.pid, signal.SIGCONT)
    assert program.wait(30) == 0


@pytest.mark.parametrize(
    "number", [signal.SIGXCPU, signal.SIGALRM, signal.SIGABRT, signal.SIGRTMIN + 3]
)
def test_a_schedulers_warning_reaches_the_command(tmp_path, number):
    """Any signal may be the one that asks for a checkpoint (Slurm's --signal, SGE's SIGXCPU)."""
    up, number = tmp_path / "up", int(number)
    work = (
        f"import pathlib, signal, sys; signal.signal({number}, lambda *_: sys.exit(45)); "
        f"pathlib.Path({str(up)!r}).touch(); signal.pause()"
    )
    words = [sys.executable, CLI, "run", "-q", "--no-steps", "--out", str(tmp_path / "out"), "--"]
    program = subprocess.Popen([*words, sys.executable, "-c", work])
    wait_for(up.exists)
    program.send_signal(number)
    assert program.wait(30) == 45
    assert summary(tmp_path / "out")["exit_code"] == 45


def test_open_files_are_handed_down(tmp_path):
    """As a shell's ``--config <(generate)``: the command reads what stands behind the number."""
    reading, writing = os.pipe()
    os.write(writing, b"lr: 3e-4\n")
    os.close(writing)
    done = profile(tmp_path / "out", "cat", f"/dev/fd/{reading}", pass_fds=[reading])
    os.close(reading)
    assert (done.returncode, done.stdout) == (0, "lr: 3e-4\n")


@pytest.mark.parametrize("given", [{}, {"LC_CTYPE": "C.UTF-8"}])
def test_the_c_locale_stays_what_it_was(tmp_path, given):
    """Our own Python sets LC_CTYPE for itself there; the command has it if it was given it."""
    variables = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **given}
    done = profile(tmp_path / "out", "env", env=variables)
    seen = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert seen.get("LC_CTYPE") == given.get("LC_CTYPE")


@pytest.mark.parametrize("known_by", ["driver-process-list", "visible-devices"])
def test_two_runs_at_once_on_one_device(nvml, tmp_path, monkeypatch, known_by):
    """Each sees the whole device, and says so: neither takes the other's joules for its own."""
    told = tmp_path / "pids"
    told.write_text("")
    nvml(f"device model=h100\nset 0 power 300000\nset 0 util 80\nprocess 0 @{told}")
    start_clock(tmp_path)
    words = [sys.executable, CLI, "run", "-q", "--interval", "100ms", "--out"]
    if known_by == "visible-devices":
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
        told.write_text("999999\n")  # the driver names one process, and it is neither run's
        work = "sleep 2.5"
    else:
        work = f"echo $$ >> {told}; sleep 2.5; :"
    runs = [
        subprocess.Popen([*words, str(tmp_path / name), "--", "sh", "-c", work])
        for name in ("one", "two")
    ]
    assert [run.wait(90) for run in runs] == [0, 0]
    starts, ends = [], []
    for name in ("one", "two"):
        ours = summary(tmp_path / name)
        (device,) = ours["devices"]
        assert (device["status"], ours["attribution"]) == ("ok", known_by)
        # The whole device: 300 W for its own seconds or so.
        seconds = ours["duration_seconds"]
        assert device["energy_joules"] == pytest.approx(300 * seconds, abs=300 * 0.15)
        (shared,) = [one for one in ours["findings"] if one["code"] == "device-shared"]
        assert "1 other process(es)" in shared["message"]
        assert shared["severity"] == "warning"
        starts.append(dt.datetime.fromisoformat(ours["started"]).timestamp())
        ends.append(starts[-1] + seconds)
    assert max(starts) < min(ends), "the runs did not overlap: the test shows nothing"
    # Both records together: the device's seconds count once.
    traces = [read_record(tmp_path / name) for name in ("one", "two")]
    (both,) = traces[0].merge(traces[1]).devices.values()
    drawn = energy(both, both.time_ns[0], both.time_ns[-1])
    span = (both.time_ns[-1] - both.time_ns[0]) / 1e9
    assert drawn.joules == pytest.approx(300 * span, abs=300 * 0.15)


def test_two_launches_into_one_record_do_not_add_a_device_up_twice(nvml, tmp_path):
    nvml("device model=h100\nset 0 power 300000")
    start_clock(tmp_path)
    words = [sys.executable, CLI, "run", "-q", "--interval", "100ms", "--append", "--out"]
    out = tmp_path / "out"
    # Each waits for the other, so that they overlap on the busiest machine.
    meet = "touch {mine}; until [ -e {other} ]; do sleep 0.1; done; sleep {seconds}"
    a, b = tmp_path / "a", tmp_path / "b"
    runs = [
        subprocess.Popen(
            [*words, str(out), "--", "sh", "-c", meet.format(mine=m, other=o, seconds=s)]
        )
        for m, o, s in ((a, b, 2.5), (b, a, 3))
    ]
    assert [run.wait(90) for run in runs] == [0, 0]
    assert len(list((out / "telemetry").glob("node=*"))) == 1  # one sampler a node
    told = summary(out)
    assert len(told["launches"]) == 2
    low, high = told["energy_bounds_joules"]
    assert told["energy_joules"] is None
    # A launch's own low end is its counter's figure less two edges of 0.1 s and the sensor's error.
    longest = max(one["energy_joules"] for one in told["launches"])
    assert 0.8 * longest < low <= longest
    assert high >= 300 * told["duration_seconds"]
    assert "launches-share-devices" in codes(told)


TRAIN = """
import os, torch, torch.distributed as dist
dist.init_process_group("gloo")
model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(4, 4))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
torch.manual_seed(dist.get_rank())
for _ in range(3):
    optimizer.zero_grad()
    model(torch.randn(2, 4)).sum().backward()
    optimizer.step()
total = torch.ones(1)
dist.all_reduce(total)
if dist.get_rank() == 0:
    print("world", int(total), flush=True)
dist.destroy_process_group()
os._exit(7 if os.environ["RANK"] == "1" else 0)
"""


@pytest.mark.trace
def test_torchrun(nvml, tmp_path):
    """Two ranks train in step; then one fails, and torchrun's own code comes through."""
    pytest.importorskip("torch")
    nvml("device model=h100\ndevice model=h100\nset 0 power 300000\nset 1 power 200000")
    start_clock(tmp_path)
    (tmp_path / "train.py").write_text(TRAIN)
    done = profile(
        tmp_path / "out",
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"),
        tmp_path / "train.py",
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.stdout.strip() == "world 2"
    told = summary(tmp_path / "out")
    assert told["exit_code"] == done.returncode == 1
    assert len(told["devices"]) == 2  # once a node, not once a rank
    seconds = told["duration_seconds"]
    assert told["energy_joules"] == pytest.approx(500 * seconds, abs=500 * 0.2)
    assert len(list((tmp_path / "out" / "telemetry").glob("node=*"))) == 1


def test_two_nodes_are_merged_by_device(nvml, tmp_path):
    """Two record folders of two nodes, copied into one: each device once, gaps per node."""
    import shutil

    from profilers import read_record
    from profilers.sampler import Sampler, SamplerSettings

    nvml("device model=h100\nset 0 power 300000")
    for node in ("n1", "n2"):
        settings = SamplerSettings(interval_seconds=0.1, node=node)
        sampler = Sampler(tmp_path / node, settings)
        sampler.start()
        assert sampler.wait_ready(60)
        sampler.mark("start", 5)
        sampler.mark("end", 5)
        assert sampler.stop(60)
    for folder in (tmp_path / "n2" / "telemetry").iterdir():
        shutil.copytree(folder, tmp_path / "n1" / "telemetry" / folder.name)
    alone = read_record(tmp_path / "n2")
    both = read_record(tmp_path / "n1")
    # The stand-in has the same UUID on both "nodes": one device, never counted twice.
    assert len(both.devices) == 1
    (seen,), (second,) = both.devices.values(), alone.devices.values()
    assert len(seen) > len(second)
    assert both.started_ns < alone.started_ns
    assert both.ended_ns == alone.ended_ns

"""``flopledger run`` where clusters are unkind: srun, full disks, many devices, two nodes, notebooks."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from flopledger.profiling.child import Ended
from flopledger.profiling.launches import continued
from flopledger.profiling.process_tree import ProcessTree
from flopledger.profiling.run import _elsewhere
from flopledger.profiling.summary import Findings, _part, _tell_company
from profilers import Device, DeviceKey, Sample, read_record
from profilers.clocks import ClockPair
from profilers.journal import Journal
from profilers.record import node_records, verify

ROOT = Path(__file__).parents[2]
CLI = str(ROOT / "cli.py")
DEVICES = "device model=h100\n" * 2 + "set * util 97\nset * power 612000\n"

SRUN = """#!/bin/bash
# As users see it: tasks with SLURM_* set, the worst exit code passed on.
shift
for rank in 0 1; do SLURM_PROCID=$rank SLURM_LOCALID=$rank SLURM_NTASKS=2 "$@" & done
wait -n; first=$?; wait -n; second=$?
exit $((first > second ? first : second))
"""

DETACHED = """#!/bin/bash
# As it is: the tasks are children of the node's daemon, not of srun.
echo "$*" > "$QUEUE/asked"
while [ ! -e "$QUEUE/done" ]; do sleep 0.02; done
"""


def launcher(folder: Path, text: str) -> Path:
    path = folder / "srun"
    path.write_text(text)
    path.chmod(0o755)
    return path


def profile(out: Path, *command, options=(), before=(), **more):
    words = [*before, sys.executable, CLI, "run", "-q", "--out", str(out), *options, "--"]
    more = {"capture_output": True, "text": True, "timeout": 120, "check": False} | more
    return subprocess.run([*words, *map(str, command)], **more)


def codes(out: Path) -> list[str]:
    return [f["code"] for f in json.loads((out / "summary.json").read_text())["findings"]]


def test_srun_and_its_tasks(nvml, tmp_path):
    nvml(DEVICES)
    task = """if True:
        import os
        rank = int(os.environ["SLURM_PROCID"])
        os.write(1, b"rank %d\\n" % rank)
        raise SystemExit(4 * rank)
        """
    environment = {**os.environ, "SLURM_JOB_ID": "4711", "SLURM_JOB_NUM_NODES": "1"}
    srun = launcher(tmp_path, SRUN)
    done = profile(tmp_path / "out", srun, "-n2", sys.executable, "-c", task, env=environment)
    assert (done.returncode, sorted(done.stdout.split())) == (4, ["0", "1", "rank", "rank"])
    told = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert told["processes"]["python"] == 2
    assert len(told["devices"]) == 2
    assert "nodes-unseen" not in codes(tmp_path / "out")
    shown = json.loads((tmp_path / "out" / "run.json").read_text())["environment"]["shown"]
    assert shown["SLURM_JOB_ID"] == "4711"


def test_tasks_of_a_launchers_daemon_belong_to_the_run(tmp_path):
    """Slurm's tasks hang below its daemon: they are found by the job, others' steps are not."""
    job = {**os.environ, "SLURM_JOB_ID": "4711", "SLURM_JOB_NUM_NODES": "4", "QUEUE": str(tmp_path)}
    sleep = ["sleep", "30"]
    ported = {"SLURM_SRUN_COMM_PORT": "1", "SLURM_STEP_ID": "0"}
    task = subprocess.Popen(sleep, env=job | ported)
    batch = subprocess.Popen(sleep, env=job)  # the job's script is no task
    other = subprocess.Popen(sleep, env=job | ported | {"SLURM_JOB_ID": "99"})
    srun = subprocess.Popen([launcher(tmp_path, DETACHED), "train"], env=job)
    try:
        tree = ProcessTree(srun.pid)
        until = time.monotonic() + 20
        while task.pid not in tree.pids:
            assert time.monotonic() < until
            tree.look()
            time.sleep(0.02)
        assert not {batch.pid, other.pid} & tree.pids
        assert (tree.jobs, tree.nodes) == ({"4711"}, 4)
    finally:
        for process in (task, batch, other, srun):
            process.kill()
            process.wait()


AWAY = """#!/bin/sh
# A launcher with an allocation of its own: the work runs in another session, with another
# environment, as it would on another host.
env -i PATH="$PATH" setsid sleep 0.3 </dev/null >/dev/null 2>&1 &
wait $!
"""


def test_work_that_ran_elsewhere_has_no_figures_here(nvml, tmp_path):
    """Without a job of this host, nothing says where srun's tasks are: no sum, no ceiling, no 0."""
    nvml(DEVICES)
    command = ["sh", "-c", f"{launcher(tmp_path, AWAY)}; true"]
    environment = {name: v for name, v in os.environ.items() if not name.startswith("SLURM_")}
    assert profile(tmp_path / "out", *command, env=environment).returncode == 0
    told = json.loads((tmp_path / "out" / "summary.json").read_text())
    (found,) = [f for f in told["findings"] if f["code"] == "work-elsewhere"]
    assert "handed work to srun" in found["message"]
    assert told["energy_joules"] is None
    assert told["energy_bounds_joules"] is None
    assert told["flop_bounds"] is None
    assert len(told["devices"]) == 2  # the host's, and said so


def test_a_launcher_that_ended_before_anybody_looked(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    ended = Ended(code=0, tree=ProcessTree(1))
    assert _elsewhere(["/usr/bin/srun", "true"], ended) == {"srun"}
    assert _elsewhere(["python", "srun"], ended) == set()
    monkeypatch.setenv("SLURM_JOB_ID", "4711")  # its tasks are found by the job
    assert _elsewhere(["srun", "true"], ended) == set()


def test_a_launcher_that_carries_files_is_none(tmp_path):
    """``git`` and ``rsync`` use ssh, too; what they fetch is no computation."""
    proc = tmp_path / "proc"
    for pid, parent, name in ((10, 1, "sh"), (11, 10, "git"), (12, 11, "ssh"), (13, 10, "ssh")):
        (proc / str(pid) / "task").mkdir(parents=True)
        (proc / str(pid) / "comm").write_text(f"{name}\n")
        (proc / str(pid) / "stat").write_text(f"{pid} (a) b) S {parent} 1 1")
    tree = ProcessTree(12, proc)
    tree.look()
    assert tree.elsewhere == set()
    tree = ProcessTree(13, proc)
    tree.look()
    assert tree.elsewhere == {"ssh"}


def test_launches_add_up_end_by_end():
    """1 to 3 and 10 to 30 are 11 to 33; an end that is open stays open, for `hard`, too."""

    def launch(low, high, hard):
        ends = {"low": low, "high": high}
        told = {"hard": {"low": 0.0, "high": hard}, "by_precision": {"bf16": ends}}
        return {
            "started": "2026-07-23T12:00:00+00:00", "duration_seconds": 1.0, "exit_code": 0, "command": [],
            "energy_joules": 1.0, "energy_bounds_joules": [low, high],
            "flop_bounds": {**ends, **told, "grade": "gauge"},
        }  # fmt: skip

    both = continued(continued(None, launch(1.0, 3.0, 4.0)), launch(10.0, 30.0, 40.0))
    assert both["energy_bounds_joules"] == [11.0, 33.0]
    assert both["flop_bounds"]["hard"] == {"low": 0.0, "high": 44.0}
    assert both["flop_bounds"]["by_precision"]["bf16"] == {"low": 11.0, "high": 33.0}
    both = continued(continued(None, launch(1.0, None, None)), launch(10.0, 30.0, 40.0))
    assert both["energy_bounds_joules"] == [11.0, None]
    assert both["flop_bounds"]["high"] is both["flop_bounds"]["hard"]["high"] is None


@pytest.mark.parametrize(
    ("starts", "wall"),
    [
        ((0, 100), 60 + 30),  # one after the other: a pause is no running time
        ((0, 10), 60),  # the second inside the first
        ((0, 45), 75),  # 60, and 15 of 30 beyond it
        ((45, 0), 30 + 60),  # the later one told first: 0 to 30, then 45 to 105
        ((0, 60), 90),  # end to end
        (("", 0), None),  # one that does not say when: no wall time, and the sum stays
    ],
)
def test_wall_time_and_the_seconds_of_all_nodes(starts, wall):
    base = {"exit_code": 0, "command": [], "energy_joules": 1.0, "energy_bounds_joules": None}
    both = None
    for start, seconds in zip(starts, (60.0, 30.0), strict=True):
        told = f"2026-07-23T12:{start // 60:02d}:{start % 60:02d}+00:00" if start != "" else ""
        launch = {**base, "started": told, "duration_seconds": seconds, "flop_bounds": None}
        both = continued(both, launch)
    assert both["duration_seconds"] == wall
    assert both["node_seconds"] == 90.0
    assert both["started"] == both["launches"][0]["started"]


def test_devices_of_several_launches_are_each_there_once():
    """One device in both launches adds up; one of the first alone stays; what is lacking is lacking."""

    def seen(uuid, joules, **more):
        entry = {
            "uuid": uuid, "mig": None, "energy_joules": joules, "energy_basis": "counter",
            "energy_bounds_joules": [joules, None], "busy_seconds": 3.0, "covered_seconds": 4.0,
            "tensor_activity": 0.25, "status": "ok", "gaps": [],
        }  # fmt: skip
        return {**entry, **more}

    def launch(*devices, minute=0):
        told = {
            "started": f"2026-07-23T12:{minute:02d}:00Z",
            "duration_seconds": 4.0,
            "exit_code": 0,
        }
        lacking = dict.fromkeys(("energy_joules", "energy_bounds_joules", "flop_bounds"))
        return {**told, **lacking, "command": [], "devices": list(devices)}

    gap = {"start": 1.0, "end": 2.0, "reason": "lost"}
    first = launch(seen("GPU-a", 10.0), seen("GPU-b", 20.0), seen("GPU-c", None))
    again = seen(
        "GPU-a", 30.0, tensor_activity=0.5, covered_seconds=12.0, gaps=[gap], status="partial"
    )
    second = launch(again, seen("GPU-c", 1.0), seen("GPU-d", 2.0), minute=1)
    both = continued(continued(None, first), second)
    found = {entry["uuid"]: entry for entry in both["devices"]}
    assert {uuid: entry["energy_joules"] for uuid, entry in found.items()} == {
        "GPU-a": 40.0, "GPU-b": 20.0, "GPU-c": None, "GPU-d": 2.0,
    }  # fmt: skip
    assert found["GPU-a"]["energy_bounds_joules"] == [40.0, None]
    assert (found["GPU-a"]["covered_seconds"], found["GPU-a"]["busy_seconds"]) == (16.0, 6.0)
    assert found["GPU-a"]["tensor_activity"] == (0.25 * 4 + 0.5 * 12) / 16
    assert (found["GPU-a"]["status"], found["GPU-a"]["gaps"]) == ("partial", [gap])
    assert len(both["devices"]) == 4


def _launch_of(uuid, second, joules, low, high, *codes):
    """Four seconds of one device, from a second on."""
    ends = {"low": low, "high": high}
    return {
        "started": f"2026-07-23T12:00:{second:02d}+00:00", "duration_seconds": 4.0, "exit_code": 0,
        "command": [], "energy_joules": joules, "energy_bounds_joules": [joules, joules + 1],
        "flop_bounds": {**ends, "hard": ends, "by_precision": {"bf16": ends}, "grade": "gauge"},
        "devices": [
            {
                "uuid": uuid, "mig": None, "energy_joules": joules, "energy_basis": "counter",
                "energy_bounds_joules": [joules, joules + 1], "busy_seconds": 3.0, "covered_seconds": 4.0,
                "tensor_activity": 0.25, "status": "ok", "gaps": [],
            }
        ],
        "findings": [{"code": code, "severity": "info", "message": "", "evidence": []} for code in codes],
    }  # fmt: skip


def test_launches_at_once_on_one_device_have_bounds_and_no_sum():
    """100 J and 70 J of one device at the same time are 100 to 101 + 71 = 172 J, never 170 J."""
    first = _launch_of("GPU-a", 0, 100.0, 5.0, 9.0)
    both = continued(continued(None, first), _launch_of("GPU-a", 2, 70.0, 4.0, 8.0))
    (device,) = both["devices"]
    for told in (both, device):
        assert told["energy_joules"] is None
        assert told["energy_bounds_joules"] == [100.0, 172.0]
    assert (device["busy_seconds"], device["tensor_activity"]) == (None, None)
    assert both["flop_bounds"]["hard"] == {"low": 5.0, "high": 17.0}
    assert [f["code"] for f in both["findings"]] == ["launches-share-devices"]
    # Another device, or a later time, is no company: 100 + 70.
    for other in (_launch_of("GPU-b", 2, 70.0, 4.0, 8.0), _launch_of("GPU-a", 4, 70.0, 4.0, 8.0)):
        both = continued(continued(None, first), other)
        assert both["energy_joules"] == 170.0
        assert both["findings"] == []


def test_findings_of_every_launch_stay_each_with_its_number():
    folded = None
    for number, codes in enumerate((["coverage-gap"], [], ["energy-missing", "coverage-gap"])):
        folded = continued(folded, _launch_of("GPU-a", 10 * number, 1.0, 1.0, 2.0, *codes))
        folded["findings"].append({"code": "of-the-whole-folder"})  # as the steps' are, each time
    told = [(one["code"], one.get("launch")) for one in folded["findings"][:-1]]
    assert told == [("coverage-gap", 1), ("energy-missing", 3), ("coverage-gap", 3)]


def test_a_job_of_several_nodes_is_told():
    """One record has one node's devices: the reader must know that there were more."""
    quiet = SimpleNamespace(shared={})
    findings = Findings()
    facts = SimpleNamespace(
        attribution=quiet, left_running=0, job_nodes=4, unwritten_sweeps=7, elsewhere=frozenset()
    )
    _tell_company(facts, findings)
    assert [f["code"] for f in findings.items] == ["nodes-unseen", "disk-refused"]
    assert "4 nodes" in findings.items[0]["message"]
    assert "7 sweeps" in findings.items[1]["message"]


@pytest.fixture
def tiny_disk(tmp_path):
    """A file system of 300 KiB."""
    place = tmp_path / "tiny"
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(words, capture_output=True).returncode:
        pytest.skip("NO RIGHT TO MOUNT A SMALL DISK: a full disk is tested by refused writes only")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_disk_that_is_full_for_a_while(nvml, tiny_disk):
    """It fills during the run and has room again before the end: nothing of the record is lost."""
    nvml(DEVICES)
    fill = tiny_disk / "fill"
    script = f"sleep 0.5; head -c 400000 /dev/zero > {fill}; sleep 1; rm {fill}; sleep 0.7"
    out = tiny_disk / "out"
    done = profile(out, "bash", "-c", script, options=("--interval", "100ms"))
    assert done.returncode == 0
    assert "disk-refused" in codes(out)
    assert verify(out) == []
    for device in read_record(out).devices.values():
        assert device.covered_seconds() > 2.0
    told = json.loads((out / "summary.json").read_text())
    assert [d["status"] for d in told["devices"]] == ["ok", "ok"]


def test_a_disk_that_stays_full(nvml, tiny_disk):
    """The command's code is passed on, what was written is whole, and the seal counts the rest."""
    nvml(DEVICES)
    script = f"sleep 0.5; head -c 400000 /dev/zero > {tiny_disk}/fill; sleep 1; exit 5"
    out = tiny_disk / "out"
    done = profile(out, "bash", "-c", script, options=("--interval", "100ms"))
    assert done.returncode == 5
    assert "summary.json could not be written" in done.stderr
    assert not list(out.glob("*.part"))
    assert not {p.code for p in verify(out)} - {"unsealed"}
    assert all(len(device) for device in read_record(out).devices.values())
    (node,) = node_records(out)
    if node.sealed:  # its line found room
        assert node.unwritten_sweeps >= 5  # ten a second


def test_a_folder_that_turns_read_only(nvml, tmp_path):
    """No new file can be made: what is open goes on, and nothing hurts the command."""
    probe = tmp_path / "probe"
    probe.mkdir(0o555)
    before = []
    if os.access(probe, os.W_OK):  # root, whom no mode stops unless it lets go of that
        before = ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all"]
        writes = [*before, "test", "-w", probe]
        if shutil.which("setpriv") is None or not subprocess.run(writes, check=False).returncode:
            pytest.skip("THIS USER WRITES INTO READ-ONLY FOLDERS, and no setpriv is there")
    nvml(DEVICES)
    out = tmp_path / "out"
    script = f"sleep 0.5; chmod -R a-w {out}; sleep 0.5; exit 6"
    try:
        done = profile(out, "bash", "-c", script, options=("--interval", "100ms"), before=before)
        assert done.returncode == 6
        assert "Traceback" not in done.stderr
        assert len(read_record(out).devices) == 2
        assert verify(out) == []  # sealed, with an empty spool in place of none
    finally:
        for path in (out, *out.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)


def test_sixteen_devices_one_of_which_is_lost(nvml, tmp_path):
    """At ten sweeps a second, all of them in one record; the lost one keeps its own story."""
    script = (
        "device model=h100\n" * 16 + "set * util 97\nset * power 612000\nfault 3 * code=15 from=2"
    )
    path = nvml(script)
    path.write_text(path.read_text().replace(path.read_text().splitlines()[0], "", 1))
    done = profile(tmp_path / "out", "sleep", "3", options=("--interval", "100ms"))
    assert done.returncode == 0
    told = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert len({d["uuid"] for d in told["devices"]}) == 16
    assert [d["status"] for d in told["devices"]].count("ok") == 15
    # 612 W for as long as each was seen; 5 % and the counter's step of 100 ms at either end.
    for device in told["devices"]:
        expected = 612 * device["covered_seconds"]
        assert device["energy_joules"] == pytest.approx(expected, rel=0.05, abs=130)


def test_two_hosts_in_namespaces_of_their_own(nvml, tmp_path):
    """Two hosts without a network between them record one run at once, and it is one record."""
    words = ["unshare", "-rnu", "sh", "-c", "hostname host-a && hostname"]
    if shutil.which("unshare") is None or subprocess.run(words, capture_output=True).returncode:
        pytest.skip("NO NAMESPACES: two nodes are tested by two journals in one folder only")
    out = tmp_path / "out"
    nvml("")
    hosts = []
    for host, watts in (("host-a", 300_000), ("host-b", 500_000)):
        script = tmp_path / f"{host}.txt"
        script.write_text(
            f"device model=h100 uuid=GPU-{host}\nset 0 power {watts}\nset 0 util 90\n"
        )
        command = f'hostname {host} && exec "$0" "$@"'
        words = [sys.executable, CLI, "run", "-q", "--append", "--out", out, "--interval", "100ms"]
        hosts.append(
            subprocess.Popen(
                ["unshare", "-rnu", "sh", "-c", command, *map(str, words), "--", "sleep", "2"],
                env={**os.environ, "FLOPLEDGER_NVML_SCRIPT": str(script)},
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    for host in hosts:
        _, told = host.communicate(timeout=120)
        assert host.returncode == 0, told
    assert {record.node for record in node_records(out)} == {"host-a", "host-b"}
    assert verify(out) == []
    devices = read_record(out).devices
    assert {str(key): seen.device.node for key, seen in devices.items()} == {
        "GPU-host-a": "host-a",
        "GPU-host-b": "host-b",
    }
    told = json.loads((out / "summary.json").read_text())
    assert len(told["launches"]) == 2
    assert {device["uuid"] for device in told["devices"]} == {"GPU-host-a", "GPU-host-b"}
    # Each launch counts its own host's device, for as long as it lasted itself: 300 W and 500 W. The
    # counter moves by a tenth of a second at either end.
    per_launch = sorted(
        (launch["energy_joules"] / launch["duration_seconds"], launch["duration_seconds"])
        for launch in told["launches"]
    )
    for (watts, seconds), rated in zip(per_launch, (300, 500), strict=True):
        assert watts == pytest.approx(rated, abs=0.25 * rated / seconds)
    assert told["energy_joules"] == pytest.approx(
        sum(launch["energy_joules"] for launch in told["launches"])
    )


def test_two_nodes_in_one_folder(tmp_path):
    """Two hosts write beside each other; a device that both recorded counts once."""
    second = 10**9
    shared = DeviceKey(uuid="GPU-moved")
    for node, own in (("a", "GPU-a"), ("b", "GPU-b")):
        anchor = ClockPair(monotonic_ns=0, wall_ns=1_760_000_000 * second)
        book = Journal.open(tmp_path, node=node, boot=f"boot-{node}", anchor=anchor)
        keys = [DeviceKey(uuid=own), shared]
        book.describe([Device(key=key, node=node) for key in keys])
        for at in range(1, 6):
            samples = [
                Sample(
                    device=key, monotonic_ns=at * second, wall_ns=None, period_ns=second,
                    readings={"power_mw": 500_000},
                )
                for key in keys
            ]  # fmt: skip
            book.sweep(samples)
        book.seal("stopped")
    trace = read_record(tmp_path)
    assert {str(key) for key in trace.devices} == {"GPU-a", "GPU-b", "GPU-moved"}
    assert [len(d) for d in trace.devices.values()] == [5, 5, 5]
    assert sum(d.covered_seconds() for d in trace.devices.values()) == 15  # not 20
    assert verify(tmp_path) == []


BOOKS = {
    "trains": """import os, torch
open("pid", "w").write(str(os.getpid()))
model = torch.nn.Linear(8, 8)
optimizer = torch.optim.SGD(model.parameters(), 0.1)
for _ in range(4):
    optimizer.zero_grad()
    model(torch.ones(2, 8)).sum().backward()
    optimizer.step()
""",
    "raises": "raise ValueError('as planned')",
    "dies": "import os; os.kill(os.getpid(), 9)",
}


@pytest.fixture
def books(tmp_path):
    """Notebooks of one cell each, in the folder of the test."""
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    for name, code in BOOKS.items():
        book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
        nbformat.write(book, tmp_path / f"{name}.ipynb")
    return tmp_path


RUNNERS = {
    "nbconvert": (
        "-m",
        "nbconvert",
        "--to",
        "notebook",
        "--execute",
        "--output",
        "done",
        "{}.ipynb",
    ),
    "nbclient": (
        "-c",
        "import nbformat, nbclient; nbclient.execute(nbformat.read('{}.ipynb', 4))",
    ),
    "papermill": ("-m", "papermill", "--kernel", "python3", "{}.ipynb", "done.ipynb"),
}


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_notebook_runner(nvml, books, runner):
    """The kernel has a session of its own; it still belongs to the run, with its steps and device."""
    pytest.importorskip(runner)
    pytest.importorskip("torch")
    nvml(DEVICES)
    out = books / "out"
    words = [word.format("trains") for word in RUNNERS[runner]]
    done = profile(out, sys.executable, *words, cwd=books)
    assert done.returncode == 0, done.stderr
    told = json.loads((out / "summary.json").read_text())
    assert told["processes"]["python"] >= 2  # the runner and the kernel
    assert told["processes"]["recording"] == 1
    assert (books / "pid").exists()
    # Four steps of a layer of 8 by 8 on 2 rows: 2 x 2 x 8 x 8 = 256 forward and as many for the weights'
    # gradient; the input needs none.
    assert told["steps"]["count"] == 4
    assert told["model_flop"] == 4 * (256 + 256)
    assert len(told["devices"]) == 2


@pytest.mark.parametrize("book", ["raises", "dies"])
def test_a_notebook_that_fails(nvml, books, book):
    """Its runner's exit code comes through, and the record is whole."""
    pytest.importorskip("nbconvert")
    nvml(DEVICES)
    out = books / "out"
    words = [word.format(book) for word in RUNNERS["nbconvert"]]
    bare = subprocess.run([sys.executable, *words], cwd=books, capture_output=True, check=False)
    done = profile(out, sys.executable, *words, cwd=books)
    assert done.returncode == bare.returncode != 0
    assert json.loads((out / "summary.json").read_text())["exit_code"] == bare.returncode
    assert verify(out) == []


@pytest.mark.parametrize(
    ("gigabytes", "told"),
    [
        (25.8, []),
        (None, []),
        (51.5, ["accelerator-mismatch"]),
    ],  # a 4090 has 24 GiB; 48 is a rebuilt one
)
def test_a_device_with_another_memory_than_its_name_is_said(gigabytes, told):
    memory = None if gigabytes is None else int(gigabytes * 1e9)
    device = Device(
        key=DeviceKey(uuid="GPU-1"), name="NVIDIA GeForce RTX 4090", memory_bytes=memory
    )
    findings = Findings()
    part = _part(SimpleNamespace(device=device), findings)
    assert part.id == "nvidia-rtx-4090"  # its units are what the name says, and bound it
    assert [one["code"] for one in findings.items] == told

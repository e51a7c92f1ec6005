"""Real trainings below ``flopledger run``, seen without a change of their code, and unchanged."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

import pytest

from flopledger.recording.totals import read_totals
from tests import command_line
from tests.command_line import ROOT

pytest.importorskip("torch")
#: One thread: several would only fight over a shared machine.
ENVIRONMENT = {"OMP_NUM_THREADS": "1"}
PYTHON = [sys.executable, "-W", "error"]
#: Forward of 16 rows through 8 x 32 and 32 x 4; the backward needs no gradient of the input.
FORWARD = 2 * 16 * (8 * 32 + 32 * 4)
BACKWARD = 2 * FORWARD - 2 * 16 * 8 * 32
MODEL = """
import os, sys, random, torch
torch.manual_seed(0)
def build():
    return torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.ReLU(), torch.nn.Linear(32, 4))
def train(steps, model=None):
    model = model or build()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(steps):
        loss = model(torch.randn(16, 8)).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item().hex())
    return losses
"""


def flopledger(*words, cwd, env=None, **more):
    variables = {**ENVIRONMENT, **(env or {})}
    return command_line.flopledger(*words, variables=variables, timeout=180, cwd=cwd, **more)


def run(tmp_path, *command, **more):
    out = tmp_path / "out"
    done = flopledger("run", "-q", "--out", out, "--", *command, cwd=tmp_path, **more)
    return done, json.loads((out / "summary.json").read_text())


@pytest.fixture
def script(tmp_path):
    def write(text, name="train.py"):
        (tmp_path / name).write_text(MODEL + text)
        return tmp_path / name

    return write


def test_numbers_and_randomness_are_the_same_bit_for_bit(tmp_path, script):
    script(
        "import inspect, numpy, random, traceback\n"
        "print(inspect.signature(torch.optim.Optimizer))\n"
        "try: torch.optim.SGD([])  # the first of all\n"
        "except ValueError: traceback.print_exc()\n"
        "random.seed(1); numpy.random.seed(2)\n"
        "dropout = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Dropout(0.3),\n"
        "                              torch.nn.Linear(16, 4))\n"
        "print(train(30), train(20, dropout), train(4, torch.compile(build(), backend='eager')))\n"
        "print(torch.rand(3).tolist(), random.random(), numpy.random.rand())\n"
        "print(torch._dynamo.utils.counters['graph_break'], sys.argv, sys.path)\n"
        "print(torch.__spec__.loader, torch.__loader__, sorted(vars(torch.optim.Optimizer)))\n"
    )
    command = [sys.executable, "train.py", "a"]
    plain = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, check=True,
        env={**os.environ, **ENVIRONMENT},
    )  # fmt: skip
    done, summary = run(tmp_path, *command)
    assert done.returncode == 0
    assert (_of_any_process(done.stdout), _of_any_process(done.stderr)) == (
        _of_any_process(plain.stdout), _of_any_process(plain.stderr)
    )  # fmt: skip
    steps = summary["steps"]
    assert steps["count"] == 54
    dropout = 2 * 16 * (8 * 16 + 16 * 4)
    model = 34 * (FORWARD + BACKWARD) + 20 * (3 * dropout - 2 * 16 * 8 * 16)
    assert summary["model_flop"] == summary["hardware_flop"] == model
    assert steps["samples"] == 54 * 16
    assert summary["processes"]["recording"] == 1


def test_of_a_missing_triton_the_program_hears_what_it_would_hear(tmp_path, script):
    """torch's own counter warns of it when it is imported, in a build for GPUs; we do not import it."""
    script(
        "torch.version.cuda, sys.modules['triton'] = '13.0', None\n"
        "train(2); print('torch.utils.flop_counter' in sys.modules)\n"
        "import torch.utils.flop_counter\n"
    )
    done, summary = run(tmp_path, *PYTHON, "train.py")
    assert (done.returncode, done.stdout) == (0, "False\n")
    assert done.stderr.count("triton not found") == 1
    assert summary["model_flop"] == 2 * (FORWARD + BACKWARD)


def _of_any_process(text):
    """A loader's address differs from process to process, and so do the stamps of torch's log."""
    text = re.sub(r"0x[0-9a-f]{9,}", "0x", text)
    return re.sub(r"^W\d{4} [\d:.]+ \d+ ", "W ", text, flags=re.MULTILINE)


def test_torchrun_with_two_ranks(tmp_path, script):
    script(
        "import torch.distributed as dist\n"
        "dist.init_process_group('gloo')\n"
        "model = torch.nn.parallel.DistributedDataParallel(build())\n"
        "train(6, model)\n"
        "dist.destroy_process_group()\n"
    )
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    done, summary = run(tmp_path, "bash", "-c", " ".join([*torchrun, "train.py"]))
    assert done.returncode == 0, done.stderr
    assert summary["steps"]["count"] == 6
    assert summary["model_flop"] == 2 * 6 * (FORWARD + BACKWARD)
    assert [rank["rank"] for rank in summary["steps"]["ranks"]] == [0, 1]
    # The launcher imports torch, too, and is no training.
    assert summary["processes"]["torch"] == 3
    assert summary["processes"]["recording"] == 2


def test_workers_are_not_recorded_and_trainings_in_processes_are(tmp_path, script):
    script(
        "import torch.multiprocessing as mp\n"
        "class Data(torch.utils.data.Dataset):\n"
        "    transform = torch.nn.Linear(8, 8)\n"
        "    def __len__(self): return 32\n"
        "    def __getitem__(self, i):\n"
        "        with torch.no_grad(): return self.transform(torch.full((8,), float(i)))\n"
        "def work(rank, steps): train(steps)\n"
        "if __name__ == '__main__':\n"
        "    model = build()\n"
        "    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)\n"
        "    loader = torch.utils.data.DataLoader(Data(), 16, num_workers=2)\n"
        "    for _ in range(2):\n"
        "        for batch in loader:\n"
        "            model(batch).mean().backward(); optimizer.step()\n"
        "    mp.spawn(work, args=(3,), nprocs=1)\n"
        "    forked = mp.get_context('fork').Process(target=work, args=(0, 5))\n"
        "    forked.start(); forked.join(); sys.exit(forked.exitcode)\n"
    )
    done, summary = run(tmp_path, *PYTHON, "train.py")
    assert done.returncode == 0, done.stderr
    # Two epochs of two batches; three steps in the spawned process, five in the forked one.
    by_steps = sorted(rank["steps"] for rank in summary["steps"]["ranks"])
    assert by_steps == [3, 4, 5]
    assert summary["model_flop"] == 12 * (FORWARD + BACKWARD)


def test_a_program_that_records_itself_into_the_same_folder_counts_once(tmp_path, script):
    script(
        "sys.path.insert(0, os.environ['CHECKOUT'])\n"
        "import flopledger\n"
        "with flopledger.record('out', sampler=False) as recording:\n"
        "    train(5)\n"
        "print(recording.summary()['steps'])\n"
    )
    done, summary = run(tmp_path, *PYTHON, "train.py", env={"CHECKOUT": str(ROOT)})
    assert (done.returncode, done.stdout) == (0, "5\n"), done.stderr
    assert summary["steps"]["count"] == 5
    assert summary["model_flop"] == 5 * (FORWARD + BACKWARD)


def test_what_stands_around_the_making_of_optimizers_does_not_hide_a_training(tmp_path, script):
    """A library's own wrapper, and a recording of the program's into a folder of its own."""
    script(
        "import flopledger\n"
        "made = torch.optim.Optimizer.__dict__['__init__']\n"
        "def counted(self, *words, **named): made(self, *words, **named)\n"
        "torch.optim.Optimizer.__init__ = counted\n"
        "with flopledger.record('own', sampler=False) as recording:\n"
        "    train(5)\n"
        "print(recording.summary()['steps'])\n"
    )
    done, summary = run(tmp_path, *PYTHON, "train.py", env={"PYTHONPATH": str(ROOT)})
    assert (done.returncode, done.stdout) == (0, "5\n"), done.stderr
    assert summary["steps"]["count"] == 5
    assert summary["model_flop"] == 5 * (FORWARD + BACKWARD)


def test_a_program_that_cleans_up_behind_itself(tmp_path):
    """It empties its environment and closes what it did not open; its files stay its own."""
    (tmp_path / "train.py").write_text(
        "import os, time\n"
        "os.environ.clear()\n" + MODEL + "train(3); time.sleep(1.2); train(1)\n"
        "os.closerange(3, 256)\n"
        "files = [open(f'own{n}', 'wb') for n in range(8)]\n"
        "train(2); time.sleep(1.2)\n"
        "print([os.fstat(file.fileno()).st_size for file in files])\n"
    )
    done, summary = run(tmp_path, *PYTHON, "train.py")
    assert (done.returncode, done.stdout) == (0, f"{[0] * 8}\n"), done.stderr
    assert summary["steps"]["count"] == 6
    assert summary["model_flop"] == 6 * (FORWARD + BACKWARD)
    assert "recording-interrupted" not in {finding["code"] for finding in summary["findings"]}


def test_a_fork_that_goes_on_with_its_parents_optimizer(tmp_path, script):
    """A daemon: forked twice, everything closed, and the training is the grandchild's."""
    script(
        "import time\n"
        "model = build()\n"
        "optimizer = torch.optim.AdamW(model.parameters())\n"
        "if os.fork(): os.wait(); sys.exit()\n"
        "os.setsid()\n"
        "if pid := os.fork(): os.waitpid(pid, 0); sys.exit()\n"
        "os.closerange(3, 256); own = open('own', 'wb')\n"
        "for _ in range(4):\n"
        "    model(torch.randn(16, 8)).square().mean().backward()\n"
        "    optimizer.step(); optimizer.zero_grad()\n"
        "time.sleep(1.2); print(os.fstat(own.fileno()).st_size)\n"
    )
    done, summary = run(tmp_path, *PYTHON, "train.py")
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr
    steps = summary["steps"]
    # Nobody saw the first step's call.
    assert steps["count"] == 4
    assert steps["model_flop"] is None
    assert steps["model_flop_bounds"] == [3 * (FORWARD + BACKWARD), None]
    codes = {finding["code"] for finding in summary["findings"]}
    assert "calls-unseen" in codes
    assert "python-out-of-reach" not in codes


def test_what_was_not_seen_is_explained(tmp_path, script):
    script("print('imported')\n")
    for number, (command, told) in enumerate(
        (
            (["true"], "no Python process of this host"),
            ([sys.executable, "-c", "pass"], "1 Python process started and none imported torch"),
            ([sys.executable, "train.py"], "1 process imported torch and none made an optimizer"),
            (
                [sys.executable, "-I", "-c", "import time; time.sleep(0.5)"],
                "no Python process could be reached",
            ),
        )
    ):
        out = tmp_path / f"out{number}"
        flopledger("run", "-q", "--out", out, "--", *command, cwd=tmp_path)
        summary = json.loads((out / "summary.json").read_text())
        assert summary["steps"] is None
        assert summary["model_flop"] is None
        (finding,) = [f for f in summary["findings"] if f["code"] == "model-flop-unknown"]
        assert told in finding["message"]
    assert summary["processes"]["out_of_reach"] == {"started with -I, -E or -S": 1}


def test_a_child_with_another_pythonpath_is_said_to_be_out_of_reach(tmp_path):
    (tmp_path / "parent.py").write_text(
        "import os, subprocess, sys\n"
        "os.environ['PYTHONPATH'] = os.getcwd()\n"
        "subprocess.run([sys.executable, '-c', 'import time; time.sleep(0.6)'])\n"
    )
    _, summary = run(tmp_path, *PYTHON, "parent.py")
    replaced = "started with another PYTHONPATH than the recorder's"
    assert summary["processes"]["out_of_reach"] == {replaced: 1}
    (finding,) = [f for f in summary["findings"] if f["code"] == "model-flop-unknown"]
    assert "1 Python process could not be reached" in finding["message"]
    told = flopledger("report", tmp_path / "out", cwd=tmp_path).stdout
    assert "no step was seen" in told


def test_a_process_that_becomes_another_program_closes_its_ledger(tmp_path, script):
    script(
        "if len(sys.argv) == 1:\n"
        "    train(2)\n"
        "    try: os.execvp('no-such-program', ['x'])\n"
        "    except FileNotFoundError: train(1)\n"
        "    model = build()\n"
        "    torch.save((model, torch.optim.SGD(model.parameters(), 0.1)), 'both.pt')\n"
        "    os.execl(sys.executable, sys.executable, 'train.py', 'again')\n"
        "model, optimizer = torch.load('both.pt', weights_only=False)\n"
        "for _ in range(4):\n"
        "    model(torch.randn(16, 8)).mean().backward(); optimizer.step(); optimizer.zero_grad()\n"
        "os._exit(5)\n"
    )
    done, summary = run(tmp_path, *PYTHON, "train.py")
    assert done.returncode == 5, done.stderr
    assert [rank["steps"] for rank in summary["steps"]["ranks"]] == [3, 4]
    assert summary["model_flop"] == 7 * (FORWARD + BACKWARD)
    assert not {f["code"] for f in summary["findings"]} & {
        "recording-interrupted", "processes-left-running"
    }  # fmt: skip


def test_a_name_that_is_taken_is_said_and_left_alone(tmp_path, script):
    (tmp_path / "profilers").mkdir()
    (tmp_path / "profilers" / "__init__.py").write_text("mine = True\n")
    script("train(2); import profilers; print(profilers.mine)\n")
    done, summary = run(tmp_path, *PYTHON, "train.py")
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr
    (reason,) = summary["processes"]["refused"]
    assert "the name profilers belongs to something else" in reason
    assert "recorder-refused" in {f["code"] for f in summary["findings"]}


def test_the_training_goes_on_when_the_wrapper_or_the_folder_is_gone(tmp_path, script):
    script(
        "import time\n"
        "for _ in range(30):\n"
        "    train(1); time.sleep(0.1)\n"
        "open('done', 'w').write('yes')\n"
    )
    out = tmp_path / "out"
    wrapper = subprocess.Popen(
        [sys.executable, command_line.CLI, "run", "-q", "--out", str(out), "--",
         sys.executable, "train.py"],
        cwd=tmp_path, env={**os.environ, **ENVIRONMENT},
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    _until(lambda: list(out.glob("steps/*/ledger.jsonl")))
    wrapper.send_signal(signal.SIGKILL)
    wrapper.wait()
    # The training begins a ledger anew, perhaps while the folder is being removed.
    _until(lambda: subprocess.run(["rm", "-rf", str(out)], check=False).returncode == 0)
    _until(lambda: (tmp_path / "done").exists())
    with wrapper.stderr as told:
        assert told.read() == b""


def _until(true, seconds=60.0):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_resumed_run_continues_its_total(tmp_path, script):
    script(
        "model = build()\n"
        "optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)\n"
        "if os.path.exists('checkpoint'):\n"
        "    optimizer.load_state_dict(torch.load('checkpoint', weights_only=True))\n"
        "for number in range(int(sys.argv[1])):\n"
        "    model(torch.randn(16, 8)).mean().backward(); optimizer.step(); optimizer.zero_grad()\n"
        "    if number == 5: torch.save(optimizer.state_dict(), 'checkpoint')\n"
        "if sys.argv[2] == 'die':\n"
        "    import time; time.sleep(1.2)\n"
        "    model(torch.randn(16, 8)).mean().backward(); optimizer.step()\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    out = tmp_path / "out"
    words = ["run", "-q", "--out", out, "--", *PYTHON, "train.py"]
    first = flopledger(*words, "10", "die", cwd=tmp_path)
    assert first.returncode == 128 + 9
    again = flopledger(*words, "4", "live", cwd=tmp_path)
    assert (again.returncode, "--append" in again.stderr) == (2, True)
    words.insert(2, "--append")
    assert flopledger(*words, "8", "live", cwd=tmp_path).returncode == 0
    summary = json.loads((out / "summary.json").read_text())
    one = FORWARD + BACKWARD
    # Nine to eleven steps were written before the kill; then on from 6: 7 to 14.
    assert summary["steps"]["count"] == 14
    assert summary["model_flop"] == 14 * one
    redone = summary["steps"]["redone"]
    assert redone in {3, 4, 5}
    assert summary["hardware_flop"] == (14 + redone) * one
    assert [launch["exit_code"] for launch in summary["launches"]] == [137, 0]
    assert summary["duration_seconds"] == pytest.approx(
        sum(launch["duration_seconds"] for launch in summary["launches"])
    )
    assert (out / "run-2.json").exists()
    assert read_totals(out).model_flop == 14 * one


NODE = (
    "import torch.distributed as dist\n"
    "dist.init_process_group('gloo')\n"
    "model = torch.nn.parallel.DistributedDataParallel(build())\n"
    "train(int(sys.argv[1]), model)\n"
    "dist.destroy_process_group()\n"
)


def test_two_nodes_at_once_add_to_one_record(tmp_path, script):
    """Each node has a wrapper of its own; none of their launches may be lost."""
    script(NODE)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    job = {
        "WORLD_SIZE": "2",
        "LOCAL_RANK": "0",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    nodes = [
        subprocess.Popen(
            [sys.executable, command_line.CLI, "run", "-q", "--append", "--out", "out", "--",
             sys.executable, "train.py", "6"],
            cwd=tmp_path, env={**os.environ, **ENVIRONMENT, **job, "RANK": str(node)},
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )
        for node in range(2)
    ]  # fmt: skip
    for node in nodes:
        _, told = node.communicate(timeout=240)
        assert node.returncode == 0, told
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert [launch["exit_code"] for launch in summary["launches"]] == [0, 0]
    seconds = [launch["duration_seconds"] for launch in summary["launches"]]
    assert summary["node_seconds"] == pytest.approx(sum(seconds))
    assert max(seconds) <= summary["duration_seconds"] < sum(seconds)  # they ran side by side
    assert {path.name for path in (tmp_path / "out").glob("run*.json")} == {
        "run.json",
        "run-2.json",
    }
    assert [(rank["rank"], rank["steps"]) for rank in summary["steps"]["ranks"]] == [(0, 6), (1, 6)]
    assert summary["model_flop"] == 2 * 6 * (FORWARD + BACKWARD)


def test_nodes_one_after_the_other_are_one_training(tmp_path, script):
    """Ranks of a job without collectives, launched in turn: each is missing until it is there."""
    script("train(5)\n")
    for rank, known in ((0, None), (1, 2 * 5 * (FORWARD + BACKWARD))):
        job = {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": "0"}
        done = flopledger(
            "run", "-q", "--append", "--out", tmp_path / "out", "--", *PYTHON, "train.py",
            cwd=tmp_path, env=job,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        summary = json.loads((tmp_path / "out" / "summary.json").read_text())
        assert summary["model_flop"] == known
    assert len(summary["launches"]) == 2
    assert summary["steps"]["count"] == 5

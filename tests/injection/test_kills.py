"""Kill -9 at random moments: nothing unreadable, at most about a second of steps lost."""

import os
import random
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from flopledger.injection import environment
from flopledger.recording.totals import read_totals
from profilers.steps.record.ledger import read_steps

pytest.importorskip("torch")
ROOT = Path(__file__).parents[2]
#: Trains in forks of one process, so that torch is imported once; kills each at a moment of its own.
#: Each fork says how far it is in a file that survives it, before the step that it names.
KILLER = """
import os, random, signal, sys, time
import torch
torch.set_num_threads(1)

def train(told):
    model = torch.nn.Linear(8, 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    number = 0
    with open(told, "wb", buffering=0) as file:
        while True:
            number += 1
            model(torch.randn(2, 8)).mean().backward()
            optimizer.step()
            file.write(b"%d %f\\n" % (number, time.monotonic()))
            time.sleep(0.004)

chance = random.Random(int(sys.argv[1]))
pids = []
for child in range(int(sys.argv[2])):
    pids.append(os.fork())
    if not pids[-1]:
        train(f"told-{os.getpid()}")
def begun(pid):
    return os.path.exists(f"told-{pid}") and os.path.getsize(f"told-{pid}") > 0

while not all(map(begun, pids)):
    time.sleep(0.02)
ends = {pid: time.monotonic() + chance.uniform(1.5, 3.5) for pid in pids}
while ends:
    pid = min(ends, key=ends.get)
    time.sleep(max(0.0, ends.pop(pid) - time.monotonic()))
    os.kill(pid, signal.SIGKILL)
    with open(f"killed-{pid}", "w") as file:
        file.write(str(time.monotonic()))
    os.waitpid(pid, 0)
"""
FLOP = 2 * 2 * 8 * 4
"""Forward of two rows through 8 x 4; the backward of the weights is as much again."""


def test_random_kills(tmp_path, run_dir):
    kills, seed = 4, 7
    (tmp_path / "kill.py").write_text(KILLER)
    subprocess.run(
        [sys.executable, "kill.py", str(seed), str(kills)],
        cwd=tmp_path, check=True, timeout=240,
        env=environment({**os.environ, "OMP_NUM_THREADS": "1"}, run_dir),
    )  # fmt: skip
    check(tmp_path, run_dir)


def check(folder: Path, run_dir: Path) -> None:
    processes = {process.pid: process for process in read_steps(run_dir)}
    total = 0
    for pid in (int(path.name.partition("-")[2]) for path in folder.glob("killed-*")):
        killed = float((folder / f"killed-{pid}").read_text())
        told = [line.split() for line in (folder / f"told-{pid}").read_bytes().splitlines(True)]
        done = [(int(line[0]), float(line[1])) for line in told if len(line) == 2]
        process = processes.get(pid)
        steps = 0 if process is None else sum(1 for _ in process.steps())
        total += steps
        assert steps <= done[-1][0] + 1
        # What is missing was done in the last moments: a second between two writings, the step that
        # is open, and the one before it, about which the program might still say something. A machine
        # that stalls stalls the writing, too, which is done between two steps: there it shows.
        ends = [at for _, at in done if at > killed - 2.5]
        stalled = max((later - at for at, later in pairwise([*ends, killed])), default=0.0)
        early = [number for number, at in done if number > steps and at < killed - 1.2 - stalled]
        assert len(early) <= 3, (pid, steps, early, killed)
        assert process is None or all("cut short" in p for p in process.problems)
    totals = read_totals(run_dir)
    assert totals.steps == total > 0
    assert totals.model_flop == total * 2 * FLOP


def test_a_ledger_that_is_written_while_it_is_killed(tmp_path):
    """Fifteen kills of a process that does nothing but write: each whole line is there, no other."""
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "from profilers.steps.record.ledger import StepLedger\n"
        "ledger = StepLedger.create(Path(sys.argv[2]))\n"
        "flop = {'forward': 1, 'backward': 2, 'recompute': 0}\n"
        "cost = ledger.cost(model='M', mode='train', inputs=[], how='meta', flop=flop)\n"
        "print('ready', flush=True)\n"
        "n = 1\n"
        "while True:\n"
        "    ledger.steps(first=n, end_us=[n], duration_us=[1], wait_us=[0], optimizer=['S'],\n"
        "        tokens=[None], tokens_from=[None], samples=[1], calls=[[(cost, 1)]])\n"
        "    n += 1\n"
    )
    chance = random.Random(3)
    command = [sys.executable, "-S", "-c", program, str(ROOT)]
    for number in range(15):
        run = tmp_path / str(number)
        writer = subprocess.Popen([*command, str(run)], stdout=subprocess.PIPE)
        with writer.stdout as out:
            out.readline()
        writer_lives = chance.uniform(0.0, 0.03)
        with pytest.raises(subprocess.TimeoutExpired):
            writer.wait(writer_lives)
        writer.kill()
        writer.wait()
        (process,) = read_steps(run)
        assert all("cut short" in problem for problem in process.problems)
        written = sum(1 for _ in process.steps())
        lines = next(run.glob("steps/*/ledger.jsonl")).read_bytes().count(b"\n")
        assert written == lines - 2  # header and cost
        totals = read_totals(run)
        # Killed before its first step, it has no figure: a busy machine gets no further.
        assert totals.model_flop == (3 * written or None)

"""What watching costs and what it must never do: memory, calls on the hot path, kills, bad disks."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

torch = pytest.importorskip("torch")

from profilers.steps.record.ledger import read_steps  # noqa: E402
from profilers.steps.settled import compiled  # noqa: E402
from tests.recording.conftest import in_its_own_interpreter, mlp, sgd  # noqa: E402

if TYPE_CHECKING:
    from tests.recording.conftest import Run

ROOT = Path(__file__).parents[2]


def steps(model: Any, optimizer: Any, number: int) -> None:
    x = torch.randn(4, 8)
    for _ in range(number):
        model(x).sum().backward()
        optimizer.step()


def test_memory_does_not_grow(run: Run) -> None:
    model = mlp()
    optimizer = sgd(model)
    with run.record():
        steps(model, optimizer, 600)
        gc.collect()
        tracemalloc.start()
        steps(model, optimizer, 600)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        steps(model, optimizer, 1200)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
    # At most one block of unwritten steps may wait at either moment.
    assert grown < 400_000
    assert run.totals.steps == 2400


@in_its_own_interpreter
def test_the_hot_path_is_short(run: Run) -> None:
    """Python calls of ours in a step: deterministic, where microseconds are not."""
    model = mlp()
    optimizer = sgd(model)
    counts = {"ours": 0}

    def profile(frame: Any, event: str, _arg: Any) -> None:
        name = frame.f_code.co_filename
        if event == "call" and ("/profilers/" in name or "/flopledger/" in name):
            counts["ours"] += 1

    with run.record():
        steps(model, optimizer, 50)
        sys.setprofile(profile)
        steps(model, optimizer, 100)
        sys.setprofile(None)
    # The seam and the optimizer's hook, which compilers of models must be able to trace; no other is Python.
    # Making steps of the notes, once a second, may fall into these hundred.
    least = 2 if compiled.HOT != compiled.PLAIN else 14
    assert least <= counts["ours"] / 100 < least + 1


KILLED = """
import sys, time, torch, flopledger, os, signal
model = torch.nn.Linear(8, 8)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
flopledger.record(sys.argv[1], sampler=False).start()
began = time.monotonic()
number = 0
while time.monotonic() - began < 3:
    model(torch.randn(4, 8)).sum().backward()
    optimizer.step()
    number += 1
    time.sleep(0.01)
print(number, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_kill_loses_about_a_second(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL
    (process,) = read_steps(tmp_path)
    assert process.problems == ()
    assert process.sealed is None
    assert len(list(process.steps())) >= int(done.stdout) / 2


SLOW = """
import os, signal, sys, time, torch, flopledger
class Slow(torch.nn.Linear):
    def forward(self, x):
        time.sleep(seconds)
        return super().forward(x)
model, seconds = Slow(8, 8), 0.0
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
flopledger.record(sys.argv[1], sampler=False).start()
for seconds in (0.0, 0.5, 0.5):
    model(torch.randn(4, 8)).sum().backward()
    optimizer.step()
def kill(*_):
    os.kill(os.getpid(), signal.SIGKILL)
signal.signal(signal.SIGALRM, kill)
signal.setitimer(signal.ITIMER_REAL, 3.5)
seconds = 30.0
model(torch.randn(4, 8))
"""


def test_a_kill_inside_of_a_slow_step_loses_only_that_step(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SLOW, str(tmp_path)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    (process,) = read_steps(tmp_path)
    assert process.problems == ()
    assert [step.number for step in process.steps()] == [1, 2, 3]


def test_a_fork_meets_no_thread_of_ours(run: Run) -> None:
    import threading

    names: list[str] = []
    model = mlp()
    with run.record():
        assert "flopledger" in {thread.name for thread in threading.enumerate()}
        os.register_at_fork(before=lambda: names.extend(t.name for t in threading.enumerate()))
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        assert "flopledger" in {thread.name for thread in threading.enumerate()}
        steps(model, sgd(model), 2)
    assert names
    assert run.totals.steps == 2
    assert "flopledger" not in {thread.name for thread in threading.enumerate()}


def test_where_no_thread_can_be_started_the_program_writes_by_itself(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a limit on threads; and Python 3.12 and later start none while they end."""
    import threading

    def refused(_thread: Any) -> None:
        raise RuntimeError("can't start new thread")

    model = mlp()
    optimizer = sgd(model)
    with run.record():
        monkeypatch.setattr(threading.Thread, "start", refused)
        child = os.fork()  # warnings are errors, and what a hook of a fork raises is one
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        steps(model, optimizer, 2)
    with run.record():
        steps(model, optimizer, 1)
    assert run.totals.steps == 3


def test_a_disk_that_refuses_does_not_reach_the_program(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    import profilers.ledger

    model = mlp()
    optimizer = sgd(model)
    whole = profilers.ledger.append_whole

    def full(_descriptor: int, _data: bytes) -> None:
        raise OSError(28, "No space left on device")

    with run.record() as recording:
        steps(model, optimizer, 3)
        recording.flush()
        monkeypatch.setattr(profilers.ledger, "append_whole", full)
        steps(model, optimizer, 3)
        recording.flush()
        monkeypatch.setattr(profilers.ledger, "append_whole", whole)
        steps(model, optimizer, 3)
    assert run.totals.steps == 9


def test_a_recorder_that_fails_does_not_reach_the_program(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from profilers.steps.calls import seam

    model = mlp()
    optimizer = sgd(model)

    def broken(*_: Any) -> Any:
        raise ValueError("a fault of ours")

    with run.record():
        steps(model, optimizer, 2)
        monkeypatch.setattr(seam, "key_of", broken)
        steps(model, optimizer, 2)
        monkeypatch.undo()
        steps(model, optimizer, 2)
    assert {"recorder-trouble", "work-outside-modules"} <= run.notes()
    assert run.flop[-1] == 5 * 512
    # The graph shows what was differentiated; what else the missed calls did is not known.
    assert run.flop[2:4] == [None, None]


def test_counting_draws_no_random_numbers_and_leaves_gradients(run: Run) -> None:
    import random

    import numpy as np

    model = torch.nn.Sequential(mlp(), torch.nn.Dropout(0.5))
    optimizer = sgd(model)
    x = torch.randn(4, 8)
    states = []
    with run.record():
        for _ in range(2):
            model(x).sum().backward()
            gradients = [parameter.grad.clone() for parameter in model.parameters()]
            before = (torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy())
            optimizer.step()  # here the first step's call is counted
            after = (torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy())
            states.append((before, after))
            for parameter, gradient in zip(model.parameters(), gradients, strict=True):
                assert torch.equal(parameter.grad, gradient)
    for before, after in states:
        assert torch.equal(before[0], after[0])
        assert before[1] == after[1]
        assert (before[2] == after[2]).all()


def test_nothing_starts_a_device(run: Run) -> None:
    with run.record():
        model = mlp()
        steps(model, sgd(model), 2)
    assert not torch.cuda.is_initialized()

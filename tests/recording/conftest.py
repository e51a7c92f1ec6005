"""Shared by the tests of recording: a run in a folder, read back, and the counter to agree with."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

torch = pytest.importorskip("torch")

from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from flopledger.recording.totals import RunTotals, read_totals  # noqa: E402
from profilers.steps.record.ledger import ProcessSteps, read_steps  # noqa: E402

if TYPE_CHECKING:
    from flopledger.recording import Recording


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    """One thread (the machine is shared) and the same numbers in every test."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


in_its_own_interpreter = pytest.mark.in_its_own_interpreter
"""Run a test where no other one ran before: what others leave in a process may take the longer way.

One interpreter serves all such tests of a file: it imports torch once, and each runs in a fork of it.
"""
OWN = "FLOPLEDGER_TEST_ALONE"


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if pyfuncitem.get_closest_marker("in_its_own_interpreter") is None:
        return None
    if OWN in os.environ:
        _run_in_a_fork(pyfuncitem)
    else:
        told = _told_by_its_own_interpreter(pyfuncitem.path)
        if f"PASSED {pyfuncitem.nodeid}" not in told.splitlines():
            pytest.fail(told[-6000:], pytrace=False)
    return True


def _run_in_a_fork(item: pytest.Function) -> None:
    import_module("torch._dynamo")  # torch's optimizers do it at their first step

    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # libraries' threads, that wait for work
        child = os.fork()
    if child:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        return
    code = 1
    try:
        item.obj(**{name: item.funcargs[name] for name in item._fixtureinfo.argnames})
        code = 0
    except BaseException:  # noqa: BLE001 - of a test: shown, and told by the exit code
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


@functools.cache
def _told_by_its_own_interpreter(path: Path) -> str:
    environ = {key: value for key, value in os.environ.items() if "PYTEST" not in key}
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", str(path)]
    done = subprocess.run(
        [*command, "-m", "in_its_own_interpreter"], cwd=Path(__file__).parents[2],
        env={**environ, OWN: "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run that is not started yet."""
    return Run(tmp_path / "run")


class Run:
    """Records into a folder and reads it back."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def record(self, *args: Any, **kwargs: Any) -> Recording:
        import flopledger

        return flopledger.record(self.path, *args, sampler=False, **kwargs)

    @property
    def process(self) -> ProcessSteps:
        (process,) = read_steps(self.path)
        assert process.problems == ()
        return process

    @property
    def totals(self) -> RunTotals:
        totals = read_totals(self.path)
        assert totals is not None
        return totals

    @property
    def flop(self) -> list[int | None]:
        """Model FLOP of each step."""
        process = self.process
        found: list[int | None] = []
        for step in process.steps():
            parts = [process.costs[cost].model_flop for cost, _ in step.calls]
            if None in parts:
                found.append(None)
            else:
                found.append(int(sum(p * n for p, (_, n) in zip(parts, step.calls, strict=True))))
        return found

    def notes(self) -> set[str]:
        return {note.code for note in self.process.notes}


def by_counter(function: Callable[[], Any]) -> int:
    """What torch's own counter says of the same work."""
    with FlopCounterMode(display=False) as counter:
        function()
    return int(counter.get_total_flops())


Mark = Callable[[], None]
"""What a loop calls at the end of each of its steps."""


def steps_by_counter(loop: Callable[[Mark], None]) -> list[int]:
    """FLOP of each step by torch's counter."""
    found: list[int] = []
    counters = [FlopCounterMode(display=False)]
    counters[0].__enter__()

    def mark() -> None:
        done = counters.pop()
        done.__exit__(None, None, None)
        found.append(int(done.get_total_flops()))
        counters.append(FlopCounterMode(display=False))
        counters[0].__enter__()

    try:
        loop(mark)
    finally:
        counters[0].__exit__(None, None, None)
    return found


def recorded_as_counted(run: Run, loop: Callable[[Mark], None]) -> list[int]:
    """Record a loop: each step is exactly what torch's counter says of it, and nothing is remarked."""
    torch.manual_seed(0)
    expected = steps_by_counter(loop)
    torch.manual_seed(0)
    with run.record():  # the models are gone when it ends
        loop(lambda: None)
    assert run.flop == expected
    assert run.process.notes == ()
    assert {cost.bounds for cost in run.process.costs.values()} == {None}
    return expected


def mlp(width: int = 8, depth: int = 2) -> Any:
    """A small model: ``depth`` linear layers of ``width`` x ``width``."""
    layers: list[Any] = []
    for _ in range(depth):
        layers += [torch.nn.Linear(width, width), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers)


def sgd(*models: Any) -> Any:
    return torch.optim.SGD([p for model in models for p in model.parameters()], lr=1e-3)


ONE = 512
"""FLOP of one product of one layer of ``mlp()`` on ``batch()``: 4 rows times 8 x 8, 2·4·8·8."""
TRAIN = 5 * ONE
"""Two layers: two forward, two weight gradients, one input gradient."""


def batch() -> Any:
    return torch.randn(4, 8)


def train(model: Any, optimizer: Any, steps: int = 1) -> None:
    for _ in range(steps):
        model(batch()).sum().backward()
        optimizer.step()
        optimizer.zero_grad()

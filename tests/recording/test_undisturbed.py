"""A forward that runs once more for a count leaves nothing changed: with and without recording alike."""

from __future__ import annotations

import collections
import contextvars
import functools
import itertools
import logging
import os
import random
import sys
import threading
import weakref
from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from tests.recording.conftest import sgd  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path

    from tests.recording.conftest import Run

WORD = contextvars.ContextVar("WORD", default=0)
GENERATOR = torch.Generator()
DICE = random.Random()
TABLE = torch.zeros(3)
SEEN: list[int] = []
STEPS = 12
"""More than are needed until an attribute of many values is known to decide nothing."""


class Meter:
    """Something that a model counts with."""

    __slots__ = ("__dict__", "last")

    def __init__(self) -> None:
        self.number, self.last, self.each = 0, 0, []  # type: int, int, list[int]

    def add(self) -> None:
        self.number += 1
        self.last = self.number
        self.each.append(self.number)


class Odd(nn.Module):
    """A layer, and whatever else its forward does."""

    calls = 0
    each: list[int] = []  # noqa: RUF012 - as programs have them

    def __init__(self, odd: Callable[[Odd], float], **held: Any) -> None:
        super().__init__()
        self.inner = nn.Linear(8, 8)
        self.odd = odd
        for name, value in held.items():
            object.__setattr__(self, name, value)

    def forward(self, x: Any) -> Any:
        return self.inner(x) * (1 + self.odd(self))


def generators(model: Any) -> float:
    """Draw from generators of the program's own: each further draw would change the training."""
    drawn = float(torch.rand((), generator=model.own)) + float(torch.rand((), generator=GENERATOR))
    return drawn + model.dice.random() + DICE.random()


def counters(model: Any) -> float:
    model.meter.add()
    type(model).calls += 1
    type(model).each.append(1)
    SEEN.append(1)
    model.queue.append(1)
    model.numbers["calls"] += 1
    model.raw += b"."
    WORD.set(WORD.get() + 1)
    return float(next(model.iterator))


def in_place(model: Any) -> float:
    TABLE.add_(1)
    model.tables["a"].add_(1)
    return float(TABLE.sum())


def settings(model: Any) -> float:
    """Set back by the program itself where it computes, as libraries do at their first real call."""
    without = model.inner.weight.is_meta
    torch.set_default_device("meta" if without else None)
    torch.backends.cudnn.benchmark = without
    os.environ["ODD_FORWARD"] = str(without)
    torch.set_warn_always(without)
    sys.setswitchinterval(0.1 if without else 0.005)
    return 0.0


def hidden(model: Any) -> float:
    """A second model, which no table of the first one names, is trained inside of its forward."""
    with torch.enable_grad():
        model.other(torch.ones(2, 8)).sum().backward()
    return float(model.other.weight.grad.sum())


class Statistics(nn.Module):
    """Kept in a list, as metrics are: a number that is exchanged, a list, and one that is written to."""

    def __init__(self) -> None:
        super().__init__()
        self.total, self.each = torch.zeros(()), []  # type: Any, list[Any]
        self.norm = nn.BatchNorm1d(8, affine=False)

    def forward(self, x: Any) -> float:
        self.total = self.total + x.detach().mean()
        self.each.append(x.detach().mean())
        self.norm(x.detach())
        return float(self.total + sum(self.each) + self.norm.running_mean.sum())


def statistics(model: Any) -> float:
    return float(model.metrics[0](model.inner(torch.ones(2, 8))))


def made(name: str) -> Any:
    """A model, and everything of the process that its forward may change."""
    GENERATOR.manual_seed(1)
    DICE.seed(1)
    TABLE.zero_()
    SEEN.clear()
    Odd.calls, Odd.each = 0, []
    torch.manual_seed(0)
    if name == "generators":
        return Odd(generators, own=torch.Generator().manual_seed(2), dice=random.Random(2))
    if name == "counters":
        held = {"meter": Meter(), "queue": collections.deque(), "raw": bytearray()}
        numbers: Any = collections.Counter()
        return Odd(counters, **held, numbers=numbers, iterator=itertools.count())
    if name == "statistics":
        return Odd(statistics, metrics=[Statistics()])
    if name == "in place":
        return Odd(in_place, tables={"a": torch.zeros(2)})
    if name == "hidden":
        return Odd(hidden, other=nn.Linear(8, 8))
    return Odd(settings)


def print_of(model: Any) -> list[Any]:
    """Everything that a forward above changes."""
    held = vars(model)
    meter = held.get("meter", Meter())
    return [
        GENERATOR.get_state().tolist(), DICE.getstate(), TABLE.tolist(), len(SEEN),
        Odd.calls, len(Odd.each), WORD.get(), meter.number, meter.last, meter.each,
        list(held.get("queue", ())), dict(held.get("numbers", {})), bytes(held.get("raw", b"")),
        [t.tolist() for t in held.get("tables", {}).values()],
        torch.get_default_device(), torch.backends.cudnn.benchmark, torch.is_warn_always_enabled(),
        os.environ.get("ODD_FORWARD"), sys.getswitchinterval(),
        held["own"].get_state().tolist() if "own" in held else None,
        model.inner.weight.tolist(), model.inner.weight._version,
    ]  # fmt: skip


def trained(name: str, recording: Any) -> list[Any]:
    def steps() -> list[Any]:
        model = made(name)
        optimizer = sgd(model)
        seen = []
        with recording:
            for step in range(STEPS):
                loss = model(torch.ones(4 + step % 2, 8)).sum()
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
                seen.append([loss.item(), *print_of(model)])
        return seen

    try:
        return contextvars.copy_context().run(steps)
    finally:
        os.environ.pop("ODD_FORWARD", None)


@pytest.mark.parametrize(
    "name", ["generators", "counters", "in place", "settings", "hidden", "statistics"]
)
def test_a_run_is_the_same_with_and_without_recording(
    run: Run, name: str, monkeypatch: Any
) -> None:
    # Other tests' threads may still live; beside threads containers are left as they are.
    monkeypatch.setattr(threading, "enumerate", lambda: [threading.current_thread()])
    without = trained(name, nullcontext())
    recorded = trained(name, run.record())
    changed = {
        (step, place)
        for step, (one, other) in enumerate(zip(without, recorded, strict=True))
        for place, (a, b) in enumerate(zip(one, other, strict=True))
        if a != b
    }
    assert not changed


def test_a_trainer_is_not_told_once_more(run: Run) -> None:
    """Lightning's modules, whose steps are calls under a strategy of several ranks, log by themselves."""
    trainer: dict[str, Any] = {"results": {}}
    for _ in range(8):
        trainer = {"loop": trainer}  # deeper than is looked at

    class LightningModule(nn.Linear):
        def log(self, name: str, value: Any) -> None:
            deep = trainer
            while "loop" in deep:
                deep = deep["loop"]
            deep["results"][name] = deep["results"].get(name, 0) + value.detach()

        def forward(self, x: Any) -> Any:
            y = super().forward(x)
            self.log("mean", y.mean())
            self.trainer, told = trainer, y.mean()
            return y + 0 * told

    model = LightningModule(8, 8)
    optimizer = sgd(model)
    seen = torch.zeros(())
    with run.record():
        for _ in range(3):
            y = model(torch.randn(4, 8))
            seen = seen + y.detach().mean()
            y.sum().backward()
            optimizer.step()
    for _ in range(8):
        trainer = trainer["loop"]
    assert torch.allclose(trainer["results"]["mean"], seen)
    assert run.flop == [2 * 512] * 3


def test_nothing_is_printed_logged_or_written_once_more(
    run: Run, tmp_path: Path, capsys: Any, caplog: Any
) -> None:
    path = tmp_path / "written"

    def speaks(_model: Any) -> float:
        print("spoken")  # noqa: T201
        logging.getLogger("odd").warning("logged")
        with open(path, "a") as file:  # noqa: PTH123 - as programs do
            file.write("x")
        return 0.0

    model = Odd(speaks)
    with run.record():
        model(torch.ones(4, 8)).sum().backward()
        sgd(model).step()
    assert capsys.readouterr().out == "spoken\n"
    assert [record.message for record in caplog.records] == ["logged"]
    assert path.read_text() == "x"
    (step,) = run.process.steps()
    assert [run.process.costs[number].bounds for number, _ in step.calls] == [None]


def test_a_generator_of_the_models_own_is_not_read_once_more(run: Run) -> None:
    model = Odd(lambda model: next(model.numbers), numbers=(float(n) for n in range(9)))
    optimizer = sgd(model)
    with run.record():
        for _ in range(3):
            model(torch.ones(4, 8)).sum().backward()
            optimizer.step()
    assert list(model.numbers) == [3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
    assert {cost.bounds for cost in run.process.costs.values()} == {(0, None)}


def test_what_another_thread_writes_meanwhile_is_kept(run: Run) -> None:
    """A queue that a loader fills while a count runs must not lose what came."""
    queue: collections.deque[int] = collections.deque()
    begun, filled = threading.Event(), threading.Event()

    def fills() -> None:
        begun.wait(20)
        queue.append(7)
        filled.set()

    def waits(model: Any) -> float:
        if model.inner.weight.is_meta:
            begun.set()
            filled.wait(20)
        return float(len(queue) * 0)

    thread = threading.Thread(target=fills)
    other = threading.Event()
    beside = threading.Thread(target=other.wait)  # still there when everything is put back
    thread.start()
    beside.start()
    model = Odd(waits)
    with run.record():
        model(torch.ones(4, 8)).sum().backward()
        sgd(model).step()
    other.set()
    thread.join()
    beside.join()
    assert list(queue) == [7]


class Slots:
    """A batch without a dictionary."""

    __slots__ = ("x",)

    def __init__(self, x: Any) -> None:
        self.x = x


class Refusing:
    """A batch that cannot be copied."""

    def __init__(self, x: Any) -> None:
        self.x = x

    def __deepcopy__(self, _memo: Any) -> None:
        raise TypeError("not me")


class SlottedDict(dict[str, Any]):
    """A dictionary of a class of its own, which nothing can be added to."""

    __slots__ = ()


BATCHES: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "slots": (Slots, lambda batch: batch.x),
    "refusing": (Refusing, lambda batch: batch.x),
    "dictionary": (lambda x: SlottedDict(x=x), lambda batch: batch["x"]),
    "closure": (lambda x: lambda: x, lambda batch: batch()),
    "default": (lambda x: lambda y=x: y, lambda batch: batch()),
    "partial": (lambda x: functools.partial(lambda y: y, x), lambda batch: batch()),
}


class Opening(nn.Module):
    """A layer that takes its input out of a batch."""

    def __init__(self, opened: Callable[[Any], Any]) -> None:
        super().__init__()
        self.inner = nn.Linear(8, 8)
        self.opened = opened

    def forward(self, batch: Any) -> Any:
        return self.inner(self.opened(batch))


@pytest.mark.parametrize("kind", list(BATCHES))
def test_no_batch_outlives_its_step(run: Run, kind: str) -> None:
    make, opened = BATCHES[kind]
    model = Opening(opened)
    optimizer = sgd(model)
    with run.record():
        for rows in (4, 5, 6):
            x = torch.ones(rows, 8)
            alive = weakref.ref(x)
            batch = make(x)
            del x
            loss = model(batch).sum()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            del batch, loss
            assert alive() is None
    costs = {number for step in run.process.steps() for number, _ in step.calls}
    assert [run.process.costs[number].bounds for number in costs] == [None] * len(costs)

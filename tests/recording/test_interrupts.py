"""What a forward raises when it is run again stays with the count; what comes from outside arrives."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from flopcount.live import signals  # noqa: E402
from flopcount.live.signals import held_back, let_through  # noqa: E402
from flopledger.recording import blocks  # noqa: E402
from flopledger.recording.recorder import Recorder  # noqa: E402
from profilers import ledger  # noqa: E402
from profilers.steps.backward.engine import Around  # noqa: E402
from profilers.steps.folding.steps import Folding  # noqa: E402
from profilers.steps.optimizers.known import Optimizers  # noqa: E402
from profilers.steps.products.mode import Mode  # noqa: E402
from profilers.steps.standing.handlers import SHIELD  # noqa: E402
from tests.recording.conftest import sgd  # noqa: E402

if TYPE_CHECKING:
    from tests.recording.conftest import Run

ONE = 512
"""One product of a layer of 8 x 8 on 4 rows: 2·4·8·8 FLOP."""


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """A shell's job in the background inherits an interrupt that is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Own(BaseException):
    """Somebody's own way out."""


class Raising(nn.Module):
    """A layer that does something odd beside its product."""

    def __init__(self, odd: Any) -> None:
        super().__init__()
        self.inner = nn.Linear(8, 8)
        self.odd = odd
        self.on = False

    def forward(self, x: Any) -> Any:
        if self.on:
            self.odd(self.inner.weight)
        return self.inner(x)


def raises(kind: type[BaseException]) -> Any:
    def odd(_weight: Any) -> None:
        raise kind

    return odd


def train(model: Any, optimizer: Any) -> None:
    model(torch.ones(4, 8)).sum().backward()
    optimizer.step()
    optimizer.zero_grad()


@pytest.fixture
def caught() -> Iterator[list[int]]:
    """Signals that a handler of the program's, which raises nothing, was told of."""
    numbers: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _frame: numbers.append(number))
    yield numbers
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, Own])
def test_what_a_forward_raised_and_the_loop_caught_is_not_raised_again(
    run: Run, kind: type[BaseException]
) -> None:
    model = Raising(raises(kind))
    optimizer = sgd(model)
    with run.record():
        for step in range(3):
            if step == 1:
                model.on = True
                with pytest.raises(kind):
                    model(torch.ones(4, 8))
                model.on = False
            train(model, optimizer)
    middle = list(run.process.steps())[1]
    costs = [run.process.costs[number] for number, _ in middle.calls]
    assert sorted(cost.bounds is None for cost in costs) == [False, True]
    # No gradient reaches the input: one product forward, one for the weight.
    assert [cost.hardware_flop for cost in costs if cost.bounds is None] == [2 * ONE]


@pytest.mark.parametrize("rung", ["meta", "fakes"])
def test_a_model_that_ends_the_program_without_real_numbers(run: Run, rung: str) -> None:
    def odd(weight: Any) -> None:
        if weight.is_meta if rung == "meta" else type(weight.data) is not torch.Tensor:
            sys.exit("real numbers only")

    model = Raising(odd)
    model.on = True
    optimizer = sgd(model)
    with run.record():
        train(model, optimizer)
        train(model, optimizer)
    assert run.totals.steps == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGALRM])
def test_an_interrupt_during_a_count_arrives_and_the_model_is_whole(
    run: Run, number: signal.Signals
) -> None:
    first = iter([True])  # whose place no count puts back, as it does with a list

    def odd(weight: Any) -> None:
        if weight.is_meta and next(first, False):
            os.kill(os.getpid(), number)

    def ends(number: int, _frame: Any) -> None:
        raise TimeoutError if number == signal.SIGALRM else SystemExit

    expected = {signal.SIGINT: KeyboardInterrupt, signal.SIGALRM: TimeoutError}.get(
        number, SystemExit
    )
    before = None if number == signal.SIGINT else signal.signal(number, ends)
    handler = signal.getsignal(number)
    model = Raising(odd)
    model.on = True
    optimizer = sgd(model)
    weight = model.inner.weight
    try:
        with run.record():
            with pytest.raises(expected):
                train(model, optimizer)
            assert model.inner.weight is weight
            assert not weight.is_meta
            assert signal.getsignal(number) is handler
            train(model, optimizer)  # the loop goes on, and now it can be counted
    finally:
        if before is not None:
            signal.signal(number, before)
    (step, *_) = run.process.steps()
    assert [run.process.costs[number].bounds for number, _ in step.calls] == [None]


def test_an_interrupt_of_the_last_count_leaves_a_sealed_ledger(run: Run) -> None:
    model = Raising(lambda weight: weight.is_meta and os.kill(os.getpid(), signal.SIGINT))
    model.on = True

    def trained() -> None:
        with run.record(), suppress(KeyboardInterrupt):
            train(model, sgd(model))

    with pytest.raises(KeyboardInterrupt):
        trained()
    assert run.totals.steps == 1


def test_a_handler_that_only_takes_a_note_disturbs_no_count(run: Run, caught: list[int]) -> None:
    model = Raising(lambda weight: weight.is_meta and os.kill(os.getpid(), signal.SIGUSR1))
    model.on = True
    with run.record():
        train(model, sgd(model))
    assert set(caught) == {signal.SIGUSR1}
    (step,) = run.process.steps()
    assert [run.process.costs[number].bounds for number, _ in step.calls] == [None]


def test_signals_wait_while_tensors_are_exchanged(caught: list[int]) -> None:
    with held_back():
        os.kill(os.getpid(), signal.SIGUSR1)
        assert caught == []
        with let_through():
            os.kill(os.getpid(), signal.SIGUSR1)
            assert caught == [signal.SIGUSR1]
    assert caught == [signal.SIGUSR1] * 2


def test_a_second_interrupt_waits_for_what_the_first_one_ends() -> None:
    order = []

    def interrupted_twice() -> None:
        with held_back():
            try:
                with let_through():
                    os.kill(os.getpid(), signal.SIGINT)
            finally:
                os.kill(os.getpid(), signal.SIGINT)
                order.append("put back")

    with pytest.raises(KeyboardInterrupt):
        interrupted_twice()
    assert order == ["put back"]


def test_other_threads_change_no_handler() -> None:
    before, seen = signal.getsignal(signal.SIGINT), []

    def work() -> None:
        with held_back(), let_through():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


def test_a_function_that_ends_the_program_is_counted_as_unknown(run: Run) -> None:
    model = nn.Linear(8, 8)
    with run.record() as recording:
        recording.count(raises(SystemExit), model.weight)
        train(model, sgd(model))
    (step,) = run.process.steps()
    assert {run.process.costs[number].bounds for number, _ in step.calls} == {None, (0, None)}


@pytest.fixture
def alarm() -> Iterator[Any]:
    """A timeout of the program's: a handler that raises, sent in the middle of a function of ours."""

    def timeout(_number: int, _frame: Any) -> None:
        raise TimeoutError("the program's own")

    before = signal.signal(signal.SIGALRM, timeout)
    yield lambda: os.kill(os.getpid(), signal.SIGALRM)
    signal.signal(signal.SIGALRM, before)


OURS = {
    "a replay": (Folding, "replay"),
    "a step that is told": (Recorder, "step"),
    "a block that is written": (blocks, "write"),
    "a line that is written": (ledger, "append_whole"),
}
"""Where it comes when steps are made of what was noted, once a second or when the program asks."""


@pytest.mark.parametrize("where", OURS)
def test_a_timeout_in_our_own_work_arrives_and_no_step_is_lost(
    run: Run, alarm: Any, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    owner, name = OURS[where]
    original = getattr(owner, name)
    ours = iter([True])

    def interrupted(*given: Any, **named: Any) -> Any:
        found = original(*given, **named)
        if next(ours, False):
            alarm()
        return found

    model = nn.Linear(8, 8)
    optimizer = sgd(model)
    done: list[None] = []
    optimizer.register_step_post_hook(lambda *_: done.append(None))
    handler = signal.getsignal(signal.SIGALRM)
    with run.record() as recording:
        train(model, optimizer)
        monkeypatch.setattr(owner, name, interrupted)

        def goes_on() -> None:
            for _ in range(3):
                train(model, optimizer)
                recording.flush()

        with pytest.raises(TimeoutError, match="the program's own"):
            goes_on()
        assert signal.getsignal(signal.SIGALRM) is handler
        train(model, optimizer)
    assert next(ours, None) is None
    assert run.totals.steps == len(list(run.process.steps())) == len(done) > 2
    assert "recorder-trouble" not in {found.code for found in run.totals.findings}


@pytest.mark.parametrize("where", ["known", "is_layered"])
def test_a_timeout_between_two_lines_of_a_hook_arrives(
    run: Run, alarm: Any, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    model = nn.Linear(8, 8)
    with run.record():
        train(model, sgd(model))
        monkeypatch.setattr(Optimizers, where, lambda *_: alarm())
        with pytest.raises(TimeoutError, match="the program's own"):
            train(model, sgd(model))  # another optimizer, which is asked about
        monkeypatch.undo()
    assert "recorder-trouble" in {found.code for found in run.totals.findings}


def test_a_timeout_before_a_pass_arrives(
    run: Run, alarm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = nn.Linear(8, 8)
    with run.record():
        train(model, sgd(model))
        monkeypatch.setattr(Around, "_look_before", lambda *_, **__: alarm())
        with pytest.raises(TimeoutError, match="the program's own"):
            torch.autograd.grad(model(torch.ones(4, 8)).sum(), model.weight)
        monkeypatch.undo()
        train(model, sgd(model))


def test_a_timeout_while_an_op_is_watched_arrives(
    run: Run, alarm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = nn.Linear(8, 8)
    monkeypatch.setattr(Mode, "_note", lambda *_: alarm())
    with run.record(watch_products=True):
        with pytest.raises(TimeoutError, match="the program's own"):
            train(model, sgd(model))
        monkeypatch.undo()


def test_what_fails_of_ours_is_not_taken_for_the_programs(alarm: Any) -> None:
    with SHIELD:
        raise ValueError("ours")
    with pytest.raises(TimeoutError), SHIELD:
        alarm()


@pytest.mark.parametrize("when", ["they are put in place", "they are taken away"])
def test_a_handler_that_raises_among_ours_costs_no_other_signal(
    alarm: Any, caught: list[int], monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """Handlers are exchanged in the order of their numbers, an interrupt's before the alarm's."""
    taken = when == "they are taken away"
    first = iter([True])

    def usr1_raises(_number: int, _frame: Any) -> None:
        raise TimeoutError("the program's own")

    def exchange(number: int, handler: Any) -> Any:
        found = _signal.signal(number, handler)
        ours = isinstance(handler, signals._Signals)
        if (
            number == (signal.SIGUSR1 if taken else signal.SIGINT)
            and ours != taken
            and next(first, False)
        ):
            os.kill(os.getpid(), signal.SIGUSR1 if taken else signal.SIGALRM)
        return found

    if taken:
        signal.signal(signal.SIGUSR1, usr1_raises)
    both = SimpleNamespace(signal=exchange, getsignal=_signal.getsignal)
    monkeypatch.setattr(signals, "_signal", both)

    def held() -> None:
        with held_back():
            pass

    with pytest.raises(TimeoutError, match="the program's own"):
        held()
    assert next(first, None) is None
    for _ in range(2):  # through ours, should it still stand there, and then without it
        with pytest.raises(TimeoutError, match="the program's own"):
            alarm()
    assert not isinstance(signal.getsignal(signal.SIGALRM), signals._Signals)

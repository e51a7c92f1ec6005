"""What is written down in the middle of a step, by a thread beside the program or by a word of the program's.

Once a second a thread takes what was noted so far. Nothing of a step may hang on when that is: here it
comes at the worst moments, and not by the clock.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

torch = pytest.importorskip("torch")

from flopledger.recording import book, heartbeat  # noqa: E402
from tests.recording.conftest import ONE, TRAIN, Run, batch, mlp, sgd  # noqa: E402

if TYPE_CHECKING:
    from flopledger.recording import Recording

Beside = Callable[["Recording"], None]


def beats(recording: Recording) -> None:
    """The thread's work, in this thread."""
    assert recording._recorder is not None
    recording._recorder._beat()


def is_asked(recording: Recording) -> None:
    """A progress bar wants to know how far it is."""
    assert recording.steps >= 0


def spans(recording: Recording) -> None:
    with recording.span("data"):
        pass


@pytest.fixture(autouse=True)
def no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written by itself, and each beat finds that it is time."""
    monkeypatch.setattr(heartbeat.Heartbeat, "start", lambda _: None)
    monkeypatch.setattr(book, "FLUSH_SECONDS", 0.0)


@pytest.mark.parametrize("beside", [beats, is_asked, spans])
def test_a_gradient_that_is_differentiated_is_the_step_s(run: Run, beside: Beside) -> None:
    """Which call it belongs to was looked for among what was not taken yet: its product was lost."""
    model = mlp()
    optimizer = sgd(model)
    weight = model[2].weight

    def step(then: Callable[[], None]) -> None:
        loss = model(batch()).square().sum()
        then()
        (slope,) = torch.autograd.grad(loss, weight, create_graph=True)
        then()
        slope.square().sum().backward()
        then()
        optimizer.step()
        optimizer.zero_grad()

    with run.record():
        step(lambda: None)
        step(lambda: None)
    (expected, again) = run.flop
    assert expected is not None
    assert expected == again > TRAIN
    other = Run(run.path.with_name("beside"))
    with other.record() as recording:
        for _ in range(3):
            step(lambda: beside(recording))
    assert other.flop == [expected] * 3
    assert other.process.notes == ()


@pytest.mark.parametrize("beside", [beats, is_asked, spans])
def test_a_backward_that_raises_leaves_its_calls_without_it(run: Run, beside: Beside) -> None:
    model = mlp()
    optimizer = sgd(model)
    x = batch().requires_grad_()

    def refuse(_gradient: Any) -> None:
        raise ValueError("not this one")

    with run.record() as recording:
        loss = model(x).sum()
        beside(recording)
        x.register_hook(refuse)
        with pytest.raises(ValueError, match="not this one"):
            loss.backward()
        optimizer.step()
    # Forward, two products, is sure; what the backward did is not.
    assert run.totals.hardware_bounds == (2 * ONE, None)


def test_what_was_taken_beside_the_program_is_counted_at_its_next_step(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not a second later, when the model may be another one."""
    monkeypatch.setattr("profilers.steps.observer.FOLD_NS", 1 << 62)
    model = mlp()
    optimizer = sgd(model)
    with run.record() as recording:
        for number in range(4):
            output = model(batch())
            if number != 2:
                output.sum().backward()  # in the third step none: a cost that nobody knows yet
            beats(recording)
            optimizer.step()
            assert recording._recorder is not None
            known = [call for call, _ in recording._recorder.observer.open_calls()]
            assert all(kind.became(fired, again=again).data for kind, fired, _, again in known)
    assert run.flop == [TRAIN, TRAIN, 2 * ONE, TRAIN]


@pytest.mark.parametrize("beside", [beats, is_asked, spans])
def test_a_shape_that_was_exchanged_is_noticed_for_what_was_taken(
    run: Run, beside: Beside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``p.data = other`` tells nobody; what was taken before the next look counted as if nothing was."""

    class Wide(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(8, 8)
            self.wide = torch.nn.Parameter(torch.randn(8, 8), requires_grad=False)

        def forward(self, given: Any) -> Any:
            return self.layer(given) @ self.wide

    monkeypatch.setattr("profilers.steps.observer.FOLD_NS", 1 << 62)
    monkeypatch.setattr(book, "FLUSH_SECONDS", 0.0 if beside is beats else 1e9)
    model = Wide()
    optimizer = sgd(model.layer)
    with run.record() as recording:
        for number in range(24):
            if number == 21:
                recording.flush()
                model.wide.data = torch.randn(8, 16)
            loss = model(batch()).sum()
            loss.backward()
            optimizer.step()
            if number == 22:
                model(batch()).sum().backward()  # the next step has begun
                beside(recording)
    # Two products forward, the layer's gradient, and what leads to it: 4 of 8 x 8 on 4 rows, or one of these
    # of 8 x 16. Of the steps since the exchange it is not known, till they were looked at.
    known = [flop is not None for flop in run.flop]
    assert known[:21] == [True] * 21
    assert known[21:23] == [False] * 2

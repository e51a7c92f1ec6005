"""Losses that hang on what lies inside of a model: hidden features, attention maps, a router's own loss.

A pass that comes to a call by its output, too, computes no more for them: one more gradient is added. Where
it comes by what is hidden alone, the upper end is open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from tests.recording.conftest import batch, mlp, sgd, steps_by_counter  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.recording.conftest import Mark, Run

STEPS = 6


def trained(
    mark: Mark, model: Any, loss_of: Callable[[int], Any], *others: Any, steps: int = STEPS
) -> None:
    optimizer = sgd(model, *others)
    for step in range(steps):
        loss_of(step).backward()
        optimizer.step()
        optimizer.zero_grad()
        mark()


def features_of_a_teacher(mark: Mark) -> None:
    """Both hand out what is hidden by hooks; a layer of the loop's makes them comparable."""
    teacher, student, project = (
        mlp(depth=3).requires_grad_(requires_grad=False),
        mlp(),
        mlp(depth=1),
    )
    kept: dict[str, Any] = {}
    teacher[2].register_forward_hook(lambda _, __, out: kept.__setitem__("teacher", out))
    student[0].register_forward_hook(lambda _, __, out: kept.__setitem__("student", out))

    def loss_of(_: int) -> Any:
        x = batch()
        with torch.no_grad():
            teacher(x)
        out = student(x).square().mean()
        return out + functional.mse_loss(project(kept["student"]), kept["teacher"])

    trained(mark, student, loss_of, project)


def hidden_ones_at_times(mark: Mark) -> None:
    model, kept = mlp(depth=3), []
    for place in (1, 3):
        model[place].register_forward_hook(lambda _, __, out: kept.append(out))

    def loss_of(step: int) -> Any:
        kept.clear()
        loss = model(batch()).square().mean()
        return loss + sum(each.abs().mean() for each in kept) if step % 2 else loss

    trained(mark, model, loss_of, steps=20)


class Routed(nn.Module):
    """Keeps a loss of its router's own, which the loop adds; no output leads to it."""

    def __init__(self) -> None:
        super().__init__()
        self.router = nn.Linear(8, 2)
        self.experts = nn.ModuleList(nn.Linear(8, 8) for _ in range(2))
        self.balance: Any = None

    def forward(self, x: Any) -> Any:
        share = self.router(x).softmax(-1)
        self.balance = share.mean(0).square().sum()
        return sum(share[:, n : n + 1] * expert(x) for n, expert in enumerate(self.experts))


def a_loss_of_the_routers(mark: Mark) -> None:
    model = Routed()
    trained(mark, model, lambda _: model(batch()).square().mean() + 0.1 * model.balance)


def what_a_frozen_network_sees(mark: Mark) -> None:
    """A perceptual loss: gradients come to the generator through a frozen network, by two of its layers."""
    judge, made = mlp(depth=3).requires_grad_(requires_grad=False), mlp()
    kept: list[Any] = []
    judge[1].register_forward_hook(lambda _, __, out: kept.append(out))

    def loss_of(_: int) -> Any:
        kept.clear()
        return judge(made(batch())).mean() + kept[0].square().mean()

    trained(mark, made, loss_of)


LOOPS = [
    features_of_a_teacher,
    hidden_ones_at_times,
    a_loss_of_the_routers,
    what_a_frozen_network_sees,
]


@pytest.mark.parametrize("loop", LOOPS, ids=lambda loop: loop.__name__)
def test_each_step_is_what_the_counter_says(run: Run, loop: Callable[[Mark], None]) -> None:
    expected = steps_by_counter(loop)
    with run.record():
        loop(lambda: None)
    assert run.flop == expected
    assert run.notes() <= {"hooks-not-counted"}


class Cut(nn.Module):
    """Its output does not lead to what is hidden: only the second of two layers has gradients by it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)
        self.hidden: Any = None

    def forward(self, x: Any) -> Any:
        self.hidden = self.first(x)
        return self.second(self.hidden.detach())


def hidden_alone(mark: Mark) -> None:
    model = Cut()

    def loss_of(_: int) -> Any:
        model(batch())
        return model.hidden.sum()

    trained(mark, model, loss_of)


def hidden_behind_a_cut(mark: Mark) -> None:
    model = Cut()
    trained(mark, model, lambda _: model(batch()).sum() + model.hidden.sum())


def of_another_call(mark: Mark) -> None:
    """The output is that of the second call, and what is hidden that of the first."""
    model = Cut()

    def loss_of(_: int) -> Any:
        model(batch())
        hidden = model.hidden
        return model(batch()).sum() + hidden.sum()

    trained(mark, model, loss_of)


@pytest.mark.parametrize(
    "loop", [hidden_alone, hidden_behind_a_cut, of_another_call], ids=lambda loop: loop.__name__
)
def test_what_only_the_hidden_one_reaches_opens_the_upper_end(
    run: Run, loop: Callable[[Mark], None]
) -> None:
    expected = steps_by_counter(loop)
    with run.record():
        loop(lambda: None)
    low, high = run.totals.hardware_bounds
    assert low < sum(expected)
    assert high is None
    assert run.notes() == {"work-outside-modules"}

"""Modules that hold an optimizer: a model is called and counted, a loop is looked through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from profilers.steps.products.trainers import steps_by_itself  # noqa: E402
from tests.recording.conftest import Mark, Run, batch, recorded_as_counted, sgd  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable


class Layer(nn.Linear):
    """Of Forward-Forward: it has its own optimizer, and products that are no module's."""

    def __init__(self) -> None:
        super().__init__(8, 8)
        self.optimizer = sgd(self)

    def forward(self, x: Any) -> Any:
        return torch.relu(self.product(x) + self.bias)

    def product(self, x: Any) -> Any:
        return x @ self.weight.T

    def train_on(self, x: Any) -> None:
        self(x).square().sum().backward()
        self.optimizer.step()
        self.optimizer.zero_grad()


def test_what_such_a_layer_computes_besides_is_in_its_steps(run: Run) -> None:
    def loop(mark: Mark) -> None:
        layer = Layer()
        for _ in range(3):
            layer.train_on(batch())
            mark()
            layer(batch()).detach()  # no backward shows it: it belongs to the next step

    each = recorded_as_counted(run, loop)
    assert each[1] - each[0] == each[0] // 2  # a forward more; a first layer's step is two products


class Loop(nn.Module):
    """Makes a step whenever it is called."""

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Linear(8, 8)
        self.optimizer = sgd(self.model)

    def forward(self, x: Any) -> Any:
        loss = self.model(x).sum()
        finish(loss, self)
        return loss.detach()


def finish(loss: Any, loop: Any) -> None:
    loss.backward()
    loop.optimizer.step()
    loop.optimizer.zero_grad()


def test_a_loop_in_a_modules_clothes_is_looked_through(run: Run) -> None:
    def loop(mark: Mark) -> None:
        whole = Loop()
        for _ in range(3):
            whole(batch())
            mark()

    recorded_as_counted(run, loop)
    assert {cost.model for cost in run.process.costs.values()} == {"Linear"}


class ByProperty(Layer):
    @property
    def finished(self) -> Any:
        return self.optimizer

    def forward(self, x: Any) -> Any:
        return self.finished and super().forward(x)


class ByParent(Loop):
    def forward(self, x: Any) -> Any:
        return super().forward(x)


class Agent:
    def learn(self) -> None:
        """Steps somebody's optimizer."""


class ByAgent(Layer):
    def __init__(self) -> None:
        super().__init__()
        self.agent = Agent()

    def forward(self, x: Any) -> Any:
        self.agent.learn()
        return super().forward(x)


def of_a_library() -> Any:
    layer = nn.Linear(8, 8)
    layer.optimizer = sgd(layer)
    return layer


def without_code() -> Any:
    layer = Layer()
    layer.__dict__["forward"] = Agent()
    return layer


def around_itself() -> Any:
    layer = Layer()
    layer.held: list[Any] = []
    layer.held.append(layer.held)
    return layer


@pytest.mark.parametrize(
    ("make", "is_loop"),
    [
        (lambda: nn.Linear(8, 8), False),
        (of_a_library, False),
        (Layer, False),
        (Loop, True),
        (ByProperty, True),
        (ByParent, True),
        (ByAgent, True),
        (without_code, True),
        (around_itself, True),
    ],
)  # fmt: skip
def test_the_code_of_forward_tells_a_loop(make: Callable[[], Any], *, is_loop: bool) -> None:
    assert steps_by_itself(make()) is is_loop

"""Backward passes that were asked for some gradients only: counted as far as they went."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from tests.recording.conftest import sgd  # noqa: E402
from tests.recording.test_strange import by_counter  # noqa: E402

if TYPE_CHECKING:
    from tests.recording.conftest import Run

Mark = Callable[[], None]


def net(*sizes: int) -> Any:
    layers: list[Any] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.Tanh()]
    return nn.Sequential(*layers[:-1])


def adversarial_examples(mark: Mark) -> None:
    model = net(6, 16, 16, 3)
    optimizer = sgd(model)
    for _ in range(3):
        x, wanted = torch.randn(5, 6), torch.randint(0, 3, (5,))
        for _ in range(3):
            x.requires_grad_()
            (gradient,) = torch.autograd.grad(functional.cross_entropy(model(x), wanted), x)
            x = (x + 0.1 * gradient.sign()).detach()
        optimizer.zero_grad()
        functional.cross_entropy(model(x), wanted).backward()
        optimizer.step()
        mark()


def a_backward_to_the_input_only(mark: Mark) -> None:
    model = net(6, 16, 3)
    optimizer = sgd(model)
    for _ in range(3):
        x = torch.randn(5, 6, requires_grad=True)
        model(x).square().mean().backward(inputs=[x])
        model(x.detach() + x.grad).square().mean().backward()
        optimizer.step()
        mark()


def a_backward_to_the_head_only(mark: Mark) -> None:
    model = net(6, 16, 16, 3)
    optimizer = sgd(model)
    for step in range(4):
        chosen = list(model[-1 if step % 2 else 0].parameters())
        model(torch.randn(5, 6)).square().mean().backward(inputs=chosen)
        optimizer.step()
        mark()


def norms_of_gradients_at_a_shared_layer(mark: Mark) -> None:
    trunk, one, other = net(6, 16, 16), nn.Linear(16, 3), nn.Linear(16, 2)
    optimizer = sgd(trunk, one, other)
    for _ in range(3):
        hidden = trunk(torch.randn(5, 6))
        losses = [one(hidden).square().mean(), other(hidden).square().mean()]
        shared = trunk[-1].weight
        weights = [
            torch.autograd.grad(loss, shared, retain_graph=True)[0].norm().item() for loss in losses
        ]
        optimizer.zero_grad()
        sum(w * loss for w, loss in zip(weights, losses, strict=True)).backward()
        optimizer.step()
        mark()


def gradients_by_hand(mark: Mark) -> None:
    model = net(6, 16, 3)
    optimizer = sgd(model)
    parameters = list(model.parameters())
    for _ in range(3):
        found = torch.autograd.grad(model(torch.randn(5, 6)).square().mean(), parameters)
        for parameter, gradient in zip(parameters, found, strict=True):
            parameter.grad = gradient
        optimizer.step()
        mark()


LOOPS = [
    a_backward_to_the_input_only,
    a_backward_to_the_head_only,
    norms_of_gradients_at_a_shared_layer,
    gradients_by_hand,
]


@pytest.mark.parametrize("loop", LOOPS, ids=lambda loop: loop.__name__)
def test_each_step_is_what_the_counter_says(run: Run, loop: Callable[[Mark], None]) -> None:
    torch.manual_seed(0)
    expected = by_counter(loop)
    torch.manual_seed(0)
    with run.record():
        loop(lambda: None)
    assert run.flop == expected
    assert run.process.notes == ()


def test_adversarial_examples(run: Run) -> None:
    """torch's own counter raises on this one."""
    with run.record():
        adversarial_examples(lambda: None)
    # Layers 6-16-16-3 on 5 rows: 2·5·(96 + 256 + 48) = 4000 forward, and as much for the gradient
    # of the input alone; three attacks. Then the step: 4000 forward, 4000 for the weights, and
    # 2·5·(256 + 48) = 3040 for what lies between the layers.
    assert run.flop == [3 * (4000 + 4000) + 4000 + 4000 + 3040] * 3
    assert run.process.notes == ()


def test_a_pass_to_some_result_inside_has_bounds(run: Run) -> None:
    """The gradient of a hidden layer's output: nobody can tell from outside how far that is."""

    class Hidden(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)
            self.kept: Any = None

        def forward(self, x: Any) -> Any:
            self.kept = self.first(x)
            return self.second(self.kept.tanh())

    model = Hidden()
    optimizer = sgd(model)
    with run.record():
        torch.autograd.grad(model(torch.randn(4, 8)).sum(), model.kept)
        optimizer.step()
    # One product of 8 x 8 on 4 rows is 512 FLOP. The pass needed one, to the hidden layer; all
    # that is known is that it needed none to all three (two weights and the one input inside).
    assert run.totals.hardware_bounds == (2 * 512, 5 * 512)
    assert "cost-bounded" in run.notes()


def test_the_engine_is_left_as_it_was(run: Run) -> None:
    before = torch.autograd._engine_run_backward
    with run.record():
        assert torch.autograd._engine_run_backward is not before
    assert torch.autograd._engine_run_backward is before

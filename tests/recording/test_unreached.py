"""Products that a loop names and no backward reaches: in no figure, and the record says so."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from profilers.steps.products.loops import products_around  # noqa: E402
from tests.recording.conftest import ONE, TRAIN, Run, batch, mlp, sgd  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable


def projected(gradient: Any) -> Any:
    return gradient @ torch.eye(8)


def of_gradients(run: Run) -> None:
    """Between backward and step, in a function that the loop names."""
    model = mlp()
    optimizer = sgd(model)
    with run.record():
        for _ in range(3):
            model(batch()).sum().backward()
            for parameter in model.parameters():
                if parameter.ndim == 2:
                    parameter.grad = projected(parameter.grad)
            optimizer.step()
            optimizer.zero_grad()


def of_scores(run: Run) -> None:
    model, codes = mlp(), torch.randn(5, 8)
    optimizer = sgd(model)
    with run.record():
        for _ in range(3):
            out = model(batch())
            nearest = codes[(out @ codes.T).argmax(-1)]
            (out - nearest).square().sum().backward()
            optimizer.step()
            optimizer.zero_grad()


class Quality:
    """An object beside the model."""

    def measured(self, out: Any) -> float:
        with torch.no_grad():
            return float((out @ out.T).mean())

    def sum(self, out: Any) -> Any:
        """Of this name are methods of tensors."""
        return out @ out.T


def of_another_object(run: Run) -> None:
    model, quality = mlp(), Quality()
    optimizer = sgd(model)
    with run.record():
        for _ in range(3):
            out = model(batch())
            quality.measured(out)
            out.sum().backward()
            optimizer.step()
            optimizer.zero_grad()


def of_an_evolution(run: Run) -> None:
    """No optimizer steps: the program says where a step ends."""
    model, spread = mlp(), torch.eye(8)
    with run.record() as told:
        for _ in range(3):
            model(batch() @ spread).sum().backward()
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.sub_(0.01 * parameter.grad)
                    parameter.grad = None
            told.step()


beside = ModuleType("beside")
exec("def scored(out):\n    return (out @ out.T).argmax(-1)\n", vars(beside))


def of_another_file(run: Run) -> None:
    model = mlp()
    optimizer = sgd(model)
    with run.record():
        for _ in range(3):
            out = model(batch())
            beside.scored(out)
            out.sum().backward()
            optimizer.step()
            optimizer.zero_grad()


def of_a_loss(run: Run) -> None:
    """Of this one a graph tells."""
    model = mlp()
    optimizer = sgd(model)
    with run.record():
        for _ in range(3):
            out = model(batch())
            (out @ out.T).sum().backward()
            optimizer.step()
            optimizer.zero_grad()


def of_a_module(run: Run) -> None:
    """Of this one a call tells, though its class stands in the loop's function."""

    class Squared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = mlp()

        def forward(self, x: Any) -> Any:
            out = self.inner(x)
            return out @ out.T

    model = Squared()
    optimizer = sgd(model)
    with run.record():
        for _ in range(3):
            model(batch()).sum().backward()
            optimizer.step()
            optimizer.zero_grad()


OUTER = 2 * 4 * 8 * 4
"""Four rows of eight numbers times themselves."""


@pytest.mark.parametrize(
    ("loop", "flop", "said"),
    [
        (of_gradients, TRAIN, True),
        (of_scores, TRAIN, True),
        (of_an_evolution, TRAIN, True),
        (of_another_object, TRAIN, True),
        (of_another_file, TRAIN, True),
        (of_a_loss, TRAIN + 3 * OUTER, False),  # forward, and backward to both factors
        (of_a_module, TRAIN + 3 * OUTER, False),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_no_backward_reaches_is_said(
    run: Run, loop: Callable[[Run], None], flop: int, said: bool
) -> None:
    assert TRAIN == 5 * ONE
    loop(run)
    assert run.flop == [flop] * 3
    assert run.notes() == ({"products-unreached"} if said else set())


def test_the_note_says_where(run: Run) -> None:
    of_gradients(run)
    (note,) = run.process.notes
    assert (
        "names 1 matrix product outside of modules (projected in test_unreached.py)" in note.message
    )
    assert "backward passes reached 0" in note.message


def test_locals_of_the_loop_are_not_kept_alive() -> None:
    """A frame that is asked for its locals holds them for as long as its function runs."""
    held = batch()
    before = sys.getrefcount(held)
    products_around(sys._getframe())
    assert sys.getrefcount(held) == before

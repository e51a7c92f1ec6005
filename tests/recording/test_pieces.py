"""Parameters that a library keeps in pieces, in tables of its own (as DeepSpeed's third stage does).

The stand-in empties its parameters after each backward. Whoever asks its table for one gets it whole.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

import flopcount  # noqa: E402
from tests.recording.conftest import Run, recorded_as_counted  # noqa: E402

if TYPE_CHECKING:
    from tests.recording.conftest import Mark


class Gathering(OrderedDict[str, Any]):
    """A table of parameters that puts together what it is asked for."""

    def __getitem__(self, key: str) -> Any:
        parameter = super().__getitem__(key)
        if parameter is not None and not parameter.numel():
            parameter.data = parameter.whole
        return parameter


def in_pieces(model: Any) -> list[Any]:
    """Give a model such tables; answers its parameters."""
    parameters = list(model.parameters())
    for parameter in parameters:
        parameter.whole, parameter.ds_shape = parameter.data, parameter.shape
    for part in model.modules():
        part._parameters = Gathering(part._parameters)
    return parameters


def let_go(parameter: Any) -> None:
    parameter.data = torch.empty(0)


def steps_in_pieces(mark: Mark, seen: list[Any] | None = None) -> None:
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    parameters = in_pieces(model)
    masters = [parameter.whole.clone().requires_grad_() for parameter in parameters]
    optimizer = torch.optim.SGD(masters, lr=0.1)
    for _ in range(12):
        loss = model(torch.randn(4, 8)).square().mean()
        loss.backward()
        for parameter, master in zip(parameters, masters, strict=True):
            master.grad, parameter.grad = parameter.grad, None
            let_go(parameter)
        optimizer.step()
        with torch.no_grad():
            for parameter, master in zip(parameters, masters, strict=True):
                parameter.whole.copy_(master)
        if seen is not None:
            seen.append(float(loss.detach()))
        mark()
    for mine, held in zip(parameters, model.parameters(), strict=True):
        assert held is mine
    assert all(type(part._parameters) is Gathering for part in model.modules())


@pytest.mark.parametrize("between_looks_ns", [10**9, 0])
def test_each_step_is_what_the_counter_says(
    run: Run, monkeypatch: pytest.MonkeyPatch, between_looks_ns: int
) -> None:
    """Also where each step ends with a look at the parameters' shapes."""
    monkeypatch.setattr("profilers.steps.observer.FOLD_NS", between_looks_ns)
    recorded_as_counted(run, steps_in_pieces)


def test_the_same_losses_and_the_same_tables(run: Run) -> None:
    alone: list[Any] = []
    recorded: list[Any] = []
    torch.manual_seed(0)
    steps_in_pieces(lambda: None, alone)
    torch.manual_seed(0)
    with run.record():
        steps_in_pieces(lambda: None, recorded)
    assert recorded == alone


def test_a_count_leaves_the_tables_as_they_are() -> None:
    model = nn.Linear(8, 16)
    weight, bias = in_pieces(model)
    let_go(weight)
    let_go(bias)
    count = flopcount.count(model, torch.randn(4, 8))
    assert count.forward == 2 * 4 * 8 * 16
    assert OrderedDict.__getitem__(model._parameters, "weight") is weight
    assert not weight.numel()
    assert count.backward == 2 * 4 * 8 * 16  # the input needs no gradient

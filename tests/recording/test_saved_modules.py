"""What a program saves of its modules while it is recorded is what it would have saved."""

from __future__ import annotations

import copy
import io
import pickle
from typing import TYPE_CHECKING, Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from tests.recording.conftest import sgd  # noqa: E402

if TYPE_CHECKING:
    from tests.recording.conftest import Run


class Own(nn.Module):
    """Says itself what is saved of it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.handle = nn.Linear(8, 8), object()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "handle"}

    def forward(self, x: Any) -> Any:
        return self.layer(x)


def out_of(model: Any, x: Any) -> Any:
    out = model(x)
    return out[0] if isinstance(out, tuple) else out


@pytest.mark.parametrize("make", [lambda: nn.LSTM(8, 8), Own, lambda: nn.Linear(8, 8)])
def test_the_same_bytes_are_saved(run: Run, make: Any) -> None:
    model = make()
    before, reduced = pickle.dumps(model), "__reduce_ex__" in vars(nn.Module)
    optimizer = sgd(model)
    with run.record():
        assert pickle.dumps(model) == before
        out_of(model, torch.randn(3, 2, 8)).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        again = pickle.loads(pickle.dumps(model))
        other = copy.deepcopy(model)
        for each in (again, other):  # they are seen as any other model
            out_of(each, torch.randn(3, 2, 8)).sum().backward()
    assert ("__reduce_ex__" in vars(nn.Module)) == reduced
    assert run.process.notes == ()


def test_a_saved_lstm_is_loaded_as_weights_only(run: Run) -> None:
    model = nn.Sequential(nn.LSTM(8, 8))
    file = io.BytesIO()
    with run.record():
        model(torch.randn(3, 2, 8))
        torch.save(model, file)
    file.seek(0)
    with torch.serialization.safe_globals([nn.Sequential, nn.LSTM]):
        loaded = torch.load(file, weights_only=True)
    assert torch.equal(loaded[0].weight_hh_l0, model[0].weight_hh_l0)

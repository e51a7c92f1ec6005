"""What the matrix units are fed with: FP8, whole numbers and autocast, each by hand arithmetic."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812
from torch.utils.checkpoint import checkpoint  # noqa: E402

from tests.recording.conftest import sgd  # noqa: E402

if TYPE_CHECKING:
    from tests.recording.conftest import Run

ROWS = 32
FIRST, SECOND, LAST = 2 * ROWS * 64 * 48, 2 * ROWS * 48 * 32, 2 * ROWS * 32 * 16
"""One product of each layer of 64 -> 48 -> 32 -> 16 on 32 rows."""
STEPS = 3


def one() -> Any:
    return torch.tensor(1.0)


def columns(matrix: Any) -> Any:
    """The same matrix, its columns contiguous, as the FP8 product wants its right side."""
    return matrix.t().contiguous().t()


def product(a: Any, b: Any) -> Any:
    return torch._scaled_mm(a, b, scale_a=one(), scale_b=one(), out_dtype=torch.bfloat16)


class Scaled(torch.autograd.Function):
    """e4m3 forward, e5m2 gradients: all three products of a layer on FP8 units."""

    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any) -> Any:
        ctx.save_for_backward(x, weight)
        return product(x.to(torch.float8_e4m3fn), weight.to(torch.float8_e4m3fn).t())

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        x, weight = (item.to(torch.float8_e4m3fn) for item in ctx.saved_tensors)
        gradient = gradient.to(torch.float8_e5m2)
        to_input = product(gradient, columns(weight))
        return to_input, product(gradient.t().contiguous(), columns(x))


class ForwardOnly(torch.autograd.Function):
    """The public FP8 product forward; both gradients in bf16."""

    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any) -> Any:
        ctx.save_for_backward(x, weight)
        how = F.ScalingType.TensorWise
        low = (item.to(torch.float8_e4m3fn) for item in (x, weight))
        a, b = low
        return F.scaled_mm(a, b.t(), one(), how, one(), how, output_dtype=torch.bfloat16)

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        x, weight = ctx.saved_tensors
        return gradient @ weight, gradient.t() @ x


class Whole(torch.autograd.Function):
    """int8 forward; both gradients in bf16."""

    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any) -> Any:
        ctx.save_for_backward(x, weight)
        a, b = ((item * 10).to(torch.int8) for item in (x, weight))
        return torch._int_mm(a, b.t()).to(x.dtype)

    backward = ForwardOnly.backward


class Layer(nn.Module):
    """A linear layer that computes by one of the functions above."""

    def __init__(self, function: Any, wide: int, narrow: int) -> None:
        super().__init__()
        self.function = function
        self.weight = nn.Parameter(torch.randn(narrow, wide, dtype=torch.bfloat16) / 50)

    def forward(self, x: Any) -> Any:
        return self.function.apply(x, self.weight)


def train(run: Run, model: Any, x: Any, lowered: Any = None) -> dict[str, int]:
    """Record a few steps; what each cost, by dtype."""
    optimizer = sgd(model)
    with run.record():
        for _ in range(STEPS):
            with torch.autocast("cpu", dtype=lowered, enabled=lowered is not None):
                out = model(x)
            out.float().square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
    (cost,) = run.process.costs.values()
    assert (cost.bounds, cost.uncounted, run.notes()) == (None, (), set())
    assert len(set(run.flop)) == 1
    assert len(run.flop) == STEPS
    return dict(cost.by_dtype)


def rows(dtype: Any = None) -> Any:
    return torch.randn(ROWS, 64, dtype=dtype or torch.bfloat16)


def test_forward_and_both_gradients_in_fp8(run: Run) -> None:
    last = nn.Linear(32, 16, dtype=torch.bfloat16)
    model = nn.Sequential(Layer(Scaled, 64, 48), nn.GELU(), Layer(Scaled, 48, 32), last)
    found = train(run, model, rows())
    # Three products a layer: this function computes the input's gradient though nobody wants it.
    assert found == {"fp8": 3 * FIRST + 3 * SECOND, "bf16": 3 * LAST}
    summary = run.totals
    assert summary.model_flop == STEPS * sum(found.values())


def test_fp8_by_the_public_function(run: Run) -> None:
    found = train(run, Layer(ForwardOnly, 64, 48), rows())
    assert found == {"fp8": FIRST, "bf16": 2 * FIRST}


def test_int8_forward(run: Run) -> None:
    assert train(run, Layer(Whole, 64, 48), rows()) == {"int8": FIRST, "bf16": 2 * FIRST}


def test_recomputed_fp8_under_autocast(run: Run) -> None:
    class Checkpointed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.before, self.inside = nn.Linear(64, 64), Layer(Scaled, 64, 48)

        def forward(self, x: Any) -> Any:
            return checkpoint(self.inside, self.before(x), use_reentrant=False)

    found = train(run, Checkpointed(), rows(torch.float32), lowered=torch.bfloat16)
    # The input needs no gradient: the layer before costs its forward and its weight's gradient.
    assert found == {"bf16": 2 * (2 * ROWS * 64 * 64), "fp8": 3 * FIRST}
    (cost,) = run.process.costs.values()
    assert cost.recompute_by_dtype == {"fp8": FIRST}


@pytest.mark.filterwarnings("ignore")
def test_compiled_fp8(run: Run) -> None:
    model = nn.Sequential(Layer(Scaled, 64, 48), Layer(Scaled, 48, 32))
    model.compile(backend="aot_eager")
    assert train(run, model, rows()) == {"fp8": 3 * FIRST + 3 * SECOND}


@pytest.mark.parametrize(("lowered", "name"), [(torch.bfloat16, "bf16"), (torch.float16, "fp16")])
def test_autocast(run: Run, lowered: Any, name: str) -> None:
    model = nn.Sequential(nn.Linear(64, 48), nn.LayerNorm(48), nn.Linear(48, 32))
    found = train(run, model, rows(torch.float32), lowered)
    assert found == {name: 2 * FIRST + 3 * SECOND}  # of the first layer no input's gradient


@pytest.mark.filterwarnings("ignore")
def test_a_frozen_part_in_eight_bits_by_torch(run: Run) -> None:
    class OnFrozen(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            whole = nn.Sequential(nn.Linear(64, 48))
            self.frozen = torch.ao.quantization.quantize_dynamic(whole, dtype=torch.qint8)
            self.head = nn.Linear(48, 32)

        def forward(self, x: Any) -> Any:
            with torch.no_grad():
                hidden = self.frozen(x)
            return self.head(hidden)

    # Its packed weight takes whole numbers only, whatever comes in.
    found = train(run, OnFrozen(), rows(torch.float32))
    assert found == {"int8": FIRST, "fp32": 2 * SECOND}


@pytest.mark.skipif(importlib.util.find_spec("torchao") is None, reason="torchao is missing")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("recipe", ["tensorwise", "rowwise", "rowwise_with_gw_hp"])
@pytest.mark.parametrize("emulated", [False, True])
def test_torchao_float8_training(run: Run, recipe: str, *, emulated: bool) -> None:
    from torchao.float8 import Float8LinearConfig, convert_to_float8_training

    model = nn.Sequential(nn.Linear(64, 48), nn.Linear(48, 32)).bfloat16()
    config = Float8LinearConfig.from_recipe_name(recipe)
    object.__setattr__(config, "emulate", emulated)
    convert_to_float8_training(model, config=config)
    found = train(run, model, rows())
    # Its function computes the gradient of the first layer's input, too. Emulated products are fed
    # with fp32, and the record says so; one recipe leaves the weight's gradient in bf16.
    low, high = 2 * (FIRST + SECOND), FIRST + SECOND
    narrow = "fp32" if emulated else "fp8"
    if recipe == "rowwise_with_gw_hp":
        assert found == {narrow: low, "bf16": high}
    else:
        assert found == {narrow: low + high}

"""Layers of torchao and bitsandbytes: narrower numbers, the same products.

Both libraries are no dependency; where one is missing its tests are skipped.
"""

import pytest
import torch
from torch import nn

import flopcount
from flopcount.registry import evaluate

ROWS, INNER, OUTER = 3, 256, 512
ONCE = 2 * ROWS * INNER * OUTER
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize(
    "name", ["Int8WeightOnlyConfig", "Int8DynamicActivationInt8WeightConfig",
             "IntxWeightOnlyConfig", "Float8WeightOnlyConfig"]
)  # fmt: skip
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_torchao_weights(name, dtype):
    quantization = pytest.importorskip("torchao.quantization")
    model = nn.Sequential(nn.Linear(INNER, OUTER, bias=False)).to(dtype)
    quantization.quantize_(model, getattr(quantization, name)())
    count = flopcount.count(model, torch.zeros(ROWS, INNER, dtype=dtype), backward=False)
    assert count.forward == ONCE
    assert count.uncounted == ()


@pytest.mark.parametrize("name", ["Linear8bitLt", "Linear4bit", "LinearNF4"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_bitsandbytes_weights(name, dtype):
    library = pytest.importorskip("bitsandbytes")
    options = {"has_fp16_weights": False} if name == "Linear8bitLt" else {}
    model = getattr(library.nn, name)(INNER, OUTER, bias=False, **options).to("cpu")
    x = torch.randn(ROWS, INNER, dtype=dtype, requires_grad=True)
    count = flopcount.count(model, x)
    # the weight is frozen: one product forward, one for the input's gradient
    assert (count.forward, count.backward) == (ONCE, ONCE)
    assert count.uncounted == ()
    first = model(x)
    flopcount.count(model, x)
    assert torch.equal(model(x), first)  # the layer's own state is as it was


def test_packed_weights_are_counted_by_what_goes_in_and_out():
    x, out = torch.zeros(ROWS, INNER), torch.zeros(ROWS, OUTER)
    packed = torch.zeros(INNER * OUTER // 2, 1, dtype=torch.uint8)
    for op in ("gemm_4bit", "gemv_4bit"):
        cost = evaluate(f"bitsandbytes::{op}", (x, packed, [OUTER, INNER]), {}, out)
        assert cost.flop == ONCE

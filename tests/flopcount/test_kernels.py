"""Kernels launched from Python: in a module, in both passes, and a real one of Triton."""

import os
import subprocess
import sys

import pytest
import torch
from torch import nn

import flopcount


def product(x, w):
    return 2 * x.shape[0] * x.shape[1] * w.shape[1]


def test_a_kernel_with_a_backward_of_its_own_counts_in_both_passes():
    launched = []

    @flopcount.kernel(flop=product, result=lambda x, w: x.new_empty(x.shape[0], w.shape[1]))
    def forward_kernel(x, w):
        launched.append("forward")
        return x @ w

    @flopcount.kernel(
        flop=lambda g, x, w: 2 * product(x, w),
        result=lambda g, x, w: (torch.empty_like(x), torch.empty_like(w)),
    )
    def backward_kernel(g, x, w):
        launched.append("backward")
        return g @ w.T, x.T @ g

    class Fused(torch.autograd.Function):
        @staticmethod
        def forward(context, x, w):
            context.save_for_backward(x, w)
            return forward_kernel(x, w)

        @staticmethod
        def backward(context, g):
            return backward_kernel(g, *context.saved_tensors)

    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.before = nn.Linear(4, 4, bias=False)
            self.weight = nn.Parameter(torch.randn(4, 5))

        def forward(self, x):
            return Fused.apply(self.before(x), self.weight)

    model, x = nn.Sequential(Layer()), torch.randn(3, 4)
    count = flopcount.count(model, x)
    linear, fused = 2 * 3 * 4 * 4, 2 * 3 * 4 * 5
    assert count.forward == linear + fused
    # x is data: the linear layer's weight gradient alone; the kernel's backward does two products
    assert count.backward == linear + 2 * fused
    assert launched == []
    assert sum(flop for name, flop in count.by_op.items() if "kernel" in name) == 3 * fused
    assert count.by_module["0"] == count.total
    loss = model(x).sum()
    loss.backward()
    assert launched == ["forward", "backward"]
    torch.testing.assert_close(model[0].weight.grad, (model[0].before(x).T @ torch.ones(3, 5)))


TRITON = """
import torch, triton, triton.language as tl
import flopcount

@triton.jit
def added(x, y, out, size, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + at, 2 * tl.load(x + at, mask=at < size) + tl.load(y + at, mask=at < size),
             mask=at < size)

@flopcount.kernel(flop=lambda x, y: 2 * x.numel(), result=lambda x, y: torch.empty_like(x))
def axpy(x, y):
    out = torch.empty_like(x)
    added[(triton.cdiv(x.numel(), 16),)](x, y, out, x.numel(), BLOCK=16)
    return out

x, y = torch.randn(50), torch.randn(50)
torch.testing.assert_close(axpy(x, y), 2 * x + y)
for device in ("cpu", "meta"):
    count = flopcount.count(axpy, x.to(device), y.to(device))
    assert (count.total, count.uncounted) == (100, ()), count
torch.testing.assert_close(axpy(x, y), 2 * x + y)
print("counted")
"""


def test_a_kernel_of_triton_in_its_interpreter(tmp_path):
    pytest.importorskip("triton")
    script = tmp_path / "axpy.py"
    script.write_text(TRITON)  # the interpreter reads the kernel's source from a file
    keep = {k: v for k, v in os.environ.items() if not k.startswith("WANDB")}
    found = subprocess.run(
        [sys.executable, str(script)],
        env=keep | {"TRITON_INTERPRET": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert found.stdout.strip() == "counted", found.stderr[-2000:]

"""The static count against what the processor itself says it retired.

    python benchmarks/ground_truth.py

Real forward and backward passes, one thread, float32, under the processor's counters of retired
floating-point operations (``perf_event_open``): AMD Zen counts FLOP of each kind in event 0x03,
Intel counts instructions by vector width, a fused multiply-add as two. Elementwise work retires
operations too, so the static side is the total, and the difference is stated. Where the machine
grants no counters (containers, most virtual machines) the script says so and exits with 77, which
test runners read as skipped.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from torch import nn  # noqa: E402

import flopcount  # noqa: E402

SKIPPED = 77
PERF_EVENT_OPEN = {"x86_64": 298}
# Raw codes: umask << 8 | event. Each pair is a code and the FLOP that one occurrence stands for.
AMD = [(0x0103, 1), (0x0203, 1), (0x0803, 1)]  # add, multiply, multiply-add (already two each)
INTEL_FP32 = [(0x02C7, 1), (0x08C7, 4), (0x20C7, 8), (0x80C7, 16)]  # scalar, 128, 256, 512 bits


class CountersError(Exception):
    """The machine does not let us read its counters."""


def vendor() -> str:
    """``amd`` or ``intel`` by the processor's own name."""
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    if "AuthenticAMD" in text:
        return "amd"
    if "GenuineIntel" in text:
        return "intel"
    raise CountersError("the processor is neither AMD nor Intel")


class Counters:
    """Retired floating-point operations of this thread between start and stop."""

    def __init__(self) -> None:
        machine = os.uname().machine
        if machine not in PERF_EVENT_OPEN:
            raise CountersError(f"no event codes for {machine}")
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._number = PERF_EVENT_OPEN[machine]
        events = AMD if vendor() == "amd" else INTEL_FP32
        self._files: list[tuple[int, int]] = []
        for code, flop in events:
            self._files.append((self._open(code), flop))

    def _open(self, code: int) -> int:
        # struct perf_event_attr: type RAW (4), size 112, config, then bits: disabled,
        # exclude_kernel (5) and exclude_hv (6); read_format: time enabled and running.
        attributes = bytearray(112)
        struct.pack_into("IIQ", attributes, 0, 4, 112, code)
        struct.pack_into("Q", attributes, 32, 3)
        struct.pack_into("Q", attributes, 40, 1 | 1 << 5 | 1 << 6)
        buffer = (ctypes.c_char * 112).from_buffer(attributes)
        found = self._libc.syscall(self._number, buffer, 0, -1, -1, 0)
        if found < 0:
            reason = os.strerror(ctypes.get_errno())
            raise CountersError(f"perf_event_open refused event {code:#06x}: {reason}")
        return int(found)

    def measure(self, function) -> int:
        """FLOP retired while ``function`` runs."""
        enable, disable, reset = 0x2400, 0x2401, 0x2403
        for descriptor, _ in self._files:
            self._libc.ioctl(descriptor, reset, 0)
            self._libc.ioctl(descriptor, enable, 0)
        function()
        total = 0
        for descriptor, flop in self._files:
            self._libc.ioctl(descriptor, disable, 0)
            value, enabled, running = struct.unpack("QQQ", os.read(descriptor, 24))
            if running == 0:
                raise CountersError("the counter was never scheduled")
            # Counters that share hardware are extrapolated, as perf itself does.
            total += value * enabled // running * flop
        return total


def families():
    """Yield a name, a model and its input, one for each op family and some whole models."""
    yield "matrix product", nn.Linear(512, 512, bias=False), torch.randn(256, 512)
    yield "convolution", nn.Conv2d(32, 64, 3, bias=False), torch.randn(4, 32, 34, 34)
    yield "depthwise", nn.Conv2d(64, 64, 3, groups=64, bias=False), torch.randn(4, 64, 34, 34)
    yield "recurrent", nn.LSTM(128, 256), torch.randn(32, 8, 128)
    mlp = nn.Sequential(nn.Linear(256, 1024), nn.ReLU(), nn.Linear(1024, 256))
    yield "whole MLP", mlp, torch.randn(128, 256)
    encoder = nn.TransformerEncoderLayer(256, 4, 1024, dropout=0.0, batch_first=True)
    yield "whole encoder layer", encoder, torch.randn(4, 128, 256)
    cnn = nn.Sequential(
        nn.Conv2d(3, 32, 3),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, 2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64 * 14 * 14, 10),
    )
    yield "whole CNN", cnn, torch.randn(8, 3, 32, 32)


def step(model, x):
    """One forward and backward pass."""
    out = model(x)
    out = out[0] if isinstance(out, tuple) else out
    out.backward(torch.ones_like(out))
    model.zero_grad()


def main() -> int:
    """Measure, compare, print a table."""
    torch.set_num_threads(1)
    try:
        counters = Counters()
    except (CountersError, OSError) as error:
        print(f"skipped: {error}")
        return SKIPPED
    print("| family | static matrix FLOP | static elementwise | retired | retired / matrix |")
    print("|---|---|---|---|---|")
    worst = 0.0
    for name, model, x in families():
        # Some kernels always make an input gradient; then the count should have it too.
        x.requires_grad_()
        count = flopcount.count(model, x)
        step(model, x)
        retired = counters.measure(lambda model=model, x=x: step(model, x))
        share = retired / count.total
        low = 1.0
        high = (count.total + count.elementwise * 4) / count.total
        worst = max(worst, low - share, share - high)
        print(f"| {name} | {count.total:,} | {count.elementwise:,} | {retired:,} | {share:.4f} |")
    print(f"\nworst distance from [matrix, matrix + 4 x elementwise]: {max(worst, 0):.2%}")
    return 0 if worst <= 0.01 else 1


if __name__ == "__main__":
    sys.exit(main())

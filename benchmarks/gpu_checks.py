"""Known matrix products against what the instruments say. Needs an NVIDIA GPU and torch with CUDA.

    python benchmarks/gpu_checks.py [--seconds 10] [--out checks.json]

For each precision: products of known FLOP for some seconds, sampled at 5 Hz by the NVML source in
this process; then tensor activity x clock x rate against the truth, and the energy counter against
integrated power. Without a GPU it says so and ends with exit code 3.
"""

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from flopledger.run_bounds import flop_bounds
from hardware_db import identify
from profilers import DeviceTrace, SourceError, Trace
from profilers.calibration import sweep_latency
from profilers.integrals import energy, mean_integral, power_integral
from profilers.sources.nvml import NvmlSource

SIZE = 8192


def products(torch, dtype, seconds: float, look) -> tuple[int, float]:
    """Multiply for some seconds; return (FLOP, seconds). ``look`` is called five times a second."""
    a = torch.randn(SIZE, SIZE, device="cuda").to(dtype)
    b = torch.randn(SIZE, SIZE, device="cuda").to(dtype)
    for _ in range(3):
        a @ b
    torch.cuda.synchronize()
    look()
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        until = time.perf_counter() + 0.2
        while time.perf_counter() < until:
            for _ in range(4):
                a @ b
                count += 1
            torch.cuda.synchronize()
        look()
    return 2 * SIZE**3 * count, time.perf_counter() - start


def check(torch, source: NvmlSource, name: str, dtype, seconds: float) -> dict:
    """Run one precision and compare."""
    samples = []

    def look() -> None:
        samples.append(source.sweep().samples[0])

    flop, took = products(torch, dtype, seconds, look)
    trace = DeviceTrace.of_samples(source.devices()[0], samples)
    start, end = int(trace.time_ns[0]), int(trace.time_ns[-1])
    key = trace.device.key
    window = Trace(devices={key: trace}, started_ns=start, ended_ns=end)
    told, whole = flop_bounds(window, {key: identify(trace.device.name).device()})
    low, high = told["by_precision"][name]["low"], told["by_precision"][name]["high"]
    drawn = energy(trace, start, end)
    power = power_integral(trace, start, end)
    tensor = mean_integral(trace, "tensor_activity_permille", start, end)
    return {
        "precision": name,
        "flop": flop,
        "seconds": took,
        "flop_per_second": flop / took,
        "bounds": [low, high],
        "inside": low <= flop and (high is None or flop <= high),
        "hard": told["hard"],
        "findings": [f"{one.code}: {one.message}" for one in whole.findings],
        "tensor_activity": None if tensor is None else tensor.value / tensor.seconds / 1000,
        "energy_joules": None if drawn is None else drawn.joules,
        "power_joules": None if power is None else power.value,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    source = NvmlSource()
    try:
        source.open()
        import torch
    except (SourceError, ImportError) as error:
        print(f"no GPU check is possible here: {error}")
        return 3
    if not torch.cuda.is_available():
        print("no GPU check is possible here: torch sees no CUDA device")
        return 3
    latency = sweep_latency(source)
    answer = {
        "device": source.devices()[0].name,
        "driver": source.devices()[0].driver_version,
        "torch": torch.__version__,
        "sweep_ms": {"median": latency.median_ms, "worst": latency.worst_ms},
        "missing": {n: w.reason for n, w in source.devices()[0].missing.items()},
        "checks": [],
    }
    dtypes = {"bf16": torch.bfloat16, "fp16": torch.float16, "tf32": torch.float32}
    for name, dtype in dtypes.items():
        torch.backends.cuda.matmul.allow_tf32 = name == "tf32"
        answer["checks"].append(check(torch, source, name, dtype, options.seconds))
    text = json.dumps(answer, indent=2)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")
    return 0 if all(c["inside"] is not False for c in answer["checks"]) else 1


if __name__ == "__main__":
    sys.exit(main())

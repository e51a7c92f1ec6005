"""Matrix products whose FLOP are known, held against what the instruments make of them.

``python -m flopledger.profiling.known_products JSON`` multiplies on the first device that torch sees, one
precision after the other, while NVML is asked five times a second, and prints how the truth lies to
the bounds that an audit would have drawn from the same readings. A process of its own: the CUDA
context, and a driver that hangs, are not the caller's.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from profilers import DeviceTrace, SourceError, Trace
from profilers.source import Source
from profilers.values import Device, Sample

SIZE = 8192
_LOOK_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True, slots=True)
class Product:
    """One matrix product that can be repeated."""

    precision: str
    flop: int
    """FLOP of one product."""
    start: Callable[[], object]
    """Queue one product; does not wait for it."""
    wait: Callable[[], object]
    """Return when all that was queued is done."""


def check(source: Source, device: Device, product: Product, seconds: float) -> dict[str, Any]:
    """Multiply for some seconds and compare with what ``device`` told meanwhile; plain JSON.

    ``bounds`` are executed FLOP of the matrix units in this precision, or of all units where the
    part has no matrix rate for it (``units``); ``off`` is the truth over the end that it lies beyond,
    ``None`` inside. Raises ``hardware_db.HardwareError`` for a part that
    nobody knows and ``UnknownRates`` where its rates are not public.
    """
    from flopledger.run_bounds import flop_bounds
    from hardware_db import identify

    samples: list[Sample] = []

    def look() -> None:
        samples.extend(one for one in source.sweep().samples if one.device == device.key)

    flop, took = _repeat(product, seconds, look)
    trace = DeviceTrace.of_samples(device, samples)
    start, end = int(trace.time_ns[0]), int(trace.time_ns[-1])
    window = Trace(devices={device.key: trace}, started_ns=start, ended_ns=end)
    told, whole = flop_bounds(window, {device.key: identify(device.name or "").device()})
    matrix = told["by_precision"].get(product.precision)
    bounds = matrix or told["hard"]
    off = _off(flop, bounds["low"], bounds["high"])
    return {
        "precision": product.precision,
        "flop": flop,
        "seconds": took,
        "flop_per_second": flop / took,
        "units": "all" if matrix is None else "matrix",
        "bounds": {"low": bounds["low"], "high": bounds["high"]},
        "inside": off is None,
        "off": off,
        "findings": [f"{one.code}: {one.message}" for one in whole.findings],
        **_instruments(trace, start, end),
    }


def _off(flop: int, low: float, high: float | None) -> float | None:
    if flop < low:
        return flop / low
    return flop / high if high is not None and flop > high else None


def _repeat(product: Product, seconds: float, look: Callable[[], None]) -> tuple[int, float]:
    """Return (FLOP, seconds) between the first look and the last."""
    for _ in range(3):
        product.start()
    product.wait()
    look()
    begun = now = time.perf_counter()
    count = 0
    while now - begun < seconds:
        until = now + _LOOK_SECONDS
        while now < until:
            product.start()
            product.wait()
            count += 1
            now = time.perf_counter()
        look()
    return product.flop * count, now - begun


def _instruments(trace: DeviceTrace, start: int, end: int) -> dict[str, float | None]:
    from profilers.integrals import energy, mean_integral, power_integral

    drawn, power = energy(trace, start, end), power_integral(trace, start, end)
    tensor = mean_integral(trace, "tensor_activity_permille", start, end)
    return {
        "tensor_activity": None if tensor is None else tensor.value / tensor.seconds / 1000,
        "energy_joules": None if drawn is None else drawn.joules,
        "power_joules": None if power is None else power.value,
    }


def _products(torch: Any) -> Iterator[Product]:
    """Yield a product in each precision that this device multiplies in."""
    kinds = {
        "bf16": (torch.bfloat16, "highest"),
        "fp16": (torch.float16, "highest"),
        "tf32": (torch.float32, "high"),
        "fp32": (torch.float32, "highest"),
        "fp64": (torch.float64, "highest"),
    }
    for precision, (dtype, mode) in kinds.items():
        torch.set_float32_matmul_precision(mode)
        one, other = (torch.randn(SIZE, SIZE, device="cuda").to(dtype) for _ in range(2))
        yield _product(torch, precision, partial(torch.matmul, one, other))
    if torch.cuda.get_device_capability(0) >= (8, 9):
        kind = torch.float8_e4m3fn
        one, other = (torch.randn(SIZE, SIZE, device="cuda").to(kind) for _ in range(2))
        scale = torch.ones((), device="cuda")
        yield _product(
            torch,
            "fp8",
            lambda: torch._scaled_mm(one, other.t(), scale, scale, out_dtype=torch.bfloat16),
        )


def _product(torch: Any, precision: str, start: Callable[[], object]) -> Product:
    # Rows times columns of sums of SIZE multiply-adds.
    flop = 2 * SIZE**3
    return Product(precision=precision, flop=flop, start=start, wait=torch.cuda.synchronize)


def examine(seconds: float) -> dict[str, Any]:
    """Check every precision, or say why none can be; plain JSON."""
    from profilers.sources import make_source

    try:
        import torch
    except ImportError:
        return {"tried": False, "reason": "torch is not installed", "checks": []}
    if not torch.cuda.is_available():
        return {"tried": False, "reason": "torch sees no CUDA device", "checks": []}
    source = make_source("nvml", {})
    try:
        source.open()
    except SourceError as error:
        return {"tried": False, "reason": f"NVML: {error}", "checks": []}
    wanted = f"GPU-{torch.cuda.get_device_properties(0).uuid}"
    devices = [device for device in source.devices() if device.key.uuid == wanted]
    if not devices:
        reason = f"NVML does not show {wanted}, where torch multiplies"
        return {"tried": False, "reason": reason, "checks": []}
    (device,) = devices[:1]
    checks = [_attempt(source, device, product, seconds) for product in _products(torch)]
    source.close()
    return {
        "tried": True,
        "reason": None,
        "device": device.name,
        "driver": device.driver_version,
        "torch": str(torch.__version__),
        "checks": checks,
    }


def _attempt(source: Source, device: Device, product: Product, seconds: float) -> dict[str, Any]:
    """Check one precision; one that this device or library refuses is said, the others go on."""
    try:
        return check(source, device, product, seconds)
    except Exception as error:  # noqa: BLE001 - whatever the vendor's library raises
        reason = f"{type(error).__name__}: {error}"[:500]
        return {"precision": product.precision, "inside": None, "reason": reason}


if __name__ == "__main__":
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints is not our answer
    json.dump(examine(float(json.loads(sys.argv[1])["seconds"])), answer)
    answer.flush()
    os._exit(0)

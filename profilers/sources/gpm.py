"""GPU performance monitoring (Hopper and later): activities as exact means between two samples.

The samples are **chained**: the second of one pair is the first of the next, so that any sweep
interval covers all of the time. A pair of its own for each reading would see a few percent of it.
"""

import struct
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from profilers.reading import Reading, Reason, Unavailable

METRICS: Mapping[int, str] = {
    1: "graphics_activity_permille",
    2: "sm_activity_permille",
    3: "sm_occupancy_permille",
    4: "integer_activity_permille",
    5: "tensor_activity_permille",
    6: "dfma_activity_permille",
    7: "hmma_activity_permille",
    8: "dmma_activity_permille",
    9: "imma_activity_permille",
    10: "dram_activity_permille",
    11: "fp64_activity_permille",
    12: "fp32_activity_permille",
    13: "fp16_activity_permille",
}
"""GPM metric id to signal. NVML answers in percent; the signals are permille."""

MIN_SPACING_NS = 105_000_000
"""GPM wants its two samples more than 100 ms apart."""


_FIRST_METRIC = 24  # after version, count and the two samples
_METRIC = "{}24x"  # id, return code, value, three name pointers
_CODES = struct.Struct("=" + _METRIC.format("4xi8x") * len(METRICS))
_VALUES = struct.Struct("=" + _METRIC.format("8xd") * len(METRICS))
_NAMES = tuple(METRICS.values())


class GpmChain:
    """The chain of one device or one of its partitions."""

    def __init__(self, pynvml: ModuleType, handle: Any, instance: int | None = None) -> None:
        """Allocate two samples. ``instance`` is the GPU instance id of a partition."""
        self._nvml = pynvml
        self._handle = handle
        self._instance = instance
        self._samples = [pynvml.nvmlGpmSampleAlloc(), pynvml.nvmlGpmSampleAlloc()]
        self._last_ns: int | None = None
        self._request = pynvml.c_nvmlGpmMetricsGet_t()
        self._request.version = pynvml.NVML_GPM_METRICS_GET_VERSION
        self._request.numMetrics = len(METRICS)
        for place, number in enumerate(METRICS):
            self._request.metrics[place].metricId = number
        # The binding's attribute access costs more than the call; the layout is fixed by the ABI.
        self._answer = memoryview(self._request).cast("B")

    def supported(self) -> bool:
        """Ask the device whether it has GPM at all."""
        return bool(self._nvml.nvmlGpmQueryDeviceSupport(self._handle).isSupportedDevice)

    def read(self, monotonic_ns: int) -> dict[str, Reading]:
        """Return the means since the last reading; nothing when it is too early for new ones.

        Raises the binding's ``NVMLError``.
        """
        if self._last_ns is not None and monotonic_ns - self._last_ns < MIN_SPACING_NS:
            return {}
        older, newer = self._samples
        if self._instance is None:
            self._nvml.nvmlGpmSampleGet(self._handle, newer)
        else:
            self._nvml.nvmlGpmMigSampleGet(self._handle, self._instance, newer)
        first = self._last_ns is None
        self._last_ns = monotonic_ns
        self._samples = [newer, older]
        if first:
            why = Unavailable(reason=Reason.GAP, detail="the first sample of a chain")
            return dict.fromkeys(METRICS.values(), why)
        self._request.sample1, self._request.sample2 = older, newer
        self._nvml.nvmlGpmMetricsGet(self._request)
        codes = _CODES.unpack_from(self._answer, _FIRST_METRIC)
        values = _VALUES.unpack_from(self._answer, _FIRST_METRIC)
        if not any(codes):
            return dict(zip(_NAMES, [int(value * 10 + 0.5) for value in values], strict=True))
        told = zip(METRICS.items(), codes, values, strict=True)
        return {
            name: int(value * 10 + 0.5) if code == 0 else self._absent(number, code)
            for (number, name), code, value in told
        }

    def _absent(self, number: int, code: int) -> Reading:
        if code == self._nvml.NVML_ERROR_NOT_SUPPORTED:
            return Unavailable(reason=Reason.UNSUPPORTED, detail=f"GPM metric {number}")
        return Unavailable(reason=Reason.FAILED, detail=f"NVML error {code}")

    def forget(self) -> None:
        """Break the chain: the next reading is a first one again."""
        self._last_ns = None

    def close(self) -> None:
        """Free the samples."""
        for sample in self._samples:
            self._nvml.nvmlGpmSampleFree(sample)
        self._samples = []

"""GPU performance monitoring (Hopper and later): activities as exact means between two samples.

The samples are **chained**: the second of one pair is the first of the next, so that any sweep
interval covers all of the time. A pair of its own for each reading would see a few percent of it.
"""

import ctypes
import itertools
import math
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


def request_for(pynvml: ModuleType, request: Any) -> Any:
    """Fill in what a request for all metrics asks for."""
    request.version = pynvml.NVML_GPM_METRICS_GET_VERSION
    request.numMetrics = len(METRICS)
    for place, number in enumerate(METRICS):
        request.metrics[place].metricId = number
    return request


class GpmChain:
    """The chain of one device or one of its partitions."""

    def __init__(self, pynvml: ModuleType, handle: Any, instance: int | None = None) -> None:
        """Allocate two samples. ``instance`` is the GPU instance id of a partition."""
        self._nvml = pynvml
        self._handle = handle
        self._instance = instance
        self.samples = [pynvml.nvmlGpmSampleAlloc(), pynvml.nvmlGpmSampleAlloc()]
        """The older one, which begins the next means, and the newer one, to be taken."""
        self._last_ns: int | None = None
        self._request = request_for(pynvml, pynvml.c_nvmlGpmMetricsGet_t())
        # The binding's attribute access costs more than the call; the layout is fixed by the ABI.
        self._answer = memoryview(self._request).cast("B")

    def getter(self) -> tuple[Any, tuple[Any, ...]]:
        """Return the function that takes a sample, and the arguments before the sample."""
        pointer = self._nvml._nvmlGetFunctionPointer
        if self._instance is None:
            return pointer("nvmlGpmSampleGet"), (self._handle,)
        return pointer("nvmlGpmMigSampleGet"), (self._handle, ctypes.c_uint(self._instance))

    def supported(self) -> bool:
        """Ask the device whether it has GPM at all."""
        return bool(self._nvml.nvmlGpmQueryDeviceSupport(self._handle).isSupportedDevice)

    def read(self, monotonic_ns: int) -> dict[str, Reading]:
        """Return the means since the last reading; nothing when it is too early for new ones.

        Raises the binding's ``NVMLError``.
        """
        if monotonic_ns < self.due_at:
            return {}
        older, newer = self.samples
        if self._instance is None:
            self._nvml.nvmlGpmSampleGet(self._handle, newer)
        else:
            self._nvml.nvmlGpmMigSampleGet(self._handle, self._instance, newer)
        first = self._last_ns is None
        self._last_ns = monotonic_ns
        self.samples = [newer, older]
        if first:
            why = Unavailable(reason=Reason.GAP, detail="the first sample of a chain")
            return dict.fromkeys(METRICS.values(), why)
        self._request.sample1, self._request.sample2 = older, newer
        self._nvml.nvmlGpmMetricsGet(self._request)
        codes = _CODES.unpack_from(self._answer, _FIRST_METRIC)
        values = _VALUES.unpack_from(self._answer, _FIRST_METRIC)
        if not any(codes) and all(map(math.isfinite, values)):
            return dict(zip(_NAMES, [int(value * 10 + 0.5) for value in values], strict=True))
        told = zip(METRICS.items(), codes, values, strict=True)
        return {
            name: self._mean(number, value) if code == 0 else self._absent(number, code)
            for (number, name), code, value in told
        }

    def _mean(self, number: int, value: float) -> Reading:
        """Return permille; where there was nothing to divide by, the driver answers NaN."""
        if math.isfinite(value):
            return int(value * 10 + 0.5)
        return Unavailable(reason=Reason.FAILED, detail=f"GPM metric {number} is {value}")

    def _absent(self, number: int, code: int) -> Reading:
        if code == self._nvml.NVML_ERROR_NOT_SUPPORTED:
            return Unavailable(reason=Reason.UNSUPPORTED, detail=f"GPM metric {number}")
        return Unavailable(reason=Reason.FAILED, detail=f"NVML error {code}")

    @property
    def due_at(self) -> int:
        """From when on new means may be asked for; 0: at once."""
        return 0 if self._last_ns is None else self._last_ns + MIN_SPACING_NS

    def link(self, monotonic_ns: int) -> None:
        """Somebody else (``PreparedChain``) took the newer sample at this time."""
        self._last_ns = monotonic_ns
        self.samples.reverse()

    def forget(self) -> None:
        """Break the chain: the next reading is a first one again."""
        self._last_ns = None

    def close(self) -> None:
        """Free the samples."""
        for sample in self.samples:
            self._nvml.nvmlGpmSampleFree(sample)
        self.samples = []


class PreparedChain:
    """A chain's next link as two calls whose arguments are laid out once for either sample."""

    def __init__(self, pynvml: ModuleType, chain: GpmChain, request: Any) -> None:
        """Use the request, which lies where the caller wants the answers."""
        self.chain = chain
        self.names: tuple[str, ...] = _NAMES
        self.percent = True
        self.codes = "24x" + _METRIC.format("4xi8x") * len(METRICS)
        self.expected: tuple[int, ...] = (0,) * len(METRICS)
        self.values = "24x" + _METRIC.format("8xd") * len(METRICS)
        self._place = memoryview(request_for(pynvml, request)).cast("B")[8:24]
        metrics = pynvml._nvmlGetFunctionPointer("nvmlGpmMetricsGet")
        get, before = chain.getter()
        self._links = {
            id(newer): (
                struct.pack("=QQ", _address(older), _address(newer)),
                ((get, (*before, newer)), (metrics, (ctypes.byref(request),))),
            )
            for older, newer in itertools.permutations(chain.samples)
        }

    def calls(self) -> tuple[tuple[Any, tuple[Any, ...]], ...]:
        """Return the two calls; when both succeeded, tell the chain by ``link``."""
        pair, calls = self._links[id(self.chain.samples[1])]
        self._place[:] = pair
        return calls


def _address(sample: Any) -> int:
    return ctypes.cast(sample, ctypes.c_void_p).value or 0

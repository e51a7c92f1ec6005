"""NVIDIA's dcgm-exporter through its text endpoint: profiling counters without fighting for them.

Field names exist in two generations; the unit follows the field, not the word in its name. Raw
cycle counters (DCGM 4.6 and later) are taken beside the ratios where the exporter offers them.
The exporter has a period of its own, usually 30 s: a repeated scrape of the same values is not a
new sample, and it speaks for no time.
"""

import http.client
import platform
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence

from profilers.checks import Guard
from profilers.reading import BOARD_SIGNALS, SIGNALS, Reading, Reason, Unavailable
from profilers.source import SourceError, Sweep
from profilers.sources.prometheus_text import MAX_BYTES, Metric, metrics
from profilers.values import Device, DeviceKey, Event, Sample

DEFAULT_URL = "http://127.0.0.1:9400/metrics"
TIMEOUT_SECONDS = 2.0
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""An exporter stands on this host or beside it: a proxy of the environment's knows neither."""

_RATIO = 1000.0  # 0-1 to permille
_PERCENT = 10.0
FIELDS: Mapping[str, tuple[str, float]] = {
    # name without DCGM_FI_: (signal, factor into its unit)
    "PROF_GR_ENGINE_ACTIVE": ("graphics_activity_permille", _RATIO),
    "PROF_GR_ENGINE_UTIL_RATIO": ("graphics_activity_permille", _RATIO),
    "PROF_SM_ACTIVE": ("sm_activity_permille", _RATIO),
    "PROF_SM_UTIL_RATIO": ("sm_activity_permille", _RATIO),
    "PROF_SM_OCCUPANCY": ("sm_occupancy_permille", _RATIO),
    "PROF_SM_OCCUPANCY_RATIO": ("sm_occupancy_permille", _RATIO),
    "PROF_PIPE_TENSOR_ACTIVE": ("tensor_activity_permille", _RATIO),
    "PROF_TENSOR_UTIL_RATIO": ("tensor_activity_permille", _RATIO),
    "PROF_DRAM_ACTIVE": ("dram_activity_permille", _RATIO),
    "PROF_DRAM_UTIL_RATIO": ("dram_activity_permille", _RATIO),
    "PROF_PIPE_FP64_ACTIVE": ("fp64_activity_permille", _RATIO),
    "PROF_FP64_UTIL_RATIO": ("fp64_activity_permille", _RATIO),
    "PROF_PIPE_FP32_ACTIVE": ("fp32_activity_permille", _RATIO),
    "PROF_FP32_UTIL_RATIO": ("fp32_activity_permille", _RATIO),
    "PROF_PIPE_FP16_ACTIVE": ("fp16_activity_permille", _RATIO),
    "PROF_FP16_UTIL_RATIO": ("fp16_activity_permille", _RATIO),
    "PROF_PIPE_TENSOR_IMMA_ACTIVE": ("imma_activity_permille", _RATIO),
    "PROF_IMMA_UTIL_RATIO": ("imma_activity_permille", _RATIO),
    "PROF_PIPE_TENSOR_HMMA_ACTIVE": ("hmma_activity_permille", _RATIO),
    "PROF_HMMA_UTIL_RATIO": ("hmma_activity_permille", _RATIO),
    "PROF_PIPE_TENSOR_DFMA_ACTIVE": ("dfma_activity_permille", _RATIO),
    "PROF_DFMA_UTIL_RATIO": ("dfma_activity_permille", _RATIO),
    "DEV_GPU_UTIL": ("gpu_util_permille", _PERCENT),
    "DEV_GPU_UTIL_RATIO": ("gpu_util_permille", _PERCENT),  # percent in spite of its name
    "DEV_MEM_COPY_UTIL": ("memory_util_permille", _PERCENT),
    "DEV_SM_CLOCK": ("sm_clock_mhz", 1.0),
    "DEV_MEM_CLOCK": ("memory_clock_mhz", 1.0),
    "DEV_POWER_USAGE": ("power_mw", 1000.0),
    "DEV_BOARD_POWER_WATTS": ("power_mw", 1000.0),
    "DEV_TOTAL_ENERGY_CONSUMPTION": ("energy_mj", 1.0),
    "DEV_GPU_TEMP": ("temperature_c", 1.0),
    "DEV_GPU_TEMP_CELSIUS": ("temperature_c", 1.0),
    "DEV_MEMORY_TEMP": ("memory_temperature_c", 1.0),
    "DEV_MEMORY_TEMP_CELSIUS": ("memory_temperature_c", 1.0),
    "DEV_FB_USED": ("memory_used_bytes", float(1 << 20)),
    "PROF_SM_CYCLES_ELAPSED_TOTAL": ("sm_cycles_elapsed", 1.0),
    "PROF_SM_CYCLES_ACTIVE_TOTAL": ("sm_cycles_active", 1.0),
    "PROF_MMA_CYCLES_ACTIVE_TOTAL": ("mma_cycles_active", 1.0),
    "PROF_DMMA_CYCLES_ACTIVE_TOTAL": ("dmma_cycles_active", 1.0),
    "PROF_HMMA_CYCLES_ACTIVE_TOTAL": ("hmma_cycles_active", 1.0),
    "PROF_IMMA_CYCLES_ACTIVE_TOTAL": ("imma_cycles_active", 1.0),
    "PROF_DFMA_CYCLES_ACTIVE_TOTAL": ("dfma_cycles_active", 1.0),
    "PROF_INT_CYCLES_ACTIVE_TOTAL": ("integer_cycles_active", 1.0),
    "PROF_FP64_CYCLES_ACTIVE_TOTAL": ("fp64_cycles_active", 1.0),
    "PROF_FP32_CYCLES_ACTIVE_TOTAL": ("fp32_cycles_active", 1.0),
    "PROF_FP16_CYCLES_ACTIVE_TOTAL": ("fp16_cycles_active", 1.0),
}
_NONE_UNDER_MIG = frozenset({"gpu_util_permille", "memory_util_permille"})
"""Gauges that the exporter writes as 0 for a partition, whatever it does."""
BLANK_FROM = 9.0e15
"""DCGM's blank values (0x7FFFFFFFFFFFFFF0 and neighbours, or 2^47 as a double) mean "no value"."""
_BLANK_DOUBLES = frozenset(140737488355328.0 + n for n in range(4))


class DcgmSource:
    """One exporter. Several of them are several sources."""

    def __init__(self, url: str = DEFAULT_URL) -> None:
        """Name the endpoint; only http and https are opened."""
        self._url = url
        self._units: dict[DeviceKey, _Unit] = {}

    @property
    def name(self) -> str:
        """The word for this source."""
        return "dcgm"

    def open(self) -> None:
        """Scrape once to learn the devices. Raises ``SourceError``."""
        if not self._url.startswith(("http://", "https://")):
            raise SourceError(
                Reason.ABSENT, f"{self._url}: not a web address; give dcgm=http://HOST:9400/metrics"
            )
        self._units = {key: _Unit(key, found) for key, found in _by_device(self._scrape()).items()}
        if not self._units:
            raise SourceError(
                Reason.ABSENT, f"{self._url} answers, but with no DCGM_FI_ metric of a device"
            )

    def devices(self) -> Sequence[Device]:
        """Return the devices of the last scrape."""
        return [unit.device for unit in self._units.values()]

    def sweep(self) -> Sweep:
        """Scrape once."""
        found = _by_device(self._scrape())
        stamp, wall = time.monotonic_ns(), time.time_ns()
        events: list[Event] = []
        changed = None
        if set(found) - set(self._units):
            for key in set(found) - set(self._units):
                self._units[key] = _Unit(key, found[key])
            changed = tuple(self.devices())
        samples = [
            unit.sample(found.get(key), stamp, wall, events) for key, unit in self._units.items()
        ]
        return Sweep(samples=tuple(samples), events=tuple(events), devices=changed)

    def close(self) -> None:
        """Nothing is held open."""
        self._units = {}

    def _scrape(self) -> list[Metric]:
        try:
            with _OPENER.open(self._url, timeout=TIMEOUT_SECONDS) as answer:
                data = answer.read(MAX_BYTES + 1)
        except TimeoutError as error:
            raise SourceError(Reason.TIMED_OUT, f"{self._url}: {error}") from None
        except (http.client.HTTPException, OSError, ValueError) as error:
            why = getattr(error, "reason", None) or error  # urllib wraps the socket's own word
            raise SourceError(Reason.ABSENT, f"{self._url}: {why}") from None
        if len(data) > MAX_BYTES:
            raise SourceError(Reason.FAILED, f"{self._url}: more than {MAX_BYTES} bytes")
        return list(metrics(data.decode("utf-8", "replace")))


class _Unit:
    """One device of the exporter."""

    def __init__(self, key: DeviceKey, found: list[Metric]) -> None:
        labels = found[0].labels
        values = _readings(found)
        why = Unavailable(reason=Reason.UNSUPPORTED, detail="the exporter does not offer it")
        number = labels.get("gpu", "")
        self.device = Device(
            key=key,
            name=labels.get("modelName") or None,
            vendor="nvidia",
            index=int(number) if number.isdigit() else None,
            node=labels.get("Hostname") or platform.node(),
            driver_version=labels.get("DCGM_FI_DRIVER_VERSION") or None,
            missing={name: why for name in SIGNALS if name not in values},
        )
        self._guard = Guard(self.device)
        self._last: dict[str, Reading] = {}
        self._last_ns: int | None = None

    def sample(
        self, found: list[Metric] | None, stamp: int, wall: int, events: list[Event]
    ) -> Sample:
        values = _readings(found) if found else {}
        offered = [name for name in SIGNALS if name not in self.device.missing]
        gone = Unavailable(reason=Reason.LOST, detail="the series vanished from the exporter")
        readings: dict[str, Reading] = {name: values.get(name, gone) for name in offered}
        # The exporter repeats itself until its own period is over: that is not a new look.
        fresh = values != self._last
        self._last = dict(values)
        period = 0
        if not values:
            self._last_ns = None
        elif fresh:
            period = 0 if self._last_ns is None else stamp - self._last_ns
            self._last_ns = stamp
        else:
            stale = Unavailable(reason=Reason.PENDING, detail="the exporter has nothing new yet")
            readings = dict.fromkeys(offered, stale)
        events.extend(self._guard.check(readings, stamp))
        return Sample(
            device=self.device.key,
            monotonic_ns=stamp,
            wall_ns=wall,
            period_ns=period,
            readings=readings,
        )


def _by_device(found: list[Metric]) -> dict[DeviceKey, list[Metric]]:
    grouped: dict[DeviceKey, list[Metric]] = {}
    for metric in found:
        uuid = metric.labels.get("UUID")
        if uuid and metric.name.startswith("DCGM_FI_"):
            signal, _ = FIELDS.get(metric.name.removeprefix("DCGM_FI_"), ("", 0))
            # In MIG mode the board's figures come under every partition, and the board alone has none.
            mig = "" if signal in BOARD_SIGNALS else _partition(metric.labels)
            grouped.setdefault(DeviceKey(uuid=uuid, mig=mig), []).append(metric)
    return grouped


def _partition(labels: Mapping[str, str]) -> str:
    instance = labels.get("GPU_I_ID", "")
    return f"MIG-{instance}" if instance else ""


def _readings(found: list[Metric]) -> dict[str, Reading]:
    answer: dict[str, Reading] = {}
    for metric in found:
        known = FIELDS.get(metric.name.removeprefix("DCGM_FI_"))
        if known is None:
            continue
        signal, factor = known
        if metric.value >= BLANK_FROM or metric.value in _BLANK_DOUBLES:
            answer.setdefault(signal, Unavailable(reason=Reason.ABSENT, detail="DCGM blank value"))
        elif not metric.value and signal in _NONE_UNDER_MIG and _partition(metric.labels):
            answer[signal] = Unavailable(reason=Reason.MIG, detail="undefined for a partition")
        else:
            answer[signal] = round(metric.value * factor)
    return answer

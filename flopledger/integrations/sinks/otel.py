"""Figures as OpenTelemetry metrics.

Devices follow the semantic conventions for hardware (``hw.energy``, ``hw.power``, ``hw.gpu.*``
with ``hw.id`` and ``hw.type``; status "development" in semantic conventions 1.44). For FLOP there is
no convention, so they have names of our own under ``flopledger.``. All instruments are observable:
an export reads the last step's figures, totals included, so nothing is added up twice.
"""

from collections.abc import Callable, Iterator
from typing import Any

from flopledger.integrations.requirements import require
from flopledger.integrations.sinks.metrics import FIGURES, DeviceMetrics, StepMetrics

_COUNTERS = {
    "total_model_flop": "flopledger.model.flop",
    "total_hardware_flop": "flopledger.hardware.flop",
    "total_tokens": "flopledger.tokens",
    "total_samples": "flopledger.samples",
}
_GAUGES = {
    "mfu": "flopledger.mfu",
    "hfu": "flopledger.hfu",
    "model_flop_per_second": "flopledger.model.flop.rate",
    "tokens_per_second": "flopledger.token.rate",
    "duration_seconds": "flopledger.step.duration",
    "wait_seconds": "flopledger.step.wait",
}
#: Figure of a device -> (name, instrument, unit, description) of the semantic conventions.
_DEVICES = {
    "energy_joules": ("hw.energy", "counter", "J", "Energy consumed by the component."),
    "power_watts": ("hw.power", "gauge", "W", "Instantaneous power consumed by the component."),
    "utilisation": (
        "hw.gpu.utilization", "gauge", "1", "Fraction of time spent in a specific task."
    ),
    "memory_used_bytes": ("hw.gpu.memory.usage", "up_down_counter", "By", "GPU memory used."),
}  # fmt: skip

#: What the conventions ask for beside a device's identity. A driver's utilisation is of all tasks.
_PARTICULARS = {"utilisation": {"hw.gpu.task": "general"}}


class OpenTelemetrySink:
    """Exports through the user's meter provider, or through OTLP over HTTP with its own."""

    name = "opentelemetry"

    def __init__(
        self,
        provider: Any = None,
        *,
        endpoint: str | None = None,
        interval_seconds: float = 15.0,
        attributes: dict[str, str | int] | None = None,
    ) -> None:
        """``provider``: a ``MeterProvider``; without it OTLP/HTTP to ``endpoint``.

        ``endpoint`` ``None`` is OTLP's own default (``OTEL_EXPORTER_OTLP_ENDPOINT``, else
        localhost). ``attributes`` are put on every FLOP series (``{"flopledger.rank": 0}``).
        """
        self._observation = require("opentelemetry.metrics", extra="otel").Observation
        self._attributes = attributes or {}
        self._last: StepMetrics | None = None
        if provider is None:
            _require_exporter()
        self._given, self._own_settings = provider, (endpoint, interval_seconds)
        self._provider: Any = None
        self._refused = False
        """Whether the last export did not arrive: the SDK only logs that."""

    def emit(self, metrics: StepMetrics) -> None:
        """Keep the figures for the next export; the first ones make the instruments."""
        self._last = metrics
        if self._provider is None:
            self._provider = self._given or self._exporting(*self._own_settings)
            self._make(self._provider.get_meter("flopledger"))

    def close(self) -> None:
        """Export what is there; shut the provider down if it was made here.

        Raises:
            ConnectionError: when the collector did not take the last export.

        """
        if self._provider is not None and self._given is None:
            self._provider.shutdown()
            if self._refused:
                self._last = None
                raise ConnectionError("the collector did not take the last export")
        elif self._provider is not None:
            self._provider.force_flush()
        self._last = None

    def _exporting(self, endpoint: str | None, interval_seconds: float) -> Any:
        sdk, export, otlp = _require_exporter()
        exporter = otlp.OTLPMetricExporter(endpoint=endpoint)
        send = exporter.export

        def watched(*data: Any, **options: Any) -> Any:
            self._refused = True
            result = send(*data, **options)
            self._refused = result is not export.MetricExportResult.SUCCESS
            return result

        exporter.export = watched
        reader = export.PeriodicExportingMetricReader(
            exporter, export_interval_millis=interval_seconds * 1000
        )
        # At the interpreter's end it would shut down once more, and say that that cannot be.
        return sdk.MeterProvider(metric_readers=[reader], shutdown_on_exit=False)

    def _make(self, meter: Any) -> None:
        for figure, name in _COUNTERS.items():
            unit, text = FIGURES[figure]
            meter.create_observable_counter(name, [self._own_figure(figure)], unit, text)
        for figure, name in _GAUGES.items():
            unit, text = FIGURES[figure]
            meter.create_observable_gauge(name, [self._own_figure(figure)], unit, text)
        for figure, (name, kind, unit, text) in _DEVICES.items():
            make = getattr(meter, f"create_observable_{kind}")
            make(name, [self._device_figure(figure)], unit, text)

    def _own_figure(self, figure: str) -> Callable[[Any], Iterator[Any]]:
        def observe(_options: Any) -> Iterator[Any]:
            value = getattr(self._last, figure, None)
            if value is not None:
                # OTLP has no whole numbers beyond 64 bits: 9.2e18 FLOP, some hours of one GPU.
                value = float(value) if FIGURES[figure][0] == "{flop}" else value
                yield self._observation(value, self._attributes)

        return observe

    def _device_figure(self, figure: str) -> Callable[[Any], Iterator[Any]]:
        def observe(_options: Any) -> Iterator[Any]:
            for device in self._last.devices if self._last is not None else ():
                value = getattr(device, figure)
                if value is not None:
                    yield self._observation(value, _identity(device) | _PARTICULARS.get(figure, {}))

        return observe


def _identity(device: DeviceMetrics) -> dict[str, str]:
    return {"hw.id": device.uuid, "hw.type": "gpu", "hw.name": device.name}


def _require_exporter() -> tuple[Any, Any, Any]:
    return (
        require("opentelemetry.sdk.metrics", extra="otel"),
        require("opentelemetry.sdk.metrics.export", extra="otel"),
        require("opentelemetry.exporter.otlp.proto.http.metric_exporter", extra="otel"),
    )

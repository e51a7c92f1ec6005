"""Figures for Prometheus to scrape."""

from collections.abc import Iterator
from typing import Any

from flopledger.integrations.requirements import require
from flopledger.integrations.sinks.metrics import FIGURES, StepMetrics, figures

#: Totals are counters, so that ``rate()`` works over restarts; everything else is a gauge.
_COUNTERS = {
    "total_model_flop": "model_flop",
    "total_hardware_flop": "hardware_flop",
    "total_tokens": "tokens",
    "total_samples": "samples",
}
_GAUGES = {
    "mfu": "mfu",
    "hfu": "hfu",
    "model_flop_per_second": "model_flop_per_second",
    "tokens_per_second": "tokens_per_second",
    "duration_seconds": "step_duration_seconds",
    "wait_seconds": "step_wait_seconds",
}
_DEVICE_GAUGES = {
    "power_watts": "device_power_watts",
    "utilisation": "device_utilisation_ratio",
    "memory_used_bytes": "device_memory_used_bytes",
}


class PrometheusSink:
    """Serves ``/metrics`` on loopback from the first step on.

    What is not known has no series; it never reads 0. Every rank of a node may make the same sink:
    only the one that is handed steps takes the port.
    """

    name = "prometheus"

    def __init__(
        self,
        port: int = 9464,
        *,
        address: str = "127.0.0.1",
        registry: Any = None,
        labels: dict[str, str] | None = None,
    ) -> None:
        """Serve at ``address``; port 0 takes a free one (``url`` says which, once it serves).

        With a ``registry`` nothing is served: the figures join what the user's program exports.
        ``labels`` are put on every series (``{"rank": "0"}``).
        """
        self._core = require("prometheus_client.core", extra="prometheus")
        self._client = require("prometheus_client", extra="prometheus")
        self._address = port, address
        self._labels = labels or {}
        self._last: StepMetrics | None = None
        self._server: Any = None
        self._thread: Any = None
        self._registry = registry
        self._open = False

    @property
    def url(self) -> str | None:
        """Where to scrape; ``None`` before the first step, and with a registry of the user's."""
        if self._server is None:
            return None
        host, port = self._server.server_address[:2]
        return f"http://{host}:{port}/metrics"

    def emit(self, metrics: StepMetrics) -> None:
        """Keep the figures for the next scrape."""
        self._last = metrics
        if not self._open:
            self._begin()

    def _begin(self) -> None:
        if self._registry is None:
            registry, (port, address) = self._client.CollectorRegistry(), self._address
            self._server, self._thread = self._client.start_http_server(
                port, addr=address, registry=registry
            )
            self._registry = registry
        self._registry.register(self)
        self._open = True

    def close(self) -> None:
        """Stop serving."""
        if self._open:
            self._registry.unregister(self)
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()

    def collect(self) -> Iterator[Any]:
        """Give the series; called by the client library at each scrape."""
        metrics = self._last
        if metrics is None:
            return
        known = dict(figures(metrics)) | {"step": metrics.step}
        for figure, name in _COUNTERS.items():
            if figure in known:
                yield self._family("Counter", name, FIGURES[figure][1], [({}, known[figure])])
        for figure, name in _GAUGES.items():
            if figure in known:
                yield self._family("Gauge", name, FIGURES[figure][1], [({}, known[figure])])
        yield self._family("Gauge", "step", "the last optimizer step", [({}, metrics.step)])
        yield from self._devices(metrics)

    def describe(self) -> list[Any]:
        """Say nothing before the first step: names depend on what is known."""
        return []

    def _devices(self, metrics: StepMetrics) -> Iterator[Any]:
        names = {"energy_joules": "device_energy_joules", **_DEVICE_GAUGES}
        for figure, name in names.items():
            rows = [
                ({"uuid": device.uuid, "name": device.name}, value)
                for device in metrics.devices
                if (value := getattr(device, figure)) is not None
            ]
            if rows:
                kind = "Counter" if figure == "energy_joules" else "Gauge"
                yield self._family(kind, name, f"{figure} of each device", rows)

    def _family(
        self, kind: str, name: str, text: str, rows: list[tuple[dict[str, str], float]]
    ) -> Any:
        labels = [*self._labels, *rows[0][0]]
        make = getattr(self._core, f"{kind}MetricFamily")
        family = make(f"flopledger_{name}", text, labels=labels)
        for own, value in rows:
            family.add_metric([*self._labels.values(), *own.values()], float(value))
        return family

"""Which device a Prometheus series is about, from its labels."""

from collections.abc import Mapping

from profilers.importers import identity
from profilers.importers.metric_names import METRICS
from profilers.trace import Device


def device_of(labels: Mapping[str, str], node: str | None, mark: str) -> Device | None:
    """Return the device of a series, or None where the labels name none (sums over devices)."""
    uuid = labels.get("UUID") or labels.get("uuid") or ""
    if uuid and not uuid.startswith("GPU-"):
        uuid = f"GPU-{uuid}"  # nvidia_gpu_exporter drops the prefix
    number = labels.get("gpu") or labels.get("gpu_id") or ""
    index = int(number) if number.isascii() and number.isdigit() and len(number) < 6 else None
    if not identity.is_uuid(uuid):
        uuid = ""
    if not uuid and index is None:
        return None
    host = labels.get("Hostname") or labels.get("hostname") or _host(labels) or node
    return identity.gpu(
        uuid=uuid or None,
        index=index,
        node=identity.safe(host) if host else None,
        fallback=mark,
        mig=labels.get("GPU_I_ID", "")[:32],
        name=labels.get("modelName") or labels.get("name") or None,
    )


def _host(labels: Mapping[str, str]) -> str | None:
    """Return the scraped host of an ``instance`` label such as ``node17:9400``."""
    instance = labels.get("instance", "")
    host = instance.rpartition(":")[0] or instance
    return host or None


def signal_of(name: str) -> tuple[str, str] | None:
    """Return our signal and the unit of a metric's figures; None: not telemetry that we read."""
    return METRICS.get(name)

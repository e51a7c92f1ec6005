"""Where figures of a running record may be sent. Nothing here can hold up or break the loop.

from flopledger.integrations import sinks

out = sinks.Sinks(sinks.MlflowSink("http://127.0.0.1:5000"), sinks.PrometheusSink())
out.emit(metrics)                      # at each step; a queue and a thread for each sink
for line in out.close():               # what arrived, and what was dropped
    print(line)
"""

from typing import TYPE_CHECKING, Any

from flopledger.integrations.sinks.delivery import Delivered, Delivery, Sink, Sinks
from flopledger.integrations.sinks.metrics import DeviceMetrics, StepMetrics, tagged

if TYPE_CHECKING:
    from flopledger.integrations.sinks.mlflow import MlflowSink
    from flopledger.integrations.sinks.otel import OpenTelemetrySink
    from flopledger.integrations.sinks.prometheus import PrometheusSink
    from flopledger.integrations.sinks.tensorboard import TensorBoardSink
    from flopledger.integrations.sinks.trackio import TrackioSink
    from flopledger.integrations.sinks.wandb import WandbSink

__all__ = [
    "Delivered",
    "Delivery",
    "DeviceMetrics",
    "MlflowSink",
    "OpenTelemetrySink",
    "PrometheusSink",
    "Sink",
    "Sinks",
    "StepMetrics",
    "TensorBoardSink",
    "TrackioSink",
    "WandbSink",
    "tagged",
]

_LATER = {
    "MlflowSink": "mlflow",
    "OpenTelemetrySink": "otel",
    "PrometheusSink": "prometheus",
    "TensorBoardSink": "tensorboard",
    "TrackioSink": "trackio",
    "WandbSink": "wandb",
}


def __getattr__(name: str) -> Any:
    """Import a sink when it is asked for."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"flopledger.integrations.sinks.{_LATER[name]}"), name)

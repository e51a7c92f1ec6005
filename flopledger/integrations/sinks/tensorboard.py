"""Figures into a TensorBoard event file. Needs neither torch nor TensorFlow."""

from pathlib import Path
from typing import Any

from flopledger.integrations.requirements import require
from flopledger.integrations.sinks.metrics import StepMetrics, tagged


class TensorBoardSink:
    """Writes scalars as doubles: the usual 32-bit scalar keeps seven digits of a FLOP count."""

    name = "tensorboard"

    def __init__(self, folder: str | Path) -> None:
        """Write a new event file into ``folder``, beside those of the trainer.

        The file begins with the first step, so that ranks without steps leave none.
        """
        extra = "tensorboard"
        writer = require("tensorboard.summary.writer.event_file_writer", extra=extra)
        self._make, self._folder = writer.EventFileWriter, str(folder)
        self._event = require("tensorboard.compat.proto.event_pb2", extra=extra).Event
        self._summary = require("tensorboard.compat.proto.summary_pb2", extra=extra)
        self._tensor = require("tensorboard.compat.proto.tensor_pb2", extra=extra).TensorProto
        self._double = require("tensorboard.compat.proto.types_pb2", extra=extra).DT_DOUBLE
        self._writer: Any = None

    def emit(self, metrics: StepMetrics) -> None:
        """Write one event."""
        pb = self._summary
        kind = pb.SummaryMetadata(
            plugin_data=pb.SummaryMetadata.PluginData(plugin_name="scalars"),
            data_class=pb.DataClass.Value("DATA_CLASS_SCALAR"),
        )
        values = [
            pb.Summary.Value(
                tag=tag,
                metadata=kind,
                tensor=self._tensor(dtype=self._double, double_val=[float(value)]),
            )
            for tag, value in tagged(metrics).items()
        ]
        if self._writer is None:
            self._writer = self._make(self._folder, filename_suffix=".flopledger")
        self._writer.add_event(
            self._event(
                wall_time=metrics.unix_seconds,
                step=metrics.step,
                summary=pb.Summary(value=values),
            )
        )

    def close(self) -> None:
        """Flush and close the file."""
        if self._writer is not None:
            self._writer.close()

"""Recorded telemetry of other tools into traces: recognised by content, read strictly.

The modules, each in the order in which it is best read (design/050, 094):

**The way.** ``registry`` (which format is it?), ``recording`` (what an importer hands over), ``assemble``
(into traces), ``into`` and ``store`` (into a run's folder) with ``columns``, ``segments``, ``repeats``;
``options`` (what the user states), ``errors``, ``hints`` (what is said where none takes a file).

**A file.** ``opened``, ``packed``, ``pieces``; who a device is, ``identity``; ``stamps`` and ``units``.

**Formats.** Tables: ``nvidia_smi``, ``amd_smi``, and ``mapping`` for one's own, on ``table`` (what the header
says), read row by row by ``table_rows`` with ``table_cells`` and ``table_devices``, or in whole columns by
``bulk`` with ``bulk_cells``, ``bulk_devices``, ``bulk_figures``, ``stamp_columns``. Lines:
``nvidia_smi_dmon``, ``mlperf_power``. Pages: ``nvidia_smi_xml``. Energy of windows: ``zeus``, ``codecarbon``,
on ``windows``. Series one by one, on ``gather``: ``mlflow``, ``wandb_events``; ``prometheus_text``,
``prometheus_range`` and ``victoria_metrics`` with ``metric_names``, ``prometheus_labels``. Logs of Weights &
Biases: ``wandb_file`` with ``record_log``, ``protobuf``, ``wandb_names``.

A test holds this list to the folder.
"""

from profilers.importers.assemble import collect, traces
from profilers.importers.errors import ImportFormatError, LimitError, UnknownFormatError
from profilers.importers.into import Outcome, Skipped, import_files
from profilers.importers.opened import Opened, open_file
from profilers.importers.options import Options
from profilers.importers.recording import Block, Clock, Finding, Findings, Recording
from profilers.importers.registry import FORMATS, Format, open_recording, recognise
from profilers.importers.store import Imported, store

__all__ = [
    "FORMATS",
    "Block",
    "Clock",
    "Finding",
    "Findings",
    "Format",
    "ImportFormatError",
    "Imported",
    "LimitError",
    "Opened",
    "Options",
    "Outcome",
    "Recording",
    "Skipped",
    "UnknownFormatError",
    "collect",
    "import_files",
    "open_file",
    "open_recording",
    "recognise",
    "store",
    "traces",
]

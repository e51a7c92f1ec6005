"""Recorded telemetry of other tools into traces: recognised by content, read strictly."""

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

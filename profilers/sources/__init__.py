"""Instruments, one a file. Each follows ``profilers.source.Source`` and is imported when used."""

import importlib
from collections.abc import Mapping

from profilers.source import Source, SourceError

SOURCES: Mapping[str, str] = {
    "nvml": "profilers.sources.nvml:NvmlSource",
    "dcgm": "profilers.sources.dcgm:DcgmSource",
    "amd": "profilers.sources.amd:AmdSource",
    "cpu": "profilers.sources.cpu_counters:CpuCounterSource",
    "replay": "profilers.sources.replay:ReplaySource",
}
"""Name on the command line to class."""


def make_source(name: str, options: Mapping[str, str | float]) -> Source:
    """Return a source by its name. Raises ``SourceError`` for a name that nobody knows."""
    from profilers.reading import Reason

    if name not in SOURCES:
        raise SourceError(
            Reason.ABSENT, f"no source is called {name!r}; known are {', '.join(SOURCES)}"
        )
    module, _, attribute = SOURCES[name].partition(":")
    made: Source = getattr(importlib.import_module(module), attribute)(**options)
    return made


__all__ = ["SOURCES", "make_source"]

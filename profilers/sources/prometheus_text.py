"""The Prometheus text format, as far as an exporter of device metrics needs it: bounded, strict."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

MAX_BYTES = 16 << 20
_LINE = re.compile(r"([A-Za-z_:][A-Za-z0-9_:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+(-?\d+))?\s*")
_LABEL = re.compile(r'([A-Za-z_][A-Za-z0-9_]*)="((?:[^"\\]|\\.)*)"\s*(?:,\s*|$)')


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """One sample line."""

    name: str
    labels: Mapping[str, str]
    value: float
    """Never NaN or infinite: such lines are left out."""


def metrics(text: str) -> Iterator[Metric]:
    """Give every well-formed sample line; comments and what does not parse are left out."""
    for line in text.splitlines():
        found = _LINE.fullmatch(line)
        if found is None or line.startswith("#"):
            continue
        try:
            value = float(found[3])
        except ValueError:
            continue
        if value - value != 0:  # NaN or infinite
            continue
        labels = {
            name: re.sub(r"\\(.)", r"\1", text) for name, text in _LABEL.findall(found[2] or "")
        }
        yield Metric(name=found[1], labels=labels, value=value)

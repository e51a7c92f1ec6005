"""VictoriaMetrics' ``/api/v1/export``: a series a line, figures and stamps in milliseconds apart."""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from profilers.importers.errors import ImportFormatError
from profilers.importers.gather import BySeries
from profilers.importers.opened import Opened
from profilers.importers.options import Options
from profilers.importers.prometheus_range import take_series
from profilers.importers.recording import Block, Clock, Findings, Recording

NAME = "victoriametrics-export"


def recognise(opened: Opened) -> bool:
    """Say whether the first line is a series with its stamps beside its figures."""
    head = opened.head.lstrip()
    return head.startswith(b'{"metric":') and b'"timestamps":' in head


def read(opened: Opened, options: Options) -> Recording:
    """Open an export."""
    findings = Findings()

    def blocks() -> Iterator[Block]:
        rows = BySeries(findings)
        mark = f"prometheus-{opened.mark}"
        series = _series(opened, findings)
        take_series(series, rows, findings, opened.name, options.node, mark)
        if not rows.points:
            raise ImportFormatError("holds no sample of a device that we read", file=opened.name)
        yield rows.block()

    return Recording(format=NAME, clock=Clock.WALL, blocks=blocks(), findings=findings)


def _series(opened: Opened, findings: Findings) -> Iterator[dict[str, Any]]:
    """Yield each line as the series of a range answer; a last line that is cut short is told."""
    cut_short = not opened.ends_a_line
    before: tuple[int, str] | None = None
    for line in (one for one in opened.text_lines() if one[1].strip()):
        if before is not None:
            yield _parsed(*before, opened)
        before = line
    if before is not None:
        try:
            yield _parsed(*before, opened)
        except ImportFormatError:
            if not cut_short:
                raise
            findings.add("torn-tail", "the last series is cut short", line=before[0])


def _parsed(number: int, line: str, opened: Opened) -> dict[str, Any]:
    try:
        told = json.loads(line, parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        raise ImportFormatError(f"is no JSON: {error}", file=opened.name, line=number) from error
    series = told if isinstance(told, dict) else {}
    values, stamps = series.get("values"), series.get("timestamps")
    if not isinstance(values, list) or not isinstance(stamps, list) or len(values) != len(stamps):
        raise ImportFormatError(
            "holds no series with as many timestamps as values", file=opened.name, line=number
        )
    if not all(isinstance(stamp, int) and not isinstance(stamp, bool) for stamp in stamps):
        raise ImportFormatError(
            "has stamps that are no whole milliseconds", file=opened.name, line=number
        )
    points = [
        [Decimal(stamp).scaleb(-3), "NaN" if value is None else str(value)]
        for stamp, value in zip(stamps, values, strict=True)
    ]
    return {"metric": series.get("metric"), "values": points}

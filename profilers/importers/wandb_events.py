"""Weights & Biases' system events as JSON lines (``run.history(stream="events")`` exports)."""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from profilers.importers import identity
from profilers.importers.errors import ImportFormatError
from profilers.importers.gather import BySeries
from profilers.importers.opened import Opened
from profilers.importers.options import Options
from profilers.importers.recording import Block, Clock, Findings, Recording
from profilers.importers.stamps import epoch_ns
from profilers.importers.wandb_names import PAIR, figure, metric

NAME = "wandb-events"


def recognise(opened: Opened) -> bool:
    """Say whether a line of the head is an object with a stamp and a system metric of W&B."""
    for line in opened.lines[:50]:
        text = line.strip()
        if text.startswith("{") and '"_timestamp"' in text and '"system.' in text:
            return isinstance(_parsed(text), dict)
        if text and not text.startswith("{"):
            return False
    return False


def read(opened: Opened, options: Options) -> Recording:
    """Open an export."""
    findings = Findings()
    return Recording(
        format=NAME, clock=Clock.WALL, blocks=_blocks(opened, options, findings), findings=findings
    )


def _blocks(opened: Opened, options: Options, findings: Findings) -> Iterator[Block]:
    rows = BySeries(findings)
    mark = f"wandb-{opened.mark}"
    pending: tuple[int, str] | None = None
    for number, line in opened.text_lines():
        if pending is not None:
            _line(*pending, rows, opened, options, mark, findings, last=False)
        pending = (number, line) if line.strip() else None
    if pending is not None:
        _line(*pending, rows, opened, options, mark, findings, last=True)
    if not rows.points:
        raise ImportFormatError("holds no figure of a device", file=opened.name)
    yield rows.block()


def _line(
    number: int,
    line: str,
    rows: BySeries,
    opened: Opened,
    options: Options,
    mark: str,
    findings: Findings,
    *,
    last: bool,
) -> None:
    event = _parsed(line)
    if not isinstance(event, dict):
        if last:
            findings.add("torn-tail", "the last event is cut short", line=number)
            return
        raise ImportFormatError("is no JSON object", file=opened.name, line=number)
    stamp = event.get("_timestamp")
    time = None
    if isinstance(stamp, int | Decimal) and not isinstance(stamp, bool):
        time = epoch_ns(Decimal(stamp), "unix-s")
    for key, value in event.items():
        wanted = metric(key)
        if wanted is None:
            continue
        if time is None:
            raise ImportFormatError("an event lacks its _timestamp", file=opened.name, line=number)
        index, signal, unit, label = wanted
        reading = figure(signal, unit, value)
        if reading is None:
            raise ImportFormatError(f"{key} is no number", file=opened.name, line=number)
        if signal in PAIR:
            findings.add(
                "sampled-pair", "activity is a mean over 200 ms, not over the points' spacing"
            )
        node = options.node or label
        device = identity.gpu(uuid=None, index=index, node=node, fallback=mark, vendor=None)
        rows.point(device, signal, time, reading)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError):
        return None

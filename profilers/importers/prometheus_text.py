"""Prometheus and OpenMetrics text of dcgm-exporter and nvidia_gpu_exporter, with time stamps.

A scrape that was saved without stamps says nothing about when; it needs ``started`` (and
``period`` where scrapes follow each other).
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal

from profilers.importers import units
from profilers.importers.errors import ImportFormatError
from profilers.importers.gather import BySeries
from profilers.importers.metric_names import UNDEFINED_UNDER_MIG, is_blank
from profilers.importers.opened import Opened
from profilers.importers.options import Options
from profilers.importers.prometheus_labels import device_of, signal_of
from profilers.importers.recording import Block, Clock, Findings, Recording
from profilers.importers.stamps import epoch_ns
from profilers.reading import SIGNALS, Kind, Reading, Reason, Unavailable, is_number

NAME = "prometheus-text"

_LABEL = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(?:,|$)')
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_ESCAPE = re.compile(r"\\(.)")
_STALE = Unavailable(reason=Reason.STALE, detail="NaN")
_MIG = Unavailable(reason=Reason.MIG, detail="undefined for a partitioned device")
BLANK = Unavailable(reason=Reason.UNSUPPORTED, detail="DCGM's code for no value")
_SHORTEST_BLANK = 10
_FIRST_S, _LEAST_MS = 10**9, 10**11
"""Between them a stamp is in seconds from 2001 on; as milliseconds it would be 1970 to 1973."""
MAX_SERIES = 1_000_000


def recognise(opened: Opened) -> bool:
    """Say whether a line of the head is a sample of a metric that we know."""
    for line in opened.lines:
        name = line.partition("{")[0]
        if "{" in line and "}" in line and signal_of(name) is not None:
            return True
    return False


def read(opened: Opened, options: Options) -> Recording:
    """Open a dump of one or many scrapes."""
    findings = Findings()
    return Recording(
        format=NAME,
        clock=Clock.WALL,
        blocks=_blocks(opened, options, findings),
        findings=findings,
    )


def _blocks(opened: Opened, options: Options, findings: Findings) -> Iterator[Block]:
    reader = _Reader(opened, options, findings)
    cut_short = not opened.ends_a_line
    before: tuple[int, str] | None = None
    for line in opened.text_lines():
        if before is not None:
            reader.line(*before)
        before = line
    if before is not None and not (cut_short and reader.torn(*before)):
        reader.line(*before)
    reader.partitioned()
    if not reader.rows.points:
        raise ImportFormatError("holds no sample of a device that we read", file=opened.name)
    yield reader.rows.block()


@dataclass(frozen=True, slots=True)
class _Series:
    name: str
    read: Callable[[str], Reading | None]
    times: list[int]
    readings: list[Reading]


class _Reader:
    def __init__(self, opened: Opened, options: Options, findings: Findings) -> None:
        self.opened, self.options, self.findings = opened, options, findings
        self.rows = BySeries(findings)
        self.mark = f"prometheus-{opened.mark}"
        self.unit = "unix-s" if _is_open_metrics(opened) else "unix-ms"
        self._series: dict[str, _Series | None] = {}
        self._in_scrape: set[str] = set()
        self._scrape = 0
        self._last_stamp = ("", 0)
        self._mig: set[str] = set()

    def line(self, number: int, line: str) -> None:
        if not line or line[0] == "#" or line.isspace():
            return
        series, brace, rest = line.rpartition("}")
        if not brace:
            if not _NAME.match(line.lstrip()):
                raise self._refused(number, f"{line[:60]!r} is no sample")
            return  # a metric without labels is about no device
        series += brace
        if series in self._series:
            known = self._series[series]
        else:
            if len(self._series) >= MAX_SERIES:
                raise self._refused(number, f"more than {MAX_SERIES} series")
            known = self._series[series] = self._know(number, series)
        if known is None:
            return
        words = rest.split()
        if not 1 <= len(words) <= 2 and not (len(words) > 2 and words[1] == "#"):
            raise self._refused(number, f"{rest.strip()[:60]!r} is no value with a stamp")
        stamped = len(words) == 2
        time = self._time(number, words[1]) if stamped else self._unstamped(number, series)
        reading = known.read(words[0])
        if reading is None:
            reading = self._word(number, words[0])
        elif len(words[0]) >= _SHORTEST_BLANK and is_blank(known.name, Decimal(words[0])):
            reading = BLANK
        known.times.append(time)
        known.readings.append(reading)

    def torn(self, number: int, line: str) -> bool:
        """Say whether a last line without its end lacks something: a stamp like those before it."""
        words = line.rpartition("}")[2].split()
        if line.startswith("#") or (len(words) == 2 and len(words[1]) == len(self._last_stamp[0])):
            return False
        self.findings.add("torn-tail", "the last sample is cut short", line=number)
        return True

    def _know(self, number: int, series: str) -> "_Series | None":
        name, _, inside = series.partition("{")
        wanted = signal_of(name.strip())
        if wanted is None:
            return None
        labels = parse_labels(inside[:-1])
        if labels is None:
            raise self._refused(number, f"the labels of {name!r} are not well formed")
        device = device_of(labels, self.options.node, self.mark)
        if device is None:
            self.findings.add("no-device", f"{name} without a device label was left out")
            return None
        if device.key.mig:
            self._mig.add(device.key.uuid)
        signal, unit = wanted
        if SIGNALS[signal].kind is Kind.MEAN:
            window_unknown(self.findings)
        return _Series(name.strip(), units.reader(signal, unit), *self.rows.series(device, signal))

    def _word(self, number: int, text: str) -> Reading:
        """Return what stands where no figure does."""
        if text in ("NaN", "nan"):
            return _STALE
        if text.lstrip("+-").lower() in ("inf", "infinity"):
            return Unavailable(reason=Reason.REJECTED, detail=text)
        raise self._refused(number, f"{text[:40]!r} is no number")

    def _time(self, number: int, text: str) -> int:
        if text == self._last_stamp[0]:  # samples of one scrape share their stamp
            return self._last_stamp[1]
        value = units.number(text)
        if value is not None and self.unit == "unix-ms" and _FIRST_S <= value < _LEAST_MS:
            if self._last_stamp[0]:
                raise self._refused(
                    number, f"{text[:40]!r} is in seconds, those above in milliseconds"
                )
            self.unit = "unix-s"
            self.findings.add(
                "stamp-unit", "the stamps are Unix seconds, not the milliseconds of the text format"
            )
        time = None if value is None else epoch_ns(value, self.unit)
        if time is None:
            raise self._refused(number, f"{text[:40]!r} is no stamp in {self.unit}")
        self._last_stamp = (text, time)
        return time

    def _unstamped(self, number: int, series: str) -> int:
        """Return the stated time: a series that comes again begins the next scrape."""
        if self.options.started_ns is None:
            raise self._refused(
                number, "the samples carry no stamps; say when they were taken (--start)"
            )
        if series in self._in_scrape:
            if self.options.period_ns is None:
                raise self._refused(
                    number, "several scrapes without stamps; say how far apart (--step)"
                )
            self._in_scrape.clear()
            self._scrape += 1
        self._in_scrape.add(series)
        self.findings.add("time-stated", "the stamps are the user's statement, not the file's")
        return self.options.started_ns + self._scrape * (self.options.period_ns or 0)

    def partitioned(self) -> None:
        """Mark the gauges that exporters write as 0 for partitioned devices."""
        if self._mig:
            undefined(self.rows, self._mig, self.findings)

    def _refused(self, number: int, what: str) -> ImportFormatError:
        return ImportFormatError(what, file=self.opened.name, line=number)


def window_unknown(findings: Findings) -> None:
    """Note that an activity mean was scraped: the exporter's own window is not in the series."""
    findings.add(
        "window-unknown",
        "activity means are over the exporter's own collection interval, which the series does not "
        "state; they bound nothing by themselves",
    )


def undefined(rows: BySeries, partitioned: set[str], findings: Findings) -> None:
    """Replace zeros of gauges that are undefined under MIG by the reason."""
    changed = rows.replace(
        lambda device, signal, reading: (
            _MIG
            if signal in UNDEFINED_UNDER_MIG
            and device.key.uuid in partitioned
            and is_number(reading)
            and reading == 0
            else reading
        )
    )
    if changed:
        findings.add(
            "mig-zero", "utilisation is written as 0 for partitioned devices", count=changed
        )


def parse_labels(text: str) -> dict[str, str] | None:
    """Parse ``a="b",c="d"``; None where it is not well formed."""
    labels: dict[str, str] = {}
    place = 0
    text = text.strip()
    while place < len(text):
        found = _LABEL.match(text, place)
        if not found:
            return None
        labels[found[1]] = _ESCAPE.sub(
            lambda m: {"n": "\n", '"': '"', "\\": "\\"}.get(m[1], m[1]), found[2]
        )
        place = found.end()
    return labels


def _is_open_metrics(opened: Opened) -> bool:
    """OpenMetrics ends with ``# EOF`` and stamps in seconds, the older text in milliseconds."""
    with opened.path.open("rb") as stream:
        stream.seek(max(0, opened.size - 64))
        return stream.read().rstrip().endswith(b"# EOF")

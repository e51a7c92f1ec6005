"""A Prometheus server's ``query_range`` answer: from a saved JSON file, or asked over HTTP.

The JSON is bounded and plainly parsed. The server is asked only where the caller gives its URL; a
range is cut into pieces of at most 11,000 steps, the server's own limit.
"""

import hashlib
import json
import math
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from profilers.importers import identity, units
from profilers.importers.errors import ImportFormatError, LimitError
from profilers.importers.gather import BySeries
from profilers.importers.metric_names import METRICS, is_blank
from profilers.importers.opened import Opened
from profilers.importers.options import Options
from profilers.importers.prometheus_labels import device_of, signal_of
from profilers.importers.prometheus_text import BLANK, undefined, window_unknown
from profilers.importers.recording import Block, Clock, Findings, Recording
from profilers.importers.stamps import epoch_ns
from profilers.reading import SIGNALS, Kind, Reading, Reason, Unavailable

NAME = "prometheus-range"
API_NAME = "prometheus-api"
MAX_STEPS = 11_000
MAX_ANSWER = 512 * 1024**2


def recognise(opened: Opened) -> bool:
    """Say whether the head looks like a range answer of the API (an instant vector counts too)."""
    head = opened.head[:4096].lstrip()
    return head.startswith(b"{") and b'"resultType"' in head and b'"status"' in head


def read(opened: Opened, options: Options) -> Recording:
    """Open a saved answer."""
    findings = Findings()

    def blocks() -> Iterator[Block]:
        rows = BySeries(findings)
        mark = f"prometheus-{opened.mark}"
        take_answer(opened.whole(MAX_ANSWER), rows, findings, opened.name, options.node, mark)
        yield rows.block()

    return Recording(format=NAME, clock=Clock.WALL, blocks=blocks(), findings=findings)


def fetch(
    url: str,
    *,
    start_ns: int,
    end_ns: int,
    step_ns: int,
    selector: str = "",
    node: str | None = None,
    timeout_s: float = 30.0,
) -> tuple[Recording, str]:
    """Ask a Prometheus server for every metric that we know.

    Returns the recording and the SHA-256 of the answers in the order of the questions.

    ``selector`` narrows the series, as in ``Hostname=~"node.*"``. Raises ``ImportFormatError``
    where the server cannot be reached, refuses, or answers something else. No redirect is followed
    and no proxy is used: the request goes where the caller said, or nowhere.
    """
    place = urllib.parse.urlsplit(url)
    if place.scheme not in ("http", "https") or not place.hostname:
        raise ImportFormatError(f"{url!r} is no address of a server; write http://host:9090")
    if place.username or place.password:
        raise ImportFormatError("an address with a password in it would end up in the record")
    if end_ns <= start_ns or step_ns <= 0:
        raise ImportFormatError("the range ends before it begins, or its step is not positive")
    if not 0 < timeout_s < math.inf:
        raise ImportFormatError("the time to wait for an answer is not positive")
    findings = Findings()
    host = f"prometheus-{identity.safe(place.netloc)}"

    rows = BySeries(findings)
    digest = hashlib.sha256()
    for first, last in _pieces(start_ns, end_ns, step_ns):
        answer = _ask(url, _query(selector), first, last, step_ns, timeout_s)
        digest.update(answer)
        take_answer(answer, rows, findings, url, node, host)
    if not rows.points:
        raise ImportFormatError("the server has no series of a device in this range", file=url)
    recording = Recording(
        format=API_NAME,
        clock=Clock.WALL,
        blocks=iter([rows.block()]),
        findings=findings,
        facts={"step_ns": str(step_ns)},
    )
    return recording, digest.hexdigest()


def take_answer(
    raw: bytes, rows: BySeries, findings: Findings, file: str, node: str | None, mark: str
) -> None:
    """Add every series of an answer to ``rows``."""
    take_series(_result(raw, file), rows, findings, file, node, mark)


def take_series(
    result: Iterable[Any],
    rows: BySeries,
    findings: Findings,
    file: str,
    node: str | None,
    mark: str,
) -> None:
    """Add series as the API writes them: ``{"metric": {...}, "values": [[seconds, "figure"], ...]}``."""
    partitioned: set[str] = set()
    for series in result:
        labels, points = _series(series, file)
        name = labels.get("__name__", "")
        wanted = signal_of(name)
        if wanted is None:
            findings.add("metric-unread", f"{name or 'a series without a name'} was left out")
            continue
        device = device_of(labels, node, mark)
        if device is None:
            findings.add("no-device", f"{name} without a device label was left out")
            continue
        if device.key.mig:
            partitioned.add(device.key.uuid)
        signal, unit = wanted
        if SIGNALS[signal].kind is Kind.MEAN:
            window_unknown(findings)
        for point in points:
            time, reading = _point(point, name, signal, unit, file)
            rows.point(device, signal, time, reading)
    if partitioned:
        undefined(rows, partitioned, findings)


def _result(raw: bytes, file: str) -> list[Any]:
    try:
        answer = json.loads(raw, parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        raise ImportFormatError(f"is no JSON: {error}", file=file) from error
    if not isinstance(answer, dict) or answer.get("status") != "success":
        told = answer.get("error") if isinstance(answer, dict) else None
        raise ImportFormatError(f"the server answered an error: {told!r}"[:200], file=file)
    data = answer.get("data")
    kind = data.get("resultType") if isinstance(data, dict) else None
    result = data.get("result") if isinstance(data, dict) else None
    if kind not in ("matrix", "vector") or not isinstance(result, list):
        raise ImportFormatError(f"result type {kind!r} is no series of samples", file=file)
    return result


def _series(series: Any, file: str) -> tuple[Mapping[str, str], list[Any]]:
    if isinstance(series, dict) and isinstance(labels := series.get("metric"), dict):
        points = series.get("values")
        if points is None and "value" in series:
            points = [series["value"]]
        if isinstance(points, list) and all(isinstance(v, str) for v in labels.values()):
            return labels, points
    raise ImportFormatError("a series lacks its labels or its values", file=file)


def _point(point: Any, name: str, signal: str, unit: str, file: str) -> tuple[int, Reading]:
    stamp, text = point if isinstance(point, list) and len(point) == 2 else (None, None)
    time = None
    if isinstance(stamp, int | Decimal) and not isinstance(stamp, bool):
        time = epoch_ns(Decimal(stamp), "unix-s")
    if time is None or not isinstance(text, str):
        raise ImportFormatError(f"{str(point)[:80]} is no point [seconds, text]", file=file)
    if text == "NaN":
        return time, Unavailable(reason=Reason.STALE, detail="NaN")
    value = units.number(text)
    if value is None:
        return time, Unavailable(reason=Reason.REJECTED, detail=text[:40])
    if is_blank(name, value):
        return time, BLANK
    return time, units.judged(signal, units.scaled(value, units.factor(signal, unit)))


def _pieces(start_ns: int, end_ns: int, step_ns: int) -> Iterator[tuple[int, int]]:
    """Cut a range into pieces that the server accepts; they share no step."""
    count = (end_ns - start_ns) // step_ns + 1
    for piece in range(math.ceil(count / MAX_STEPS)):
        first = start_ns + piece * MAX_STEPS * step_ns
        yield first, min(first + (MAX_STEPS - 1) * step_ns, end_ns)


def _query(selector: str) -> str:
    """Ask for every metric at once; a selector by name is one pass over the server's index."""
    names = "|".join(METRICS)
    more = f",{selector}" if selector else ""
    return f'{{__name__=~"{names}"{more}}}'


def _ask(url: str, query: str, start: int, end: int, step: int, timeout_s: float) -> bytes:
    fields = {
        "query": query,
        "start": _seconds(start),
        "end": _seconds(end),
        "step": _seconds(step),
    }
    request = urllib.request.Request(  # noqa: S310 - the scheme was checked
        f"{url.rstrip('/')}/api/v1/query_range",
        data=urllib.parse.urlencode(fields).encode(),
        headers={"Accept": "application/json"},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect())
    try:
        with opener.open(request, timeout=timeout_s) as answer:
            raw: bytes = answer.read(MAX_ANSWER + 1)
    except urllib.error.HTTPError as error:
        told = error.read(300).decode("utf-8", errors="replace")
        raise ImportFormatError(f"the server answered {error.code}: {told}", file=url) from error
    except (OSError, ValueError) as error:
        why = getattr(error, "reason", None) or error  # urllib wraps the socket's own word
        raise ImportFormatError(f"the server cannot be reached: {why}", file=url) from error
    if len(raw) > MAX_ANSWER:
        raise LimitError("the answer is too long; ask for a shorter range", file=url)
    return raw


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _seconds(nanoseconds: int) -> str:
    return f"{nanoseconds // 10**9}.{nanoseconds % 10**9:09d}"

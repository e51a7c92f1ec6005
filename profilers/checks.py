"""What a driver says is checked against physics before it becomes a reading.

A refused value is ``rejected`` with its raw number beside it; a counter that went back is a
``reset`` (the next reading starts a new segment); one that stands still under power is ``stale``.
"""

import math
import operator
from dataclasses import dataclass, field

from profilers.reading import (
    SIGNALS,
    Kind,
    Reading,
    Reason,
    Unavailable,
    UnavailableError,
    is_number,
)
from profilers.values import Device, Event

ABSURD_POWER_MW = 20_000_000
"""20 kW: several times the most that any accelerator's board can draw."""
STALE_NS = 5_000_000_000
"""The energy counter moves about every 100 ms; five seconds without a millijoule is no pause."""


_Plan = tuple[tuple[float, ...], tuple[float, ...], tuple[str, ...]]
"""For one set of signals: their lowest and highest values, and which of them are counters."""

_EVENTS = {
    Reason.RESET: "counter-reset",
    Reason.REJECTED: "rejected",
    Reason.STALE: "stale",
    Reason.FAILED: "unknown-code",
}


@dataclass(slots=True)
class Guard:
    """Watches one device's readings over time; one guard a device and process."""

    device: Device
    reasons: set[Reason] = field(default_factory=set)
    """Why cells of the last sample are absent."""
    numbers: int = 0
    """How many cells of the last sample are numbers."""
    _last: dict[str, tuple[int, int | float]] = field(default_factory=dict)
    _since: dict[str, tuple[Reason, int]] = field(default_factory=dict)
    _told: set[tuple[str, str]] = field(default_factory=set)
    _limits: dict[str, tuple[float, float, bool]] = field(default_factory=dict)
    _plans: dict[tuple[str, ...], "_Plan"] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in SIGNALS:
            low, high = self._range(name)
            self._limits[name] = (low, high, SIGNALS[name].kind is Kind.COUNTER)

    def check(self, readings: dict[str, Reading], monotonic_ns: int) -> list[Event]:
        """Put reasons in place of what cannot be believed; return what is worth an event."""
        if not self._since and self._all_fine(readings, monotonic_ns):
            return []
        events: list[Event] = []
        self.reasons.clear()
        self.numbers = 0
        for name, reading in readings.items():
            believed = reading
            if not isinstance(reading, Unavailable):
                low, high, counts = self._limits[name]
                if not low <= reading <= high:
                    believed = self._impossible(name, reading, low)
                elif counts:
                    believed = self._counter(name, reading, readings, monotonic_ns)
                if believed is reading:
                    self.numbers += 1
                    if self._since:
                        self._since.pop(name, None)
                    continue
            assert isinstance(believed, Unavailable)
            self.reasons.add(believed.reason)
            readings[name] = self._dated(name, believed, monotonic_ns)
            events.extend(self._event(name, believed, monotonic_ns))
        return events

    @property
    def calm(self) -> bool:
        """True when the last sample lacked nothing."""
        return not self._since

    def limits(self, name: str) -> tuple[float, float]:
        """Return the smallest and largest reading that physics allows."""
        low, high, _ = self._limits[name]
        return low, high

    def last(self, name: str) -> tuple[int, int | float] | None:
        """Return when a counter moved last, and where it has been since then."""
        return self._last.get(name)

    def adopt(self, name: str, moved: int, value: int | float) -> None:
        """Somebody else watched a counter up to here."""
        self._last[name] = (moved, value)

    def follows(self, name: str, value: int | float, now: int) -> bool:
        """Take a counter's next value in if it moved as it should; else leave it to ``check``."""
        before = self._last.get(name)
        if before is None or value < before[1]:
            return False
        if name == "energy_mj" and not self._plausible(before, value, now):
            return False
        if value != before[1]:
            self._last[name] = (now, value)
        return True

    def _all_fine(self, readings: dict[str, Reading], now: int) -> bool:
        """Say whether all cells are numbers within physics: the common case, settled quickly."""
        names = tuple(readings)
        plan = self._plans.get(names)
        if plan is None:
            limits = [self._limits[name] for name in names]
            plan = self._plans[names] = (
                tuple(low for low, _, _ in limits),
                tuple(high for _, high, _ in limits),
                tuple(name for name in names if self._limits[name][2]),
            )
        lows, highs, counters = plan
        cells = readings.values()
        try:
            if not (all(map(operator.le, lows, cells)) and all(map(operator.ge, highs, cells))):
                return False
        except UnavailableError:
            return False
        moved = []
        for name in counters:
            before, value = self._last.get(name), readings[name]
            if before is None or value < before[1]:
                return False
            if value != before[1]:
                moved.append((name, value))
            if name == "energy_mj" and not self._plausible(before, value, now):  # type: ignore[arg-type]
                return False
        for name, value in moved:
            self._last[name] = (now, value)  # type: ignore[assignment]
        self.reasons.clear()
        self.numbers = len(names)
        return True

    @staticmethod
    def _plausible(before: tuple[int, int | float], value: int | float, now: int) -> bool:
        """Say whether an energy counter moved as a board's would: neither too fast nor not at all."""
        if value == before[1]:
            return now - before[0] <= STALE_NS
        return _milliwatts(before, value, now) <= ABSURD_POWER_MW

    def _range(self, name: str) -> tuple[float, float]:
        """Return the smallest and largest value that physics allows on this device."""
        signal, device = SIGNALS[name], self.device
        low = -math.inf if signal.low is None else signal.low
        high = math.inf if signal.high is None else signal.high
        if name in {"power_mw", "power_average_mw"}:
            high = ABSURD_POWER_MW
        elif name == "sm_clock_mhz" and device.max_sm_clock_mhz:
            # Boost bins may exceed the advertised maximum by a little, never by half.
            high = 1.5 * device.max_sm_clock_mhz
        elif name == "memory_used_bytes" and device.memory_bytes:
            high = device.memory_bytes
        return low, high

    def _impossible(self, name: str, value: int | float, low: float) -> Unavailable:
        limit = self._limits[name][0 if value < low else 1]
        side = "below" if value < low else "above"
        detail = f"{side} {limit:g} {SIGNALS[name].unit}"
        return Unavailable(reason=Reason.REJECTED, detail=detail, raw=value)

    def _counter(
        self, name: str, value: int | float, beside: dict[str, Reading], now: int
    ) -> Reading:
        before = self._last.get(name)
        if before is None or value > before[1]:
            if before is not None and name == "energy_mj":
                drawn_mw = _milliwatts(before, value, now)
                if drawn_mw > ABSURD_POWER_MW:
                    # A new segment begins: differences are never taken across a refused reading.
                    self._last[name] = (now, value)
                    return Unavailable(
                        reason=Reason.REJECTED, detail=f"implies {drawn_mw / 1e6:.0f} kW", raw=value
                    )
            self._last[name] = (now, value)
            return value
        if value < before[1]:
            self._last[name] = (now, value)
            detail = f"went back from {before[1]} to {value}"
            return Unavailable(reason=Reason.RESET, detail=detail, raw=value)
        power = beside.get("power_mw")
        drawing = power is not None and is_number(power) and power > 0
        if name == "energy_mj" and drawing and now - before[0] > STALE_NS:
            return Unavailable(reason=Reason.STALE, detail="stands still under power", raw=value)
        return value

    def _dated(self, name: str, why: Unavailable, now: int) -> Unavailable:
        """Give an absence the moment from which it lasts."""
        if why.reason is Reason.PENDING:
            return why
        known = self._since.get(name)
        if known is None or known[0] is not why.reason:
            known = self._since[name] = (why.reason, now)
        return Unavailable(reason=why.reason, since=known[1], detail=why.detail, raw=why.raw)

    def _event(self, name: str, why: Unavailable, now: int) -> list[Event]:
        """Every reset is told; a rejection, a stale or an unknown code once a signal."""
        kind = _EVENTS.get(why.reason)
        if kind is None or (kind != "counter-reset" and (kind, name) in self._told):
            return []
        self._told.add((kind, name))
        detail: dict[str, str | int | float | bool | None] = {"signal": name, "why": why.detail}
        if why.raw is not None:
            detail["raw"] = why.raw
        return [Event(time_ns=now, kind=kind, device=self.device.key, detail=detail)]


def _milliwatts(before: tuple[int, int | float], value: int | float, now: int) -> float:
    """Return the mean power that a rise implies; the counter itself moves every 100 ms."""
    return (value - before[1]) * 1e9 / max(1, now - before[0] + 100_000_000)

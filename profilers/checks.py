"""What a driver says is checked against physics before it becomes a reading.

A refused value is ``rejected`` with its raw number beside it; a counter that went back is a
``reset`` (the next reading starts a new segment); one that stands still under power is ``stale``.
"""

from dataclasses import dataclass, field

from profilers.reading import SIGNALS, Kind, Reading, Reason, Unavailable, is_number
from profilers.values import Device, Event

ABSURD_POWER_MW = 20_000_000
"""20 kW: several times the most that any accelerator's board can draw."""
STALE_NS = 5_000_000_000
"""The energy counter moves about every 100 ms; five seconds without a millijoule is no pause."""


@dataclass(slots=True)
class Guard:
    """Watches one device's readings over time; one guard a device and process."""

    device: Device
    _last: dict[str, tuple[int, int | float]] = field(default_factory=dict)
    _since: dict[str, tuple[Reason, int]] = field(default_factory=dict)
    _told: set[tuple[str, str]] = field(default_factory=set)

    def check(
        self, readings: dict[str, Reading], monotonic_ns: int
    ) -> tuple[dict[str, Reading], list[Event]]:
        """Return the readings that may be believed, and what is worth an event."""
        events: list[Event] = []
        answer: dict[str, Reading] = {}
        for name, reading in readings.items():
            believed = self._believe(name, reading, readings, monotonic_ns)
            answer[name] = self._dated(name, believed, monotonic_ns)
            if isinstance(believed, Unavailable):
                events.extend(self._event(name, believed, monotonic_ns))
        return answer, events

    def _believe(
        self, name: str, reading: Reading, beside: dict[str, Reading], now: int
    ) -> Reading:
        if not is_number(reading):
            return reading
        if why := self._impossible(name, reading):
            return Unavailable(reason=Reason.REJECTED, detail=why, raw=reading)
        if SIGNALS[name].kind is not Kind.COUNTER:
            return reading
        return self._counter(name, reading, beside, now)

    def _impossible(self, name: str, value: int | float) -> str:
        """Say why a value cannot be, or return nothing."""
        signal, device = SIGNALS[name], self.device
        high = signal.high
        if name in {"power_mw", "power_average_mw"}:
            high = ABSURD_POWER_MW
        elif name == "sm_clock_mhz" and device.max_sm_clock_mhz:
            # Boost bins may exceed the advertised maximum by a little, never by half.
            high = 1.5 * device.max_sm_clock_mhz
        elif name == "memory_used_bytes" and device.memory_bytes:
            high = device.memory_bytes
        if signal.low is not None and value < signal.low:
            return f"below {signal.low:g} {signal.unit}"
        if high is not None and value > high:
            return f"above {high:g} {signal.unit}"
        return ""

    def _counter(
        self, name: str, value: int | float, beside: dict[str, Reading], now: int
    ) -> Reading:
        before = self._last.get(name)
        if before is None or value > before[1]:
            if before is not None and name == "energy_mj":
                drawn_mw = (value - before[1]) * 1e9 / max(1, now - before[0] + 100_000_000)
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

    def _dated(self, name: str, reading: Reading, now: int) -> Reading:
        """Give an absence the moment from which it lasts."""
        if is_number(reading):
            self._since.pop(name, None)
            return reading
        assert isinstance(reading, Unavailable)
        known = self._since.get(name)
        if known is None or known[0] is not reading.reason:
            known = self._since[name] = (reading.reason, now)
        return Unavailable(
            reason=reading.reason, since=known[1], detail=reading.detail, raw=reading.raw
        )

    def _event(self, name: str, why: Unavailable, now: int) -> list[Event]:
        """Every reset is told; a rejection, a stale or an unknown code once a signal."""
        kinds = {
            Reason.RESET: "counter-reset",
            Reason.REJECTED: "rejected",
            Reason.STALE: "stale",
            Reason.FAILED: "unknown-code",
        }
        kind = kinds.get(why.reason)
        if kind is None or (kind != "counter-reset" and (kind, name) in self._told):
            return []
        self._told.add((kind, name))
        detail: dict[str, str | int | float | bool | None] = {"signal": name, "why": why.detail}
        if why.raw is not None:
            detail["raw"] = why.raw
        return [Event(time_ns=now, kind=kind, device=self.device.key, detail=detail)]

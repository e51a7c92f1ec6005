"""The values of ``profilers.bounds``: rates in, integrals and intervals out."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from profilers.bounds.checks import Contradiction
from profilers.bounds.intervals import Interval
from profilers.trace import DeviceKey


@dataclass(frozen=True, kw_only=True, slots=True)
class Rates:
    """What the roof says a device does. FLOP per SM clock cycle are those of the whole device."""

    tensor: tuple[float, float]
    """FLOP per tensor-busy cycle: of the narrowest and the widest precision not excluded."""
    vector: float
    """Largest FLOP per cycle of all other pipes together."""
    pipes: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """FLOP per busy cycle by pipe (``hmma``, ``fp32`` ...), where precision is known by pipe. With
    all of ``fp64``, ``fp32`` and ``fp16``, their own activity bounds the vector part, too."""
    sm_count: int | None = None
    """SMs of the device: tells summed counters from those of one SM."""
    joules_per_flop: float | None = None
    """Smallest energy of one executed FLOP; None: no bound from energy."""
    joules_per_flop_is_hard: bool = False
    """True only where the smallest energy comes from a favourable operand pattern and clock."""
    idle_watts: float = 0.0
    """Smallest power of the idle board: energy below it did no work."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceIntegrals:
    """One device's telemetry, added up. Cycles are those of one SM."""

    key: DeviceKey
    claimed_seconds: float
    covered_seconds: float
    """Seconds for which some sample speaks; uncovered ones stand at [0, cap] in every bound."""
    clock_cycles: Interval
    """B1: cycles that can have passed."""
    busy_cycles: Interval
    """B2: cycles in which work can have been resident; the lower end is 0: residence is no work."""
    active_cycles: Mapping[str, Interval]
    """B4: pipe-busy cycles by pipe, hard."""
    active_cycles_estimated: Mapping[str, Interval]
    """B4 with activity and clock taken as representative."""
    energy_joules: Interval | None
    """Energy between looks at the counter, with gain and edges; None: no counter, or nobody knows
    the highest power, which bounds the edges."""
    energy_joules_estimated: Interval | None
    """The counter with edges at its own mean power; without a counter, power integrated over the
    covered time with the gain error; None: neither."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceFlop:
    """Executed FLOP of one device."""

    key: DeviceKey
    hard: Interval
    estimated: Interval | None
    """None: no gauge to estimate from, or the estimates contradict each other."""
    cap: Interval
    """B1 alone: what the device can have done in the claimed time."""
    used: tuple[str, ...]
    """Instruments that tightened the hard bound."""
    integrals: DeviceIntegrals


@dataclass(frozen=True, kw_only=True, slots=True)
class FlopBounds:
    """Executed FLOP of a trace: hard and estimated, with what contradicts itself."""

    hard: Interval
    estimated: Interval | None
    """None unless every device has an estimate."""
    devices: tuple[DeviceFlop, ...]
    findings: tuple[Contradiction, ...]

    @property
    def coverage(self) -> float | None:
        """Covered over claimed device-seconds; None where nothing was claimed."""
        claimed = math.fsum(d.integrals.claimed_seconds for d in self.devices)
        covered = math.fsum(d.integrals.covered_seconds for d in self.devices)
        return covered / claimed if claimed else None

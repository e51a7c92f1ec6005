"""What a device's telemetry bounds: seconds, cycles, joules; executed FLOP with a roof's rates.

``telemetry`` is the whole; ``pieces`` cuts a trace, ``counters`` lays its counters over it, ``sums`` adds,
``meeting`` meets the instruments, ``checks`` names contradictions; ``intervals`` and ``values`` are what
they are made of (design/051).
"""

from profilers.bounds.checks import Contradiction
from profilers.bounds.intervals import Interval, total, useful
from profilers.bounds.pieces import Cut, Limits
from profilers.bounds.telemetry import contradictions_of, cut_trace, executed_flop, integrals
from profilers.bounds.values import DeviceFlop, DeviceIntegrals, FlopBounds, Rates

__all__ = [
    "Contradiction",
    "Cut",
    "DeviceFlop",
    "DeviceIntegrals",
    "FlopBounds",
    "Interval",
    "Limits",
    "Rates",
    "contradictions_of",
    "cut_trace",
    "executed_flop",
    "integrals",
    "total",
    "useful",
]

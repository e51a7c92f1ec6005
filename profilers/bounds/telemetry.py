"""What telemetry bounds: device integrals, and executed FLOP once the roof names rates.

The integrals (seconds, cycles of one SM, joules) are this pillar's answer. ``executed_flop`` turns
them into FLOP with the numbers that its caller gives (FLOP per cycle, joules per FLOP): no peak is
known here. Bounds are met per device and piece of time first and added afterwards, because adding
first throws the information away.

Hard bounds hold whatever the sensors' stated errors and blind spots allow; estimates take gauges as
representative. They are kept apart: only a hard bound can prove that a claim is impossible. A reset
that a counter has outgrown is allowed for wherever its highest rate is known (``profilers.counters``).
"""

from collections.abc import Mapping

from profilers.bounds.checks import Contradiction, cross_check
from profilers.bounds.intervals import total
from profilers.bounds.meeting import device_flop
from profilers.bounds.pieces import Cut, Limits, pieces
from profilers.bounds.sums import device_integrals
from profilers.bounds.values import DeviceFlop, DeviceIntegrals, FlopBounds, Rates
from profilers.coarse import coarsened
from profilers.trace import DeviceKey, Trace

Cuts = Mapping[DeviceKey, Cut]


def cut_trace(trace: Trace, limits: Limits | Mapping[DeviceKey, Limits] | None = None) -> Cuts:
    """Cut every device's claimed time (``started_ns`` to ``ended_ns``) into pieces, once.

    What is cut can be met with any number of rates: one a precision, say.
    """
    found = {}
    for key, recorded in trace.devices.items():
        own = limits.get(key, Limits()) if isinstance(limits, Mapping) else limits or Limits()
        device = coarsened(recorded)
        parts = pieces(
            device, own, start_ns=trace.started_ns, end_ns=trace.ended_ns, events=trace.events
        )
        found[key] = Cut(device=device, limits=own, pieces=parts)
    return found


def integrals(
    trace: Trace | Cuts, limits: Limits | Mapping[DeviceKey, Limits] | None = None
) -> tuple[DeviceIntegrals, ...]:
    """Return every device's integrals over the run's time."""
    cuts = cut_trace(trace, limits) if isinstance(trace, Trace) else trace
    return tuple(device_integrals(cut) for cut in cuts.values())


def contradictions_of(trace: Trace | Cuts) -> tuple[Contradiction, ...]:
    """Return what the readings say against each other, without any rates."""
    cuts = cut_trace(trace) if isinstance(trace, Trace) else trace
    return tuple(found for cut in cuts.values() for found in cross_check(cut))


def executed_flop(
    trace: Trace | Cuts,
    rates: Rates | Mapping[DeviceKey, Rates],
    limits: Limits | Mapping[DeviceKey, Limits] | None = None,
) -> FlopBounds:
    """Bound the executed FLOP of every device and of all together.

    ``rates`` and ``limits`` are for all devices, or by device; a trace that is cut already has its
    limits. Raises ``KeyError`` for a device without rates: nothing falls back to another device's.
    """
    cuts = cut_trace(trace, limits) if isinstance(trace, Trace) else trace
    found: list[DeviceFlop] = []
    findings: list[Contradiction] = []
    for key, cut in cuts.items():
        own = rates[key] if isinstance(rates, Mapping) else rates
        bound, contradictions = device_flop(cut, own)
        found.append(bound)
        findings.extend(contradictions)
        findings.extend(cross_check(cut))
    estimates = [device.estimated for device in found if device.estimated is not None]
    return FlopBounds(
        hard=total(device.hard for device in found),
        estimated=total(estimates) if found and len(estimates) == len(found) else None,
        devices=tuple(found),
        findings=tuple(findings),
    )

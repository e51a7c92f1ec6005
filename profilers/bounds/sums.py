"""One device's pieces added up: seconds, cycles of one SM, joules."""

import numpy as np

from profilers.bounds.counters import energy_column, energy_spans, over
from profilers.bounds.intervals import Interval, bounded
from profilers.bounds.pieces import Column, Cut
from profilers.bounds.values import DeviceIntegrals
from profilers.counters import energy_ends, telescoped


def device_integrals(cut: Cut) -> DeviceIntegrals:
    """Add up the pieces of one device."""
    pieces = cut.pieces
    return DeviceIntegrals(
        key=cut.key,
        claimed_seconds=float(pieces.seconds.sum()),
        covered_seconds=float(pieces.seconds[pieces.seen].sum()),
        clock_cycles=_interval(pieces.clock),
        busy_cycles=_interval(pieces.busy),
        active_cycles={pipe: _interval(column) for pipe, column in pieces.active.items()},
        active_cycles_estimated={
            pipe: _interval(column) for pipe, column in pieces.active_estimate.items()
        },
        energy_joules=_energy(cut),
        energy_joules_estimated=_energy_estimated(cut),
    )


def _interval(column: Column) -> Interval:
    return bounded(*column.sum())


def _energy(cut: Cut) -> Interval | None:
    spans = energy_spans(cut)
    if spans is None:
        return None
    found = _interval(energy_column(cut, telescoped(spans)))
    return None if found.high is None else found


def _energy_estimated(cut: Cut) -> Interval | None:
    pieces, limits = cut.pieces, cut.limits
    spans = pieces.counters.get("energy_mj")
    known = ~np.isnan(pieces.power_watts)
    if spans is not None:
        whole = telescoped(spans)
        joules = whole.delta * 1e-3
        edge = 2 * limits.energy_edge_s * joules / over(pieces.seconds, whole)
    elif known.any():
        joules = pieces.power_watts[known] * pieces.seconds[known]
        edge = np.zeros(len(joules))
    else:
        return None
    return _interval(Column(*energy_ends(joules, joules, edge, limits.energy_gain)))

"""Adding up sites that may share errors, devices and evidence, without trusting any of them.

**Correlated errors.** A run's interval is best - down ... best + up. Its summary says which share of
the log variance comes from inputs that other sites may get wrong in the same way (priors,
conventions, architecture, the part's peak). To first order a share ``s`` of the variance makes the
fraction ``sqrt(s)`` of the half-width. Half-widths of the same shared input add linearly over all
runs; those sums and every run's own part are independent and add in quadrature:

    up = sqrt( sum over inputs k of (sum over runs i of up_i sqrt(s_ik))^2
             + sum over runs i of up_i^2 (1 - sum over k of s_ik) )

and the same for ``down``. One run alone keeps its interval; runs that share everything add end by
end. Where a run has only bounds, all ends add linearly, which is never too narrow.

What several runs state of the same work was left out before (:mod:`flopledger.bundle.counted_once`).
Sums are correctly rounded (``math.fsum``), so the order of the sites does not matter.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from flopledger.bundle.counted_once import Part
from flopledger.bundle.summary import Ends, RunSummary
from flopledger.quantity import Z90, Interval


def total(parts: Iterable[Part]) -> Interval | None:
    """Add FLOP; ``None`` where nothing is known of any run."""
    counted = [part for part in parts if part.duplicate_of is None]
    flops = [(part, part.run.flop or Ends(low=None, best=None, high=None)) for part in counted]
    if not any(flop.low is not None or flop.high is not None for _, flop in flops):
        return None
    if any(flop.best is None for _, flop in flops):
        return _bounds(flops)
    alone = [part for part in counted if not part.overlaps]
    together = [part for part in counted if part.overlaps]
    middle = math.fsum(part.end("best") * (1 - part.repeated) for part in counted)
    low, high = (
        middle
        + sign
        * (
            _widths([(one.run, _width(one, side)) for one in alone])
            + math.fsum(_width(one, side) for one in together)
        )
        for sign, side in ((-1, "down"), (1, "up"))
    )
    # Neither wider than end by end nor crossed, whatever the last bits of differences say.
    least = math.fsum(part.end("low") * (1 - part.repeated_low) for part in counted)
    most = math.fsum(part.end("high") for part in counted)
    return Interval(
        low=min(max(low, least), middle), best=middle, high=max(min(high, most), middle)
    )


def errors(parts: Iterable[Part]) -> dict[str, Any] | None:
    """Say how the total's half-widths came about; ``None`` where the total has no best figure.

    ``shared`` lists, for each input that several sites may get wrong in the same way, the half-widths
    that add linearly; ``independent`` and ``common`` are the ends if nothing, and if everything, were
    shared. Runs that claim the same device time add end by end and stand under ``end_by_end``.
    """
    counted = [part for part in parts if part.duplicate_of is None]
    if not counted or any(part.run.flop is None or part.run.flop.best is None for part in counted):
        return None
    told: dict[str, Any] = {
        name: {} for name in ("shared", "own", "end_by_end", "independent", "common")
    }
    for side in ("down", "up"):
        alone = [(one.run, _width(one, side)) for one in counted if not one.overlaps]
        rest = math.fsum(_width(one, side) for one in counted if one.overlaps)
        shared, own = _split(alone)
        for name, widths in shared.items():
            told["shared"].setdefault(name, {})[side] = math.fsum(widths)
        everything = [width for _, width in alone]
        told["own"][side] = _quadrature(own)
        told["end_by_end"][side] = rest
        told["independent"][side] = _quadrature(everything) + rest
        told["common"][side] = math.fsum(everything) + rest
    return told


def _width(part: Part, side: str) -> float:
    """Give one half of a run's interval, what others count of it already left out."""
    best = part.end("best") * (1 - part.repeated)
    if side == "up":
        return part.end("high") - best
    return best - part.end("low") * (1 - part.repeated_low)


def device_seconds(parts: Iterable[Part]) -> Interval | None:
    """Add device time end by end; ``None`` where a run's is not known."""
    counted = [part for part in parts if part.duplicate_of is None]
    times = [(part, part.run.device_seconds) for part in counted]
    if not times or any(time is None for _, time in times):
        return None
    lows, bests, highs = [], [], []
    for part, time in times:
        assert time is not None
        lows.append(None if time.low is None else time.low * (1 - part.repeated_low))
        bests.append(None if time.best is None else time.best * (1 - part.repeated))
        highs.append(time.high)
    return Interval(low=_sum(lows), best=_sum(bests), high=_sum(highs))


def probability_above(flop: Interval, limit: float) -> float | None:
    """Give P(total > limit) for a lognormal of two halves; bounds decide where they can."""
    low, best, high = flop.low, flop.best, flop.high
    if best is None or low is None or high is None:
        if high is not None and high < limit:
            return 0.0
        return 1.0 if low is not None and low > limit else None
    side = high / best if limit > best else best / max(low, best * 1e-12)
    spread = math.log(side) / Z90
    if spread <= 0:
        return float(best > limit)
    return 0.5 * math.erfc(math.log(limit / best) / spread / math.sqrt(2))


def _widths(parts: Sequence[tuple[RunSummary, float]]) -> float:
    """Add half-widths: linearly within a shared input, in quadrature between everything else."""
    shared, own = _split(parts)
    return _quadrature([*(math.fsum(widths) for widths in shared.values()), *own])


def _split(
    parts: Sequence[tuple[RunSummary, float]],
) -> tuple[dict[str, list[float]], list[float]]:
    """Split half-widths into those of shared inputs, by name in order, and the runs' own."""
    shared: dict[str, list[float]] = defaultdict(list)
    own: list[float] = []
    for run, width in parts:
        left = 1.0 - math.fsum(run.shared.values())
        for name, share in run.shared.items():
            shared[name].append(width * math.sqrt(share))
        own.append(width * math.sqrt(max(left, 0.0)))
    return dict(sorted(shared.items())), own


def _quadrature(widths: Sequence[float]) -> float:
    scale = max(widths, default=0.0)
    if scale <= 0:
        return 0.0
    # Scaled, so that no square leaves the range of a double.
    return scale * math.sqrt(math.fsum((width / scale) ** 2 for width in widths))


def _bounds(flops: Sequence[tuple[Part, Ends]]) -> Interval | None:
    low = math.fsum((flop.low or 0.0) * (1 - part.repeated_low) for part, flop in flops)
    high = _sum([flop.high for _, flop in flops])
    if low == 0 and high is None:
        return None
    return Interval(low=low or None, best=None, high=high)


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) if len(known) == len(values) else None

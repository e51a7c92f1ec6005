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

**The same work twice.** Runs of one digest rest on the same evidence: they count once, each end at
the highest that was stated, so nobody can shrink another's run by copying its digest. Device time
that several runs claim counts once in ``low`` and ``best``, at the highest stated rate, and as often
as it is claimed in ``high`` (a device can be shared). A run's rate in its windows is its FLOP over
the sum of its windows.

Sums are correctly rounded (``math.fsum``), so the order of the sites does not matter.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from flopledger.bundle.summary import DeviceWindows, Ends, RunSummary
from flopledger.quantity import Z90, Interval


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One run in a sum."""

    site: str  #: id of the site's statement
    audit: str  #: names compare only under one audit id
    run: RunSummary
    repeated: float = 0.0  #: share of its device time that a larger claim counts already
    duplicate_of: str | None = None  #: "site: run" that stands for it

    @property
    def label(self) -> str:
        """Name it in messages."""
        return f"{self.site[:12]}: {self.run.name}"

    @property
    def best(self) -> float:
        """Its best figure, 0 where there is none (for comparisons only)."""
        flop = self.run.flop
        return 0.0 if flop is None or flop.best is None else flop.best


@dataclass(frozen=True, kw_only=True, slots=True)
class Overlap:
    """Two runs that claim the same device at the same time."""

    first: str
    second: str
    seconds: float
    devices: int


def without_duplicates(parts: Sequence[Part]) -> tuple[list[Part], list[tuple[str, str, bool]]]:
    """Let one run stand for all of its digest; list (kept, dropped, whether their figures differ)."""
    groups: dict[tuple[str, str], list[Part]] = defaultdict(list)
    found: list[Part] = []
    pairs: list[tuple[str, str, bool]] = []
    for part in _sorted(parts):
        if part.run.digest is None:
            found.append(part)
        else:
            groups[part.audit, part.run.digest].append(part)
    for group in groups.values():
        kept, *others = sorted(group, key=lambda one: (-one.best, one.site, one.run.name))
        widest = replace(kept, run=_highest(kept, others)) if others else kept
        found.append(widest)
        for other in others:
            disputed = (other.run.flop, other.run.kind) != (kept.run.flop, kept.run.kind)
            pairs.append((kept.label, other.label, disputed))
            found.append(replace(other, duplicate_of=kept.label))
    return _sorted(found), sorted(pairs)


def with_overlaps(parts: Sequence[Part]) -> tuple[list[Part], list[Overlap]]:
    """Find device time that several runs claim, and who of them counts it."""
    claims: dict[tuple[str, str], list[tuple[int, DeviceWindows]]] = defaultdict(list)
    seen = [_seen_seconds(part.run) for part in parts]
    for number, part in enumerate(parts):
        if part.duplicate_of is None:
            for device in part.run.devices:
                claims[part.audit, device.id].append((number, device))
    repeated: dict[int, list[float]] = defaultdict(list)
    shared: dict[tuple[int, int], list[float]] = defaultdict(list)
    for claim in claims.values():
        if len(claim) < 2:
            continue
        for seconds, runs in _segments(claim):
            top = max(runs, key=lambda n: (parts[n].best / seen[n], parts[n].label))
            for number in runs - {top}:
                repeated[number].append(seconds)
            for one in sorted(runs):
                for two in sorted(runs):
                    if one < two:
                        shared[one, two].append(seconds)
    found = [
        replace(part, repeated=min(math.fsum(repeated[number]) / seen[number], 1.0))
        if number in repeated
        else part
        for number, part in enumerate(parts)
    ]
    overlaps = [
        Overlap(
            first=parts[one].label,
            second=parts[two].label,
            seconds=math.fsum(pieces),
            devices=len(pieces),
        )
        for (one, two), pieces in shared.items()
    ]
    return found, sorted(overlaps, key=lambda one: (one.first, one.second))


def total(parts: Iterable[Part]) -> Interval | None:
    """Add FLOP; ``None`` where nothing is known of any run."""
    counted = [part for part in parts if part.duplicate_of is None]
    flops = [(part, part.run.flop or Ends(low=None, best=None, high=None)) for part in counted]
    if not any(flop.low is not None or flop.high is not None for _, flop in flops):
        return None
    if any(flop.best is None for _, flop in flops):
        return _bounds(flops)
    best, downs, ups, lasting = [], [], [], []
    for part, flop in flops:
        low, middle, high = flop.low or 0.0, flop.best or 0.0, flop.high or 0.0
        share = 1 - part.repeated
        best.append(middle * share)
        downs.append((part.run, (middle - low) * share))
        ups.append((part.run, (high - middle) * share))
        lasting.append(high * part.repeated)
    middle = math.fsum(best)
    low = max(middle - _together(downs), 0.0)
    return Interval(
        low=low, best=middle, high=math.fsum([middle, _together(ups), math.fsum(lasting)])
    )


def device_seconds(parts: Iterable[Part]) -> Interval | None:
    """Add device time end by end; ``None`` where a run's is not known."""
    counted = [part for part in parts if part.duplicate_of is None]
    times = [(part, part.run.device_seconds) for part in counted]
    if not times or any(time is None for _, time in times):
        return None
    lows, bests, highs = [], [], []
    for part, time in times:
        assert time is not None
        lows.append(None if time.low is None else time.low * (1 - part.repeated))
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


def _together(parts: Sequence[tuple[RunSummary, float]]) -> float:
    """Add half-widths: linearly within a shared input, in quadrature between everything else."""
    shared: dict[str, list[float]] = defaultdict(list)
    own: list[float] = []
    for run, width in parts:
        left = 1.0 - math.fsum(run.shared.values())
        for name, share in run.shared.items():
            shared[name].append(width * math.sqrt(share))
        own.append(width * math.sqrt(max(left, 0.0)))
    sums = [math.fsum(widths) for _, widths in sorted(shared.items())]
    scale = max([*sums, *own], default=0.0)
    if scale == 0:
        return 0.0
    # Scaled, so that no square leaves the range of a double.
    return scale * math.sqrt(math.fsum((width / scale) ** 2 for width in (*sums, *own)))


def _bounds(flops: Sequence[tuple[Part, Ends]]) -> Interval | None:
    low = math.fsum((flop.low or 0.0) * (1 - part.repeated) for part, flop in flops)
    high = _sum([flop.high for _, flop in flops])
    if low == 0 and high is None:
        return None
    return Interval(low=low or None, best=None, high=high)


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) if len(known) == len(values) else None


def _highest(kept: Part, others: Sequence[Part]) -> RunSummary:
    """Take each end at the highest that any of the copies states."""
    flops = [one.run.flop for one in (kept, *others) if one.run.flop is not None]
    if kept.run.flop is None or kept.run.flop.best is None:
        return kept.run
    ends: Mapping[str, float | None] = {
        end: max(
            (getattr(one, end) for one in flops if getattr(one, end) is not None), default=None
        )
        for end in ("low", "best", "high")
    }
    low, best, high = ends["low"], ends["best"], ends["high"]
    assert best is not None
    flop = Ends(low=min(low or 0.0, best), best=best, high=max(high or best, best))
    return _with_flop(kept.run, flop)


def _with_flop(run: RunSummary, flop: Ends) -> RunSummary:
    import msgspec

    return msgspec.structs.replace(run, flop=flop)


def _segments(
    claims: Sequence[tuple[int, DeviceWindows]],
) -> Iterable[tuple[float, frozenset[int]]]:
    """Cut one device's time into stretches that two or more runs claim."""
    edges = sorted(
        edge
        for number, device in claims
        for start, end in device.windows
        for edge in ((start, 1, number), (end, -1, number))
    )
    open_now: dict[int, int] = defaultdict(int)
    last = 0.0
    for time, step, number in edges:
        runs = frozenset(n for n, count in open_now.items() if count > 0)
        if len(runs) > 1 and time > last:
            yield time - last, runs
        open_now[number] += step
        last = time


def _seen_seconds(run: RunSummary) -> float:
    seconds = math.fsum(end - start for one in run.devices for start, end in one.windows)
    return seconds or 1.0


def _sorted(parts: Iterable[Part]) -> list[Part]:
    return sorted(parts, key=lambda one: (one.site, one.run.name))

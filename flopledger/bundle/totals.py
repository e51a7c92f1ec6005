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

**The same work twice.** Nobody may shrink another's part by copying its digest or its device names,
so every end of a sum takes the highest that was stated for the same work:

- runs of one digest (and kind) rest on the same evidence: they count once, each end at its highest.
  Where they differ in anything, their device windows deduct nothing from others, since one of them
  is false;
- runs without evidence of which two sites state the same (the digest is of their words) may be one
  or several: the low end counts the site that states most of it, best figure and high end count
  all. Within one site they are as many as the site lists;
- device time that several runs claim counts once in ``low``, at the highest low rate, once in
  ``best``, at the highest best rate, and as often as it is claimed in ``high`` (a device can be
  shared). A run's rate is its FLOP over the sum of its windows. Runs that overlap add end by end.

Sums are correctly rounded (``math.fsum``), so the order of the sites does not matter.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from flopledger.bundle.errors import BundleError
from flopledger.bundle.summary import DeviceWindows, Ends, RunSummary
from flopledger.quantity import Z90, Interval

#: Stretches of device time, each as often as a run claims it, that one sum settles. The largest single
#: site may hold (`members.MAX_CLAIMS`) fits several times; a minute's work is not exceeded.
MAX_CLAIMS = 5_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One run in a sum."""

    site: str  #: id of the site's statement
    called: str = ""  #: what the site calls itself
    audit: str  #: names compare only under one audit id
    run: RunSummary
    repeated: float = 0.0  #: share of its device time that a larger best figure counts already
    repeated_low: float = 0.0  #: the same for low ends
    overlaps: bool = False  #: whether another run claims some of its device time
    duplicate_of: str | None = None  #: "site: run" that stands for it

    @property
    def label(self) -> str:
        """Name it in messages."""
        name = self.called if len(self.called) <= 60 else self.called[:60] + "…"
        return (
            f"{name} ({self.site[:12]}): {self.run.name}"
            if name
            else f"{self.site[:12]}: {self.run.name}"
        )

    def end(self, name: str) -> float:
        """Give an end of its figure, 0 where there is none."""
        value: float | None = getattr(self.run.flop, name, None)
        return value or 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Overlap:
    """Two runs that claim the same device at the same time."""

    first: str
    second: str
    seconds: float  #: of all devices together


def without_duplicates(parts: Sequence[Part]) -> tuple[list[Part], list[tuple[str, str, bool]]]:
    """Let one run stand for all of its digest; list (kept, dropped, whether the two differ)."""
    groups: dict[tuple[Any, ...], list[Part]] = defaultdict(list)
    found: list[Part] = []
    pairs: list[tuple[str, str, bool]] = []
    for part in _sorted(parts):
        run = part.run
        if run.digest is None or run.stated:
            found.append(part)
        else:
            groups[part.audit, run.digest, run.kind, run.synthetic_public].append(part)
    for group in groups.values():
        kept, *others = sorted(group, key=lambda one: (-one.end("best"), one.site, one.run.name))
        differ = [_content(one.run) != _content(kept.run) for one in others]
        found.append(replace(kept, run=_highest(group, kept, disputed=any(differ))))
        for other, disputed in zip(others, differ, strict=True):
            pairs.append((kept.label, other.label, disputed))
            found.append(replace(other, duplicate_of=kept.label))
    return _sorted(found), sorted(pairs)


def same_words(parts: Sequence[Part]) -> list[list[Part]]:
    """Group the runs without evidence of which several sites state the same."""
    groups: dict[tuple[Any, ...], list[Part]] = defaultdict(list)
    for part in _sorted(parts):
        run = part.run
        if run.stated and run.digest is not None and part.duplicate_of is None:
            groups[part.audit, run.digest, run.kind, run.synthetic_public].append(part)
    return [group for group in groups.values() if len({one.site for one in group}) > 1]


def _once_below(parts: Sequence[Part]) -> list[Part]:
    """Let the low end count each group of `same_words` once: the site that states most of it."""
    dropped: set[tuple[str, str]] = set()
    touched: set[tuple[str, str]] = set()
    for group in same_words(parts):
        sums: dict[str, float] = defaultdict(float)
        for one in group:
            sums[one.site] += one.end("low")
        kept = max(sorted(sums), key=lambda site: sums[site])
        touched |= {(one.site, one.run.name) for one in group}
        dropped |= {(one.site, one.run.name) for one in group if one.site != kept}
    return [
        replace(
            part,
            overlaps=True,
            repeated_low=1.0 if (part.site, part.run.name) in dropped else part.repeated_low,
        )
        if (part.site, part.run.name) in touched
        else part
        for part in parts
    ]


def with_overlaps(parts: Sequence[Part]) -> tuple[list[Part], list[Overlap]]:
    """Find device time that several runs claim, and who of them counts it.

    ``parts`` must be those of one sum: a run that is not counted must deduct nothing.
    """
    claims: dict[tuple[str, str], list[tuple[int, DeviceWindows]]] = defaultdict(list)
    seen = [_seen_seconds(part.run) for part in parts]
    for number, part in enumerate(parts):
        if part.duplicate_of is None:
            for device in part.run.devices:
                claims[part.audit, device.id].append((number, device))
    repeated: dict[str, dict[int, list[float]]] = {
        "best": defaultdict(list),
        "low": defaultdict(list),
    }
    shared: dict[tuple[int, int], list[float]] = defaultdict(list)
    # Who counts a stretch: the highest rate, by name where rates are equal.
    places = {
        end: _places(
            [(part.end(end) / time, part.label) for part, time in zip(parts, seen, strict=True)]
        )
        for end in repeated
    }
    settled = 0
    for claim in claims.values():
        if len(claim) < 2:
            continue
        for seconds, runs in _segments(claim):
            settled += len(runs)
            if settled > MAX_CLAIMS:
                raise _too_many(parts, repeated["low"])
            for end, lost in repeated.items():
                counts_it = max(runs, key=places[end].__getitem__)
                for number in runs:
                    if number != counts_it:
                        lost[number].append(seconds)
            # One pair a run, with the one that counts the time: all pairs of many runs are too many.
            counts_it = max(runs, key=places["best"].__getitem__)
            for number in runs:
                if number != counts_it:
                    shared[min(counts_it, number), max(counts_it, number)].append(seconds)
    touched = {number for pair in shared for number in pair}
    found = [
        replace(
            part,
            overlaps=True,
            repeated=min(math.fsum(repeated["best"][number]) / seen[number], 1.0),
            repeated_low=min(math.fsum(repeated["low"][number]) / seen[number], 1.0),
        )
        if number in touched
        else part
        for number, part in enumerate(parts)
    ]
    overlaps = [
        Overlap(first=parts[one].label, second=parts[two].label, seconds=math.fsum(pieces))
        for (one, two), pieces in shared.items()
    ]
    return _once_below(found), sorted(overlaps, key=lambda one: (one.first, one.second))


def _too_many(parts: Sequence[Part], lost: dict[int, list[float]]) -> BundleError:
    """Name the site that claims most of what others claim, too."""
    by_site: dict[str, int] = defaultdict(int)
    for number, part in enumerate(parts):
        by_site[part.site] += len(lost[number])
    worst = max(sorted(by_site), key=lambda site: by_site[site])
    called = next(part.called for part in parts if part.site == worst)[:60]
    return BundleError(
        f"the bundles claim the same devices more than {MAX_CLAIMS:,} times over, which is more than a "
        f"merge settles; most of it the site {called!r} ({worst[:12]}): leave it out, or name the keys "
        "that you know with --trust"
    )


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


def _content(run: RunSummary) -> RunSummary:
    return msgspec.structs.replace(run, name="run")


def _highest(group: Sequence[Part], kept: Part, *, disputed: bool) -> RunSummary:
    """Take each end at the highest that any of the copies states."""
    if not disputed:
        return kept.run
    flops = [one.run.flop for one in group if one.run.flop is not None]
    low = max((flop.low for flop in flops if flop.low is not None), default=None)
    best = max((flop.best for flop in flops if flop.best is not None), default=None)
    highs = [flop.high for flop in flops if flop.high is not None]
    high = max(highs) if highs and (best is not None or len(highs) == len(flops)) else None
    if best is not None:
        low, high = min(low or 0.0, best), max(high or best, best)
    elif low is not None and high is not None:
        high = max(low, high)
    known = low is not None or high is not None
    flop = Ends(low=low, best=best, high=high) if known else None
    return msgspec.structs.replace(kept.run, flop=flop, devices=[])


def _segments(
    claims: Sequence[tuple[int, DeviceWindows]],
) -> Iterable[tuple[float, tuple[int, ...]]]:
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
        if len(open_now) > 1 and time > last:
            yield time - last, tuple(open_now)
        open_now[number] += step
        if open_now[number] == 0:  # else a day of short windows would be walked by every edge
            del open_now[number]
        last = time


def _places(values: Sequence[tuple[float, str]]) -> list[int]:
    """Give each value's place in ascending order."""
    places = [0] * len(values)
    for place, number in enumerate(sorted(range(len(values)), key=lambda n: values[n])):
        places[number] = place
    return places


def _seen_seconds(run: RunSummary) -> float:
    seconds = math.fsum(end - start for one in run.devices for start, end in one.windows)
    return seconds or 1.0


def _sorted(parts: Iterable[Part]) -> list[Part]:
    return sorted(parts, key=lambda one: (one.site, one.run.name))

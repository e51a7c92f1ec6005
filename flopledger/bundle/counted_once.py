"""The same work that several runs state counts once.

Nobody may shrink another's part by copying its digest or its device names,
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
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from flopledger.bundle.errors import BundleError
from flopledger.bundle.summary import DeviceWindows, Ends, RunSummary

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
    seen = [_seen_seconds(part.run) for part in parts]
    # Who counts a stretch: the highest rate, by name where rates are equal.
    best, low = (
        _places(
            [(part.end(end) / time, part.label) for part, time in zip(parts, seen, strict=True)]
        )
        for end in ("best", "low")
    )
    repeated: dict[int, list[float]] = defaultdict(list)
    repeated_low: dict[int, list[float]] = defaultdict(list)
    shared: dict[tuple[int, int], list[float]] = defaultdict(list)
    settled = 0
    for seconds, runs in _claimed_by_several(parts):
        settled += len(runs)
        if settled > MAX_CLAIMS:
            raise _too_many(parts, repeated_low)
        for number in _told_apart(runs, low)[1]:
            repeated_low[number].append(seconds)
        counts_it, others = _told_apart(runs, best)
        for number in others:
            repeated[number].append(seconds)
            # One pair a run, with the one that counts the time: all pairs of many runs are too many.
            shared[min(counts_it, number), max(counts_it, number)].append(seconds)
    touched = {number for pair in shared for number in pair}
    found = [
        replace(
            part,
            overlaps=True,
            repeated=min(math.fsum(repeated[number]) / seen[number], 1.0),
            repeated_low=min(math.fsum(repeated_low[number]) / seen[number], 1.0),
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


def _claimed_by_several(parts: Sequence[Part]) -> Iterable[tuple[float, tuple[int, ...]]]:
    """Yield stretches of a device's time (seconds) with the numbers of the runs that claim them."""
    claims: dict[tuple[str, str], list[tuple[int, DeviceWindows]]] = defaultdict(list)
    for number, part in enumerate(parts):
        if part.duplicate_of is None:
            for device in part.run.devices:
                claims[part.audit, device.id].append((number, device))
    for claim in claims.values():
        if len(claim) > 1:
            yield from _segments(claim)


def _told_apart(runs: tuple[int, ...], places: list[int]) -> tuple[int, list[int]]:
    """Tell the run that counts a stretch, by the last place, from those that repeat it."""
    counts_it = max(runs, key=places.__getitem__)
    return counts_it, [number for number in runs if number != counts_it]


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

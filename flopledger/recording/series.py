"""A run's steps over time, small enough to look at.

A million steps are drawn as some hundred moments. Rates come from running totals that are cut at
the moments' edges, so that each moment's area is exact however long a step is; step times keep
their extremes, so that no slow step is lost to thinning.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from flopledger.recording.attempts import last_activity, recorded_once
from flopledger.recording.work import model_flop_of, share_of
from profilers.steps.record.ledger import ProcessSteps

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MOMENTS = 240
LEAST_MOMENTS = 20
"""A run of few steps is drawn as so many moments: in each stands what the step under way did."""
MOST_BANDS = 400
"""Spans that are drawn; a run that evaluates each minute for a year has more than a page shows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Band:
    """A stretch of time with a name; seconds from the run's first start."""

    what: str
    start: float
    end: float


@dataclass(frozen=True, kw_only=True, slots=True)
class StepSeries:
    """Steps of all processes, moment by moment; None where nobody trained."""

    start_ns: int
    """Unix nanoseconds of the first moment's beginning."""
    seconds: float
    moments: int
    steps: int
    """Steps that went in, of all processes."""
    step_seconds: tuple[tuple[float | None, float | None, float | None], ...]
    """Least, mean and greatest duration of the steps that ended in the moment; where none ended, of
    those under way."""
    tokens_per_second: tuple[float | None, ...] | None
    """Of all processes together; None where tokens are unknown throughout."""
    flop_per_second: tuple[float | None, ...]
    """Known model FLOP, steps that were done again included: what was going on, not what stands."""
    flop_total: tuple[float | None, ...]
    """Known FLOP from the beginning to the end of the moment, likewise."""
    loss: tuple[tuple[float | None, float | None, float | None], ...] | None
    """Least, mean and greatest loss told in the moment, by any process; between two moments in
    which one was told, the straight line. None where no loss is on record."""
    losses: int
    """Losses that were told."""
    losses_not_finite: int
    step_share: tuple[float | None, ...]
    """Share of the processes' time that lay in steps."""
    bands: tuple[Band, ...]
    """Evaluation, checkpoints and other spans, merged where they touch; pauses between attempts."""


def read_series(processes: Sequence[ProcessSteps], moments: int = MOMENTS) -> StepSeries | None:
    """Thin a run's steps to ``moments`` moments; None where there are none."""
    import numpy as np

    # A program that records itself below `flopledger run` tells the same steps twice, and its loss once.
    kept, _ = recorded_once(processes)
    columns = [_Columns(process) for process in kept if process.blocks]
    if not columns:
        return None
    start = min(column.start for column in columns)
    # To the end of an evaluation after the last step, too.
    end = max(max(column.last, column.ends[-1]) for column in columns)
    if end <= start:
        return None
    most = max(len(column.ends) for column in columns)
    moments = min(moments, max(LEAST_MOMENTS, most // 2))
    edges = np.linspace(start, end, moments + 1)
    width = (end - start) / moments
    alive = _added(column.alive(edges) for column in columns)
    in_steps = _added(column.in_steps(edges) for column in columns)
    flop = _added(column.over(edges, column.flop) for column in columns)
    known = [column for column in columns if column.tokens is not None]
    tokens = _added(column.over(edges, column.tokens) for column in known) if known else None
    there = alive > 1e-9
    return StepSeries(
        start_ns=round(start * 1e9),
        seconds=end - start,
        moments=moments,
        steps=sum(len(column.ends) for column in columns),
        step_seconds=_durations(columns, edges),
        tokens_per_second=None if tokens is None else _cells(tokens / width, there),
        flop_per_second=_cells(flop / width, there),
        flop_total=_cells(np.cumsum(flop), np.ones(moments, bool)),
        loss=_losses(processes, edges, there),
        losses=sum(len(told.at_us) for process in processes for told in process.losses),
        losses_not_finite=sum(
            told.value.count(None) for process in processes for told in process.losses
        ),
        step_share=_cells(in_steps / np.where(there, alive, 1.0), there),
        bands=_bands(kept, start, alive / width, edges),
    )


class _Columns:
    """One process's steps as arrays; times are Unix seconds."""

    def __init__(self, process: ProcessSteps) -> None:
        import numpy as np

        blocks = process.blocks
        offset = process.wall_at(0) / 1e9
        self.start = process.wall_ns / 1e9
        self.last = last_activity(process) / 1e9
        ends = np.fromiter(chain.from_iterable(b.end_us for b in blocks), np.float64)
        # Stamps that go backwards would fold the running totals; a hostile ledger has them.
        self.ends: Floats = np.maximum.accumulate(offset + ends / 1e6)
        self.durations: Floats = (
            np.fromiter(chain.from_iterable(b.duration_us for b in blocks), np.float64) / 1e6
        )
        runs = [run for block in blocks for run in block.calls]
        each = [float(model_flop_of(process.costs, calls)) for _, calls in runs]
        self.flop: Floats = np.repeat(each, [length for length, _ in runs])
        share = [float(share_of(process.costs, calls)) for _, calls in runs]
        shares = np.repeat(share, [length for length, _ in runs])
        counts = [run for block in blocks for run in block.tokens]
        tokens = np.repeat([float(v or 0) for _, v in counts], [length for length, _ in counts])
        unknown = all(value is None for _, value in counts)
        self.tokens: Floats | None = None if unknown else tokens * shares

    def over(self, edges: "Floats", amounts: Any) -> "Floats":
        """Spread each step's amount evenly from the end of the step before it to its own end."""
        import numpy as np

        times = np.concatenate([[self.start], self.ends])
        total = np.concatenate([[0.0], np.cumsum(amounts)])
        cut: Floats = np.diff(np.interp(edges, times, total))
        return cut

    def begins(self) -> "Floats":
        """Return when each step began: no earlier than the end of the one before it."""
        import numpy as np

        before = np.concatenate([[self.start], self.ends[:-1]])
        durations = np.clip(self.durations, 0.0, np.maximum(self.ends - before, 0.0))
        begun: Floats = self.ends - durations
        return begun

    def under_way(self, times: "Floats") -> Any:
        """Return for each time the place of the step that was under way, or -1."""
        import numpy as np

        place = np.searchsorted(self.ends, times, side="left")
        there = np.minimum(place, len(self.ends) - 1)
        return np.where((place == there) & (self.begins()[there] <= times), there, -1)

    def in_steps(self, edges: "Floats") -> "Floats":
        """Return seconds inside steps for each moment."""
        import numpy as np

        begins = self.begins()
        durations = self.ends - begins
        times = np.stack([begins, self.ends], axis=1).ravel()
        done = np.cumsum(durations)
        total = np.stack([done - durations, done], axis=1).ravel()
        cut: Floats = np.diff(np.interp(edges, times, total))
        return cut

    def alive(self, edges: "Floats") -> "Floats":
        """Return seconds for which the process was there in each moment."""
        import numpy as np

        cut: Floats = np.diff(np.clip(edges, self.start, max(self.last, self.ends[-1])))
        return cut


def _added(parts: Any) -> "Floats":
    first, *others = parts
    total: Floats = first
    for part in others:
        total = total + part
    return total


def _cells(values: "Floats", there: Any) -> tuple[float | None, ...]:
    return tuple(
        value if seen else None for value, seen in zip(values.tolist(), there.tolist(), strict=True)
    )


def _durations(
    columns: Sequence[_Columns], edges: "Floats"
) -> tuple[tuple[float | None, float | None, float | None], ...]:
    import numpy as np

    thin = _Envelope(edges)
    for column in columns:
        thin.add(column.ends, column.durations)
    empty = np.flatnonzero(thin.count == 0)
    middles = (edges[empty] + edges[empty + 1]) / 2
    for column in columns:
        under_way = column.under_way(middles)
        found = under_way >= 0
        thin.add(middles[found], column.durations[under_way[found]])
    return thin.cells()


class _Envelope:
    """Values at times, as least, mean and greatest of each moment."""

    def __init__(self, edges: "Floats") -> None:
        import numpy as np

        self.edges = edges
        self.moments = len(edges) - 1
        self.low, self.high = np.full(self.moments, np.inf), np.full(self.moments, -np.inf)
        self.total, self.count = np.zeros(self.moments), np.zeros(self.moments)

    def places(self, times: "Floats") -> Any:
        """Return the moment of each time."""
        import numpy as np

        return np.clip(np.searchsorted(self.edges, times, side="left") - 1, 0, self.moments - 1)

    def add(self, times: "Floats", values: "Floats") -> None:
        """Take values in."""
        import numpy as np

        place = self.places(times)
        np.minimum.at(self.low, place, values)
        np.maximum.at(self.high, place, values)
        self.total += np.bincount(place, weights=values, minlength=self.moments)
        self.count += np.bincount(place, minlength=self.moments)

    def bridge(self, barred: Any) -> None:
        """Join moments by straight lines over those in which nothing was told, unless barred."""
        import numpy as np

        known = np.flatnonzero(self.count)
        if not len(known):
            return
        empty = np.flatnonzero(self.count == 0)
        walls = np.cumsum(barred)
        after = np.searchsorted(known, empty)
        for at, right in zip(empty.tolist(), after.tolist(), strict=True):
            if 0 < right < len(known):
                before, behind = known[right - 1], known[right]
                if walls[before] == walls[behind]:
                    share = (at - before) / (behind - before)
                    ends = [self.total[place] / self.count[place] for place in (before, behind)]
                    mean = ends[0] + share * (ends[1] - ends[0])
                    self.low[at] = self.high[at] = self.total[at] = mean
        self.count += (self.count == 0) & np.isfinite(self.low)

    def cells(self) -> tuple[tuple[float | None, float | None, float | None], ...]:
        """Return the moments; None where nothing was seen."""
        import numpy as np

        seen = self.count > 0
        mean = self.total / np.where(seen, self.count, 1.0)
        columns = (_cells(part, seen) for part in (self.low, mean, self.high))
        return tuple(zip(*columns, strict=True))


def _losses(
    processes: Sequence[ProcessSteps], edges: "Floats", there: Any
) -> tuple[tuple[float | None, float | None, float | None], ...] | None:
    import numpy as np

    thin = _Envelope(edges)
    barred = ~there  # no line through a time in which nobody trained, nor through a loss of NaN
    for process in processes:
        for told in process.losses:
            at = np.array([process.wall_at(time) for time in told.at_us]) / 1e9
            value = np.array([np.nan if one is None else one for one in told.value])
            known = np.isfinite(value)
            thin.add(at[known], value[known])
            barred[thin.places(at[~known])] = True
    barred &= thin.count == 0
    if not thin.count.any():
        return None
    thin.bridge(barred)
    return thin.cells()


def _bands(
    processes: Sequence[ProcessSteps], start: float, alive: "Floats", edges: "Floats"
) -> tuple[Band, ...]:
    from flopledger.recording.ranges import Ranges

    named: dict[str, Ranges] = {}
    for process in processes:
        for span in process.spans[:MOST_BANDS]:
            low, high = process.wall_at(span.start_us), process.wall_at(span.end_us)
            named.setdefault(span.what, Ranges()).add(low, high)
    bands = [
        Band(what=what, start=low / 1e9 - start, end=high / 1e9 - start)
        for what, ranges in sorted(named.items())
        for low, high in ranges
    ]
    empty = Ranges()
    for place, share in enumerate(alive.tolist()):
        if share < 1e-9:
            empty.add(place, place + 1)
    pauses = [
        Band(what="nobody trained", start=float(edges[a]) - start, end=float(edges[b]) - start)
        for a, b in empty
    ]
    return (*bands[:MOST_BANDS], *pauses)

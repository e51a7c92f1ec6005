"""What calls cost in sum: exact fractions inside, whole FLOP outside."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from profilers.steps.record.ledger import StepCost

Bounds = tuple[int, int | None]
"""Least and greatest FLOP; an open end is None."""


def wider(one: Bounds, two: Bounds) -> Bounds:
    """Return bounds of what is the one or the other."""
    high = None if one[1] is None or two[1] is None else max(one[1], two[1])
    return min(one[0], two[0]), high


def model_flop_of(costs: Mapping[int, StepCost], calls: Iterable[tuple[int, int]]) -> Fraction:
    """Return a step's model FLOP on its rank; what is unknown is left out."""
    return sum(
        (times * (costs[cost].model_flop or Fraction(0)) for cost, times in calls), Fraction(0)
    )


def share_of(costs: Mapping[int, StepCost], calls: Iterable[tuple[int, int]]) -> Fraction:
    """Return a rank's share in a step's dearest call: ranks that share it share its tokens."""
    found = [costs[cost] for cost, _ in calls]
    main = max(found, key=lambda cost: cost.hardware_flop or 0, default=None)
    return Fraction(1) if main is None else Fraction(*main.share)


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """What a set of calls cost (FLOP). Unknown calls are in the bounds only."""

    forward: int
    backward: int
    recompute: int
    by_dtype: Mapping[str, int]
    """Forward and backward by what the matrix units were fed with."""
    recompute_by_dtype: Mapping[str, int]
    model_bounds: Bounds
    hardware_bounds: Bounds
    unknown_calls: int

    @property
    def model(self) -> int:
        """Forward and backward of the calls that are known."""
        return self.forward + self.backward

    @property
    def hardware(self) -> int:
        """Everything executed by the calls that are known."""
        return self.model + self.recompute


class Sum:
    """Adds up calls. A rank's share of a call may be a third; three ranks make a whole."""

    def __init__(self) -> None:
        self.forward = Fraction(0)
        self.backward = Fraction(0)
        self.recompute = Fraction(0)
        self.by_dtype: dict[str, Fraction] = {}
        self.recompute_by_dtype: dict[str, Fraction] = {}
        self.unknown_calls = 0
        self._model = _Ends()
        self._hardware = _Ends()

    def add(self, cost: StepCost, calls: int) -> None:
        """Add ``calls`` calls of one kind."""
        if calls == 0:
            return
        part = Fraction(calls * cost.share[0], cost.share[1])
        if cost.forward is None or cost.backward is None or cost.recompute is None:
            self.unknown_calls += calls
            low, high = cost.bounds or (0, None)
            # How much of it is recomputation nobody knows, so nothing is surely model FLOP.
            self._model.add(Fraction(0), None if high is None else part * high)
            self._hardware.add(part * low, None if high is None else part * high)
            return
        self.forward += part * cost.forward
        self.backward += part * cost.backward
        self.recompute += part * cost.recompute
        for dtypes, mine in (
            (cost.by_dtype, self.by_dtype),
            (cost.recompute_by_dtype, self.recompute_by_dtype),
        ):
            for dtype, flop in dtypes.items():
                mine[dtype] = mine.get(dtype, Fraction(0)) + part * flop
        model = cost.forward + cost.backward
        low, high = cost.bounds or (model + cost.recompute, model + cost.recompute)
        self._hardware.add(part * low, None if high is None else part * high)
        if cost.bounds is None or cost.mode == "optimizer":
            self._model.add(part * model, part * model)
        else:
            self._model.add(part * min(model, low), None if high is None else part * high)

    def update(self, other: "Sum") -> None:
        """Add everything that is in another sum."""
        self.forward += other.forward
        self.backward += other.backward
        self.recompute += other.recompute
        for theirs, mine in (
            (other.by_dtype, self.by_dtype),
            (other.recompute_by_dtype, self.recompute_by_dtype),
        ):
            for dtype, flop in theirs.items():
                mine[dtype] = mine.get(dtype, Fraction(0)) + flop
        self.unknown_calls += other.unknown_calls
        self._model.add(other._model.low, other._model.high)
        self._hardware.add(other._hardware.low, other._hardware.high)

    def open_end(self) -> None:
        """Say that there is more than what was added."""
        self._model.high = self._hardware.high = None

    def perhaps(self, most: Fraction) -> None:
        """Say that there may be so much more."""
        self._model.add(Fraction(0), most)
        self._hardware.add(Fraction(0), most)

    def work(self) -> Work:
        """Return the sum in whole FLOP."""
        return Work(
            forward=round(self.forward),
            backward=round(self.backward),
            recompute=round(self.recompute),
            by_dtype={name: round(flop) for name, flop in sorted(self.by_dtype.items())},
            recompute_by_dtype={
                name: round(flop) for name, flop in sorted(self.recompute_by_dtype.items())
            },
            model_bounds=self._model.rounded(),
            hardware_bounds=self._hardware.rounded(),
            unknown_calls=self.unknown_calls,
        )


class _Ends:
    def __init__(self) -> None:
        self.low = Fraction(0)
        self.high: Fraction | None = Fraction(0)

    def add(self, low: Fraction, high: Fraction | None) -> None:
        self.low += low
        self.high = None if self.high is None or high is None else self.high + high

    def rounded(self) -> Bounds:
        return round(self.low), None if self.high is None else round(self.high)

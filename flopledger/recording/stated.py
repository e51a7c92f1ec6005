"""FLOP that only the program tells: functions that it hands over, and figures that it states."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flopledger.recording.cost import Cost
from flopledger.recording.told import MOST_FLOP, WronglyToldError, whole

if TYPE_CHECKING:
    from flopledger.recording.beside import Beside
    from flopledger.recording.costs import Costs
    from profilers.steps.observer import Observer


class Stated:
    """Calls of the step that is open which the program told us of, and steps that hold none."""

    def __init__(self, costs: Costs, observer: Observer, besides: Beside) -> None:
        """Take who counts, who sees steps end, and who adds what the program does not say."""
        self._costs = costs
        self._observer = observer
        self._besides = besides
        self._known: dict[Any, Cost] = {}
        self._extra: list[tuple[Cost, int]] = []

    @property
    def waiting(self) -> bool:
        """Whether something was told that belongs to no step yet."""
        return bool(self._extra)

    def take(self) -> list[tuple[Cost, int]]:
        """Take the calls that the program told us of."""
        extra, self._extra = self._extra, []
        return extra

    def unseen(self) -> tuple[tuple[Cost, int], ...]:
        """A step in which no module was called: its cost is unknown, and not nothing."""
        text = "no call of a module was seen in this step"
        self._costs.tell("calls-unseen", "warning", f"{text}: what it cost is not known")
        cost = Cost(
            model="unseen", mode="train", inputs=(), flop=None, bounds=(0, None), reason=text
        )
        return ((self._known.setdefault("unseen", cost), 1),)

    def count(
        self, function: Callable[..., Any], args: Any, kwargs: Any, *, backward: bool
    ) -> None:
        """A computation that no module's call shows."""
        from flopcount.live.signals import held_back

        with held_back():  # a Ctrl-C arrives when everything is put back
            cost = self._counted(function, args, kwargs, backward=backward)
        self._add(cost)

    def _counted(
        self, function: Callable[..., Any], args: Any, kwargs: Any, *, backward: bool
    ) -> Cost:
        from flopcount import count as counted
        from flopcount.live.signals import arrived, let_through

        name = getattr(function, "__qualname__", type(function).__name__)
        try:
            began = time.monotonic()
            depth, self._observer.here.depth = self._observer.here.depth, 1
            try:
                with let_through():
                    found = counted(function, *args, backward=backward, **kwargs)
            finally:
                self._observer.here.depth = depth
                self._costs.spending.spend(began)
            flop = dict(found.by_phase)
            ranks = 1 if found.per_rank is None else found.per_rank.world_size
            return Cost(
                model=name, mode="train" if backward else "forward", inputs=(), flop=flop,
                share=(1, ranks), by_dtype=dict(found.by_dtype), how=found.method,
                uncounted=tuple(item.op for item in found.uncounted), bounds=found.flop_bounds,
            )  # fmt: skip
        except BaseException as error:
            if arrived():
                raise
            # Never into the program, whatever the function raised.
            text = f"{name}: {type(error).__name__}: {error}"[:1000]
            self._costs.tell("cost-unknown", "warning", text)
            return Cost(
                model=name, mode="train", inputs=(), flop=None, bounds=(0, None), reason=text
            )

    def state(self, flop: dict[str, int], dtype: str | None, name: str) -> None:
        """FLOP that only the program knows."""
        try:
            flop = {phase: whole(value, phase, MOST_FLOP) for phase, value in flop.items()}
        except WronglyToldError as error:
            self._costs.tell("stated-wrongly", "warning", f"{name}: of the stated FLOP {error}")
            return
        name, known = str(name), str(dtype or "unknown")[:200]
        self._add(
            Cost(
                model=name,
                mode="train" if flop["backward"] else "forward",
                inputs=(),
                flop=flop,
                by_dtype={known: flop["forward"] + flop["backward"]},
                recompute_by_dtype={known: flop["recompute"]} if flop["recompute"] else {},
                how="stated",
            )
        )

    def _add(self, cost: Cost) -> None:
        """One call more in this step; equal costs are written once."""
        self._besides.told_by_program()
        self._observer.beside.drop()  # else what is watched may be what is told
        self._observer.fold()  # what is over is told without it
        key = (cost.model, cost.mode, str(cost.flop), str(cost.by_dtype), cost.how, cost.reason)
        self._extra.append((self._known.setdefault(key, cost), 1))
        if len(self._known) > 4096:
            del self._known[next(iter(self._known))]

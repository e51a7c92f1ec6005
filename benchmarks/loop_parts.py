"""What of a recorded step is the recorder's own, piece by piece.

A ratio of two step times resolves no better than the machine is steady: on a shared one, some percent.
So each step is cut into pieces by the same clocks, recorded or not, every few steps in turn. The pieces
in which the recorder works are short and resolve a microsecond; the others, the program's own, show
whether a recording makes them slower by what it pushes out of the caches.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torch.autograd import graph
from torch.optim import optimizer as optimizers

import flopledger
from profilers.steps.backward.passes import LOOKING
from profilers.steps.calls.asked import SEAM, sequence
from profilers.steps.observer import Observer

now = time.perf_counter_ns


class Switch:
    """Takes a recorder's hooks out of a loop, and puts them back: off is a loop that nobody records."""

    def __init__(self, model: Any) -> None:
        self._tables = [module.__dict__ for module in model.modules() if SEAM in module.__dict__]
        self._seams: list[Any] = []
        """While they are out: held by anybody else, a seam goes the longer way."""
        self._hooks = dict(optimizers._global_optimizer_post_hooks)
        self._engine = torch.autograd._engine_run_backward

    def turn(self, *, on: bool) -> None:
        """Have the steps from now on recorded or not."""
        if on:
            pulse = self._seams[0].observer if self._seams else None
            if pulse is not None:  # nodes of steps that nobody recorded are none between calls
                pulse.end, pulse.between = sequence(), 0
            while self._seams:
                seam = self._seams.pop()
                self._tables[len(self._seams)][SEAM] = seam
        elif not self._seams:
            self._seams = [table[SEAM] for table in self._tables]
            for table in self._tables:
                table[SEAM] = None
        optimizers._global_optimizer_post_hooks.clear()
        if on:
            optimizers._global_optimizer_post_hooks.update(self._hooks)
        plain = torch.autograd.graph._engine_run_backward
        torch.autograd._engine_run_backward = self._engine if on else plain


PIECES = (
    "to the forward", "forward", "from it", "loss", "to the engine", "backward", "from it",
    "to the optimizer's step", "optimizer's step", "its hooks", "zero_grad",
)  # fmt: skip
"""Of a step, in their order."""
OWN = (0, 2, 4, 6, 7, 9)
"""Those in which the recorder works; the others show what it does to the program's own."""


class _Stamped:
    """A loop whose steps say how long each of their pieces took, with a recorder or without."""

    def __init__(self, one: Any) -> None:
        self._one = one
        self._times: list[int] = []
        self._inside = one.model._call_impl
        one.model.__dict__["_call_impl"] = self._forward
        self._hook = one.optimizer.register_step_pre_hook(self._stamp)
        one.optimizer._optimizer_step_code = self._stamp  # torch calls it when the step is over
        self._engine = graph.Variable._execution_engine
        graph.Variable._execution_engine = self

    def close(self) -> None:
        """Leave everything as it was."""
        graph.Variable._execution_engine = self._engine
        del self._one.optimizer._optimizer_step_code
        self._hook.remove()
        del self._one.model.__dict__["_call_impl"]

    def _stamp(self, *_: Any) -> None:
        self._times.append(now())

    def _forward(self, *args: Any, **kwargs: Any) -> Any:
        self._stamp()
        out = self._inside(*args, **kwargs)
        self._stamp()
        return out

    def run_backward(self, *args: Any, **kwargs: Any) -> Any:
        """Stand before torch's engine."""
        self._stamp()
        found = self._engine.run_backward(*args, **kwargs)
        self._stamp()
        return found

    def step(self) -> list[float]:
        """Make a step; answers the microseconds of its ``PIECES``."""
        one, times = self._one, self._times
        times.clear()
        self._stamp()
        logits = one.model(one.batch[:, :-1])
        self._stamp()
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), one.batch[:, 1:].flatten())
        self._stamp()
        loss.backward()
        self._stamp()
        one.optimizer.step()
        self._stamp()
        one.optimizer.zero_grad()
        self._stamp()
        return [(end - begin) / 1e3 for begin, end in pairwise(times)]


@dataclass(frozen=True, kw_only=True)
class Pieces:
    """Microseconds of the pieces of many steps, one list for each step."""

    plain: list[list[float]]
    recorded: list[list[float]]
    looked: list[list[float]]
    """Recorded steps whose graphs are looked at: sixteen a second, which are all of a slow loop."""
    folding: float
    """Making steps of the notes and writing them, once a second: a step's share, processor time."""

    def more(self, part: float) -> list[float]:
        """What the recorder adds to each piece, at a quantile of the steps."""
        steps = self.recorded or self.looked
        columns = zip(zip(*self.plain, strict=True), zip(*steps, strict=True), strict=True)
        return [quantile(recorded, part) - quantile(plain, part) for plain, recorded in columns]

    @property
    def mean(self) -> float:
        """Microseconds that the recorder adds to a step, looks and folding included: medians, weighed."""
        kinds = [steps for steps in (self.recorded, self.looked) if steps]
        weighed = sum(statistics.median(map(sum, steps)) * len(steps) for steps in kinds)
        step = statistics.median(map(sum, self.plain))
        return weighed / sum(map(len, kinds)) - step + self.folding


def quantile(values: Sequence[float], part: float) -> float:
    """The value below which a part of all lie."""
    return sorted(values)[int(part * len(values))]


def interval(ratios: list[float]) -> tuple[float, float]:
    """95 % bootstrap interval of the median."""
    generator = random.Random(0)
    medians = sorted(
        statistics.median(generator.choices(ratios, k=len(ratios))) for _ in range(2000)
    )
    return medians[50], medians[1949]


def pieces(one: Any, rounds: int, steps: int = 12) -> Pieces:
    """Time the pieces of a loop's steps, with the recorder and without it every few steps in turn."""
    folds = [0]
    plain, recorded, looked = [], [], []  # type: list[list[float]], list[list[float]], list[list[float]]
    stamped = _Stamped(one)
    try:
        with tempfile.TemporaryDirectory() as folder, flopledger.record(folder, sampler=False):
            for _ in range(60):
                stamped.step()
            undo = _clocked_folds(folds)
            switch = Switch(one.model)
            for place in range(rounds):
                for on in (True, False) if place % 2 else (False, True):
                    switch.turn(on=on)
                    for number in range(steps):
                        found = plain if not on else looked if LOOKING[0] else recorded
                        step = stamped.step()
                        if number > 1:  # the first ones after a turn find other caches
                            found.append(step)
            switch.turn(on=True)
            undo()
    finally:
        stamped.close()
    folding = folds[0] / 1e3 / (rounds * steps)
    return Pieces(plain=plain, recorded=recorded, looked=looked, folding=folding)


def _clocked_folds(sum_ns: list[int]) -> Callable[[], None]:
    """Time the making of steps; answers what undoes it."""
    original = Observer.fold

    def clocked(observer: Any, **kwargs: Any) -> None:
        begun = time.thread_time_ns()
        original(observer, **kwargs)
        sum_ns[0] += time.thread_time_ns() - begun

    Observer.fold = clocked  # type: ignore[method-assign]
    return partial(setattr, Observer, "fold", original)


class _Empty:
    """A forward that computes nothing but a number that can be differentiated."""

    __module__ = "torch.nn"  # so that it is no setting of the model

    def __init__(self) -> None:
        self.number = torch.ones((), requires_grad=True)

    def __call__(self, *_: Any, **__: Any) -> Any:
        return self.number * 1


def hot_us(one: Any, calls: int, rounds: int, steps: int = 20) -> tuple[float, float]:
    """Microseconds of processor time that recording adds to a step of ``calls`` calls: least and median.

    The forward is empty and the optimizer's own work is left out, so that nothing but the recorder and
    what it pushes around is timed. Folding, once a second, is in the median and not in the least.
    """
    model, x = one.model, one.batch
    with tempfile.TemporaryDirectory() as folder, flopledger.record(folder, sampler=False):
        for _ in range(3):
            model(x).sum().backward()
            one.optimizer.step()
        state = model.__dict__
        state["_call_impl"] = _Empty()

        def block(*, on: bool) -> float:
            hooks = tuple(optimizers._global_optimizer_post_hooks.values()) if on else ()
            begun = time.thread_time_ns()
            for _ in range(steps):
                for _ in range(calls):
                    model(x).backward()
                for hook_ in hooks:
                    hook_(one.optimizer, (), {})
            return (time.thread_time_ns() - begun) / 1e3 / steps

        for _ in range(3):  # the empty forward is another one: settled anew
            block(on=True)
        found: dict[bool, list[float]] = {True: [], False: []}
        for _ in range(rounds):
            found[True].append(block(on=True))
            seams = [state[SEAM]]
            state[SEAM] = None
            found[False].append(block(on=False))
            state[SEAM] = seams.pop()  # held by nobody else, or it would go the longer way
        del state["_call_impl"]
    plain = min(found[False]), statistics.median(found[False])
    return min(found[True]) - plain[0], statistics.median(found[True]) - plain[1]

"""What of a recorded step is the recorder's own, part by part and by direct clocks.

A ratio of two step times resolves no better than the machine is steady: on a shared one, some percent.
Here the pieces that a recording adds to a step are timed where they run, each a few microseconds long
and so seldom interrupted, and their medians are added; divided by the plain step's median, they
resolve a hundredth of a percent. What they cannot see is what a recording costs by what it pushes out
of the caches: for that, :func:`alternating` switches the recorder on and off step by step and compares
processor time of the thread.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.optim import optimizer as optimizers

import flopledger
from profilers.step_asked import SEAM
from profilers.step_ways import Ways
from profilers.steps import Observer

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


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Microseconds of a step; medians, but the folding's mean, which is seldom and long."""

    call: float
    """Before and after the model's forward."""
    optimizer: float
    gradient: float
    """Where the backward begins: whether it goes the known way to the call."""
    folding: float
    """Making steps of the notes and writing them: processor time of all of it, divided by the steps."""
    plain: float
    """The whole step with the recorder off."""

    @property
    def total(self) -> float:
        """Microseconds that a recording adds."""
        return self.call + self.optimizer + self.gradient + self.folding

    @property
    def share(self) -> float:
        """Part of the plain step."""
        return self.total / self.plain


class _Stopwatch:
    """Stands where the model's forward begins and ends."""

    def __init__(self, model: Any) -> None:
        self.inside = model._call_impl
        self.begun = self.ended = 0
        model.__dict__["_call_impl"] = self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.begun = now()
        out = self.inside(*args, **kwargs)
        self.ended = now()
        return out


def parts(one: Any, steps: int) -> Parts:
    """Time the recorder's pieces over ``steps`` recorded and as many plain steps of a loop."""
    watch = _Stopwatch(one.model)
    call: dict[bool, list[int]] = {True: [], False: []}
    whole: list[int] = []
    hooks: list[int] = []
    ways: list[int] = []
    folds = [0]
    reached = Ways.reached

    def clocked(*args: Any) -> bool:
        begun = now()
        found = reached(*args)
        ways.append(now() - begun)
        return found

    Ways.reached = clocked  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as folder, flopledger.record(folder, sampler=False) as run:
        observer = run._recorder.observer
        for _ in range(30):
            one.step()
        _clocked_hook(hooks)
        folds_as_they_were = _clocked_folds(folds)
        recorded = 0
        switch = Switch(one.model)
        for place in range(steps // 10):
            for on in (True, False) if place % 2 else (False, True):
                switch.turn(on=on)
                _ten(one, watch, call[on], None if on else whole)
                recorded += 10 * on
        switch.turn(on=True)
        observer.fold()
        folds_as_they_were()
    Ways.reached = reached  # type: ignore[method-assign]
    del one.model.__dict__["_call_impl"]
    middle = statistics.median
    clock = middle([-(now() - now()) for _ in range(1000)])
    return Parts(
        call=(middle(call[True]) - middle(call[False])) / 1e3,
        optimizer=(middle(hooks) - clock) / 1e3,
        gradient=(middle(ways) - clock) / 1e3,
        folding=folds[0] / 1e3 / recorded,
        plain=middle(whole) / 1e3,
    )


def _ten(one: Any, watch: _Stopwatch, call: list[int], whole: list[int] | None) -> None:
    """Ten steps; without a recorder the whole steps are timed, too."""
    for _ in range(10):
        begun = now()
        loss = _forward(one, watch, call)
        loss.backward()
        one.optimizer.step()
        one.optimizer.zero_grad()
        if whole is not None:
            whole.append(now() - begun)


def _forward(one: Any, watch: _Stopwatch, call: list[int]) -> Any:
    tokens, wanted = one.batch[:, :-1], one.batch[:, 1:].flatten()
    begun = now()
    logits = one.model(tokens)
    ended = now()
    call.append(watch.begun - begun + ended - watch.ended)
    return nn.functional.cross_entropy(logits.flatten(0, 1), wanted)


def _clocked_hook(found: list[int]) -> None:
    """Time the hook of every optimizer."""
    hooks = optimizers._global_optimizer_post_hooks
    for key, original in list(hooks.items()):

        def clocked(*args: Any, original: Any = original) -> None:
            begun = now()
            original(*args)
            found.append(now() - begun)

        hooks[key] = clocked


def _clocked_folds(sum_ns: list[int]) -> Callable[[], None]:
    """Time them; answers what undoes it."""
    original = Observer.fold

    def clocked(observer: Any, **kwargs: Any) -> None:
        begun = time.thread_time_ns()
        original(observer, **kwargs)
        sum_ns[0] += time.thread_time_ns() - begun

    Observer.fold = clocked  # type: ignore[method-assign]
    return partial(setattr, Observer, "fold", original)


def alternating(one: Any, seconds: float) -> list[float]:
    """Ratios of the thread's processor time, recorder on over off, for neighbouring steps."""
    ratios = []
    with tempfile.TemporaryDirectory() as folder, flopledger.record(folder, sampler=False):
        for _ in range(30):
            one.step()
        switch = Switch(one.model)
        until = time.monotonic() + seconds
        place = 0
        while time.monotonic() < until or place < 4:
            spent: dict[bool, int] = {True: 0, False: 0}
            order = (True, False, False, True) if place % 2 else (False, True, True, False)
            for on in order:
                switch.turn(on=on)
                begun = time.thread_time_ns()
                one.step()
                spent[on] += time.thread_time_ns() - begun
            ratios.append(spent[True] / spent[False])
            place += 1
        switch.turn(on=True)
    return ratios


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

"""In which order several optimizers stepped: how many steps ago had they the states that they are given?

A program that goes back to a checkpoint gives each of its optimizers the state that it had then, one after
the other. Each says how many of its own steps that is; together with the order in which they stepped there
is one moment that all of them mean.
"""

from __future__ import annotations

from collections import deque

MOST_RUNS = 1 << 16
"""So many changes from one optimizer to another are remembered."""


class Turns:
    """Which optimizers ended the last steps of this process."""

    def __init__(self) -> None:
        self._runs: deque[tuple[str, int]] = deque(maxlen=MOST_RUNS)
        self._back: dict[str, int] = {}
        """Optimizers that were given an earlier state since the last step: how many of their steps ago."""
        self._uncounted: set[str] = set()
        self._undone: int | None = None
        """The same, in steps of the run, where an optimizer counts none of its own."""

    def add(self, optimizers: str | None, steps: int) -> None:
        """Steps are over."""
        names = optimizers or ""
        if self._runs and self._runs[-1][0] == names:
            steps += self._runs.pop()[1]
        self._runs.append((names, steps))

    def back(self, optimizer: str, steps: int) -> None:
        """An optimizer was given the state that it had so many of its own steps ago."""
        self._back[optimizer] = self._back.get(optimizer, 0) + steps

    def back_in_run(self, optimizer: str, steps: int) -> None:
        """One that counts none was given the state that it had so many steps of the run ago."""
        self._uncounted.add(optimizer)
        self._undone = max(steps, self._undone or 0)

    @property
    def waiting(self) -> bool:
        """Whether one was, and no step is over since."""
        return bool(self._back) or self._undone is not None

    def forget(self) -> None:
        """It is known by another way where the program goes on."""
        self._back, self._undone = {}, None
        self._uncounted = set()

    def undone(self) -> tuple[int, int]:
        """How many of the last steps are done again: the fewest and the most; equal where that is sure."""
        least, most, total = self._undone or 0, None, 0
        wanted = dict(self._back)
        known = set(self._uncounted)
        for names, steps in reversed(self._runs):
            for name in names.split("+"):
                if name in known:
                    continue
                left = wanted.get(name, 0)
                if left:
                    least = max(least, total + min(left, steps))
                if left < steps:  # the step before those is one that stands
                    known.add(name)
                    most = min(total + left, total + steps if most is None else most)
                wanted[name] = left - min(left, steps)
            total += steps
        if any(wanted.values()):
            least, most = 0, None  # they go back beyond what is remembered
        most = total if most is None else most
        sure = least <= most and (self._undone is None or self._undone == least)
        self.forget()
        if sure:
            self._drop(least)
            return least, least
        return 0, max(least, most)

    def _drop(self, steps: int) -> None:
        while steps and self._runs:
            names, many = self._runs.pop()
            if many > steps:
                self._runs.append((names, many - steps))
            steps -= min(many, steps)

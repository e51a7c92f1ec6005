"""Makers of time series and of an agent's states and actions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flopcount.model_files.inputs.plain import Plain


class Series(Plain):
    """What happens over time; shapes stand as (batch, steps, ...)."""

    def history(self) -> int:
        """Return the past time steps a sample: the context and the lags that reach behind it."""
        context = self.sizes.length() or self.sizes.number("context_length")
        if context is None:
            raise self.sizes.unknown("sequence", "the time steps a sample")
        lags = getattr(self.model.config, "lags_sequence", None)
        return context + (max(lags) if isinstance(lags, list | tuple) and lags else 0)

    def future(self) -> int:
        """Return the time steps that are to be predicted."""
        found = self.sizes.number("prediction_length")
        if found is None:
            raise self.sizes.unknown("prediction_length", "the time steps to be predicted")
        return found

    def series(self, steps: int) -> Any:
        """Values (batch, steps), with channels behind where the model has several."""
        channels = self.sizes.number("num_input_channels")
        width = self.sizes.number("input_size")
        if channels is not None:
            return self.floats(self.sizes.batch, steps, channels)
        if width is not None and width > 1:
            return self.floats(self.sizes.batch, steps, width)
        return self.floats(self.sizes.batch, steps)

    def features(self, steps: int) -> Any:
        """Features of the time steps (batch, steps, features)."""
        number = getattr(self.model.config, "num_time_features", 0)
        return self.floats(self.sizes.batch, steps, number)

    def observed(self, steps: int) -> Any:
        """Which values were observed: all of them."""
        import torch

        return torch.ones(self.series(steps).shape, dtype=torch.bool)

    def states(self, key: str) -> Any:
        """What an agent saw or did (batch, steps, width)."""
        width = self.sizes.number(key)
        if width is None:
            raise self.sizes.unknown(key, "the width of an agent's states or actions")
        return self.floats(self.sizes.batch, self.sizes.tokens(), width)


def _one(m: Series) -> Any:
    return m.floats(m.sizes.batch, m.sizes.tokens(), 1)


SERIES: dict[str, Callable[[Series], Any]] = {
    "past_values": lambda m: m.series(m.history()),
    "past_values_padding": lambda m: m.whole(m.sizes.batch, m.history()),
    "past_observed_mask": lambda m: m.observed(m.history()),
    "past_time_features": lambda m: m.features(m.history()),
    "future_values": lambda m: m.series(m.future()),
    "future_time_features": lambda m: m.features(m.future()),
    "freq": lambda m: m.whole(m.sizes.batch, 1),
    "states": lambda m: m.states("state_dim"),
    "actions": lambda m: m.states("act_dim"),
    "rewards": _one,
    "returns_to_go": _one,
    "state": lambda m: m.floats(m.sizes.batch, m.stated("max_state_dim")),
}

"""Of attributes that had many values: which decide what a call costs? Others are tried."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from profilers.steps.deciders.switches import is_held

if TYPE_CHECKING:
    from profilers.steps.deciders.attributes import Attributes
    from profilers.steps.deciders.places import Name

Trial = Callable[[Mapping["Name", Any]], bool | None]
"""Whether a call costs something else with these attributes; None where the model refuses them."""
FEWEST = 2
"""So many values have to be accepted before those that were refused say nothing."""


def judge(attributes: Attributes, trial: Trial) -> None:
    """Judge all attributes of which nobody knows yet whether they decide."""
    suspects = dict(attributes.probes())
    kept = {name: others for name, others in suspects.items() if is_held(others)}
    if len(kept) > 1 and _decide_nothing(trial, kept):
        for name in kept:  # statistics of a hundred layers are tried at once
            attributes.judge(name, decides=False)
            del suspects[name]
    for name, others in suspects.items():
        alone = (
            _decide_nothing(trial, {name: others})
            if name in kept
            else _is_idle(trial, name, others)
        )
        attributes.judge(name, decides=not alone)


def _is_idle(trial: Trial, name: Name, others: tuple[Any, ...]) -> bool:
    """A number or text that the model refuses decides."""
    return bool(others) and all(trial({name: value}) is False for value in others)


def _decide_nothing(trial: Trial, kept: Mapping[Name, tuple[Any, ...]]) -> bool:
    """Tensors, whose numbers a model may check (a scale, a range): a refusal says nothing by itself."""
    accepted = 0
    for number in range(max(map(len, kept.values()))):
        differs = trial({name: others[number % len(others)] for name, others in kept.items()})
        if differs:
            return False
        accepted += differs is False
    return accepted >= FEWEST

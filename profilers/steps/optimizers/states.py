"""Optimizers that are saved and loaded: is this the state that was saved, and after how many steps?

Adam keeps a number of steps in its state, SGD keeps none, and a fused optimizer keeps it on its
device, where nobody looks. What is left are a state's settings and layout, which a schedule of
learning rates changes with each step, and some of its values where they lie in the processor's
memory. Two states that agree in these may be the same; two that do not are not. No torch is imported here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from profilers.steps.standing.layers import Undo, together
from profilers.steps.standing.wrapped import wrapped

Tell = Callable[[Any, Any], None]
"""An optimizer, and its state as a dictionary."""

MOST_GROUPS = 64
MOST_ENTRIES = 4
"""Of a state, so many parameters' entries are looked at."""
MOST_VALUES = 16
"""Of each tensor, so many numbers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StateMark:
    """What a state is recognised by."""

    layout: str
    """Digest of its settings, and of the names and sizes of its entries."""
    values: str | None
    """Digest of some of its numbers; None where they lie on a device, or there are none."""
    steps: int | None
    """How often the optimizer had stepped, where the state says so."""
    entries: int
    """Parameters of which something is kept; plain SGD keeps nothing at all."""


def watch(optimizers: type, saved: Tell, loaded: Tell, loads: Callable[[Any], None]) -> Undo:
    """Call ``saved`` and ``loaded`` after each such call of an optimizer, and ``loads`` before it loads.

    Answers what undoes it.
    """
    return together(
        wrapped(optimizers, "state_dict", lambda own, _given, found: saved(own, found)),
        wrapped(
            optimizers,
            "load_state_dict",
            lambda own, given, _found: loaded(own, next(iter(given), None)),
            loads,
        ),
    )


def state_of(optimizer: Any) -> dict[str, Any]:
    """Return an optimizer's state as ``state_dict`` would, without its hooks."""
    groups = list(getattr(optimizer, "param_groups", ()))
    held = getattr(optimizer, "state", None) or {}
    params = dict.fromkeys(param for group in groups for param in group["params"])
    state = {place: held[param] for place, param in enumerate(params) if param in held}
    return {"state": state, "param_groups": groups}


def mark_of(state_dict: Any) -> StateMark | None:
    """Return what a state is recognised by; None where it is nothing that torch's optimizers give."""
    if not isinstance(state_dict, Mapping):
        return None
    state, groups = state_dict.get("state"), state_dict.get("param_groups")
    if not isinstance(state, Mapping) or not isinstance(groups, list | tuple):
        return None
    layout, values = hashlib.sha256(), hashlib.sha256()
    layout.update(f"{len(groups)} groups, {len(state)} entries".encode())
    for group in groups[:MOST_GROUPS]:
        layout.update(_settings(group).encode())
    steps: int | None = None
    seen = unseen = 0
    for entry in islice(state.values(), MOST_ENTRIES):
        for name in sorted(entry, key=str) if isinstance(entry, Mapping) else ():
            value = entry[name]
            numbers = numbers_of(value)
            if name == "step":
                steps = max(steps or 0, int(numbers[0])) if numbers else steps
                continue
            layout.update(f"{name} {_size(value)};".encode())
            if numbers is not None:
                seen += 1
                values.update(repr(numbers).encode())
            else:
                unseen += hasattr(value, "device")
    return StateMark(
        layout=layout.hexdigest()[:32],
        values=values.hexdigest()[:32] if seen and not unseen else None,
        steps=steps,
        entries=len(state),
    )


def _settings(group: Any) -> str:
    """Return a group's settings as text; how many parameters, but not which."""
    if not isinstance(group, Mapping):
        return "?"
    told = [f"params {len(group.get('params', ()))}"]
    for name in sorted((name for name in group if name != "params"), key=str):
        value = group[name]
        numbers = numbers_of(value) if hasattr(value, "device") else None
        if isinstance(value, bool | int | float | str | tuple | None):
            told.append(f"{name} {value!r}"[:200])
        elif numbers is not None:
            told.append(f"{name} {numbers}")
    return "; ".join(told)


def _size(value: Any) -> str:
    """Return a tensor's shape, else the type."""
    shape = getattr(value, "shape", None)
    return type(value).__name__ if shape is None else str(tuple(shape))


def numbers_of(value: Any, most: int = MOST_VALUES) -> list[Any] | None:
    """Return some of the numbers; None where they could not be read without waiting for a device."""
    if isinstance(value, bool | int | float):
        return [value]
    device = getattr(value, "device", None)
    if device is None or device.type != "cpu" or hasattr(value, "device_mesh"):
        return None
    try:
        if not value.numel() or str(value.layout) != "torch.strided":
            return None
        flat = value.detach().reshape(-1)
        found: list[Any] = flat[:: max(1, len(flat) // most)][:most].tolist()
    except (RuntimeError, TypeError, NotImplementedError, AttributeError, ValueError):
        return None  # of a kind that gives no numbers
    return found

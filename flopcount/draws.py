"""Notices a model that throws dice over what it computes: its count is then one draw of many.

A random number on meta decides nothing, but one that torch draws on the CPU does, as soon as the
model asks for its value; so random tensors and what is computed from them carry a mark. Python's
and numpy's own generators run outside torch: whether they were used shows in their state, which is
put back as it was.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor

MARK = "_flopcount_random"


def follow(func: Any, given: list[Any], results: list[Any]) -> None:
    """Mark the results of an op that draws, or that has a marked tensor among its inputs."""
    if is_draw(func) or any(hasattr(tensor, MARK) for tensor in given):
        for tensor in results:
            if tensor.device.type != "meta" and not isinstance(tensor, FakeTensor):
                setattr(tensor, MARK, True)


@cache
def is_draw(func: Any) -> bool:
    """Whether an op draws random numbers."""
    return torch.Tag.nondeterministic_seeded in func.tags


def is_drawn(tensor: Any) -> bool:
    """Whether a value comes from a random draw."""
    return hasattr(tensor, MARK)


def asked(where: str) -> str:
    """What to say of a model that asks a drawn value."""
    place = where or "the model"
    return (
        f"random: {place} asks a random number, so another draw may compute other things; "
        "this count is one draw"
    )


@contextmanager
def noticing_python_draws(remarks: list[str]) -> Iterator[None]:
    """Say when Python's or numpy's generator was used inside, and put its state back."""
    numpy = sys.modules.get("numpy")
    before = random.getstate()
    array = None if numpy is None else numpy.random.get_state()
    try:
        yield
    finally:
        used = []
        if random.getstate() != before:
            used.append("Python's")
            random.setstate(before)
        if numpy is not None and array is not None:
            after = numpy.random.get_state()
            if after[2] != array[2] or (after[1] != array[1]).any():
                used.append("numpy's")
                numpy.random.set_state(array)
        if used:
            remarks.append(
                f"random: the step draws {' and '.join(used)} random numbers; where they decide "
                "what is computed, this count is one draw"
            )

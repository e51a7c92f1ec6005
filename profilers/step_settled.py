"""What the calls of a settled model are compared with, so that one frame can answer for them.

A model is settled when ``SURE`` calls in a row were alike and a backward came to each by the same way
(:mod:`profilers.step_ways`). ``Seam.__call__`` takes the parts of a lane apart in one go, for what a
call costs there is above all what it reaches for: each object, and each function of torch, that no cache
holds any more after a step of training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from profilers.step_asked import look_of
from profilers.step_signature import PLAIN

if TYPE_CHECKING:
    from profilers.step_events import Kind
    from profilers.step_seam import Seam

Lane = tuple[Any, ...]
"""In the order of ``lane_of``."""


def lane_of(seam: Seam, kind: Kind, module: Any, args: Any, kwargs: Any) -> Lane | None:
    """What calls of a kind are compared with from now on, if that is enough to know them by.

    Args:
        seam: Where they come by; its last call was of this kind.
        kind: Theirs.
        module: What is called.
        args: Of that call: only tensors and plain values will do.
        kwargs: Likewise.

    """
    if seam.inner is not None or seam.by_value or not seam.plain or not kind.watched:
        return None
    values = (*args, *kwargs.values())
    if not {torch.Tensor, *PLAIN}.issuperset(map(type, values)):
        return None
    given = [(type(value), _look(value)) for value in values]
    key: Any = seam.last_key
    graded, cast, required = key[1:4]
    watched, observer = seam.attributes, seam.observer
    return (
        kind, module.training, graded, cast, required, seam.parameters,
        watched, watched.state, watched.items, watched.sized[:-1], watched.sizes[:-1],
        watched.kinds.distinct, watched.kinds.counts, given, list(kwargs),
        list(zip(seam.states, seam.inside, strict=True)), observer.busy, observer.ways.waiting,
    )  # fmt: skip


def _look(value: Any) -> Any:
    return look_of(value) if type(value) is torch.Tensor else value

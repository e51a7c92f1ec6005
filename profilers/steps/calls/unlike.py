"""A call that looks like others, and adds another number of nodes to the graph than they did.

Then something decided that nobody found (design/107): what was counted for the others is not its cost. So
it is a kind of its own, and its count has to add as many nodes, or there are bounds.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.utils import parametrize

from profilers.steps.backward.passes import LOOKING
from profilers.steps.calls.asked import any_autocast
from profilers.steps.calls.signature import Values

if TYPE_CHECKING:
    from profilers.steps.calls.seam import Seam
    from profilers.steps.folding.events import Call, Kind

MOST_KINDS = 4096
MOST_UNLIKE = 8
"""So many numbers of nodes of calls that look alike are counted."""
UNLIKE = "calls that look alike add unlike numbers of nodes to the graph: something decides that nobody found"
MANY = -1


def told_apart(seam: Seam, call: Call, nodes: int, args: Any, kwargs: Any) -> Call:
    """The call as what it was, now that it is over.

    Args:
        seam: Where it came by.
        call: As it was noted; its kind expects another number of nodes.
        nodes: So many it added.
        args: Of the call.
        kwargs: Likewise.

    """
    kind, observer = call[0], seam.observer
    if kind.added < 0:
        kind.added = _first(seam, kind, nodes)
        if kind.added == nodes:
            return call
    if call[3] or not (kind.watched and kind.steady and kind.doubt is None) or _is_usual():
        return call
    kind.expected = kind.added  # where it is not counted yet: who knows what decides when it is
    if len(kind.unlike) >= MOST_UNLIKE and nodes not in kind.unlike:
        nodes = MANY
    other = kind.unlike.get(nodes)
    if other is None and nodes == MANY:
        other = kind.unlike[MANY] = kind.in_doubt(UNLIKE)
    elif other is None:
        other = kind.unlike[nodes] = kind.adding(nodes)
        observer.fresh = LOOKING[0] = True
        observer.listener.new_kind(other, seam.module(), args, kwargs)
    return observer.exchange(call, other)


def _first(seam: Seam, kind: Kind, nodes: int) -> int:
    """How many nodes the first call added that was like one of a kind: perhaps of another kind.

    For numbers among the inputs belong to a kind as long as it is not known whether they decide.
    """
    assert isinstance(kind.key, tuple)
    key = tuple(part for part in kind.key if not isinstance(part, Values))
    known = seam.added
    if len(key) == len(kind.key) and key in known:
        return known[key]
    while len(known) >= MOST_KINDS:
        del known[next(iter(known))]
    return nodes if len(key) < len(kind.key) and key in known else known.setdefault(key, nodes)


def _is_usual() -> bool:
    """Whether numbers of nodes may differ where nothing decides.

    A cache of weights in another precision, or of parametrized ones; parameters that are gathered from other
    ranks; code that torch compiled, and compiles anew as it likes.
    """
    if any_autocast() or parametrize._cache_enabled or len(torch.jit._state._jit_caching_layer):
        return True
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return True
    compiler = sys.modules.get("torch._dynamo.convert_frame")
    return bool(getattr(compiler, "FRAME_COUNTER", 0))

"""Backward passes that were asked for some gradients only, as ``torch.autograd.grad`` is.

Such a pass costs less than one that reaches every parameter. Whom it was asked for is known where
it begins, in Python; which calls it went through is known where gradients arrive, in hooks that are
C functions alone. So the beginning puts a number into a cell, and each arrival reads it. No torch is
imported here; it is handed in by :mod:`profilers.steps`.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from weakref import ref

from profilers.step_layers import placed
from profilers.step_outside import MARK, close, gradients_of

if TYPE_CHECKING:
    from profilers.step_pulse import Engine, Pulse
    from profilers.step_ways import Ways

FULL = 0
"""The number of a pass that reaches everything."""
UNTOLD = 1
"""Of one among more kinds of passes than are remembered."""
MOST_ASKED = 4096
CELL = [FULL]
"""What the pass that runs was asked for."""


@dataclass(frozen=True, slots=True)
class Asked:
    """For whose gradients a pass was asked."""

    parameters: frozenset[int]
    """Ids of parameters."""
    leaves: bool
    """For those of other leaves: inputs, or what became inputs."""
    inner: bool
    """For those of results, which may lie anywhere."""


_NUMBERS: dict[Asked, int] = {}
_ASKED: list[Asked] = []

_GIVEN: deque[ref[Any]] = deque(maxlen=64)
"""Leaves with which passes began that can themselves be differentiated: a later one asked for their gradients
goes the same way once more, past the weights (``torch.autograd.functional.jvp``)."""


def _came_in(item: Any) -> bool:
    return any(each() is item for each in _GIVEN)


def asked_for(number: int) -> Asked | None:
    """What a pass was asked for; None where it is not remembered."""
    return _ASKED[number - 2] if 2 <= number < len(_ASKED) + 2 else None


def number_of(inputs: Sequence[Any], torch: Any) -> int:
    """The number of a pass that was asked for these tensors' gradients; the same for the same."""
    parameters, leaves, inner = [], False, False
    edge = torch.autograd.graph.GradientEdge
    for given in inputs:
        # An edge means a leaf, or something inside.
        item = getattr(given.node, "variable", None) if type(given) is edge else given
        if isinstance(item, torch.nn.Parameter):
            parameters.append(id(item))
        elif isinstance(item, torch.Tensor) and item.is_leaf and not _came_in(item):
            leaves = True
        else:
            inner = True
    asked = Asked(frozenset(parameters), leaves, inner)
    number = _NUMBERS.get(asked)
    if number is None:
        if len(_ASKED) >= MOST_ASKED:
            return UNTOLD
        _ASKED.append(asked)
        number = _NUMBERS[asked] = len(_ASKED) + 1
    return number


LINEAR = frozenset(
    {
        "AddBackward0", "AliasBackward0", "CloneBackward0", "ExpandBackward0", "MeanBackward0",
        "MeanBackward1", "NegBackward0", "ReshapeAliasBackward0", "SelectBackward0",
        "SliceBackward0", "SqueezeBackward0", "SqueezeBackward1", "SubBackward0", "SumBackward0",
        "SumBackward1", "ToCopyBackward0", "TransposeBackward0", "UnsafeViewBackward0",
        "UnsqueezeBackward0", "ViewBackward0",
    }
)  # fmt: skip
PRODUCTS = frozenset(
    {"AddmmBackward0", "BmmBackward0", "ConvolutionBackward0", "MmBackward0", "LinearBackward0"}
)
MOST_NODES = 64


def is_linear(outputs: Sequence[Any], given: Sequence[Any]) -> bool:
    """Whether each path from a pass's beginning meets nothing but linear nodes before a product."""
    if any(item is not None and item.requires_grad for item in given):
        return False
    waiting = [item.grad_fn for item in outputs]
    for _ in range(MOST_NODES):
        if not waiting:
            return True
        node = waiting.pop()
        name = type(node).__name__
        if node is None or name in PRODUCTS or name == "AccumulateGrad":
            continue
        if name not in LINEAR:
            return False
        waiting += [following for following, _ in node.next_functions]
    return False


class Ours(threading.local):
    """Whether some recording is counting in this thread: such passes are no part of the program."""

    depth = 0


OURS = Ours()
LOOKING = [False]
"""Whether somebody wants to see the graph before a pass that reaches everything."""
MOST_ROOTS = 4096
MOST_OWN = 16
"""So many of a graph's last nodes are known by what leads to them."""
LEAF = 1 << 63
"""No node but a leaf has such a number."""
UNREACHED = "the last call was not reached"
"""Behind a root: a graph may end in the same way and yet lead past the call's outputs, which shows when the
pass is over. The graph is still there then."""
Root = tuple[Any, ...]
_CLEAN: dict[Root, bool] = {}
"""Ends of graphs: how many nodes they got since the last call and between calls, their last nodes, and those
that lead to them; and whether none of them ever had a product of the program's own. All others are looked at
each time."""


def root_of(outputs: Any, added: tuple[int, int], end: int) -> Root:
    """How a graph ends that got so many nodes outside of calls: what was made since the last call's end."""
    node = outputs[0].grad_fn
    types = [len(outputs), added, type(node)]
    waiting = [] if node is None else [node]
    for node in waiting:
        for following, _ in node.next_functions:
            types.append(type(following))
            if (
                following is not None
                and len(waiting) < MOST_OWN
                and end <= following._sequence_nr() < LEAF
            ):
                waiting.append(following)
    return tuple(types)


class Told(Protocol):
    """Who wants to know of backward passes."""

    def begins(
        self, outputs: Any, given: Sequence[Any], wanted: Sequence[Any], derived: bool
    ) -> bool:
        """One begins while ``LOOKING``, or is unlike those before it; answers whether the next like it
        is of interest, too.

        Args:
            outputs: Tensors at which it begins.
            given: Their gradients.
            wanted: For whose gradients it was asked; empty where it reaches everything.
            derived: Whether it can itself be differentiated.

        """

    def begins_within(self, edges: Sequence[Any], wanted: Sequence[Any]) -> None:
        """One begins at no output of a call, but inside of one, where no hook of ours sees it.

        Args:
            edges: Where it begins.
            wanted: For whose gradients it was asked.

        """

    def differentiated(self, began: int, gradients: tuple[Any, ...], linear: bool) -> None:
        """Gradients can be differentiated in their turn.

        Args:
            began: When (ns) their pass began.
            gradients: They.
            linear: Whether what it began with reached a product unchanged by anything not linear.

        """

    def raised(self, began: int) -> None:
        """One that began then (ns) broke off."""


def watch(
    torch: Any, told: Told, pulse: Pulse, ways: Ways, engine: type[Engine]
) -> Callable[[], None]:
    """Have the cell filled while a pass runs that was asked for something; answers what undoes it.

    Args:
        torch: The module.
        told: Who is told of passes.
        pulse: Has the calls that wait for their backward without a hook.
        ways: Knows what leads to them.
        engine: What takes the usual passes.

    """
    original = getattr(torch.autograd, "_engine_run_backward", None)
    if original is None:
        return lambda: None
    GradientEdge = torch.autograd.graph.GradientEdge  # noqa: N806 - torch's name

    def look(root: Root, outputs: Any, rest: tuple[Any, ...]) -> bool:
        wanted = rest[3] if len(rest) > 3 else None
        found = told.begins(outputs, rest[0], wanted or (), rest[2])
        if len(_CLEAN) < MOST_ROOTS or root in _CLEAN:
            _CLEAN[root] = not found and _CLEAN.get(root, True)
        return found

    def unusual(outputs: Any, *rest: Any, **named: Any) -> Any:
        wanted = rest[3] if len(rest) > 3 else None
        whole, way = not (wanted or rest[2]), None
        ours = OURS.depth
        looking = whole and LOOKING[0] and not ours
        root: Root = ()
        newest = None
        if not ours:
            with suppress(Exception):  # never into the program
                unlike = bool(pulse.waiting)
                if unlike:
                    try:
                        ways.attach(outputs)
                    except Exception:  # noqa: BLE001 - never into the program
                        ways.lost()
                if looking:
                    way = ways.look(outputs)
                newest, ways.newest = ways.newest, None
                end = pulse.end
                root = root_of(outputs, ways.added(), end)
                if LOOKING[0] or unlike or not whole or not _CLEAN.get(root):
                    newest = None
                    if look(root, outputs, rest):
                        way = None  # to be looked at the next time, too
            with suppress(Exception):
                edges = [each for each in outputs if type(each) is GradientEdge]
                if any(MARK not in each.node.metadata for each in edges):
                    told.begins_within(edges, wanted or ())
        outer, began = CELL[0], time.monotonic_ns()
        if not ours:
            pulse.began = began
        if wanted and not outer:
            try:
                CELL[0] = number_of(wanted, torch)
            except Exception:  # noqa: BLE001 - never into the program
                CELL[0] = UNTOLD
        try:
            found = original(outputs, *rest, **named)
        except BaseException:
            if not ours:
                told.raised(began)
            raise
        finally:
            CELL[0] = outer
        with suppress(Exception):  # never into the program
            if newest is not None and not newest and not _CLEAN.get((*root, UNREACHED)):
                look((*root, UNREACHED), outputs, rest)
            if looking:
                ways.learn(way)
            if rest[2] and not ours:
                _GIVEN.extend(
                    ref(each) for each in rest[0] if getattr(each, "requires_grad", False)
                )
                close(found or gradients_of(wanted, outputs), rest[0])
            if wanted and rest[2] and type(found) is tuple:
                told.differentiated(began, found, is_linear(outputs, rest[0]))
        return found

    _CLEAN.clear()
    run_backward = engine(pulse, original, unusual, told.raised)
    return placed(torch.autograd, "_engine_run_backward", run_backward)

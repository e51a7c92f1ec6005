"""What a training loop's observer notes: calls, their kinds, and what became of them.

No torch is imported here.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from profilers.steps.deciders.attribute_state import State
    from profilers.steps.record.values import Mode
    from profilers.steps.settled.pulse import Beside, End, Way

Passes = tuple[tuple[int, ...], ...]
"""For each backward pass, the output tensors at which it began, by their place, and the gradients that a
differentiable pass before it had found (:func:`profilers.steps.backward.passes.place_of`)."""
FIRING = 5
"""Facts of one arrival of a gradient: graph task, grad mode, time (ns), the output's place (or several
in one number, :func:`together`), and what the pass was asked for (``backward.passes``; 0 for everything)."""
SURE = 8
"""So many calls alike, reached by as many backward passes alike, make a model settled."""
RAISED = -1
"""In place of arrivals: the call raised; or, in a backward, only some of it was computed again."""

STOPPED = -2
"""The same, where torch's checkpoint stopped it as soon as it had what was needed."""

Call = tuple["Kind", list[int], int, bool]
"""An outermost call as the hot path notes it, when it begins: its kind, a list for what is still to
come, the time (ns), and whether it runs inside of a backward. The list gets ``FIRING`` facts for
each gradient that arrives at an output; of a call without gradients it gets the time of its end; of
one that raised only ``RAISED``."""

Said = tuple[int | None, int | None, int | None]
"""Tokens, samples, number: what the program says of a step."""
Event = Call | tuple[str, int] | tuple[None, Said, int]
"""A call; an optimizer's step (name, time in ns); or what the program says (and the time in ns)."""


def together(places: Sequence[int]) -> int:
    """One number for the places of outputs at which gradients arrived at once; of one alone itself."""
    return places[0] if len(places) == 1 else ~sum(1 << place for place in set(places))


def apart(number: int) -> tuple[int, ...]:
    """The places for which a number stands."""
    if number >= 0:
        return (number,)
    return tuple(place for place in range((~number).bit_length()) if ~number >> place & 1)


class Kind:
    """One kind of call: the same module, flags and shapes."""

    __slots__ = (
        "added", "arrived", "aside", "beside", "data", "device", "doubt", "doubted", "entry",
        "expected", "fed", "graded", "inputs", "kept", "key", "made", "model", "nodes", "place", "real",
        "samples", "seam", "since", "state", "steady", "sure", "switches", "thread", "tokens", "trained",
        "transformed", "trust", "unlike", "usual", "variants", "watched", "ways",
    )  # fmt: skip

    def __init__(self, model: str, key: Hashable) -> None:
        self.model = model
        """Class name of the module."""
        self.key = key
        self.place = 0
        """The same number for all kinds of calls of one module: the id of ``seam``, which an id of the module
        itself would be only while that lives."""
        self.seam: Callable[[], Any] = lambda: None
        """Weak reference to what stands before the module."""
        self.sure = 0
        """So many backward passes in a row came by a way that is known (profilers.steps.settled.ways)."""
        self.trust = SURE
        """So many are asked for before calls of this kind go without a hook."""
        self.doubted = 0
        """When (ns) such a call last went another way."""
        self.nodes = -1
        """How many nodes one call adds to the graph."""
        self.added = -1
        """How many the first one added, whether or not a backward came to it."""
        self.expected = -1
        """So many a count has to add, where calls that look alike add unlike numbers."""
        self.unlike: dict[int, Kind] = {}
        """What such calls are, by what they add."""
        self.steady = True
        """Whether unlike numbers say that something decides: not where a count asks data or dice."""
        self.made: tuple[tuple[int, int], ...] = ()
        """Its outputs (``profilers.steps.settled.ways.Outputs``)."""
        self.kept: type = object
        """In what they are handed out."""
        self.entry = 0
        """How far before the call's end the node was made by which backward passes come."""
        self.arrived = 0
        """Places of the outputs at which gradients then arrive (``together``)."""
        self.ways: dict[End, Way] = {}
        """By how the graph ends at which the backward begins."""
        self.state: Callable[[], State | None] | None = None
        """Weak reference to the attributes of the module when it was called."""
        self.switches: dict[Any, Any] = {}
        """Values of tensors of the module then, which may decide (profilers.steps.deciders.switches)."""
        self.beside: dict[End, Beside] = {}
        """What leads to such an end beside the way, of the few that have something."""
        self.fed: set[tuple[type, ...]] = set()
        """What the program made of tensors before it handed them in, where it does; as far as that was looked
        at (profilers.steps.products.outside)."""
        self.variants: dict[Hashable, Variant] = {}
        self.usual: Variant | None = None
        """Forward, and one backward from the outputs of ``arrived``, once that was made."""
        self.inputs: tuple[str, ...] = ()
        self.tokens: int | None = None
        self.samples: int | None = None
        self.device = "cpu"
        self.real = True
        """False for a call that computes nothing: its tensors have no storage."""
        self.transformed = False
        """Called under a function transform, where gradients do not show."""
        self.doubt: str | None = None
        """Why nobody knows what such calls cost, though they look as if one did."""
        self.graded = True
        """Gradients are enabled."""
        self.watched = True
        """A backward may come, and would show."""
        self.aside = False
        """Without gradients, and in eval mode: no training."""
        self.trained: tuple[Callable[[], Any], ...] = ()
        """Weak references to a few parameters, by which the model's optimizer is known."""
        self.data: Any = None
        """The listener's own."""
        self.thread = 0
        """Where it was first called, and when (ns)."""
        self.since = 0

    def in_doubt(self, why: str) -> Kind:
        """Another kind for calls of this one of which nobody knows what they cost."""
        other = copy.copy(self)
        other.variants, other.usual, other.doubt = {}, None, why
        return other

    def adding(self, nodes: int) -> Kind:
        """Another kind for calls that look like those of this one, and add another number of nodes."""
        other = copy.copy(self)
        assert isinstance(self.key, tuple)
        other.key = (*self.key, ("nodes", nodes))
        other.variants, other.usual, other.data, other.unlike = {}, None, None, {}
        other.added = other.expected = nodes
        other.sure, other.trust, other.doubted, other.nodes = 0, SURE, 0, -1
        other.made, other.kept, other.entry, other.arrived = (), object, 0, 0
        other.ways, other.beside = {}, {}
        return other

    def as_of(self, variant: Variant) -> Variant:
        """What a call of this kind is, that became what a call of another one became."""
        return self.variant(
            variant.mode, variant.passes, variant.asked,
            doubled=variant.doubled, raised=variant.raised, stopped=variant.stopped,
        )  # fmt: skip

    def variant(
        self,
        mode: Mode,
        passes: Passes = (),
        asked: tuple[int, ...] = (),
        *,
        doubled: tuple[bool, ...] = (),
        raised: bool = False,
        stopped: bool = False,
    ) -> Variant:
        """What became of a call of this kind; the same object for the same."""
        if not any(asked):
            asked = ()
        if not any(doubled):
            doubled = ()
        key = (mode, passes, asked, doubled, raised, stopped)
        found = self.variants.get(key)
        if found is None:
            found = Variant(self, mode, passes, asked, doubled=doubled, raised=raised)
            found.stopped = stopped
            self.variants[key] = found
        return found

    def became(self, fired: Sequence[int], *, again: bool) -> Variant:
        """The variant of a call at whose outputs these gradients arrived."""
        unusual = again or len(fired) != FIRING or fired[1] or fired[3] != self.arrived or fired[4]
        if not unusual:
            found = self.usual
            if found is None:
                found = self.usual = self.variant("train", (apart(self.arrived),))
            return found
        if not fired:
            return self.variant("again" if again else "forward")
        if fired[0] == RAISED:
            return self.variant("again" if again else "forward", raised=True)
        if fired[0] == STOPPED:
            return self.variant("again", stopped=True)
        tasks: dict[tuple[int, int, bool], set[int]] = {}
        for at in range(0, len(fired), FIRING):
            task = (fired[at], fired[at + 4], bool(fired[at + 1]))
            tasks.setdefault(task, set()).update(apart(fired[at + 3]))
        passes = tuple(tuple(sorted(places)) for places in tasks.values())
        asked = tuple(number for _, number, _ in tasks)
        mode: Mode = "again" if again else "train"
        return self.variant(mode, passes, asked, doubled=tuple(graded for _, _, graded in tasks))


class Variant:
    """A kind of call and what became of it."""

    __slots__ = ("asked", "data", "doubled", "kind", "mode", "passes", "raised", "stopped")

    def __init__(
        self,
        kind: Kind,
        mode: Mode,
        passes: Passes,
        asked: tuple[int, ...] = (),
        *,
        doubled: tuple[bool, ...] = (),
        raised: bool = False,
    ) -> None:
        self.kind = kind
        self.mode = mode
        self.passes = passes
        self.asked = asked
        """What each pass was asked for; empty where all were asked for everything."""
        self.doubled = doubled
        """Whether each backward was itself recorded for differentiation; empty where none was."""
        self.raised = raised
        """The call raised; nobody knows how far it came."""
        self.stopped = False
        """A checkpoint stopped it when it had recomputed what was needed."""
        self.data: Any = None
        """The listener's own."""


def is_news(event: Any) -> bool:
    """Whether something became of a call that was never counted for its kind."""
    if len(event) != 4:
        return False
    kind, fired, _, again = event
    if not kind.watched:
        return False
    usual = len(fired) == FIRING and fired[3] == kind.arrived
    if usual and kind.usual is not None and not (again or fired[1] or fired[4]):
        return False  # counted, for ``usual`` is made where its kind is first counted
    return not fired or kind.became(fired, again=again).data is None

"""What a recording knows from one moment to the next, and the usual backward and end of a step.

Twice, as :mod:`profilers.steps.settled.glance` is. No torch is imported here.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import is_, itemgetter
from typing import TYPE_CHECKING, Any

from profilers.steps.standing.handlers import is_the_programs

if TYPE_CHECKING:
    from profilers.steps.folding.events import Call, Event
    from profilers.steps.products.outside import Span
    from profilers.steps.settled.glance import Lane

_node = itemgetter(0)
Way = tuple[tuple[int, tuple[type, ...]], ...]
"""At each node from the last one on, which of those that lead to it, and what all of them are."""
Beside = tuple[tuple[int, tuple[type, ...], "Beside"], ...]
"""Of a node, which of those that lead to it do not lie in the call, what leads to them, and what is beside
or below them."""
Added = tuple[int, int]
"""How many nodes the graph got since the last call ended, and between the calls before it (or since the last
pass began)."""
End = tuple[int, int, type]
"""The same, and what the graph ends with."""
Waiting = tuple["Span", "Call", int, list[int], "Lane"]
"""A settled call that no backward reached yet, its step (``Pulse.serial``), the list that is going to get its
facts, for whose sake the call is remembered (``profilers.steps.folding.equal.references``), and its lane."""


class Pulse:
    """Of one recording: what is read and written at each call, each backward and each step."""

    # Side by side: what is looked for in so many places has left the caches after a step of training.
    __slots__ = (
        "automatic", "began", "between", "boundary", "busy", "clock", "derived", "due", "end", "epoch",
        "fresh", "keep", "known", "last", "log", "looked", "looking", "overdue", "sequence", "serial",
        "settled", "thread", "waiting", "wary", "watching",
    )  # fmt: skip

    def __init__(
        self,
        *,
        looking: list[bool],
        keep: Callable[[Span], object],
        sequence: Callable[[], int],
        clock: Callable[[], int],
        thread: int,
    ) -> None:
        """Take what the hot path needs.

        Args:
            looking: ``profilers.steps.backward.passes.LOOKING``.
            keep: Takes what each call added to the graph.
            sequence: The number that the graph's next node will have.
            clock: Monotonic nanoseconds.
            thread: Whose calls may be settled.

        """
        self.looking, self.keep, self.sequence, self.clock = looking, keep, sequence, clock
        self.thread = thread
        self.log: list[Event] = []
        """What happened since the last replay."""
        self.busy: list[None] = []
        """One for each call that runs and is not settled, and for each time that we work ourselves."""
        self.waiting: list[Waiting] = []
        """Settled calls whose backward has not begun; hardly ever more than one."""
        self.known: list[Call] = []
        """Those since the last step to which a backward came by its usual way."""
        self.last: tuple[Callable[[], Any], str] | None = None
        """The optimizer that stepped last, weakly, and its name."""
        self.watching = self.automatic = False
        """Automatic: optimizers end steps by themselves."""
        self.settled = False
        """A settled call runs."""
        self.boundary = False
        """An optimizer stepped, and no model was called since."""
        self.overdue = False
        """An optimizer stepped inside of a backward, where nothing may be counted."""
        self.fresh = False
        """Whether a new kind of call was seen since the last optimizer step."""
        self.derived = False
        """Gradients of this step have graphs of their own that cannot be told from forwards."""
        self.wary = False
        """A backward may come for a call of an earlier step."""
        self.epoch = 1
        """Rises when a module, parameter or seam comes or goes anywhere."""
        self.serial = 0
        """Rises with the first call after an optimizer's step."""
        self.due = 0
        """When (ns) the notes are to be made into steps."""
        self.looked = 0
        """Place in the log up to which the outcomes of calls were looked at."""
        self.began = 0
        """When (ns) the last pass began."""
        self.end = 0
        """The number of the node that came next when the last call had ended, or the last pass began."""
        self.between = 0
        """So many nodes the program made between calls since the last pass began."""

    def stepped(self, optimizer: Any) -> bool:
        """Note an optimizer's step that ended as all do; else nothing is done, and False the answer.

        Args:
            optimizer: Which.

        """
        if not self.watching or not self.automatic:
            return True  # nothing is to be noted
        log, known, last = self.log, self.known, self.last
        if self.fresh or self.wary or self.boundary or self.waiting or self.looking[0]:
            return False
        if last is None or last[0]() is not optimizer or len(log) - self.looked != len(known):
            return False
        if not all(map(is_, log[self.looked :], known)):
            return False
        now = self.clock()
        if now > self.due:
            return False
        log.append((last[1], now))
        known.clear()
        self.looked = len(log)
        self.boundary, self.derived = True, False
        return True


class Engine:
    """Stands before torch's engine: a pass that comes to a settled call by its usual way goes straight on."""

    __slots__ = ("_original", "_pulse", "_raised", "_unusual")

    def __init__(
        self,
        pulse: Pulse,
        original: Callable[..., Any],
        unusual: Callable[..., Any],
        raised: Callable[[int], object],
    ) -> None:
        """Take the others.

        Args:
            pulse: Of the recording.
            original: The engine.
            unusual: Takes every other pass, with the same arguments.
            raised: Told when (ns) a pass began that broke off.

        """
        self._pulse, self._original = pulse, original
        self._unusual, self._raised = unusual, raised

    def __call__(self, *given: Any, **named: Any) -> Any:
        """Stand for the engine."""
        pulse = self._pulse
        if not pulse.waiting or not reached(pulse, given):
            return self._unusual(*given, **named)
        try:
            return self._original(*given, **named)
        except BaseException:
            self._raised(pulse.began)
            raise


def reached(pulse: Pulse, given: tuple[Any, ...]) -> bool:
    """Whether a pass is going to reach the one call that waits; if so, that is noted.

    Args:
        pulse: Of the recording.
        given: To torch's engine: where the pass begins, gradients, whether the graph is kept and whether it
            is recorded for differentiation, and for whose gradients it was asked.

    """
    try:
        if pulse.looking[0] or given[2] or given[3] or given[4]:
            return False
        ((span, call, _, _, lane),), (output,) = pulse.waiting, given[0]
        node, number = output.grad_fn, pulse.sequence()
        end = number - span[1], pulse.between, type(node)
        # None has no number, and is no usual pass.
        if followed(node, lane.ways[end])._sequence_nr() != span[1] - lane.back:
            return False
        if lane.beside and not is_beside(node, lane.beside.get(end, ())):
            return False
    except Exception as error:
        if is_the_programs(error):
            raise
        return False  # whatever it is, it is no usual pass
    pulse.waiting.clear()
    pulse.end, pulse.between = number, 0
    now = pulse.began = pulse.clock()
    pulse.known.append(call)
    call[1].extend((now, 0, now, lane.arrived, 0))  # the time is the engine's number, too
    return True


def followed(node: Any, way: Way) -> Any:
    """The node to which a way through the graph leads; None where it is not that way any more.

    Args:
        node: Where the way begins.
        way: At each node, the place of the next one, and the types of all.

    """
    for place, types in way:
        following = node.next_functions
        if types_of(node) != types:
            return None
        node = following[place][0]
    return node


def types_of(node: Any) -> tuple[type, ...]:
    """What leads to a node."""
    return tuple(map(type, map(_node, node.next_functions)))


def is_beside(node: Any, beside: Beside) -> bool:
    """Whether the same leads to a node, beside the way, as did."""
    for place, types, below in beside:
        following = node.next_functions[place][0]
        if types_of(following) != types or not is_beside(following, below):
            return False
    return True

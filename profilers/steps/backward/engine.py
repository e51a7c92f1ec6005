"""What stands before torch's engine for every pass that is not a usual one (profilers.steps.settled.pulse).

It says what the pass was asked for (:mod:`.passes`), has its graph looked at where that is due or where it
ends unlike those before it, and tells of passes that break off or can be differentiated themselves. No torch
is imported here; it is handed in by the observer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from profilers.steps.backward.passes import CELL, LOOKING, OURS, UNTOLD, came_in, number_of
from profilers.steps.products.outside import MARK, close, gradients_of
from profilers.steps.settled.roots import UNREACHED, Root, is_linear, root_of
from profilers.steps.standing.handlers import SHIELD, is_the_programs
from profilers.steps.standing.layers import placed

if TYPE_CHECKING:
    from profilers.steps.settled.pulse import Engine, Pulse
    from profilers.steps.settled.ways import Ways

MOST_ROOTS = 4096


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

    def runs(self, *, runs: bool) -> None:
        """One is about to run, or is over."""


@dataclass(slots=True)
class _Pass:
    """One pass, and what is known of it."""

    outputs: Any
    given: Sequence[Any]
    """The gradients with which it begins."""
    derived: bool
    """Whether it can itself be differentiated."""
    wanted: Sequence[Any]
    """For whose gradients it was asked; empty where it reaches everything."""
    ours: bool
    """It is a recording's own."""
    began: int = 0
    """When (ns)."""
    root: Root = ()
    """How its graph ends."""
    way: Any = None
    """That from its beginning to a call, if it is to be learned."""
    newest: list[int] | None = None
    """What is known of the last call, where that is going to show whether the pass reached it."""

    @property
    def whole(self) -> bool:
        """Whether it reaches everything, and cannot be differentiated."""
        return not (self.wanted or self.derived)


def _pass_of(outputs: Any, rest: tuple[Any, ...]) -> _Pass:
    """Read what torch hands to its engine behind the outputs: gradients, two flags, inputs."""
    return _Pass(
        outputs=outputs,
        given=rest[0] if rest else (),
        derived=len(rest) > 2 and bool(rest[2]),
        wanted=(rest[3] if len(rest) > 3 else None) or (),
        ours=bool(OURS.depth),
    )


class Around:
    """What a recording does around a pass."""

    def __init__(self, torch: Any, told: Told, pulse: Pulse, ways: Ways, original: Any) -> None:
        """Take torch, who is told, what waits for a pass, the ways to it, and torch's engine."""
        self._torch, self._edge = torch, torch.autograd.graph.GradientEdge
        self._told, self._pulse, self._ways, self._original = told, pulse, ways, original
        self._clean: dict[Root, bool] = {}
        """Ends of graphs, and whether none of them ever had a product of the program's own. All others
        are looked at each time."""

    def __call__(self, outputs: Any, *rest: Any, **named: Any) -> Any:
        """Run a pass."""
        one = _pass_of(outputs, rest)
        looking = LOOKING[0] and one.whole and not one.ours
        if not one.ours:
            with SHIELD:
                self._look_before(one, looking=looking)
            with SHIELD:
                self._look_within(one)
        found = self._run(one, rest, named)
        with SHIELD:
            self._look_behind(one, found, looking=looking)
        return found

    def _look_before(self, one: _Pass, *, looking: bool) -> None:
        """Look at the graph, while there is one, where that is due, or where it ends unlike others."""
        pulse, ways = self._pulse, self._ways
        unlike = bool(pulse.waiting)
        if unlike:
            try:
                ways.attach(one.outputs)
            except Exception as error:
                ways.lost()
                if is_the_programs(error):
                    raise
        if looking:
            one.way = ways.look(one.outputs)
        one.newest, ways.newest = ways.newest, None
        end = pulse.end
        one.root = root_of(one.outputs, ways.added(), end)
        if LOOKING[0] or unlike or not one.whole or not self._clean.get(one.root):
            one.newest = None
            if self._look(one, one.root):
                one.way = None  # to be looked at the next time, too

    def _look(self, one: _Pass, root: Root) -> bool:
        """Have the graph looked at; answers whether the next one that ends like this is of interest."""
        found = self._told.begins(one.outputs, one.given, one.wanted, one.derived)
        if len(self._clean) < MOST_ROOTS or root in self._clean:
            self._clean[root] = not found and self._clean.get(root, True)
        return found

    def _look_within(self, one: _Pass) -> None:
        """Tell of a pass that begins inside of a call."""
        edges = [each for each in one.outputs if type(each) is self._edge]
        if any(MARK not in each.node.metadata for each in edges):
            self._told.begins_within(edges, one.wanted)

    def _run(self, one: _Pass, rest: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Have torch run it, with the number of what it was asked for in the cell."""
        outer, one.began = CELL[0], time.monotonic_ns()
        if not one.ours:
            self._pulse.began = one.began
        if one.wanted and not outer:
            CELL[0] = self._number(one.wanted)
        if not one.ours:
            self._told.runs(runs=True)
        try:
            return self._original(one.outputs, *rest, **named)
        except BaseException:
            if not one.ours:
                self._told.raised(one.began)
            raise
        finally:
            CELL[0] = outer
            if not one.ours:
                self._told.runs(runs=False)

    def _number(self, wanted: Sequence[Any]) -> int:
        try:
            return number_of(wanted, self._torch)
        except Exception as error:
            if is_the_programs(error):
                raise
            return UNTOLD

    def _look_behind(self, one: _Pass, found: Any, *, looking: bool) -> None:
        """The pass is over: learn from it, and note what may be differentiated later."""
        missed = (*one.root, UNREACHED)
        if one.newest is not None and not one.newest and not self._clean.get(missed):
            self._look(one, missed)
        if looking:
            self._ways.learn(one.way)
        if one.derived and not one.ours:
            came_in(one.given)
            close(found or gradients_of(one.wanted, one.outputs), one.given)
        if one.derived and one.wanted and type(found) is tuple:
            self._told.differentiated(one.began, found, is_linear(one.outputs, one.given))


def watch(
    torch: Any, told: Told, pulse: Pulse, ways: Ways, engine: type[Engine]
) -> Callable[[], None]:
    """Stand before torch's engine; answers what undoes it.

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
    around = Around(torch, told, pulse, ways, original)
    run_backward = engine(pulse, original, around, told.raised)
    return placed(torch.autograd, "_engine_run_backward", run_backward)

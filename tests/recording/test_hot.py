"""The shorter way of a settled call, its backward and its step, in Python and compiled."""

from __future__ import annotations

import contextlib
import gc
import signal
import sys
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from profilers.steps.calls.asked import look_of  # noqa: E402
from profilers.steps.calls.seam import Seam  # noqa: E402
from profilers.steps.folding.events import RAISED  # noqa: E402
from profilers.steps.settled import compared, compiled, glance, pulse  # noqa: E402

ENTRY = "entry"


class Slotless:
    """Something that can be referred to weakly."""


class Raises:
    """A holder and a number that nobody can ask."""

    def __getitem__(self, _key: Any) -> Any:
        raise RuntimeError

    def __eq__(self, _other: object) -> bool:
        raise RuntimeError

    __hash__ = None  # type: ignore[assignment]


@dataclass
class World:
    """What a glance is made of, and can be changed behind its back."""

    table: dict[str, Any] = field(default_factory=lambda: {"a": object(), "b": 70_000})
    row: list[Any] = field(default_factory=lambda: [object(), "c"])
    sized: dict[int, int] = field(default_factory=lambda: {1: 1})
    classes: list[type] = field(default_factory=lambda: [type("One", (), {}), type("Two", (), {})])
    counts: list[int] = field(default_factory=list)
    answer: Any = field(default_factory=lambda: 2**40)
    parameters: list[Any] = field(
        default_factory=lambda: [nn.Parameter(torch.ones(2)) for _ in "ab"]
    )
    tables: list[dict[str, Any]] = field(default_factory=lambda: [{ENTRY: None}, {ENTRY: None}])
    seams: list[Any] = field(default_factory=lambda: [Slotless(), Slotless()])
    args: tuple[Any, ...] = field(default_factory=lambda: (torch.ones(2, 3), 5, 0.5))
    kwargs: dict[str, Any] = field(default_factory=lambda: {"mask": torch.ones(2), "scale": "x"})

    def parts(self) -> dict[str, Any]:
        self.parameters[1].requires_grad = False
        self.counts[:] = list(map(sys.getrefcount, self.classes))
        values = [*self.args, *self.kwargs.values()]
        return {
            "items": [
                *((self.table, key, value) for key, value in self.table.items()),
                *((self.row, place, value) for place, value in enumerate(self.row)),
            ],
            "holders": [self.sized, self.row, vars(self.classes[0])],
            "sizes": [len(self.sized), len(self.row), len(vars(self.classes[0]))],
            "classes": self.classes,
            "counts": self.counts,
            "asked": [(lambda: None, None), (lambda: self.answer, self.answer)],
            "required": [(each, each.requires_grad) for each in self.parameters],
            "given": [
                (type(value), look_of(value) if type(value) is torch.Tensor else value)
                for value in values
            ],
            "names": tuple(self.kwargs),
            "swapped": list(zip(self.tables, self.seams, strict=True)),
            "looks": compared._LOOKS,
            "flag": compared._FLAG,
            "tensor": torch.Tensor,
            "entry": ENTRY,
        }

    def answer_raises(self) -> None:
        del self.answer


@pytest.fixture(params=["plain", "compiled"])
def kind(request: pytest.FixtureRequest) -> Any:
    if request.param == "plain":
        return glance.Glance
    return pytest.importorskip("profilers._hot").Glance


CHANGES: dict[str, Callable[[World], Any]] = {
    "an item is another": lambda w: w.table.update(a=object()),
    "an item is equal, and another": lambda w: w.table.update(b=int("70000")),
    "an item went": lambda w: w.table.pop("a"),
    "an item of a list": lambda w: w.row.__setitem__(0, object()),
    "a list is shorter": lambda w: w.row.pop(),
    "a dictionary is longer": lambda w: w.sized.update({2: 2}),
    "a class got a name": lambda w: setattr(w.classes[0], "more", 1),
    "a class is held by one more": lambda w: w.seams.append(w.classes[1]()),
    "another count": lambda w: w.counts.__setitem__(1, w.counts[1] + 1),
    "a count more": lambda w: w.counts.append(1),
    "no count": lambda w: w.counts.__setitem__(0, "many"),
    "another answer": lambda w: setattr(w, "answer", 2**40 + 1),
    "an answer that cannot be compared": lambda w: setattr(w, "answer", Raises()),
    "an answer that raises": World.answer_raises,
    "a flag": lambda w: w.parameters[0].requires_grad_(requires_grad=False),
    "the other flag": lambda w: w.parameters[1].requires_grad_(requires_grad=True),
    "another shape": lambda w: setattr(w, "args", (torch.ones(3, 2), 5, 0.5)),
    "another precision": lambda w: setattr(w, "args", (torch.ones(2, 3).double(), 5, 0.5)),
    "an input with a gradient": lambda w: w.args[0].requires_grad_(),
    "another layout": lambda w: setattr(w, "args", (torch.ones(2, 3).to_sparse(), 5, 0.5)),
    "a parameter in place of a tensor": lambda w: setattr(
        w, "args", (nn.Parameter(torch.ones(2, 3), requires_grad=False), 5, 0.5)
    ),
    "another number": lambda w: setattr(w, "args", (w.args[0], 6, 0.5)),
    "an equal number of another type": lambda w: setattr(w, "args", (w.args[0], 5.0, 0.5)),
    "an input less": lambda w: setattr(w, "args", w.args[:2]),
    "a named input less": lambda w: w.kwargs.pop("scale"),
    "a named input more": lambda w: w.kwargs.update(more=1),
    "another name": lambda w: setattr(w, "kwargs", {"mask": w.kwargs["mask"], "other": "x"}),
    "another order": lambda w: setattr(w, "kwargs", dict(reversed(w.kwargs.items()))),
    "a name less and a place more": lambda w: (
        setattr(w, "args", (*w.args, w.kwargs.pop("mask"))),
    ),
    "another text": lambda w: w.kwargs.update(scale="y"),
    "another mask": lambda w: w.kwargs.update(mask=torch.ones(3)),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_each_change_is_seen(kind: Any, change: Callable[[World], Any]) -> None:
    world = World()
    glance = kind(**world.parts())
    assert glance.same(world.args, world.kwargs) is True
    change(world)
    assert glance.same(world.args, world.kwargs) is False
    assert sys.exc_info() == (None, None, None)


def test_what_is_equal_is_the_same(kind: Any) -> None:
    world = World()
    glance = kind(**world.parts())
    args = (torch.zeros(2, 3), int("5"), float("0.5"))
    assert glance.same(args, {"mask": torch.zeros(2), "scale": "x"}) is True


def test_a_number_that_equals_nothing_is_the_same_as_itself(kind: Any) -> None:
    world = World(args=(float("nan"),))
    assert kind(**world.parts()).same(world.args, world.kwargs) is True


def test_an_item_of_what_raises_is_another(kind: Any) -> None:
    world = World()
    parts = world.parts()
    parts["items"].append((Raises(), 0, None))
    assert kind(**parts).same(world.args, world.kwargs) is False


def test_counts_may_be_told_anew(kind: Any) -> None:
    """What was changed in place by their owner is what counts (``steps.deciders.methods.Kinds``)."""
    world = World()
    glance = kind(**world.parts())
    world.seams.append(world.classes[1]())
    assert not glance.same(world.args, world.kwargs)
    world.counts[:] = list(map(sys.getrefcount, world.classes))
    assert glance.same(world.args, world.kwargs)


def test_seams_are_taken_out_and_put_back(kind: Any) -> None:
    world = World()
    glance = kind(**world.parts())
    glance.join()
    assert [table[ENTRY] for table in world.tables] == world.seams
    glance.part()
    assert [table[ENTRY] for table in world.tables] == [None, None]


def test_nothing_is_held_too_often_or_too_long(kind: Any) -> None:
    world = World()
    parts = world.parts()
    watched = [world.table, world.row, world.sized, *world.parameters, *world.seams, world.counts]
    before = list(map(sys.getrefcount, watched))
    for _ in range(200):
        glance = kind(**parts)
        for _ in range(3):
            assert glance.same(world.args, world.kwargs)
            glance.part()
        del glance
    assert list(map(sys.getrefcount, watched)) == before


def test_a_circle_is_found(kind: Any) -> None:
    world = World()
    owner = Slotless()
    world.tables[0]["owner"] = owner
    owner.glance = kind(**world.parts())  # type: ignore[attr-defined]
    gone = weakref.ref(owner)
    del owner, world
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"items": 5}, {"items": [(1, 2)]}, {"items": ["abc"]}, {"holders": ()}, {"sizes": [1]},
        {"sizes": ["1", 2, 3]}, {"sizes": [2**70, 2, 3]}, {"classes": ()}, {"counts": None},
        {"asked": [(1, 2, 3)]}, {"required": [None]}, {"given": None}, {"names": ["mask"]},
        {"swapped": 1.5}, {"swapped": [([], None)]}, {"looks": [1]}, {"looks": (1,)}, {"flag": 1},
    ],
    ids=str,
)  # fmt: skip
def test_the_compiled_one_takes_nothing_else(wrong: dict[str, Any]) -> None:
    kind = pytest.importorskip("profilers._hot").Glance
    world = World()
    parts = world.parts()
    before = list(map(sys.getrefcount, world.parameters))
    with pytest.raises((TypeError, OverflowError)):
        kind(**{**parts, **wrong})
    assert list(map(sys.getrefcount, world.parameters)) == before
    with pytest.raises(TypeError):
        kind(**dict(list(parts.items())[1:]))
    glance = kind(**parts)
    for given in ((), (1, 2), (world.args,), (world.args, None), (list(world.args), world.kwargs)):
        with pytest.raises(TypeError):
            glance.same(*given)


def test_a_file_of_another_version_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    hot = pytest.importorskip("profilers._hot")
    assert compiled.best() == (hot.Lane, hot.Pulse, hot.Engine)
    monkeypatch.setattr(hot, "VERSION", compiled.VERSION + 1)
    assert compiled.best() == compiled.PLAIN


def test_a_file_that_cannot_be_loaded_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refuses:
        def find_spec(self, name: str, *_: Any) -> None:
            if name == "profilers._hot":
                raise DeprecationWarning  # python -W error

    monkeypatch.delitem(sys.modules, "profilers._hot", raising=False)
    monkeypatch.delattr("profilers._hot", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Refuses(), *sys.meta_path])
    assert compiled.best() == compiled.PLAIN


def test_without_the_file_there_is_the_one_in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "profilers._hot", None)
    monkeypatch.delattr("profilers._hot", raising=False)
    assert compiled.best() == compiled.PLAIN


# ------------------------------------------------------------ a recording's pulse


class Graph:
    """A graph that gets nodes, and a clock."""

    def __init__(self) -> None:
        self.number = 100
        self.time = 1_000
        self.spans: list[Any] = []
        self.looking = [False]

    def sequence(self) -> int:
        return self.number

    def clock(self) -> int:
        self.time += 1
        return self.time


class Called:
    """A module, and what stands before its call."""

    def __init__(self, world: World, graph: Graph) -> None:
        self.world, self.graph = world, graph
        self.out: Any = torch.ones(1)
        self.nodes = 5
        self.error: BaseException | None = None
        self.inside: list[Any] = []
        """Of each forward: its inputs, and what then stood in the tables."""
        self.rest: list[Any] = []
        """Of each call that did not end as all do."""
        self.within: Callable[[], Any] = lambda: None
        self.raises = False
        self.doubted: list[Exception] = []
        self.doubts: Callable[[Exception], Any] = self.doubted.append

    def _call_impl(self, *args: Any, **kwargs: Any) -> Any:
        self.inside.append((args, kwargs, [table[ENTRY] for table in self.world.tables]))
        self.within()
        self.graph.number += self.nodes
        if self.error is not None:
            raise self.error
        return self.out

    def left(self, *given: Any) -> None:
        self.rest.append(given)
        if self.raises:
            raise KeyboardInterrupt

    def failed(self, error: Exception) -> None:
        self.rest.append(error)

    def passed_on(self, error: Exception) -> None:
        self.doubts(error)


@dataclass
class Hot:
    """A lane of a world, and what belongs to it."""

    classes: compiled.Hot
    world: World = field(default_factory=World)
    graph: Graph = field(default_factory=Graph)
    restored: list[int] = field(default_factory=list)
    more: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        graph = self.graph
        self.module = Called(self.world, graph)
        self.pulse = self.classes.pulse(
            looking=graph.looking,
            keep=graph.spans.append,
            sequence=graph.sequence,
            clock=graph.clock,
            thread=threading.get_ident(),
        )
        self.pulse.watching = self.pulse.automatic = True
        self.pulse.due = 10**9
        self.lane = self.classes.lane(**self.parts())

    def parts(self) -> dict[str, Any]:
        return {
            **self.world.parts(), "pulse": self.pulse, "kind": "kind", "name": 7, "alike": None,
            "module": weakref.ref(self.module), "restore": lambda: self.restored.append(1),
            "kept": torch.Tensor, "arrived": 3, "ways": {}, "beside": {}, "nodes": 5, "back": 1, **self.more,
        }  # fmt: skip

    def calls(self) -> Any:
        return self.lane.calls(self.module, self.world.args, self.world.kwargs)

    def opens(self) -> bool:
        """Whether a call goes the shorter way."""
        found = self.calls() is not self.lane
        assert found == bool(self.module.inside)
        return found


@pytest.fixture(params=["plain", "compiled"])
def classes(request: pytest.FixtureRequest) -> compiled.Hot:
    if request.param == "plain":
        return compiled.PLAIN
    hot = pytest.importorskip("profilers._hot")
    return compiled.Hot(hot.Lane, hot.Pulse, hot.Engine)


def test_a_usual_call_is_noted_and_waits(classes: compiled.Hot) -> None:
    hot = Hot(classes)
    hot.pulse.end, hot.pulse.between = 90, 2
    hot.pulse.boundary = True
    during: list[Any] = []
    hot.module.within = lambda: during.append((hot.pulse.settled, list(hot.pulse.log)))
    assert hot.calls() is hot.module.out
    call = ("kind", [], 1_001, False)
    assert during == [(True, [call])]
    assert hot.module.inside == [(hot.world.args, hot.world.kwargs, [None, None])]
    assert not hot.pulse.settled
    assert hot.module.rest == []
    assert [table[ENTRY] for table in hot.world.tables] == hot.world.seams
    assert hot.pulse.log == [call]
    assert (hot.pulse.boundary, hot.pulse.serial) == (False, 1)
    span = (100, 105, 7)
    assert hot.graph.spans == [span]
    assert hot.pulse.waiting == [(span, call, 1, [], hot.lane)]
    assert hot.pulse.waiting[0][3] is hot.pulse.log[0][1]
    # two before, and ten since the last end at 90
    assert (hot.pulse.between, hot.pulse.end) == (12, 105)


def test_whoever_comes_again_inside_of_a_call_goes_the_longer_way(
    classes: compiled.Hot,
) -> None:
    hot = Hot(classes)
    found: list[Any] = []
    hot.module.within = lambda: found.append(hot.calls())
    hot.calls()
    assert found == [hot.lane]
    assert len(hot.pulse.log) == 1


CLOSED: dict[str, Callable[[Hot], Any]] = {
    "nobody watches": lambda h: setattr(h.pulse, "watching", False),
    "a settled call runs": lambda h: setattr(h.pulse, "settled", True),
    "an optimizer stepped in a backward": lambda h: setattr(h.pulse, "overdue", True),
    "another call runs": lambda h: h.pulse.busy.append(None),
    "one waits": lambda h: h.pulse.waiting.append(None),
    "a module came": lambda h: setattr(h.pulse, "epoch", h.pulse.epoch + 1),
    "too many facts": lambda h: h.pulse.log.extend([None] * glance.MOST_EVENTS),
    "another input": lambda h: setattr(h.world, "args", h.world.args[:1]),
}


@pytest.mark.parametrize("change", CLOSED.values(), ids=CLOSED)
def test_the_lane_is_closed(classes: compiled.Hot, change: Callable[[Hot], Any]) -> None:
    hot = Hot(classes)
    change(hot)
    before = list(hot.pulse.log), hot.pulse.serial
    assert not hot.opens()
    assert (hot.pulse.log, hot.pulse.serial) == before


def test_the_lane_is_closed_to_another_thread(classes: compiled.Hot) -> None:
    hot = Hot(classes)
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(hot.opens()))
    thread.start()
    thread.join()
    assert found == [False]
    assert hot.opens()


@pytest.mark.parametrize(("alike", "opens"), [(True, True), (False, False), (Raises(), False)])
def test_what_the_glance_does_not_compare(classes: compiled.Hot, alike: Any, opens: bool) -> None:
    def asked() -> bool:
        return bool(alike if isinstance(alike, bool) else alike[0])

    hot = Hot(classes, more={"alike": asked})
    assert hot.opens() == opens


UNUSUAL: dict[str, Callable[[Hot], Any]] = {
    "graphs are looked at": lambda h: h.graph.looking.__setitem__(0, True),
    "another output": lambda h: setattr(h.module, "out", (torch.ones(1),)),
    "more nodes": lambda h: setattr(h.module, "nodes", 6),
}  # fmt: skip


@pytest.mark.parametrize("change", UNUSUAL.values(), ids=UNUSUAL)
def test_a_call_that_needs_hooks(classes: compiled.Hot, change: Callable[[Hot], Any]) -> None:
    hot = Hot(classes)
    change(hot)
    assert hot.calls() is hot.module.out
    span = (100, 100 + hot.module.nodes, 7)
    world = hot.world
    assert hot.module.rest == [(hot.pulse.log[0], hot.module.out, span, world.args, world.kwargs)]
    assert hot.pulse.waiting == []


def test_an_interruption_while_hooks_are_put_is_the_programs(classes: compiled.Hot) -> None:
    hot = Hot(classes)
    hot.module.nodes, hot.module.raises = 6, True
    with pytest.raises(KeyboardInterrupt):
        hot.calls()


@pytest.mark.parametrize("error", [ValueError("5"), KeyboardInterrupt(), GeneratorExit()], ids=repr)
def test_a_call_that_breaks_off_leaves_everything_as_it_was(
    classes: compiled.Hot, error: BaseException
) -> None:
    hot = Hot(classes)
    hot.module.error = error
    with pytest.raises(type(error)) as raised:
        hot.calls()
    assert raised.value is error
    assert hot.pulse.log == [("kind", [RAISED], 1_001, False)]
    assert not hot.pulse.settled
    assert [table[ENTRY] for table in hot.world.tables] == hot.world.seams
    assert not hot.pulse.waiting
    assert hot.restored == hot.module.rest == []


def test_seams_are_restored_after_modules_came(classes: compiled.Hot) -> None:
    hot = Hot(classes)
    hot.module.within = lambda: setattr(hot.pulse, "epoch", hot.pulse.epoch + 1)
    assert hot.calls() is hot.module.out
    assert hot.restored == [1]


def test_what_cannot_be_asked_is_handed_on_and_the_call_goes_the_longer_way(
    classes: compiled.Hot,
) -> None:
    hot = Hot(classes)
    hot.world.answer_raises()
    assert hot.calls() is hot.lane
    (error,) = hot.module.doubted
    assert type(error) is AttributeError
    assert error.__traceback__ is not None
    assert (hot.pulse.log, hot.module.inside) == ([], [])


def test_what_a_handler_of_the_programs_raises_goes_on(classes: compiled.Hot) -> None:
    def handler(*_: Any) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        hot = Hot(classes, more={"asked": [(lambda: signal.raise_signal(signal.SIGUSR1), None)]})
        hot.module.doubts = partial(Seam.passed_on, None)  # type: ignore[arg-type]
        with pytest.raises(TimeoutError):
            hot.calls()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert sys.exc_info() == (None, None, None)


def failing(classes: compiled.Hot, error: BaseException) -> Hot:
    """A call behind which the seams cannot be put back."""

    def restore() -> None:
        raise error

    hot = Hot(classes, more={"restore": restore})
    hot.module.within = lambda: setattr(hot.pulse, "epoch", hot.pulse.epoch + 1)
    return hot


def test_what_fails_behind_a_forward_is_told_and_goes_no_further(
    classes: compiled.Hot,
) -> None:
    error = OSError()
    hot = failing(classes, error)
    assert hot.calls() is hot.module.out
    assert hot.module.rest == [error]


def test_what_fails_behind_a_forward_that_raised_hides_nothing(classes: compiled.Hot) -> None:
    hot = failing(classes, OSError())
    hot.module.error = ValueError("5")
    with pytest.raises(ValueError, match="5"):
        hot.calls()
    assert hot.module.rest == []


def test_an_interruption_behind_a_forward_is_the_programs(classes: compiled.Hot) -> None:
    hot = failing(classes, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        hot.calls()
    assert hot.module.rest == []


def test_a_call_holds_nothing_too_long(classes: compiled.Hot) -> None:
    hot = Hot(classes)
    watched = [hot.module.out, hot.lane, hot.module, *hot.world.args[:1], hot.world.args]

    def once() -> None:
        for nodes, error in ((5, None), (6, None), (5, ValueError())):
            hot.module.nodes, hot.module.error = nodes, error
            with contextlib.suppress(ValueError):
                hot.calls()
            hot.pulse.waiting.clear()
            hot.pulse.log.clear()
            hot.module.rest.clear()
            hot.module.inside.clear()
            hot.graph.spans.clear()
        hot.module.error = error = None  # with its frames, which hold it

    once()
    before = list(map(sys.getrefcount, watched))
    for _ in range(50):
        once()
    assert list(map(sys.getrefcount, watched)) == before


# ------------------------------------------------------------ the end of a step


class Optimizer:
    """What can be referred to weakly."""


def stepping(hot: Hot) -> Optimizer:
    optimizer = Optimizer()
    hot.pulse.last = weakref.ref(optimizer), "Adam"
    hot.calls()
    hot.pulse.waiting.clear()
    hot.pulse.known.append(hot.pulse.log[0])
    hot.pulse.derived = True
    return optimizer


def test_a_usual_step_is_noted(classes: compiled.Hot) -> None:
    hot = Hot(classes)
    optimizer = stepping(hot)
    assert hot.pulse.stepped(optimizer) is True
    assert hot.pulse.log[1:] == [("Adam", hot.graph.time)]
    assert (hot.pulse.looked, hot.pulse.known) == (2, [])
    assert (hot.pulse.boundary, hot.pulse.derived) == (True, False)
    assert hot.pulse.stepped(optimizer) is False  # again, and no call between them


STEPS: dict[str, Callable[[Hot], Any]] = {
    "a new kind of call": lambda h: setattr(h.pulse, "fresh", True),
    "a backward may come for an earlier one": lambda h: setattr(h.pulse, "wary", True),
    "no call since the last step": lambda h: setattr(h.pulse, "boundary", True),
    "graphs are looked at": lambda h: h.graph.looking.__setitem__(0, True),
    "a call waits": lambda h: h.pulse.waiting.append(None),
    "notes are due": lambda h: setattr(h.pulse, "due", 5),
    "no optimizer stepped before": lambda h: setattr(h.pulse, "last", None),
    "another one did": lambda h: setattr(h.pulse, "last", (lambda: None, "Adam")),
    "something else was noted": lambda h: h.pulse.log.append(("a", "fact")),
    "another call was reached": lambda h: h.pulse.known.__setitem__(0, ("kind", [], 1, False)),
    "a call was not reached": lambda h: h.pulse.known.clear(),
    "one was looked at": lambda h: setattr(h.pulse, "looked", 1),
    "nobody knows what was looked at": lambda h: setattr(h.pulse, "looked", -1),
}


@pytest.mark.parametrize("change", STEPS.values(), ids=STEPS)
def test_a_step_that_is_looked_at(classes: compiled.Hot, change: Callable[[Hot], Any]) -> None:
    hot = Hot(classes)
    optimizer = stepping(hot)
    change(hot)
    before = list(hot.pulse.log), hot.pulse.looked, list(hot.pulse.known)
    assert hot.pulse.stepped(optimizer) is False
    assert (hot.pulse.log, hot.pulse.looked, hot.pulse.known) == before


def test_a_step_that_nobody_asked_for(classes: compiled.Hot) -> None:
    hot = Hot(classes)
    optimizer = stepping(hot)
    hot.pulse.automatic = False
    assert hot.pulse.stepped(optimizer) is True
    assert len(hot.pulse.log) == 1


# ------------------------------------------------------------ the way from the loss


class Backward:
    """A call of one product, and losses of it."""

    def __init__(self, classes: compiled.Hot) -> None:
        self.weight = torch.ones(2, requires_grad=True)
        self.out = self.weight * self.weight
        self.number = self.out.grad_fn._sequence_nr() + 1
        self.passed: list[Any] = []
        self.raised: list[int] = []
        loss = self.loss()
        first = loss.grad_fn.next_functions
        types = [
            tuple(type(node) for node, _ in each) for each in (first, first[0][0].next_functions)
        ]
        end = 2, 4, type(loss.grad_fn)
        self.ways: dict[Any, Any] = {end: ((0, types[0]), (0, types[1]))}
        self.beside: dict[Any, Any] = {}
        self.hot = Hot(classes, more={"ways": self.ways, "beside": self.beside})
        self.hot.pulse.between = 4
        self.engine = classes.engine(
            self.hot.pulse, self.original, self.unusual, self.raised.append
        )
        self.fired: list[int] = []
        span = 0, self.number, 7
        self.call: Any = ("kind", self.fired, 1, False)
        self.hot.pulse.waiting.append((span, self.call, 1, self.fired, self.hot.lane))
        self.hot.graph.number = self.number + 2

    def loss(self) -> Any:
        return (self.out + 1).sum()

    def original(self, *given: Any, **named: Any) -> str:
        self.passed.append((given, named))
        return "engine"

    def unusual(self, *given: Any, **named: Any) -> str:
        self.passed.append((given, named))
        return "unusual"

    def run(self, loss: Any, *, keep: bool = False, create: bool = False, inputs: Any = ()) -> Any:
        return self.engine((loss,), (None,), keep, create, inputs, allow_unreachable=True)


def test_a_usual_backward_goes_straight_on(classes: compiled.Hot) -> None:
    backward = Backward(classes)
    pulse = backward.hot.pulse
    loss = backward.loss()
    assert backward.run(loss) == "engine"
    now = backward.hot.graph.time
    assert backward.fired == [now, 0, now, 3, 0]
    assert (pulse.began, pulse.end, pulse.between) == (now, backward.number + 2, 0)
    assert (pulse.waiting, pulse.known) == ([], [backward.call])
    (passed,) = backward.passed
    assert passed == (((loss,), (None,), False, False, ()), {"allow_unreachable": True})
    assert backward.run(loss) == "unusual"  # nobody waits any more


PASSES: dict[str, Callable[[Backward], Any]] = {
    "another node last": lambda b: b.run((b.out + 1).mean()),
    "another node on the way": lambda b: b.run((b.out - 1).sum()),
    "another node beside it": lambda b: b.run((b.out + b.weight).sum()),
    "another call": lambda b: b.run((b.weight * b.weight + 1).sum()),
    "no graph": lambda b: b.run(torch.ones(())),
    "no tensor": lambda b: b.run(5),
    "the graph is kept": lambda b: b.run(b.loss(), keep=True),
    "to be differentiated": lambda b: b.run(b.loss(), create=True),
    "for one weight": lambda b: b.run(b.loss(), inputs=(b.weight,)),
    "graphs are looked at": lambda b: (b.hot.graph.looking.__setitem__(0, True), b.run(b.loss()))[
        1
    ],
    "more nodes": lambda b: (setattr(b.hot.graph, "number", b.number + 3), b.run(b.loss()))[1],
    "more between": lambda b: (setattr(b.hot.pulse, "between", 5), b.run(b.loss()))[1],
    "two wait": lambda b: (b.hot.pulse.waiting.append(b.hot.pulse.waiting[0]), b.run(b.loss()))[1],
    "two losses": lambda b: b.engine((b.loss(), b.loss()), (None, None), False, False, ()),
    "too little is said": lambda b: b.engine((b.loss(),), (None,), False),
}


@pytest.mark.parametrize("run", PASSES.values(), ids=PASSES)
def test_every_other_backward_is_looked_at(
    classes: compiled.Hot, run: Callable[[Backward], Any]
) -> None:
    backward = Backward(classes)
    waiting = backward.hot.pulse.waiting[0]
    assert run(backward) == "unusual"
    assert backward.hot.pulse.waiting[0] is waiting
    assert backward.fired == []
    assert backward.hot.pulse.known == []
    assert sys.exc_info() == (None, None, None)


def test_what_lies_beside_the_way_is_compared(classes: compiled.Hot) -> None:
    backward = Backward(classes)
    other = torch.ones(2, requires_grad=True)

    def loss(factor: Any) -> Any:
        return (backward.out + factor).sum()

    usual = loss(other.exp())
    add = usual.grad_fn.next_functions[0][0]
    way = tuple(
        (0, tuple(type(each) for each, _ in node.next_functions)) for node in (usual.grad_fn, add)
    )
    leads = tuple(type(each) for each, _ in add.next_functions[1][0].next_functions)
    end = 2, 4, type(usual.grad_fn)
    backward.ways[end] = way
    backward.beside[end] = ((0, (*way[1][1],), ((1, leads, ()),)),)
    waiting = backward.hot.pulse.waiting[0]
    assert backward.run(loss((other * 1).exp())) == "unusual"
    assert backward.run(usual) == "engine"
    backward.hot.pulse.waiting.append(waiting)
    backward.hot.pulse.between = 4
    assert backward.run(loss((other * 1).exp())) == "unusual"


def test_a_backward_that_breaks_off_is_told(classes: compiled.Hot) -> None:
    backward = Backward(classes)

    def breaks(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    engine = classes.engine(backward.hot.pulse, breaks, backward.unusual, backward.raised.append)
    with pytest.raises(KeyboardInterrupt):
        engine((backward.loss(),), (None,), False, False, ())
    assert backward.raised == [backward.hot.pulse.began]


def test_nodes_are_held_no_longer_than_before(classes: compiled.Hot) -> None:
    backward = Backward(classes)
    end, loss = backward.out.grad_fn, backward.loss()
    nodes = [end, loss.grad_fn, *(type(each[0]) for each in loss.grad_fn.next_functions)]
    waiting = backward.hot.pulse.waiting[0]
    backward.run(loss)
    backward.passed.clear()
    gc.collect()
    gc.disable()  # nodes of other tests, in circles, are of the same types
    try:
        before = list(map(sys.getrefcount, nodes))
        for _ in range(50):
            backward.hot.pulse.waiting.append(waiting)
            backward.hot.pulse.between = 4
            backward.run(loss)
            backward.passed.clear()
        after = list(map(sys.getrefcount, nodes))
    finally:
        gc.enable()
    assert after == before


# ------------------------------------------------------------ what the compiled ones take, and let go


def test_a_circle_through_everything_is_found(classes: compiled.Hot) -> None:
    backward = Backward(classes)
    backward.run(backward.loss())
    owner = Slotless()
    owner.all = backward  # type: ignore[attr-defined]
    backward.hot.world.tables[0]["owner"] = owner
    gone = weakref.ref(owner)
    del owner, backward
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"pulse": None}, {"ways": None}, {"beside": []}, {"nodes": "5"}, {"back": 2**70}, {"items": 5},
        {"more": 1},
    ],
    ids=str,
)  # fmt: skip
def test_the_compiled_lane_takes_nothing_else(wrong: dict[str, Any]) -> None:
    lane = pytest.importorskip("profilers._hot").Lane
    hot = Hot(compiled.best())
    incomplete = [
        {name: each for name, each in hot.parts().items() if name != missing}
        for missing in ("pulse", "kind", "back", "items")
    ]
    before = 0
    for turn in range(20):
        for given in ({**hot.parts(), **wrong}, *incomplete, {}):
            with pytest.raises((TypeError, OverflowError)):
                lane(**given)
        after = sys.getrefcount(hot.pulse)
        before = before or (turn and after)
    assert after == before
    for other in ((), (1, 2, 3), (1, (), None), (1, [], {}), (1, ())):
        with pytest.raises(TypeError):
            hot.lane.calls(*other)


def test_the_compiled_pulse_is_made_once() -> None:
    hot = pytest.importorskip("profilers._hot")
    graph = Graph()
    given = {
        "looking": graph.looking,
        "keep": graph.spans.append,
        "sequence": graph.sequence,
        "clock": graph.clock,
        "thread": 1,
    }
    for wrong in ({"looking": []}, {"looking": None}, {"thread": "x"}):
        with pytest.raises(TypeError):
            hot.Pulse(**{**given, **wrong})
    with pytest.raises(TypeError):
        hot.Pulse()
    pulse = hot.Pulse(**given)
    with pytest.raises(TypeError):
        pulse.__init__(**given)
    empty = hot.Pulse.__new__(hot.Pulse)
    with pytest.raises(TypeError):
        empty.stepped(None)
    with pytest.raises(TypeError):
        hot.Engine(empty, 1, 2, 3)
    with pytest.raises(AttributeError):
        pulse.log = []


def test_an_immutable_type_has_no_mutable_base() -> None:
    """Python 3.12 warns of such a one where the file is loaded, and 3.14 refuses it."""
    hot = pytest.importorskip("profilers._hot")
    immutable = 1 << 8  # Py_TPFLAGS_IMMUTABLETYPE
    for kind in (hot.Glance, hot.Lane, hot.Pulse, hot.Engine):
        if kind.__flags__ & immutable:
            assert all(each.__flags__ & immutable for each in kind.__mro__), kind


def test_both_have_the_same_names(classes: compiled.Hot) -> None:
    for kind in (classes.pulse, classes.lane, classes.engine):
        for name in pulse.Pulse.__slots__ if kind is classes.pulse else ():
            assert hasattr(kind, name)

"""The one look at everything that a settled call is compared with, in Python and compiled."""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from profilers import step_glance, step_settled  # noqa: E402
from profilers.step_asked import look_of  # noqa: E402

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
            "looks": step_settled._LOOKS,
            "flag": step_settled._FLAG,
            "tensor": torch.Tensor,
            "entry": ENTRY,
        }

    def answer_raises(self) -> None:
        del self.answer


@pytest.fixture(params=["plain", "compiled"])
def kind(request: pytest.FixtureRequest) -> Any:
    if request.param == "plain":
        return step_glance.Glance
    return pytest.importorskip("profilers._glance").Glance


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
    """What was changed in place by their owner is what counts (``step_methods.Kinds``)."""
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
    kind = pytest.importorskip("profilers._glance").Glance
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
    compiled = pytest.importorskip("profilers._glance")
    assert step_glance._best() == (compiled.Glance, compiled.followed)
    monkeypatch.setattr(compiled, "VERSION", step_glance.VERSION + 1)
    assert step_glance._best() == (step_glance.Glance, step_glance.followed)


def test_without_the_file_there_is_the_one_in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "profilers._glance", None)
    monkeypatch.delattr("profilers._glance", raising=False)
    assert step_glance._best() == (step_glance.Glance, step_glance.followed)


@pytest.fixture(params=["plain", "compiled"])
def followed(request: pytest.FixtureRequest) -> Any:
    if request.param == "plain":
        return step_glance.followed
    return pytest.importorskip("profilers._glance").followed


def test_a_way_is_followed_as_long_as_it_is_the_same(followed: Any) -> None:
    weight = torch.ones(2, requires_grad=True)
    product = weight * weight
    last = (product + 1).sum().grad_fn
    nodes = [last, last.next_functions[0][0], product.grad_fn]
    way = tuple(
        (0, tuple(type(following) for following, _ in node.next_functions)) for node in nodes[:2]
    )
    assert followed(last, ()) is last
    end = followed(last, way)
    assert end is product.grad_fn
    before = sys.getrefcount(end), sys.getrefcount(last)
    for _ in range(50):
        followed(last, way)
    assert (sys.getrefcount(end), sys.getrefcount(last)) == before
    assert followed((product - 1).sum().grad_fn, way) is None  # another node on it
    assert followed((product + weight).sum().grad_fn, way) is None  # another one beside it


def test_what_is_no_way_leads_nowhere() -> None:
    followed = pytest.importorskip("profilers._glance").followed
    node = torch.ones(2, requires_grad=True).sum().grad_fn
    kind = type(node.next_functions[0][0])
    for way in ((1,), ((0,),), ((1, (kind,)),), ((-1, (kind,)),), (("a", (kind,)),), ((0, None),)):
        assert followed(node, way) is None
    assert followed(None, ((0, (kind,)),)) is None
    for given in ((), (node,), (node, [])):
        with pytest.raises(TypeError):
            followed(*given)

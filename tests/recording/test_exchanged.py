"""Code that the program exchanges in mid-run: methods of classes, classes of parts, helper functions.

Nothing in the model's own dictionaries changes then. Each step equals torch's own counter on the same step.
"""

from __future__ import annotations

import gc
import os
import types
import weakref
from typing import TYPE_CHECKING, Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from profilers.step_methods import Kinds, methods_of  # noqa: E402
from tests.recording.conftest import recorded_as_counted, sgd, steps_by_counter  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.recording.conftest import Mark, Run

WIDTH = 8


def once(layer: Any, x: Any) -> Any:
    return layer(x)


def twice(layer: Any, x: Any) -> Any:
    return layer(layer(x))


helper = once
"""What a model below calls."""


def through(layer: Any, x: Any) -> Any:
    return helper(layer, x)


ops = types.ModuleType("ops")
ops.attend = once  # type: ignore[attr-defined]


def unchanged(function: Any) -> Any:
    def decorated(*given: Any) -> Any:
        return function(*given)

    decorated.__wrapped__ = function  # type: ignore[attr-defined]
    decorated.__module__ = function.__module__
    return decorated


def model_of(attend: Callable[[Any, Any], Any]) -> tuple[Any, type]:
    """Two blocks, of a class that no other test has; and this class."""

    class Base(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(WIDTH, WIDTH)

        def forward(self, x: Any) -> Any:
            return self.mixed(x)

        def mixed(self, x: Any) -> Any:
            return attend(self.layer, x)

        def unused(self) -> None:
            """Nothing that ``forward`` comes to."""

    class Block(Base):
        """Inherits everything."""

    return nn.Sequential(Block(), Block()), Block


def trained(mark: Mark, model: Any, change: Callable[[bool], object]) -> None:
    """Three steps as it was, two with something changed, and so on."""
    optimizer = sgd(model)
    for step in range(8):
        change(step % 4 == 3 or step == 4)
        model(torch.randn(5, WIDTH)).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        mark()
        change(False)  # before the step is counted


def a_forward_of_a_class(mark: Mark) -> None:
    model, kind = model_of(once)
    base = kind.__mro__[1]
    old = base.forward

    def other(self: Any, x: Any) -> Any:
        return self.layer(old(self, x))

    trained(mark, model, lambda on: setattr(base, "forward", other if on else old))


def a_forward_made_anew_each_time(mark: Mark) -> None:
    model, kind = model_of(once)
    base = kind.__mro__[1]
    old = base.forward

    def change(on: bool) -> None:
        base.forward = (lambda self, x: self.layer(self.layer(x))) if on else old

    trained(mark, model, change)


def a_forward_that_was_inherited(mark: Mark) -> None:
    model, kind = model_of(once)

    def change(on: bool) -> None:
        if on:
            kind.forward = lambda self, x: twice(self.layer, x)
        elif "forward" in vars(kind):
            del kind.forward

    trained(mark, model, change)


def a_method_beside_forward(mark: Mark) -> None:
    model, kind = model_of(once)
    base = kind.__mro__[1]
    old = base.mixed
    trained(
        mark,
        model,
        lambda on: setattr(base, "mixed", (lambda s, x: twice(s.layer, x)) if on else old),
    )


def a_forward_of_a_library(mark: Mark) -> None:
    model = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU())
    old = nn.Linear.forward

    def other(self: Any, x: Any) -> Any:
        return old(self, old(self, x))

    try:
        trained(mark, model, lambda on: setattr(nn.Linear, "forward", other if on else old))
    finally:
        nn.Linear.forward = old


def another_class(mark: Mark) -> None:
    model, kind = model_of(once)

    class Double(kind):
        def forward(self, x: Any) -> Any:
            return twice(self.layer, x)

    trained(mark, model, lambda on: setattr(model[1], "__class__", Double if on else kind))


def another_class_of_the_whole(mark: Mark) -> None:
    model, _ = model_of(once)

    class Short(nn.Sequential):
        def forward(self, x: Any) -> Any:
            return self[0](x)

    trained(mark, model, lambda on: setattr(model, "__class__", Short if on else nn.Sequential))


def another_helper(mark: Mark) -> None:
    def change(on: bool) -> None:
        global helper
        helper = twice if on else once

    trained(mark, model_of(through)[0], change)


def a_helper_of_another_module(mark: Mark) -> None:
    model, _ = model_of(lambda layer, x: ops.attend(layer, x))
    trained(mark, model, lambda on: setattr(ops, "attend", twice if on else once))


def a_helper_around_it(mark: Mark) -> None:
    chosen: Any = once

    def change(on: bool) -> None:
        nonlocal chosen
        chosen = twice if on else once

    model, _ = model_of(unchanged(lambda layer, x: chosen(layer, x)))
    trained(mark, model, change)


def a_number_that_a_helper_reads(mark: Mark) -> None:
    told = {"times": 1}

    def times() -> int:
        return told["times"]

    model, _ = model_of(lambda layer, x: twice(layer, x) if times() > 1 else layer(x))
    trained(mark, model, lambda on: told.update(times=2 if on else 1))


def a_variable_that_the_environment_had_not(mark: Mark) -> None:
    name = "FLOPLEDGER_TEST_TWICE"
    model, _ = model_of(lambda layer, x: (twice if os.environ.get(name) else once)(layer, x))

    def change(on: bool) -> None:
        if on:
            os.environ[name] = "1"
        else:
            os.environ.pop(name, None)

    trained(mark, model, change)


def one_for_true(mark: Mark) -> None:
    model, kind = model_of(once)
    model[0].flag = 1
    kind.__mro__[1].mixed = lambda s, x: (twice if getattr(s, "flag", 0) is True else once)(
        s.layer, x
    )
    trained(mark, model, lambda on: setattr(model[0], "flag", True if on else 1))


LOOPS = [
    a_forward_of_a_class, a_forward_made_anew_each_time, a_forward_that_was_inherited,
    a_method_beside_forward,
    a_forward_of_a_library, another_class, another_class_of_the_whole, another_helper,
    a_helper_of_another_module, a_helper_around_it, a_number_that_a_helper_reads,
    a_variable_that_the_environment_had_not, one_for_true,
]  # fmt: skip


@pytest.mark.parametrize("loop", LOOPS, ids=lambda loop: loop.__name__)
def test_each_step_is_what_the_counter_says(run: Run, loop: Callable[[Mark], None]) -> None:
    expected = recorded_as_counted(run, loop)
    assert len(set(expected)) == 2
    assert len(run.process.costs) == 2  # and no new one each time


def test_a_class_that_is_given_back_casts_no_doubt_on_what_was_called(run: Run) -> None:
    """When the recording ends, the model is another one than its last call found; that call saw it."""
    model, kind = model_of(once)

    class Double(kind):
        def forward(self, x: Any) -> Any:
            return twice(self.layer, x)

    with run.record():
        trained(
            lambda: None, model, lambda on: setattr(model[1], "__class__", Double if on else kind)
        )
    assert None not in run.flop
    assert run.flop[4] == run.flop[7] > run.flop[5]


def test_only_what_forward_comes_to_is_compared() -> None:
    model, kind = model_of(once)
    names = [name for _, name, _ in methods_of(kind.__mro__[:2], [type(model)])]
    assert names == ["forward", "forward", "mixed"]


def test_parts_that_change_their_class_are_found_and_held_by_nobody() -> None:
    model, kind = model_of(once)
    kinds = Kinds(model)
    assert len(kinds) == 0
    other = kind()  # one more of the class: nothing has changed
    assert len(kinds) == 0
    model[1].__class__ = kind.__mro__[1]
    assert len(kinds) == 1
    model[1].__class__ = kind
    assert len(kinds) == 0
    del other, model
    assert len(kinds) == 1


def hooked(put: Callable[[Any], Any], *, first: bool = False) -> Callable[[Mark], None]:
    """A loop in whose later steps a hook is put for a while, and in which it is gone before the count."""

    def loop(mark: Mark) -> None:
        model, _ = model_of(once)
        optimizer = sgd(model)
        for step in range(8):
            handles = [put(model)] if step in (3, 5, 6) or (first and not step) else []
            model(torch.randn(4, WIDTH)).sum().backward()
            for handle in handles:
                handle.remove()
            optimizer.step()
            optimizer.zero_grad()
            mark()

    return loop


HOOKED = {
    "the whole's input": lambda m: m.register_forward_pre_hook(
        lambda _, given: torch.cat(given * 2)
    ),
    "a part's output": lambda m: m[1].register_forward_hook(lambda _, given, out: given[0]),
    "less of it": lambda m: m[0].register_forward_hook(lambda _, given, out: out[:1]),
    "a plain layer": lambda m: m[0].layer.register_forward_hook(lambda _, given, out: out.detach()),
}


@pytest.mark.parametrize("name", HOOKED)
@pytest.mark.parametrize("first", [False, True])
def test_a_hook_put_in_mid_run_opens_both_ends_of_its_steps(
    run: Run, name: str, first: bool
) -> None:
    loop = hooked(HOOKED[name], first=first)
    expected = steps_by_counter(loop)
    with run.record():
        loop(lambda: None)
    process = run.process
    for number, (step, true) in enumerate(zip(process.steps(), expected, strict=True)):
        ((cost, _),) = step.calls
        told = process.costs[cost]
        if number in (3, 5, 6) or (first and not number):
            assert told.bounds == (0, None)
        else:
            assert (told.bounds, told.hardware_flop) == (None, true)


def test_a_hook_that_looks_on_leaves_all_steps_exact_and_is_not_kept(run: Run) -> None:
    class Kept:
        """Of a hook."""

    born: list[Any] = []

    def put(model: Any) -> Any:
        kept = Kept()
        born.append(weakref.ref(kept))
        seen = [kept]
        return model[0].register_forward_hook(lambda _, given, out: seen.append(out))

    loop = hooked(put)
    expected = steps_by_counter(loop)
    born.clear()
    with run.record():
        loop(lambda: assert_all_gone(born))
    assert run.flop == expected
    assert "cost-bounded" not in run.notes()


def assert_all_gone(born: list[Any]) -> None:
    gc.collect()
    assert [ref() for ref in born[:-1]] == [None] * len(born[:-1])

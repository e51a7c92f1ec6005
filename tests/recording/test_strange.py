"""Loops that are unlike one another: each step equals torch's own counter on the same step."""

from __future__ import annotations

import copy
import itertools
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from flopcount.live.counting import TRIAL_SECONDS  # noqa: E402
from tests.recording.conftest import mlp, recorded_as_counted, sgd  # noqa: E402

if TYPE_CHECKING:
    from tests.recording.conftest import Mark, Run

ONE = 512
"""One product of a layer of 8 x 8 on 4 rows: 2·4·8·8 FLOP."""


class Net(nn.Module):
    """Blocks with residuals, attention written out, a head; blocks may be left out at random."""

    def __init__(self, width: int = 16, depth: int = 3, drop: float = 0.0) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
            for _ in range(depth)
        )
        self.qkv, self.head = nn.Linear(width, 3 * width), nn.Linear(width, 50)
        self.drop = drop

    def forward(self, tokens: Any) -> Any:
        x = self.embed(tokens)
        for block in self.blocks:
            if self.drop and torch.rand(()) < self.drop:
                continue
            x = x + block(x)
        q, k, v = self.qkv(x).chunk(3, -1)
        return self.head(x + (q @ k.mT).softmax(-1) @ v)


def ids(batch: int = 2, length: int = 7) -> Any:
    return torch.randint(0, 50, (batch, length))


def a_short_last_window(mark: Mark) -> None:
    model = Net()
    optimizer = torch.optim.AdamW(model.parameters())
    for window in (4, 4, 3):
        for _ in range(window):
            (model(ids()).logsumexp(-1).mean() / window).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        mark()


def two_cadences(mark: Mark) -> None:
    one, other = Net(), Net(8)
    fast, slow = sgd(one), torch.optim.Adam(other.parameters())
    for step in range(6):
        (one(ids()).sum() + other(ids()).sum()).backward()
        fast.step()
        if step % 3 == 2:
            slow.step()
            slow.zero_grad()
        fast.zero_grad()
        mark()


def a_model_in_a_closure(mark: Mark) -> None:
    def made() -> tuple[Any, list[Any]]:
        model = Net()
        return lambda tokens: model(tokens).square().mean(), list(model.parameters())

    loss_of, parameters = made()
    optimizer = torch.optim.RMSprop(parameters)
    for length in (3, 9, 4, 12, 5, 7, 6, 11, 8, 10):
        loss_of(ids(2, length)).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)
        mark()


def backward_twice(mark: Mark) -> None:
    model = Net()
    optimizer = sgd(model)
    for step in range(4):
        loss = model(ids()).sum()
        loss.backward(retain_graph=True)
        if step % 2:
            loss.backward()
        optimizer.step()
        mark()


def line_search(mark: Mark) -> None:
    model, tokens = Net(), ids()
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=4)

    def closure() -> Any:
        optimizer.zero_grad()
        loss = model(tokens).square().mean()
        loss.backward()
        return loss

    for _ in range(3):
        optimizer.step(closure)
        mark()


def a_teacher_and_a_moving_average(mark: Mark) -> None:
    student, teacher = Net(), Net(32).eval()
    average = copy.deepcopy(student).requires_grad_(requires_grad=False)
    optimizer = sgd(student)
    for _ in range(4):
        tokens = ids()
        with torch.no_grad():
            target = teacher(tokens) + average(tokens)
        (student(tokens) - target).square().mean().backward()
        optimizer.step()
        with torch.no_grad():
            for old, new in zip(average.parameters(), student.parameters(), strict=True):
                old.lerp_(new, 0.1)
        mark()


def a_part_deep_inside_is_called_by_itself(mark: Mark) -> None:
    model = Net()
    optimizer = sgd(model)
    for step in range(9):
        loss = model(ids()).sum()
        if step >= 5:
            loss = loss + model.blocks[1][0](torch.randn(3, 16)).sum()
        if step >= 7:
            loss = loss + model.blocks[2](torch.randn(5, 16)).sum()
        loss.backward()
        optimizer.step()
        mark()


def freezing_by_assignment(mark: Mark) -> None:
    model = Net()
    optimizer = sgd(model)
    for step in range(6):
        for parameter in model.blocks[0].parameters():
            parameter.requires_grad = not 2 <= step < 4
        model(ids()).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        mark()


def optimizers_inside_of_the_backward(mark: Mark) -> None:
    model = Net()
    each = {parameter: torch.optim.SGD([parameter]) for parameter in model.parameters()}

    def step(parameter: Any) -> None:
        each[parameter].step()
        each[parameter].zero_grad()

    for parameter in model.parameters():
        parameter.register_post_accumulate_grad_hook(step)
    for _ in range(4):
        model(ids()).sum().backward()
        mark()


def optimizers_inside_of_one_backward_through_two_models(mark: Mark) -> None:
    """Those of the second model step before the gradient comes to the first: that is one step."""
    first, second = nn.Linear(4, 4), nn.Linear(4, 2)
    each = {item: torch.optim.SGD([item]) for item in (*first.parameters(), *second.parameters())}
    for parameter, optimizer in each.items():
        parameter.register_post_accumulate_grad_hook(
            lambda _, optimizer=optimizer: optimizer.step()
        )
    for _ in range(4):
        second(first(torch.randn(3, 4))).sum().backward()
        mark()


def a_backward_one_step_late(mark: Mark) -> None:
    model, other = Net(), nn.Linear(2, 2)
    optimizer = sgd(other)
    kept = None
    for _ in range(4):
        loss = model(ids()).sum()
        if kept is not None:
            kept.backward()
        kept = loss
        optimizer.step()
        mark()


def one_of_two_outputs(mark: Mark) -> None:
    class Heads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.trunk, self.a, self.b = (nn.Linear(8, 8) for _ in range(3))

        def forward(self, x: Any) -> Any:
            hidden = self.trunk(x).relu()
            return {"a": self.a(hidden), "rest": (self.b(hidden), hidden)}

    model = Heads()
    optimizer = sgd(model)
    for step in range(6):
        out = model(torch.randn(3, 8))
        if step % 2:
            (out["a"].sum() + out["rest"][0].sum()).backward()
        else:
            out["rest"][1].sum().backward()
        optimizer.step()
        mark()


LOOPS = [
    a_short_last_window,
    two_cadences,
    a_model_in_a_closure,
    backward_twice,
    line_search,
    a_teacher_and_a_moving_average,
    a_part_deep_inside_is_called_by_itself,
    freezing_by_assignment,
    optimizers_inside_of_the_backward,
    optimizers_inside_of_one_backward_through_two_models,
    a_backward_one_step_late,
    one_of_two_outputs,
]


@pytest.mark.parametrize("loop", LOOPS, ids=lambda loop: loop.__name__)
def test_each_step_is_what_the_counter_says(run: Run, loop: Callable[[Mark], None]) -> None:
    recorded_as_counted(run, loop)


def test_a_model_that_throws_dice_has_an_open_bound(run: Run) -> None:
    model = Net(drop=0.4)
    with run.record():
        model(ids()).sum().backward()
        sgd(model).step()
    assert "cost-bounded" in run.notes()
    assert run.totals.hardware_bounds == (0, None)


def test_dice_that_decide_nothing_leave_the_count_exact(run: Run) -> None:
    import random

    class Noisy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(8, 8)

        def forward(self, x: Any) -> Any:
            return self.layer(x * random.random())

    model = Noisy()
    with run.record():
        model(torch.randn(4, 8)).sum().backward()
        sgd(model).step()
    assert run.flop == [2 * ONE]
    assert run.totals.hardware_bounds == (2 * ONE, 2 * ONE)


def test_a_call_that_raises_executed_at_most_its_forward(run: Run) -> None:
    class Fails(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = mlp()

        def forward(self, x: Any, fails: bool) -> Any:
            x = self.inner(x)
            if fails:
                raise MemoryError
            return x

    model = Fails()
    optimizer = sgd(model)
    with run.record():
        for fails in (False, True, False):
            if fails:
                with pytest.raises(MemoryError):
                    model(torch.randn(4, 8), fails)
            model(torch.randn(4, 8), False).sum().backward()
            optimizer.step()
    assert run.flop == [5 * ONE] * 3
    assert "call-raised" in run.notes()
    low, high = run.totals.hardware_bounds
    assert low == 15 * ONE
    # The call that raises cannot be counted either; where it can, its forward is the end.
    assert high is None


def test_an_input_that_is_refused_has_a_closed_bound(run: Run) -> None:
    model = Net()
    optimizer = sgd(model)
    with run.record():
        for bad in (False, True):
            if bad:
                with pytest.raises(IndexError):
                    model(torch.full((2, 7), 99))
            model(ids()).sum().backward()
            optimizer.step()
    low, high = run.totals.hardware_bounds
    forward = run.process.costs[0].forward
    assert low == sum(run.flop)
    assert high == low + forward


def test_energies_and_forces(run: Run) -> None:
    """A model that differentiates itself in its forward; its backward is a backward of that."""
    import flopcount

    class Forces(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))

        def forward(self, x: Any) -> Any:
            x = x.requires_grad_()
            energy = self.inner(x).sum()
            (force,) = torch.autograd.grad(energy, x, create_graph=True)
            return force

    model = Forces()
    optimizer = sgd(model)
    expected = flopcount.count(model, torch.randn(4, 3)).total
    with run.record():
        for _ in range(2):
            model(torch.randn(4, 3)).sum().backward()
            optimizer.step()
    assert run.flop == [expected] * 2


class Routed(torch.nn.Module):
    """Each row goes to the expert that its own numbers choose."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.gate = torch.nn.Linear(16, len(widths), bias=False)
        self.experts = torch.nn.ModuleList(
            torch.nn.Sequential(
                torch.nn.Linear(16, width, bias=False), torch.nn.Linear(width, 16, bias=False)
            )
            for width in widths
        )

    def forward(self, x: Any) -> Any:
        share, chosen = self.gate(x).softmax(-1).max(-1)
        out = torch.zeros_like(x)
        for number, expert in enumerate(self.experts):
            rows = (chosen == number).nonzero()[:, 0]
            out = out.index_add(0, rows, expert(x[rows]) * share[rows, None])
        return out


@pytest.fixture
def one_of_many() -> Iterator[None]:
    """With other ranks about, nothing is computed on real numbers: the routing is invented."""
    distributed = torch.distributed
    distributed.init_process_group("gloo", rank=0, world_size=1, store=distributed.HashStore())
    yield
    distributed.destroy_process_group()


def routed(run: Run, widths: tuple[int, ...]) -> None:
    model = Routed(widths)
    optimizer = sgd(model)
    with run.record():
        for _ in range(2):
            model(torch.randn(24, 16)).square().sum().backward()
            optimizer.step()
            optimizer.zero_grad()


@pytest.mark.parametrize("widths", [(8, 8, 8, 8), (8, 16, 24, 32)])
def test_routing_among_ranks_is_exact_where_all_ways_cost_the_same(
    run: Run, widths: tuple[int, ...], one_of_many: None
) -> None:
    routed(run, widths)
    costs = run.process.costs.values()
    assert {cost.how for cost in costs} == {"meta-invented"}
    if len(set(widths)) > 1:
        assert {cost.bounds for cost in costs} == {(0, None)}
        assert "cost-bounded" in run.notes()
        return
    # The gate forward and for its weight; an expert's first layer likewise, its second for its input too.
    one = 2 * 24 * 16 * 4 * 2 + 2 * 24 * 16 * 8 * (2 + 3)
    assert run.flop == [one, one]
    assert {cost.bounds for cost in costs} == {None}
    assert "cost-bounded" not in run.notes()


def test_on_a_slow_machine_it_is_exact_too(
    run: Run, one_of_many: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each question for the time takes half a second: the count itself longer than a trial may."""
    ticks = itertools.count()
    monkeypatch.setattr(time, "thread_time", lambda: next(ticks) / 2)
    routed(run, (8, 8, 8, 8))
    assert {cost.bounds for cost in run.process.costs.values()} == {None}
    assert next(ticks) / 2 > TRIAL_SECONDS

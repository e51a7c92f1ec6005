"""Tensors of a model, or beside it, whose values decide what a call does.

Each loop makes a settled model's usual steps and then others. Each step equals torch's own counter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from tests.recording.conftest import recorded_as_counted, sgd, steps_by_counter  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

    from profilers.steps.deciders.attributes import Attributes
    from tests.recording.conftest import Mark, Run

WIDTH = 8
ALIKE = 28
STEPS = "A" * ALIKE + "BBABA"
FLAG = torch.tensor(False)
"""A global that a model below reads."""


class Net(nn.Module):
    """One layer, and a second one as often as something says."""

    def __init__(self, times: Callable[[Any], Any]) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.register_buffer("on", torch.tensor(False))
        self.register_buffer("seen", torch.tensor(0))
        self.register_buffer("heat", torch.tensor(1.0))
        self.register_buffer("table", torch.tensor([0, 1, 0]))
        self.register_buffer("large", torch.zeros(100))
        self.flags = [torch.tensor(0), torch.tensor(0)]
        self.times = times

    def forward(self, x: Any) -> Any:
        x = self.one(x)
        for _ in range(int(self.times(self))):
            x = self.two(x)
        return x


def trained(
    mark: Mark, model: Any, change: Callable[[str], object], steps: str = STEPS, calls: int = 1
) -> None:
    optimizer = sgd(model)
    for which in steps:
        change(which)
        for _ in range(calls):
            model(torch.randn(4, WIDTH)).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        mark()


def a_truth_value(mark: Mark) -> None:
    model = Net(lambda net: 1 if net.on else 0)
    trained(mark, model, lambda which: model.on.fill_(which == "B"))


def one_whose_data_is_exchanged(mark: Mark) -> None:
    model = Net(lambda net: 1 if net.on else 0)
    trained(mark, model, lambda which: setattr(model.on, "data", torch.tensor(which == "B")))


def a_counter_of_calls(mark: Mark) -> None:
    def times(net: Any) -> int:
        net.seen += 1
        return int(net.seen.item() > ALIKE)

    trained(mark, Net(times), lambda _: None)


def a_number_with_a_fraction(mark: Mark) -> None:
    model = Net(lambda net: net.heat.item() < 0.5)
    trained(mark, model, lambda which: model.heat.fill_(0.3 if which == "B" else 1))


def one_that_falls_slowly(mark: Mark) -> None:
    """Of its first nine values none changes the count."""
    model = Net(lambda net: net.heat.item() < 0.5)
    trained(mark, model, lambda _: model.heat.mul_(0.97))


def a_list_of_numbers(mark: Mark) -> None:
    model = Net(lambda net: sum(net.table.tolist()))
    trained(mark, model, lambda which: model.table[0].fill_(which == "B"))


def a_question_about_all_of_them(mark: Mark) -> None:
    model = Net(lambda net: 1 + (net.table > 1).any().item())
    trained(mark, model, lambda which: model.table[2].fill_(2 * (which == "B")))


def a_large_one(mark: Mark) -> None:
    model = Net(lambda net: net.large.sum().item() > 0)
    trained(mark, model, lambda which: model.large.fill_(which == "B"))


def a_list_of_tensors(mark: Mark) -> None:
    model = Net(lambda net: net.flags[1])
    trained(mark, model, lambda which: model.flags[1].fill_(which == "B"))


def one_in_settings(mark: Mark) -> None:
    class Settings:
        depth = None

    model = Net(lambda net: net.settings.depth)
    model.settings = Settings()
    model.settings.depth = torch.tensor(0)
    trained(mark, model, lambda which: model.settings.depth.fill_(which == "B"))


def a_global(mark: Mark) -> None:
    class Global(Net):
        def forward(self, x: Any) -> Any:
            return self.two(self.one(x)) if FLAG else self.one(x)

    trained(mark, Global(int), lambda which: FLAG.fill_(which == "B"))
    FLAG.fill_(0)


def an_array(mark: Mark) -> None:
    numpy = pytest.importorskip("numpy")
    model = Net(lambda net: net.switches[1])
    model.switches = numpy.zeros(3)
    trained(mark, model, lambda which: model.switches.__setitem__(1, which == "B"))


def the_first_of_three_calls_prepares(mark: Mark) -> None:
    """What a call finds is no more there when it is counted."""

    def times(net: Any) -> int:
        first = not net.seen
        net.seen.fill_(1)
        return int(first)

    trained(mark, Net(times), lambda _: None, "A" * 6, calls=3)


def one_that_only_other_calls_ask(mark: Mark) -> None:
    """In eval mode; it counts every call."""

    def times(net: Any) -> int:
        net.seen += 1
        return 0 if net.training else int(net.seen) % 3

    model = Net(times)
    trained(mark, model, lambda which: model.train(which == "A"), "AAABAAABBAABA")


def one_of_like_blocks_is_passed_over(mark: Mark) -> None:
    """A count makes one block stand for its like, and these differ in a value."""
    model = nn.Sequential(*(Net(lambda net: 1 + net.on) for _ in range(6)))
    model[2].on.fill_(1)
    trained(mark, model, lambda which: model[4].on.fill_(which == "B"))


def ranges_of_fake_quantization(mark: Mark) -> None:
    """Statistics that change with each call are asked for, checked, and decide nothing."""
    quantization = pytest.importorskip("torch.ao.quantization")
    quantizer = quantization.FakeQuantize(
        observer=quantization.MovingAverageMinMaxObserver, quant_min=0, quant_max=255
    )
    model = nn.Sequential(nn.Linear(WIDTH, WIDTH), quantizer, nn.Linear(WIDTH, WIDTH))
    trained(mark, model, lambda which: quantizer.enable_observer(which == "A"))


LOOPS = [
    a_truth_value, one_whose_data_is_exchanged, a_counter_of_calls, a_number_with_a_fraction,
    one_that_falls_slowly, a_list_of_numbers, a_question_about_all_of_them, a_large_one, a_list_of_tensors,
    one_in_settings, a_global, an_array, the_first_of_three_calls_prepares, one_that_only_other_calls_ask,
    one_of_like_blocks_is_passed_over, ranges_of_fake_quantization,
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:torch.ao.quantization:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*reduce_range:UserWarning")
@pytest.mark.parametrize("loop", LOOPS, ids=lambda loop: loop.__name__)
def test_each_step_is_what_the_counter_says(run: Run, loop: Callable[[Mark], None]) -> None:
    recorded_as_counted(run, loop)


def test_a_weight_that_decides_gives_bounds(run: Run) -> None:
    """It changes with each step: nobody counts anew for that."""

    class Gated(Net):
        def __init__(self) -> None:
            super().__init__(int)
            self.gate = nn.Parameter(torch.tensor(0.7))

        def forward(self, x: Any) -> Any:
            x = self.one(x) * self.gate
            return self.two(x) if self.gate > 0.5 else x

    def loop(mark: Mark) -> None:
        model = Gated()
        trained(mark, model, lambda _: model.gate.data.sub_(0.05), "A" * 8)

    torch.manual_seed(0)
    expected = steps_by_counter(loop)
    torch.manual_seed(0)
    with run.record():
        loop(lambda: None)
    assert len(set(expected)) == 2
    bounds = [[run.process.costs[c].bounds for c, _ in s.calls] for s in run.process.steps()]
    assert bounds == [[(0, None)]] * 8
    assert run.notes() == {"cost-bounded"}


def test_a_weight_that_is_only_checked_leaves_steps_exact(run: Run) -> None:
    class Checked(Net):
        def forward(self, x: Any) -> Any:
            if torch.isnan(self.one.weight).any():
                raise ValueError
            return self.one(x)

    recorded_as_counted(run, lambda mark: trained(mark, Checked(int), lambda _: None, "AAA"))


def test_nothing_is_compared_where_nothing_is_asked(run: Run) -> None:
    """And what was counted while all were compared is not counted again."""

    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(WIDTH, WIDTH)
            self.register_buffer("calls", torch.tensor(0))

        def forward(self, x: Any) -> Any:
            self.calls.add_(1)
            return self.layer(x)

    model = Counting()
    with run.record():
        trained(lambda: None, model, lambda _: None, "A" * 12)
        watched: Attributes = model.__dict__["_compiled_call_impl"].attributes
        assert watched.switches.compared == []
    assert len(run.process.costs) == 1
    assert {step.calls for step in run.process.steps()} == {((0, 1),)}

"""Models that settled, of which something is asked that was not asked before.

Calls that were alike for long are recorded by a shorter way. Each loop here makes such calls, then does
something else for a step or some, and goes back. Each step equals torch's own counter on the same step.
"""

from __future__ import annotations

import copy
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.overrides import TorchFunctionMode  # noqa: E402

from flopledger.recording import book  # noqa: E402
from profilers.steps import observer  # noqa: E402
from profilers.steps.backward.passes import LOOKING  # noqa: E402
from profilers.steps.calls.seam import Seam  # noqa: E402
from profilers.steps.settled import compared, compiled, pulse  # noqa: E402
from tests.recording.conftest import (  # noqa: E402
    TRAIN,
    in_its_own_interpreter,
    mlp,
    sgd,
    steps_by_counter,
    train,
)

if TYPE_CHECKING:
    from tests.recording.conftest import Mark, Run


@pytest.fixture(autouse=True, params=["plain", "compiled"])
def hot(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it twice: by the way in Python, and by the compiled one (its pulse serves both)."""
    taken = compiled.PLAIN
    if request.param == "compiled":
        pytest.importorskip("profilers._hot")
        taken = compiled.best()
    else:
        monkeypatch.setattr(observer.Observer, "stepped", pulse.Pulse.stepped)
    monkeypatch.setattr(compared, "HOT", taken)
    monkeypatch.setattr(observer, "HOT", taken)


ALIKE = 21
"""Steps after which a model has settled: those that are looked at in any case, and some."""
THEN = "BAABBA"
"""What follows: usual steps and others."""

Steps = tuple[Callable[[], None], Callable[[], None]]
"""The usual step, and the other one."""


class Net(nn.Module):
    """Blocks, as many as it is told, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(mlp(8, 1) for _ in range(3))
        self.head = nn.Linear(8, 4)
        self.depth = 9

    def forward(self, x: Any) -> Any:
        for block in self.blocks[: self.depth]:
            x = block(x)
        self.hidden = x.detach()
        return self.head(x)


def x(rows: int = 4) -> Any:
    return torch.randn(rows, 8)


def fit(optimizer: Any, loss: Any) -> None:
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()


def a_layer_is_frozen() -> Steps:
    model = Net()
    optimizer = sgd(model)

    def usual() -> None:
        fit(optimizer, model(x()).square().mean())

    def frozen() -> None:
        model.blocks[0].requires_grad_(requires_grad=False)
        usual()
        model.blocks[0].requires_grad_(requires_grad=True)

    return usual, frozen


def one_weight_is_frozen_in_place_of_another() -> Steps:
    """As many are frozen as before, and they cost another amount."""
    model = Net()
    optimizer, one, other = sgd(model), model.blocks[1][0].weight, model.head.weight

    def step(frozen: Any, trained: Any) -> None:
        frozen.requires_grad, trained.requires_grad = False, True
        fit(optimizer, model(x()).square().mean())

    return lambda: step(one, other), lambda: step(other, one)


def an_attribute_says_less_blocks() -> Steps:
    model = Net()
    optimizer = sgd(model)

    def step(depth: int) -> None:
        model.depth = depth
        fit(optimizer, model(x()).square().mean())

    return lambda: step(9), lambda: step(1)


def a_part_is_exchanged_past_the_register() -> Steps:
    model = Net()
    optimizer, head, wide = sgd(model), model.head, nn.Linear(8, 32)

    def step(part: Any) -> None:
        model._modules["head"] = part
        fit(optimizer, model(x()).square().mean())

    return lambda: step(head), lambda: step(wide)


def a_block_is_taken_out_and_put_back() -> Steps:
    model = Net()
    optimizer = sgd(model)

    def usual() -> None:
        fit(optimizer, model(x()).square().mean())

    def without() -> None:
        block = model.blocks[0]
        del model.blocks[0]
        usual()
        model.blocks.insert(0, block)

    return usual, without


def the_loss_gets_a_product_deep_down() -> Steps:
    """The graph's last nodes are the same."""
    model, weight = Net(), nn.Parameter(torch.randn(4, 4))
    optimizer = torch.optim.SGD([*model.parameters(), weight], lr=1e-2)

    def step(out: Any) -> None:
        fit(optimizer, out.tanh().sin().square().mean())

    return lambda: step(model(x())), lambda: step(model(x()) @ weight)


def a_graph_is_gone_through_twice() -> Steps:
    model = Net()
    optimizer = sgd(model)

    def twice() -> None:
        loss = model(x()).square().mean()
        loss.backward(retain_graph=True)
        fit(optimizer, loss)

    return lambda: fit(optimizer, model(x()).square().mean()), twice


def the_first_of_two_calls_is_used() -> Steps:
    model = Net()
    optimizer = sgd(model)

    def first() -> None:
        used = model(x())
        model(x())
        fit(optimizer, used.square().mean())

    return lambda: fit(optimizer, model(x()).square().mean()), first


def the_later_of_two_models_goes_first() -> Steps:
    """And then once more."""
    model, other = Net(), mlp()
    optimizer = sgd(model, other)

    def step(*, reverse: bool) -> None:
        one, two = model(x()).mean(), other(x()).mean()
        if reverse:
            two.backward(retain_graph=True)
            one.backward()
        else:
            one.backward()
        fit(optimizer, two)

    return lambda: step(reverse=False), lambda: step(reverse=True)


def a_target_without_gradients() -> Steps:
    model = Net()
    optimizer = sgd(model)

    def with_target() -> None:
        given = x()
        with torch.no_grad():
            target = model(given) + model.head(given)
        fit(optimizer, (model(given) - target).square().mean())

    return lambda: fit(optimizer, model(x()).square().mean()), with_target


def parts_are_called_by_themselves() -> Steps:
    model = Net()
    optimizer = sgd(model)

    def parts() -> None:
        fit(optimizer, model(x()).mean() + model.head(model.blocks[1](x(3))).mean())

    return lambda: fit(optimizer, model(x()).mean()), parts


def another_batch_size_and_a_gradient_of_the_input() -> Steps:
    model = Net()
    optimizer = sgd(model)

    def step(given: Any) -> None:
        fit(optimizer, model(given).square().mean())

    return lambda: step(x()), lambda: step(x(7).requires_grad_())


def a_flag_is_true_in_place_of_one() -> Steps:
    class Told(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.other = nn.Linear(8, 8), nn.Linear(8, 8)

        def forward(self, given: Any, told: Any) -> Any:
            return self.other(self.one(given)) if told is True else self.one(given)

    model = Told()
    optimizer = sgd(model)
    return lambda: fit(optimizer, model(x(), 1).mean()), lambda: fit(
        optimizer, model(x(), True).mean()
    )


def a_gradient_is_differentiated() -> Steps:
    model = mlp()
    optimizer, weights = sgd(model), list(model.parameters())

    def penalty() -> None:
        loss = model(x()).square().mean()
        slopes = torch.autograd.grad(loss, weights, create_graph=True)
        fit(optimizer, loss + sum(slope.square().sum() for slope in slopes))

    return lambda: fit(optimizer, model(x()).square().mean()), penalty


def a_copy_is_trained() -> Steps:
    model = Net()
    optimizer, copies = sgd(model), list[tuple[Any, Any]]()

    def copied() -> None:
        if not copies:
            twin = copy.deepcopy(model)
            twin.depth = 2
            copies.append((twin, sgd(twin)))
        twin, own = copies[0]
        fit(own, twin(x()).square().mean())

    return lambda: fit(optimizer, model(x()).square().mean()), copied


def outputs_are_kept_for_later_steps() -> Steps:
    """Steps of another optimizer lie between the calls and their one backward."""
    model, other = mlp(), nn.Linear(2, 2)
    optimizer, kept = sgd(other), list[Any]()

    def usual(
        _lives: nn.Module = other,
    ) -> None:  # else its optimizer trains parameters of no module
        losses = [out.mean() for out in kept]
        kept.clear()
        sum(losses, model(x()).mean()).backward()
        optimizer.step()

    def keeps() -> None:
        kept.append(model(x()))
        optimizer.step()

    return usual, keeps


class Passing(torch.autograd.Function):
    """Hands on its gradient, or none."""

    @staticmethod
    def forward(ctx: Any, given: Any, hands_on: bool) -> Any:
        ctx.hands_on = hands_on
        return given * 1

    @staticmethod
    def backward(ctx: Any, slope: Any) -> Any:
        return (-slope if ctx.hands_on else None), None


def a_function_hands_on_no_gradient() -> Steps:
    model = mlp()
    optimizer = sgd(model)

    def step(*, hands_on: bool) -> None:
        fit(optimizer, Passing.apply(model(x()), hands_on).mean())

    return lambda: step(hands_on=True), lambda: step(hands_on=False)


def a_product_joins_two_models() -> Steps:
    one, other, weight = mlp(8, 1), mlp(8, 1), nn.Parameter(torch.randn(8, 8))
    optimizer = torch.optim.SGD([*one.parameters(), *other.parameters(), weight], 1e-3)
    return lambda: fit(optimizer, other(one(x())).mean()), lambda: fit(
        optimizer, other(one(x()) @ weight).mean()
    )


def the_input_becomes_a_product() -> Steps:
    model, weight = mlp(), nn.Parameter(torch.randn(8, 8))
    optimizer = torch.optim.SGD([*model.parameters(), weight], 1e-3)
    return lambda: fit(optimizer, model(x()).mean()), lambda: fit(
        optimizer, model(x() @ weight).mean()
    )


def a_function_of_torch_is_replaced() -> Steps:
    model = mlp()
    optimizer, original = sgd(model), nn.functional.linear

    def replaced() -> None:
        def twice(given: Any, weight: Any, bias: Any = None) -> Any:
            return original(original(given, weight, bias), weight, bias)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(nn.functional, "linear", twice)
            fit(optimizer, model(x()).mean())

    return lambda: fit(optimizer, model(x()).mean()), replaced


def an_output_is_hidden_in_slots() -> Steps:
    class Slotted:
        __slots__ = ("y",)

    class Hiding(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers, self.hides = mlp(), False

        def forward(self, given: Any) -> Any:
            out = Slotted()
            out.y = self.layers(given) if self.hides else self.layers[0](given)
            return out if self.hides else out.y

    model = Hiding()
    optimizer = sgd(model)

    def hidden() -> None:
        model.hides = True
        fit(optimizer, model(x()).y.mean())
        model.hides = False

    return lambda: fit(optimizer, model(x()).mean()), hidden


def named_inputs_come_in_another_order() -> Steps:
    class Ordered(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.other = nn.Linear(8, 2), mlp(8, 2)

        def forward(self, **named: Any) -> Any:
            first, last = named.values()
            return self.one(first) if next(iter(named)) == "a" else self.other(last)

    model = Ordered()
    optimizer = sgd(model)
    return lambda: fit(optimizer, model(a=x(), b=x()).mean()), lambda: fit(
        optimizer, model(b=x(), a=x()).mean()
    )


def of_two_outputs_one_is_used() -> Steps:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.heads = mlp(8, 8), nn.ModuleList(nn.Linear(8, 2) for _ in "ab")

        def forward(self, given: Any) -> Any:
            given = self.stem(given)
            return {place: head(given) for place, head in enumerate(self.heads)}

    model = Two()
    optimizer = sgd(model)

    def both() -> None:
        out = model(x())
        fit(optimizer, (out[0] + out[1]).mean())

    return both, lambda: fit(optimizer, model(x())[1].mean())


def the_last_node_is_another_one() -> Steps:
    """A backward that begins with a gradient, at a product in place of another node."""
    model, weights = nn.Linear(8, 4), torch.randn(4, 4)
    optimizer = sgd(model)

    def begun_at(end: Any) -> None:
        end.backward(torch.ones(4, 4))
        optimizer.step()
        optimizer.zero_grad()

    return lambda: begun_at(model(x()) * weights), lambda: begun_at(model(x()) @ weights)


def beside(other: Callable[[Any, Any], Any], usual: Callable[[Any, Any], Any]) -> Steps:
    """A term joins the loss which does not come from the model, in each step as many nodes."""
    model, weight = Net(), nn.Parameter(torch.randn(8, 8))
    optimizer = sgd(model)
    optimizer.add_param_group({"params": [weight]})

    def step(term: Callable[[Any, Any], Any]) -> None:
        fit(optimizer, model(x()).square().mean() + term(model, weight))

    return lambda: step(usual), lambda: step(other)


def a_product_lies_deep_beside_the_way() -> Steps:
    return beside(lambda _, w: (w @ w).exp().tanh().sum(), lambda _, w: (w * w).exp().tanh().sum())


def a_product_was_made_before_the_call() -> Steps:
    model, weight = Net(), nn.Parameter(torch.randn(8, 8))
    optimizer = sgd(model)
    optimizer.add_param_group({"params": [weight]})

    def step(times: Callable[[Any, Any], Any]) -> None:
        made = times(weight, weight)
        fit(optimizer, model(x()).square().mean() + made.sum())

    return lambda: step(torch.mul), lambda: step(torch.matmul)


def an_input_is_another_product() -> Steps:
    """Made of parameters, by as many nodes."""
    model, weight = Net(), nn.Parameter(torch.randn(8, 8))
    optimizer = sgd(model)
    optimizer.add_param_group({"params": [weight]})

    def step(times: Callable[[Any, Any], Any]) -> None:
        fit(optimizer, model(times(weight, weight).relu()).square().mean())

    return lambda: step(torch.mul), lambda: step(torch.matmul)


def a_product_beside_two_outputs() -> Steps:
    """A gradient comes to two outputs, so there is no single way."""

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(8, 8)

        def forward(self, given: Any) -> Any:
            out = self.layer(given)
            return out, out.square().mean()

    model, weight = Two(), nn.Parameter(torch.randn(8, 8))
    optimizer = sgd(model)
    optimizer.add_param_group({"params": [weight]})

    def step(times: Callable[[Any, Any], Any]) -> None:
        out, term = model(x())
        fit(optimizer, out.abs().mean() + 0.1 * term + 0.1 * times(weight, weight).sum())

    return lambda: step(torch.mul), lambda: step(torch.matmul)


def a_replaced_forward_is_replaced_again() -> Steps:
    """Of a layer whose other attributes decide nothing."""
    model, other = Net(), nn.Linear(8, 4)
    optimizer = sgd(model, other)
    own = model.head.forward
    both = lambda given: own(given) + other(given)  # noqa: E731

    def step(forward: Any) -> None:
        model.head.forward = forward
        fit(optimizer, model(x()).square().mean())

    return lambda: step(own), lambda: step(both)


LOOPS = [
    a_layer_is_frozen, one_weight_is_frozen_in_place_of_another, an_attribute_says_less_blocks,
    a_part_is_exchanged_past_the_register, a_block_is_taken_out_and_put_back,
    the_loss_gets_a_product_deep_down, a_graph_is_gone_through_twice, the_first_of_two_calls_is_used,
    the_later_of_two_models_goes_first, a_target_without_gradients, parts_are_called_by_themselves,
    another_batch_size_and_a_gradient_of_the_input, a_flag_is_true_in_place_of_one,
    a_gradient_is_differentiated, a_copy_is_trained, outputs_are_kept_for_later_steps,
    named_inputs_come_in_another_order, of_two_outputs_one_is_used, a_function_hands_on_no_gradient,
    a_product_joins_two_models, the_input_becomes_a_product, a_function_of_torch_is_replaced,
    an_output_is_hidden_in_slots, the_last_node_is_another_one, a_product_lies_deep_beside_the_way,
    a_product_was_made_before_the_call, an_input_is_another_product, a_product_beside_two_outputs,
    a_replaced_forward_is_replaced_again,
]  # fmt: skip


@pytest.mark.parametrize("loop", LOOPS, ids=lambda loop: loop.__name__)
def test_each_step_is_what_the_counter_says(run: Run, loop: Callable[[], Steps]) -> None:
    def counted(mark: Mark) -> None:
        usual, other = loop()
        for which in "A" + THEN:
            usual() if which == "A" else other()
            mark()

    first, *then = steps_by_counter(counted)
    with run.record():
        usual, other = loop()
        for which in "A" * ALIKE + THEN:
            usual() if which == "A" else other()
        del usual, other
    assert run.flop == [first] * ALIKE + then
    assert len(set(then)) > 1  # the other step costs another amount
    assert run.process.notes == ()
    assert {cost.bounds for cost in run.process.costs.values()} == {None}


@pytest.mark.parametrize("named", [False, True])
@in_its_own_interpreter
def test_a_settled_call_gets_no_hook_and_keeps_nothing_alive(run: Run, named: bool) -> None:
    """Else the loops above would prove nothing of the shorter way, on this Python and this torch."""
    model = Net()
    optimizer = sgd(model)
    with run.record():
        for _ in range(ALIKE):
            fit(optimizer, (model(x=x()) if named else model(x())).square().mean())
        given = x()
        out = model(x=given) if named else model(given)
        left = [weakref.ref(given), weakref.ref(out)]
        hooks = out._backward_hooks
        fit(optimizer, out.square().mean())
        del given, out
        alive = [reference() is not None for reference in left]
    assert hooks is None
    assert alive == [False, False]
    assert len(set(run.flop)) == 1


@in_its_own_interpreter
def test_a_look_at_the_graph_takes_the_shorter_way_and_a_hook(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixteen steps a second are looked at: in a loop of steps of 60 ms, all of them."""
    longer: list[None] = []
    usual = Seam.usual
    monkeypatch.setattr(Seam, "usual", lambda *given: (longer.append(None), usual(*given))[1])
    model = Net()
    optimizer = sgd(model)
    with run.record():
        for step in range(ALIKE):
            LOOKING[0] = step < ALIKE - 2  # also where a busy machine makes 60 ms of them
            fit(optimizer, model(x()).square().mean())
        longer.clear()
        LOOKING[0] = True
        out = model(x())
        hooks = out._backward_hooks
        fit(optimizer, out.square().mean())
    assert longer == []
    assert hooks is not None
    assert len(set(run.flop)) == 1


def test_a_backward_that_breaks_off_is_no_whole_one(run: Run) -> None:
    """A hook of the program raises behind the loss and before the model."""
    model = mlp()
    optimizer = sgd(model)

    def raises(_slope: Any) -> None:
        raise ValueError("breaks off")

    with run.record():
        for _ in range(ALIKE):
            fit(optimizer, (model(x()) * 2).mean())
        doubled = model(x()) * 2
        doubled.register_hook(raises)
        with pytest.raises(ValueError, match="breaks off"):
            doubled.mean().backward()
        optimizer.step()
    *usual, last = run.process.steps()
    costs = run.process.costs
    assert {int(sum(costs[c].hardware_flop or 0 for c, _ in step.calls)) for step in usual} == {
        5 * 512  # two products of 2·4·8·8 FLOP forward, two for the weights, one between them
    }
    bounds = [costs[c].bounds or (costs[c].hardware_flop,) * 2 for c, _ in last.calls]
    assert sum(low for low, _ in bounds if low is not None) <= 2 * 512  # the forward alone
    assert all(high is None or high >= 2 * 512 for _, high in bounds)


@in_its_own_interpreter
def test_a_backward_past_torchs_functions_opens_the_upper_end(run: Run) -> None:
    """Of a settled model, which has no hook; what another test left behind may keep one from settling."""
    model = mlp()
    optimizer = sgd(model)
    engine = torch.autograd.Variable._execution_engine
    with run.record():
        for _ in range(ALIKE):
            model(x()).mean().backward()
            optimizer.step()
        loss = model(x()).mean()
        engine.run_backward(
            (loss,), (torch.ones(()),), False, False, (),
            allow_unreachable=True, accumulate_grad=True,
        )  # fmt: skip
        optimizer.step()
        model(x()).mean().backward()
        optimizer.step()
    open_ = [
        any(bounds is not None and bounds[1] is None for bounds in bounds_of)
        for bounds_of in (
            [run.process.costs[cost].bounds for cost, _ in step.calls]
            for step in run.process.steps()
        )
    ]
    assert open_ == [False] * ALIKE + [True, False]


def test_a_second_model_that_joins_for_good_costs_no_pass_of_the_first(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its calls went without a hook, and cannot any more: no way leads to one of two."""
    monkeypatch.setattr("profilers.steps.observer.FOLD_NS", 1 << 60)  # nothing is looked at between
    model, later = Net(), nn.Linear(4, 4)
    optimizer = sgd(model, later)
    with run.record():
        for step in range(3 * ALIKE):
            out = model(x())
            fit(optimizer, (later(out) if step >= ALIKE else out).mean())
    # On 4 rows: three layers of 8 x 8, and 8 x 4. 2·4·8·8 = 512 and 256 forward, once more for each weight's
    # gradient, and for each input's but the first: 3·512 + 256, twice, and 2·512 + 256. Then 4 x 4: thrice
    # 128.
    first = 2 * (3 * 512 + 256) + 2 * 512 + 256
    assert run.flop == [first] * ALIKE + [first + 3 * 128] * 2 * ALIKE


@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_a_call_that_torchscript_traces_opens_the_upper_end(run: Run) -> None:
    model = Net()
    optimizer = sgd(model)
    with run.record():
        for step in range(3):
            if step == 1:
                torch.jit.trace(model, x(), check_trace=False)
            fit(optimizer, model(x()).mean())
    known = [
        {run.process.costs[cost].bounds for cost, _ in step.calls} for step in run.process.steps()
    ]
    assert known == [{None}, {None, (0, None)}, {None}]


@pytest.fixture
def a_look_at_the_end_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not once a second, which comes early or late on a busy machine."""
    monkeypatch.setattr(observer, "FOLD_NS", 1 << 62)
    monkeypatch.setattr(book, "FLUSH_SECONDS", 1e9)


@pytest.mark.usefixtures("a_look_at_the_end_alone")
def test_parts_that_swap_their_classes_leave_both_ends_open(run: Run) -> None:
    """Nothing tells of it; what the calls since the last look cost is not known."""

    class Once(nn.Linear):
        pass

    class Twice(nn.Linear):
        def forward(self, given: Any) -> Any:
            return super().forward(super().forward(given))

    one, other = Once(8, 8), Twice(8, 8)
    model = nn.Sequential(one, nn.Linear(8, 8), other)
    optimizer = sgd(model)
    with run.record() as recording:
        for step in range(ALIKE + 4):
            if step == ALIKE:
                recording.flush()
            if step == ALIKE + 1:
                one.__class__, other.__class__ = Twice, Once
            fit(optimizer, model(x()).mean())
    bounds = [[run.process.costs[c].bounds for c, _ in s.calls] for s in run.process.steps()]
    assert bounds[ALIKE + 1 :] == [[(0, None)]] * 3


@pytest.mark.usefixtures("a_look_at_the_end_alone")
def test_each_step_since_a_shape_was_exchanged_may_have_bounds(run: Run) -> None:
    """Nothing tells of ``p.data = other``: where it is noticed, nobody knows since when."""

    class Wide(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(8, 8)
            self.wide = nn.Parameter(torch.randn(8, 8), requires_grad=False)

        def forward(self, given: Any) -> Any:
            return self.layer(given) @ self.wide

    model = Wide()
    optimizer = sgd(model.layer)
    with run.record() as recording:
        for step in range(ALIKE + 4):
            if step == ALIKE:
                recording.flush()
            if step == ALIKE + 1:
                model.wide.data = torch.randn(8, 16)
            fit(optimizer, model(x()).mean())
    known = [
        None not in [run.process.costs[c].model_flop for c, _ in step.calls]
        for step in run.process.steps()
    ]
    assert known[ALIKE + 1 :] == [False] * 3


def test_a_forward_that_starts_a_thread_is_not_made_again(run: Run) -> None:
    started: list[str] = []

    class Starting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(8, 8)

        def forward(self, given: Any) -> Any:
            thread = threading.Thread(target=started.append, args=("once",))
            thread.start()
            thread.join()
            return self.layer(given)

    model = Starting()
    with run.record():
        fit(sgd(model), model(x()).mean())
    assert started == ["once"]
    assert {cost.bounds for cost in run.process.costs.values()} == {(0, None)}
    assert run.notes() == {"cost-unknown"}


class Counting(TorchFunctionMode):
    """Hands every function on."""

    calls = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls += 1
        return func(*args, **(kwargs or {}))


class Doubling(TorchFunctionMode):
    """Puts a product beside each."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is nn.functional.linear:
            return func(*args) + args[0] @ args[1].T
        return func(*args, **(kwargs or {}))


def test_a_mode_around_torchs_functions_opens_the_bounds_where_it_names_products(run: Run) -> None:
    with run.record():
        model = mlp()
        optimizer = sgd(model)
        train(model, optimizer, ALIKE)
        for mode in (Counting(), Doubling()):
            with mode:
                train(model, optimizer)
            train(model, optimizer)
    assert run.flop == [TRAIN] * ALIKE + [TRAIN, TRAIN, None, TRAIN]
    assert run.notes() == {"cost-bounded"}

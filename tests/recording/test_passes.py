"""Backward passes that were asked for some gradients only: counted as far as they went."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402
from torch.utils.flop_counter import flop_registry  # noqa: E402

from tests.recording.conftest import by_counter, recorded_as_counted, sgd  # noqa: E402

if TYPE_CHECKING:
    from tests.recording.conftest import Mark, Run


def net(*sizes: int) -> Any:
    layers: list[Any] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.Tanh()]
    return nn.Sequential(*layers[:-1])


def adversarial_examples(mark: Mark) -> None:
    model = net(6, 16, 16, 3)
    optimizer = sgd(model)
    for _ in range(3):
        x, wanted = torch.randn(5, 6), torch.randint(0, 3, (5,))
        for _ in range(3):
            x.requires_grad_()
            (gradient,) = torch.autograd.grad(functional.cross_entropy(model(x), wanted), x)
            x = (x + 0.1 * gradient.sign()).detach()
        optimizer.zero_grad()
        functional.cross_entropy(model(x), wanted).backward()
        optimizer.step()
        mark()


def a_backward_to_the_input_only(mark: Mark) -> None:
    model = net(6, 16, 3)
    optimizer = sgd(model)
    for _ in range(3):
        x = torch.randn(5, 6, requires_grad=True)
        model(x).square().mean().backward(inputs=[x])
        model(x.detach() + x.grad).square().mean().backward()
        optimizer.step()
        mark()


def a_backward_to_the_head_only(mark: Mark) -> None:
    model = net(6, 16, 16, 3)
    optimizer = sgd(model)
    for step in range(4):
        chosen = list(model[-1 if step % 2 else 0].parameters())
        model(torch.randn(5, 6)).square().mean().backward(inputs=chosen)
        optimizer.step()
        mark()


def norms_of_gradients_at_a_shared_layer(mark: Mark) -> None:
    trunk, one, other = net(6, 16, 16), nn.Linear(16, 3), nn.Linear(16, 2)
    optimizer = sgd(trunk, one, other)
    for _ in range(3):
        hidden = trunk(torch.randn(5, 6))
        losses = [one(hidden).square().mean(), other(hidden).square().mean()]
        shared = trunk[-1].weight
        weights = [
            torch.autograd.grad(loss, shared, retain_graph=True)[0].norm().item() for loss in losses
        ]
        optimizer.zero_grad()
        sum(w * loss for w, loss in zip(weights, losses, strict=True)).backward()
        optimizer.step()
        mark()


def gradients_by_hand(mark: Mark) -> None:
    model = net(6, 16, 3)
    optimizer = sgd(model)
    parameters = list(model.parameters())
    for _ in range(3):
        found = torch.autograd.grad(model(torch.randn(5, 6)).square().mean(), parameters)
        for parameter, gradient in zip(parameters, found, strict=True):
            parameter.grad = gradient
        optimizer.step()
        mark()


def leaves_in_place_of_weights(mark: Mark) -> None:
    """A pass is asked for leaves that stood in place of parameters in one of two calls, or for the others."""
    model = net(4, 8, 4)
    given = {
        name: each.detach().clone().requires_grad_() for name, each in model.named_parameters()
    }
    optimizer = torch.optim.SGD([*given.values(), *model.parameters()], lr=1e-3)
    for step in range(4):
        out = torch.func.functional_call(model, given, (model(torch.randn(5, 4)),))
        one = list(given.values() if step % 2 else model.parameters())
        for each, found in zip(one, torch.autograd.grad(out.square().mean(), one), strict=True):
            each.grad = found
        optimizer.step()
        mark()


LOOPS = [
    a_backward_to_the_input_only,
    a_backward_to_the_head_only,
    norms_of_gradients_at_a_shared_layer,
    gradients_by_hand,
    leaves_in_place_of_weights,
]


@pytest.mark.parametrize("loop", LOOPS, ids=lambda loop: loop.__name__)
def test_each_step_is_what_the_counter_says(run: Run, loop: Callable[[Mark], None]) -> None:
    recorded_as_counted(run, loop)


def test_adversarial_examples(run: Run) -> None:
    """torch's own counter raises on this one."""
    with run.record():
        adversarial_examples(lambda: None)
    # Layers 6-16-16-3 on 5 rows: 2·5·(96 + 256 + 48) = 4000 forward, and as much for the gradient
    # of the input alone; three attacks. Then the step: 4000 forward, 4000 for the weights, and
    # 2·5·(256 + 48) = 3040 for what lies between the layers.
    assert run.flop == [3 * (4000 + 4000) + 4000 + 4000 + 3040] * 3
    assert run.process.notes == ()


def wgan_gp(mark: Mark) -> None:
    critic = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(128, 1)
    )
    optimizer = sgd(critic)
    for _ in range(3):
        x = torch.randn(2, 3, 8, 8, requires_grad=True)
        out = critic(x).squeeze()
        (slope,) = torch.autograd.grad(out, x, torch.ones_like(out), create_graph=True)
        optimizer.zero_grad()
        (out.mean() + (slope.flatten(1).norm(dim=1) - 1).square().mean()).backward()
        optimizer.step()
        mark()


def lazy_r1(mark: Mark) -> None:
    critic = net(6, 16, 16, 1)
    optimizer = sgd(critic)
    for step in range(4):
        x = torch.randn(5, 6, requires_grad=step % 2 == 0)
        out = critic(x)
        loss = functional.softplus(-out).mean()
        if step % 2 == 0:
            (slope,) = torch.autograd.grad(out.sum(), x, create_graph=True)
            loss = loss + slope.square().sum(1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        mark()


def learning_to_learn(mark: Mark) -> None:
    model = net(4, 8, 2)
    optimizer = sgd(model)
    for _ in range(3):
        fast = dict(model.named_parameters())
        loss = torch.func.functional_call(model, fast, (torch.randn(5, 4),)).square().mean()
        found = torch.autograd.grad(loss, list(fast.values()), create_graph=True)
        fast = {name: fast[name] - 0.1 * g for name, g in zip(fast, found, strict=True)}
        optimizer.zero_grad()
        torch.func.functional_call(model, fast, (torch.randn(5, 4),)).square().mean().backward()
        optimizer.step()
        mark()


def curvature(mark: Mark) -> None:
    model = net(6, 16, 1)
    optimizer = sgd(model)
    parameters = list(model.parameters())
    for _ in range(3):
        loss = model(torch.randn(5, 6)).square().mean()
        slopes = torch.autograd.grad(loss, parameters, create_graph=True)
        along = sum((slope * slope.detach()).sum() for slope in slopes)
        torch.autograd.grad(along, parameters, allow_unused=True)
        optimizer.step()
        mark()


def slope(value: Any, at: Any) -> Any:
    return torch.autograd.grad(value, at, torch.ones_like(value), create_graph=True)[0]


def an_equation_of_second_order(mark: Mark) -> None:
    """Burgers' equation: derivatives of derivatives, two of the same output, and points at the boundary."""
    model = net(2, 16, 16, 1)
    optimizer = sgd(model)
    for _ in range(3):
        x, t = torch.rand(5, 1, requires_grad=True), torch.rand(5, 1, requires_grad=True)
        u = model(torch.cat([x, t], 1))
        along, later = slope(u, x), slope(u, t)
        left = later + u * along - 0.01 * slope(along, x)
        optimizer.zero_grad()
        (left.square().mean() + model(torch.rand(3, 2)).square().mean()).backward()
        optimizer.step()
        mark()


def a_laplacian(mark: Mark) -> None:
    """One gradient is differentiated twice, and both results once more."""
    model = net(2, 16, 1)
    optimizer = sgd(model)
    for _ in range(3):
        x = torch.rand(5, 2, requires_grad=True)
        first = slope(model(x), x)
        laplacian = slope(first[:, 0], x)[:, 0] + slope(first[:, 1], x)[:, 1]
        optimizer.zero_grad()
        laplacian.square().mean().backward()
        optimizer.step()
        mark()


def a_fourth_derivative(mark: Mark) -> None:
    model = net(1, 8, 8, 1)
    optimizer = sgd(model)
    for _ in range(3):
        x = torch.rand(5, 1, requires_grad=True)
        value = model(x)
        for _ in range(4):
            value = slope(value, x)
        optimizer.zero_grad()
        value.square().mean().backward()
        optimizer.step()
        mark()


def several_vectors_times_a_hessian(mark: Mark) -> None:
    model = net(6, 16, 1)
    optimizer = sgd(model)
    parameters = list(model.parameters())
    for _ in range(3):
        loss = model(torch.randn(5, 6)).square().mean()
        slopes = torch.autograd.grad(loss, parameters, create_graph=True)
        for _ in range(3):
            along = [torch.randn_like(each) for each in slopes]
            torch.autograd.grad(slopes, parameters, along, retain_graph=True)
        optimizer.step()
        mark()


def learning_to_learn_many_weights(mark: Mark) -> None:
    """More gradients than outputs are watched of one call."""
    model = net(*[4] * 12)
    optimizer = sgd(model)
    for _ in range(2):
        fast = dict(model.named_parameters())
        loss = torch.func.functional_call(model, fast, (torch.randn(5, 4),)).square().mean()
        found = torch.autograd.grad(loss, list(fast.values()), create_graph=True)
        fast = {name: fast[name] - 0.1 * g for name, g in zip(fast, found, strict=True)}
        optimizer.zero_grad()
        torch.func.functional_call(model, fast, (torch.randn(5, 4),)).square().mean().backward()
        optimizer.step()
        mark()


def an_equilibrium(mark: Mark) -> None:
    """Iterated without gradients; a hook on the result solves for its gradient by several passes."""
    layer = nn.Linear(8, 8)
    optimizer = sgd(layer)
    for _ in range(4):
        x = torch.randn(4, 8)
        with torch.no_grad():
            state = torch.zeros_like(x)
            for _ in range(3):
                state = (layer(state) + x).tanh()
        out = (layer(state) + x).tanh()
        start = state.requires_grad_()
        again = (layer(start) + x).tanh()

        def solved(slope: Any, again: Any = again, start: Any = start) -> Any:
            found = slope
            for _ in range(3):
                found = torch.autograd.grad(again, start, found, retain_graph=True)[0] + slope
            return found

        out.register_hook(solved)
        optimizer.zero_grad()
        out.square().mean().backward()
        optimizer.step()
        mark()


class Bare(TorchDispatchMode):
    """torch's formulas without its tracker of modules, which raises where a leaf is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.flop: list[int] = [0]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.flop[-1] += formula(*args, **(kwargs or {}), out_val=out)
        return out


@pytest.mark.parametrize(
    "loop",
    [
        wgan_gp,
        lazy_r1,
        learning_to_learn,
        an_equilibrium,
        learning_to_learn_many_weights,
        curvature,
        several_vectors_times_a_hessian,
        adversarial_examples,
        an_equation_of_second_order,
        a_laplacian,
        a_fourth_derivative,
    ],
    ids=lambda loop: loop.__name__,
)
def test_gradients_of_gradients(run: Run, loop: Callable[[Mark], None]) -> None:
    torch.manual_seed(0)
    with Bare() as counter:
        loop(lambda: counter.flop.append(0))
    with run.record():
        loop(lambda: None)
    assert run.flop == counter.flop[:-1]
    assert run.process.notes == ()


def test_a_penalty_behind_a_nonlinear_loss_has_close_bounds(run: Run) -> None:
    """Whether the first gradient depends on the output cannot be seen: one product more or less."""
    critic = net(6, 16, 1)
    optimizer = sgd(critic)

    def step() -> None:
        x = torch.randn(5, 6, requires_grad=True)
        loss = functional.softplus(-critic(x)).mean()
        (slope,) = torch.autograd.grad(loss, x, create_graph=True)
        (loss + slope.square().sum()).backward()

    with Bare() as counter:
        step()
    with run.record():
        step()
        optimizer.step()
    low, high = run.totals.hardware_bounds
    assert high is not None
    assert low <= counter.flop[0] <= high
    assert high - low <= 2 * 5 * 16  # of the last layer


def each_gradient_by_itself(model: Any) -> None:
    """Of several gradients one is differentiated here, and another one there."""
    weights = [each for each in model.parameters() if each.dim() == 2]
    slopes = torch.autograd.grad(model(torch.randn(5, 6)).sum(), weights, create_graph=True)
    for weight, each in zip(weights, slopes, strict=True):
        torch.autograd.grad(each.square().sum(), weight, retain_graph=True, allow_unused=True)


def two_networks_at_once(model: Any) -> None:
    """A pass through two calls, whose gradients are nobody's alone."""
    x = torch.rand(5, 6, requires_grad=True)
    first = slope(model(x) + model(2 * x), x)
    slope(first[:, 0], x).square().mean().backward()


@pytest.mark.parametrize(
    "step", [each_gradient_by_itself, two_networks_at_once], ids=lambda step: step.__name__
)
def test_what_cannot_be_told_apart_has_an_open_bound(run: Run, step: Callable[[Any], None]) -> None:
    model = net(6, 16, 16, 1)
    optimizer = sgd(model)
    with Bare() as counter:
        step(model)
    with run.record():
        step(model)
        optimizer.step()
    low, high = run.totals.hardware_bounds
    assert low <= counter.flop[0]
    assert high is None


def test_a_gradient_that_nobody_differentiates_leaves_an_open_bound(run: Run) -> None:
    critic = net(6, 16, 1)
    optimizer = sgd(critic)
    with run.record():
        x = torch.randn(5, 6, requires_grad=True)
        torch.autograd.grad(critic(x).sum(), x, create_graph=True)
        optimizer.step()
    # 2·5·(96 + 16) = 1120 forward and as much back to the input.
    assert run.totals.hardware_bounds == (2240, None)
    assert "double-backward" in run.notes()


@pytest.mark.parametrize("whole", [True, False])
def test_a_pass_to_the_weights_of_several_modules(run: Run, *, whole: bool) -> None:
    """What lies beside a head is told from what lies before it only where all weights were asked for."""
    trunk, heads = net(4, 8), [net(8, 2), net(8, 2)]
    optimizer = sgd(trunk, *heads)
    asked = [each for head in heads for each in head.parameters()]
    asked += trunk.parameters() if whole else []

    def step() -> None:
        z = trunk(torch.randn(5, 4))
        loss = sum(head(z).square().mean() for head in heads)
        for each, found in zip(asked, torch.autograd.grad(loss, asked), strict=True):
            each.grad = found
        optimizer.step()

    expected = by_counter(step)
    with run.record():
        step()
    # Forward on 5 rows 2·5·(4·8 + 2·(8·2)) = 640. Of the weights 2·5·2·(8·2) = 320; of z as much, which
    # only the trunk's weights need, and these 2·5·4·8 = 320.
    assert expected == 640 + 320 + (320 + 320) * whole
    low, high = run.totals.hardware_bounds
    assert (low, high) == ((expected, expected) if whole else (640, 640 + 320 + 320))


def test_a_pass_to_some_result_inside_has_bounds(run: Run) -> None:
    """The gradient of a hidden layer's output: nobody can tell from outside how far that is."""

    class Hidden(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)
            self.kept: Any = None

        def forward(self, x: Any) -> Any:
            self.kept = self.first(x)
            return self.second(self.kept.tanh())

    model = Hidden()
    optimizer = sgd(model)
    with run.record():
        torch.autograd.grad(model(torch.randn(4, 8)).sum(), model.kept)
        optimizer.step()
    # One product of 8 x 8 on 4 rows is 512 FLOP. The pass needed one, to the hidden layer; all
    # that is known is that it needed none to all three (two weights and the one input inside).
    assert run.totals.hardware_bounds == (2 * 512, 5 * 512)
    assert "cost-bounded" in run.notes()


def test_bounds_of_a_backward_one_step_late_hold_no_forward(run: Run) -> None:
    """The gradient at a model's output, scaled, and then a backward of it, after another optimizer's step."""
    model, other = net(8, 8, 8), nn.Linear(8, 8)
    optimizer, first = sgd(model), sgd(other)
    with run.record():
        out = model(torch.randn(4, 8))
        other(out.detach()).sum().backward()
        first.step()
        (gradient,) = torch.autograd.grad(out.square().mean(), out, retain_graph=True)
        out.backward(gradient)
        optimizer.step()
    # One product of 8 x 8 on 4 rows is 512 FLOP. First step: two products of the model's forward, one of the
    # other's, one for its weight. Second: two weights and the input inside, and perhaps as many in the pass
    # that was asked for the output's gradient (in truth none).
    assert run.totals.hardware_bounds == (4 * 512 + 3 * 512, 4 * 512 + 6 * 512)


def test_the_engine_is_left_as_it_was(run: Run) -> None:
    before = torch.autograd._engine_run_backward
    with run.record():
        assert torch.autograd._engine_run_backward is not before
    assert torch.autograd._engine_run_backward is before

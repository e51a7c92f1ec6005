"""Products of the program's own in steps in which some pass is asked for a few gradients, or for many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from tests.recording.conftest import ONE, batch, mlp, sgd  # noqa: E402
from tests.recording.test_passes import Bare  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.recording.conftest import Mark, Run

STEPS = 20
"""More than are looked at when a recording begins."""


def attack_and_contrast(mark: Mark) -> None:
    """An attack's gradient, and then a product of two outputs that no module computes."""
    model = mlp()
    optimizer = sgd(model)
    for _ in range(STEPS):
        x = batch()
        noise = torch.zeros_like(x, requires_grad=True)
        (slope,) = torch.autograd.grad(model(x + noise).square().mean(), noise)
        scores = model(x + 0.1 * slope.sign()) @ model(x).T
        functional.cross_entropy(scores, torch.arange(4)).backward()
        optimizer.step()
        optimizer.zero_grad()
        mark()


def penalty_and_head(mark: Mark) -> None:
    """The penalty's gradient has a graph, behind which products of the model's backward lie."""
    model, head = mlp(), nn.Parameter(torch.randn(8, 3))
    optimizer = torch.optim.SGD([*model.parameters(), head], lr=1e-3)
    for _ in range(STEPS):
        x = batch().requires_grad_()
        out = model(x)
        (slope,) = torch.autograd.grad(out.sum(), x, create_graph=True)
        ((out @ head).square().mean() + slope.square().mean()).backward()
        optimizer.step()
        optimizer.zero_grad()
        mark()


def without_modules(mark: Mark, *, second_alone: bool = False) -> None:
    """Two weights and no module; the first is not always wanted."""
    weights = [nn.Parameter(torch.randn(8, 8)) for _ in range(2)]
    wanted = weights[1:] if second_alone else weights
    optimizer = torch.optim.SGD(weights, lr=1e-3)
    for _ in range(STEPS):
        loss = functional.linear(functional.linear(batch(), weights[0]).relu(), weights[1]).sum()
        for weight, gradient in zip(wanted, torch.autograd.grad(loss, wanted), strict=True):
            weight.grad = gradient
        optimizer.step()
        mark()


def without_modules_to_the_second(mark: Mark) -> None:
    without_modules(mark, second_alone=True)


def weights_of_losses(mark: Mark) -> None:
    """A graph that is walked twice: each product's forward counts once."""
    model, one, other = mlp(), nn.Parameter(torch.randn(8, 3)), nn.Parameter(torch.randn(8, 2))
    optimizer = torch.optim.SGD([*model.parameters(), one, other], lr=1e-3)
    for _ in range(STEPS):
        out = model(batch())
        losses = [(out @ head).square().mean() for head in (one, other)]
        slopes = [
            torch.autograd.grad(loss, model[-2].weight, retain_graph=True)[0] for loss in losses
        ]
        weighted = [loss / slope.norm() for loss, slope in zip(losses, slopes, strict=True)]
        sum(weighted).backward()
        optimizer.step()
        optimizer.zero_grad()
        mark()


LOOPS = [
    attack_and_contrast,
    penalty_and_head,
    without_modules,
    without_modules_to_the_second,
    weights_of_losses,
]


@pytest.mark.parametrize("loop", LOOPS, ids=lambda loop: loop.__name__)
def test_products_beside_the_calls_are_counted(run: Run, loop: Callable[[Mark], None]) -> None:
    torch.manual_seed(0)
    with Bare() as counter:
        loop(lambda: counter.flop.append(0))
    torch.manual_seed(0)
    with run.record():
        loop(lambda: None)
    assert run.flop == counter.flop[:-1]
    assert run.process.notes == ()


def test_a_product_whose_backward_has_a_graph_leaves_an_open_bound(run: Run) -> None:
    """What a later pass computes behind the penalty's gradient is no product of the forward."""
    head = nn.Parameter(torch.randn(8, 8))
    optimizer = torch.optim.SGD([head], lr=1e-3)
    with run.record():
        x = batch().requires_grad_()
        (slope,) = torch.autograd.grad((x @ head).square().sum(), x, create_graph=True)
        slope.square().sum().backward()
        optimizer.step()
    # One product of 8 x 8 on 4 rows forward, one to the input; the later pass is not known.
    assert run.totals.hardware_bounds == (2 * ONE, None)
    assert "work-outside-modules" in run.notes()


@pytest.mark.filterwarnings("ignore:Using backward.. with create_graph")
def test_gradients_with_graphs_that_lie_in_their_tensors(run: Run) -> None:
    """``backward(create_graph=True)`` returns none of them."""
    model, head = mlp(depth=1), nn.Parameter(torch.randn(8, 8))
    optimizer = torch.optim.SGD([*model.parameters(), head], lr=1e-3)
    with run.record():
        x = batch().requires_grad_()
        model(x).sum().backward(create_graph=True, inputs=[x])
        (x.grad @ head).sum().backward()
        optimizer.step()
    # Forward and back to the input, and again for its weight and its input; the head forward and twice
    # backward. Nothing of the model's backward is taken for a product of the program's.
    assert run.totals.hardware_bounds == ((4 + 3) * ONE, None)


def fused(out: Any, head: Any) -> Any:
    class Fused(torch.autograd.Function):
        """A head and its loss in one, which differentiates itself in its forward."""

        @staticmethod
        def forward(ctx: Any, hidden: Any, weight: Any) -> Any:
            with torch.enable_grad():
                hidden, weight = (each.detach().requires_grad_() for each in (hidden, weight))
                loss = (hidden @ weight).square().mean()
            ctx.save_for_backward(*torch.autograd.grad(loss, (hidden, weight)))
            return loss.detach()

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            return tuple(gradient * each for each in ctx.saved_tensors)

    return Fused.apply(out, head)


def test_a_function_that_differentiates_itself_leaves_an_open_bound(run: Run) -> None:
    model, head = mlp(), nn.Parameter(torch.randn(8, 8))
    optimizer = torch.optim.SGD([*model.parameters(), head], lr=1e-3)
    with run.record():
        fused(model(batch()), head).backward()
        optimizer.step()
    # The model: 5 products (tests/recording/conftest.py). The head: forward and both gradients.
    assert run.totals.hardware_bounds == ((5 + 3) * ONE, None)
    assert "work-outside-modules" in run.notes()


def at_once(out: Any, x: Any) -> None:
    rows = torch.eye(32).view(32, 4, 8)
    torch.autograd.grad(out, x, rows, is_grads_batched=True, retain_graph=True)


def at_once_with_a_graph(out: Any, x: Any) -> None:
    rows = torch.eye(32).view(32, 4, 8)
    (slopes,) = torch.autograd.grad(out, x, rows, is_grads_batched=True, create_graph=True)
    slopes.square().mean().backward(retain_graph=True)


def by_vmap(out: Any, x: Any) -> None:
    rows = torch.eye(32).view(32, 4, 8)
    torch.func.vmap(lambda row: torch.autograd.grad(out, x, row, retain_graph=True)[0])(rows)


@pytest.mark.parametrize("jacobian", [at_once, at_once_with_a_graph, by_vmap])
def test_many_gradients_at_once_leave_an_open_bound(
    run: Run, jacobian: Callable[[Any, Any], None]
) -> None:
    """32 gradients in one pass cost 32 times what one does."""
    model = mlp()
    optimizer = sgd(model)

    def step() -> None:
        x = batch().requires_grad_()
        out = model(x)
        jacobian(out, x)
        out.square().mean().backward()

    with Bare() as counter:
        step()
    optimizer.zero_grad()
    with run.record():
        step()
        optimizer.step()
    low, high = run.totals.hardware_bounds
    assert high is None
    assert 5 * ONE <= low <= counter.flop[0]
    assert "work-outside-modules" in run.notes()


def test_a_pass_back_along_a_pass_has_bounds(run: Run) -> None:
    """``torch.autograd.functional.jvp`` differentiates a backward for what it began with."""
    model = mlp()
    optimizer = sgd(model)

    def step() -> None:
        torch.autograd.functional.jvp(model, batch(), batch())
        model(batch()).square().mean().backward()

    with Bare() as counter:
        step()
    optimizer.zero_grad()
    with run.record():
        step()
        optimizer.step()
    low, high = run.totals.hardware_bounds
    assert low <= counter.flop[0]
    assert high is None or counter.flop[0] <= high
    assert low != high

"""Gradients inside a step: function transforms, penalties on gradients, checkpoints around them.

Products of all cases: ``X (3, 4) @ W (4, 5)`` costs 2·3·4·5 = 120, ``(3, 5) @ (5, 2)`` 60,
``(3, 5) @ (5, 1)`` 30.
"""

import pytest
import torch
from torch import func, nn
from torch.utils.checkpoint import checkpoint

import flopcount

X = torch.zeros(3, 4)
W = torch.zeros(4, 5)
V = torch.zeros(5, 2)


def figures(model, *args, **options):
    count = flopcount.count(model, *args, **options)
    assert count.uncounted == ()
    return count.forward, count.backward, count.recompute


def loss(w, x):
    return (torch.tanh(x @ w) @ V).sum()


def test_a_gradient_is_a_backward_also_inside_the_model():
    # forward 120 + 60; gradient of the hidden layer 60 and of w 120
    assert figures(func.grad(loss), W, X, backward=False) == (180, 180, 0)
    # then once more through the gradient: X @ G is 120, and Xᵀ @ G for w another 120
    assert figures(func.grad(loss), W.clone().requires_grad_(), X) == (180, 180 + 240, 0)


def test_transforms_see_every_sample():
    each = func.vmap(func.grad(lambda w, row: (row @ w).pow(2).sum()), in_dims=(None, 0))
    assert figures(each, W, X, backward=False) == (120, 120, 0)
    # five results, so five gradients of one product
    assert figures(func.jacrev(lambda w: (X @ w).sum(0)), W, backward=False) == (120, 5 * 120, 0)

    def pullback(w):
        out, back = func.vjp(lambda w: torch.tanh(X @ w), w)
        return back(torch.ones_like(out))

    assert figures(pullback, W, backward=False) == (120, 120, 0)


def penalised():
    net = nn.Sequential(nn.Linear(4, 5, bias=False), nn.Tanh(), nn.Linear(5, 1, bias=False))

    def step(x):
        x = x.detach().requires_grad_(True)
        score = net(x)
        (slope,) = torch.autograd.grad(score.sum(), x, create_graph=True)
        return score.sum() + slope.pow(2).sum()

    return net, step


def test_a_penalty_on_gradients_is_backward_work():
    _, step = penalised()
    # slope: 30 + 120. From the score: both weights, the hidden layer and x, 2·(120 + 30).
    # From the slope: X-sized 120 for each operand of its last product, 30 for the last weight.
    assert figures(step, X) == (150, 150 + 300 + (120 + 120 + 30), 0)


def test_a_loss_may_ask_for_gradients():
    net = nn.Sequential(nn.Linear(4, 5, bias=False), nn.Tanh(), nn.Linear(5, 1, bias=False))

    def norm(out):
        slopes = torch.autograd.grad(out.sum(), list(net.parameters()), create_graph=True)
        return out.sum() + sum(slope.pow(2).sum() for slope in slopes)

    forward, backward, recompute = figures(net, X, loss=norm)
    # asked gradients: 30 + 30 + 120. Their own: of the last weight hᵀ·1 the hidden layer 30, of the
    # first Xᵀ·d the middle 120, of d = 1·w₂ the last weight 30. Of the score: 30 + 30 + 120, where
    # the way through the first layer is walked once for both.
    assert (forward, backward, recompute) == (150, 180 + 180 + 180, 0)


class Pair(nn.Module):
    """Two products of 120 each."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 5, bias=False), nn.Linear(5, 4, bias=False)

    def forward(self, x):
        return self.b(torch.tanh(self.a(x)))


@pytest.mark.parametrize(("reentrant", "again"), [(False, 120), (True, 240)])
def test_a_checkpoint_is_still_a_recomputation(reentrant, again):
    net = Pair()
    x = X.clone().requires_grad_()
    step = figures(lambda x: checkpoint(net, x, use_reentrant=reentrant), x)
    assert step == (240, 480, again)


def test_a_checkpoint_under_a_penalty_is_told_apart_by_its_modules():
    net, _ = penalised()

    def step(x):
        score = checkpoint(net, x, use_reentrant=False)
        (slope,) = torch.autograd.grad(score.sum(), x, create_graph=True)
        return score.sum() + slope.pow(2).sum()

    # as without the checkpoint; the first product again for each of the two backwards
    assert figures(step, X.clone().requires_grad_()) == (150, 720, 2 * 120)


def test_a_gradient_inside_a_checkpoint_is_computed_again_as_a_whole():
    net = Pair()

    def slope(x):
        return torch.autograd.grad(net(x).sum(), x, create_graph=True)[0]

    x = X.clone().requires_grad_()
    plain = figures(slope, x)
    # forward 240, slope 240; its own: two products a layer for the slope's path (120 each, the
    # gradient of ones left out), two for the way down through the first layer
    assert plain == (240, 240 + 3 * 120 + 2 * 120, 0)
    again = figures(lambda x: checkpoint(slope, x, use_reentrant=False), x)
    assert again == (plain[0], plain[1], 480)


def test_a_kept_graph_does_not_hide_a_checkpoint():
    net = Pair()

    def step(x):
        checkpoint(net, x, use_reentrant=False).sum().backward(retain_graph=True)
        return x

    assert figures(step, X.clone().requires_grad_())[2] == 120


def test_torch_is_left_as_it_was_even_when_the_model_raises():
    engine = torch.autograd._engine_run_backward
    with pytest.raises(flopcount.CountError):
        flopcount.count(lambda x: 1 / 0, X)
    flopcount.count(func.grad(loss), W, X)
    assert torch.autograd._engine_run_backward is engine


def test_forward_mode_counts_what_torch_multiplies():
    def tangent(w):
        return func.jvp(lambda v: X @ v, (w,), (w,))

    # X @ w, X @ tangent, and the zeros that stand for X's missing tangent times w: 3 of 120
    assert figures(tangent, W, backward=False) == (3 * 120, 0, 0)
    # forward over reverse, one column of W's 12 numbers each: nothing is unknown
    counted = flopcount.count(func.hessian(loss), W, X, backward=False)
    assert counted.uncounted == ()


class Product(torch.autograd.Function):
    """A product with a backward of its own; gradients are off inside its forward."""

    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        return x @ w

    @staticmethod
    def backward(ctx, gradient):
        x, w = ctx.saved_tensors
        return gradient @ w.t(), x.t() @ gradient


# A reentrant checkpoint repeats all (180), another only as far as something was kept (120), and two
# of those serve each other.
RECOMPUTED = {
    (False, False): 120,
    (False, True): 180 + 180,
    (True, False): 180 + 120,
    (True, True): 180 + 180,
}


@pytest.mark.parametrize("outer", [False, True])
@pytest.mark.parametrize("inner", [False, True])
def test_what_a_checkpoint_repeats_without_gradients_is_recomputed(outer, inner):
    x, w = X.clone().requires_grad_(), W.clone().requires_grad_()

    def once(x):
        return checkpoint(lambda x: Product.apply(x, w).tanh(), x, use_reentrant=outer)

    # forward 120, two gradients of 120, and the product once more
    assert figures(once, x) == (120, 240, 120)

    def nested(x):
        within = lambda x: checkpoint(  # noqa: E731
            lambda x: torch.tanh(Product.apply(x, w)) @ V, x, use_reentrant=inner
        )
        return checkpoint(lambda x: within(x) * 2, x, use_reentrant=outer)

    step = flopcount.count(nested, x)
    # The second product (60) has a gradient for its input only; the first has both.
    assert (step.forward, step.backward) == (180, 60 + 240)
    assert step.recompute == RECOMPUTED[outer, inner]


def test_a_checkpoint_over_a_function_is_seen_in_a_backward_that_is_differentiated():
    def step(x, repeat):
        block = lambda x: torch.tanh(x @ W) @ V  # noqa: E731
        score = checkpoint(block, x, use_reentrant=False) if repeat else block(x)
        (slope,) = torch.autograd.grad(score.sum(), x, create_graph=True)
        return score.sum() + slope.pow(2).sum()

    x = X.clone().requires_grad_()
    plain = figures(lambda x: step(x, False), x)
    assert plain[2] == 0
    # Both backward passes need the hidden layer again; the last product has nothing to keep.
    assert figures(lambda x: step(x, True), x) == (*plain[:2], 2 * 120)


S = torch.ones(4, 4)
"""``S @ S`` costs 128."""


@pytest.mark.parametrize(("sign", "products"), [(1, 1), (-1, 2)])
def test_a_branch_costs_its_own_gradient(sign, products):
    from torch._higher_order_ops import cond

    def step(x):
        return cond(x.sum() > 0, lambda x: x @ x, lambda x: x @ x @ x, (x,))

    expected = (products * 128, products * 2 * 128, 0)
    assert figures(step, (sign * S).requires_grad_()) == expected


def test_loops_cost_their_own_gradients():
    from torch._higher_order_ops import map as over_rows
    from torch._higher_order_ops import scan, while_loop

    x, w = S.clone().requires_grad_(), W.clone().requires_grad_()

    def power(x):
        body = lambda i, x: (i + 1, torch.tanh(x @ x))  # noqa: E731
        return while_loop(lambda i, _: i < 5, body, (torch.tensor(0), x))[1]

    assert figures(power, x) == (5 * 128, 5 * 2 * 128, 0)

    # (2, 4) @ (4, 5) is 80, for each of three rows
    rows = torch.ones(3, 2, 4, requires_grad=True)
    assert figures(lambda x: over_rows(lambda row, w: row @ w, x, w), rows) == (240, 480, 0)

    def recurrent(x, steps):
        step = lambda h, row: (torch.tanh(h @ x + row), h.clone())  # noqa: E731
        return scan(step, torch.zeros_like(steps[0]), steps)

    # (2, 4) @ (4, 4) is 64: six gradients of the weight, five of a state; the first needs none
    steps = torch.ones(6, 2, 4, requires_grad=True)
    assert figures(lambda s: recurrent(x, s), steps) == (6 * 64, 6 * 64 + 5 * 64, 0)

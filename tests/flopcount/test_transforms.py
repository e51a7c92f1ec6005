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

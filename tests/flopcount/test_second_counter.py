"""The benchmark's second counter, where both counters must agree and the figure is known on paper."""

import pytest
import torch

import flopcount
from benchmarks.second_counter import second_count


def grad(*shape, dtype=torch.float32):
    return torch.zeros(*shape, dtype=dtype, device="meta", requires_grad=True)


def plain(*shape):
    return torch.zeros(*shape, device="meta")


STEPS = {
    # 2·7·9·3; one product more for each side's gradient
    "distances": (lambda a, b: torch.cdist(a, b), (grad(7, 3), grad(9, 3)), 378, 756),
    # more than 25 points: torch takes products, of the same number
    "distances by products": (
        lambda a, b: torch.cdist(a, b),
        (grad(30, 3), grad(40, 3)),
        7200,
        14400,
    ),
    # the axis of one element sums nothing
    "one element": (lambda a, b: torch.einsum("bi,bj->ij", a, b), (grad(1, 4), grad(1, 5)), 0, 0),
    # i meets an axis of length one: it is summed before the product over j, 2·3·5·1
    "broadcast": (lambda a, b: torch.einsum("ij,jk->k", a, b), (plain(4, 3), plain(3, 5)), 30, 0),
    "ellipsis": (
        lambda a, b: torch.einsum("...ij,jk->...ik", a, b),
        (grad(2, 6, 3, 4), grad(4, 5)),
        2 * 12 * 3 * 4 * 5,
        4 * 12 * 3 * 4 * 5,
    ),
    # ij,jk -> ik: 2·2·3·4; then ik,kl -> il: 2·2·4·5, both gradients of each
    "three factors": (
        lambda a, b, c: torch.einsum("ij,jk,kl->il", a, b, c),
        (grad(2, 3), grad(3, 4), grad(4, 5)),
        48 + 80,
        2 * (48 + 80),
    ),
    # 5·16·4 a row, half for real ones; the gradient is a transform as well
    "complex": (torch.fft.fft, (grad(8, 16, dtype=torch.complex64),), 2560, 2560),
    "real": (torch.fft.rfft, (plain(8, 16),), 1280, 0),
    # half of 5·16·4 a row; the gradient of half a spectrum is transformed as a whole one
    "real, with a gradient": (torch.fft.rfft, (grad(8, 16),), 1280, 2560),
    # padded to 32 points: half of 5·32·5 a row
    "padded": (lambda x: torch.fft.rfft(x, n=32), (plain(8, 16),), 3200, 0),
    "back to real": (
        lambda x: torch.fft.irfft(x, n=16),
        (plain(8, 9).to(torch.complex64),),
        1280,
        0,
    ),
    "real, several axes": (torch.fft.fftn, (plain(8, 16),), 5 * 128 * 7, 0),
    # three rows of 4 to 3·5 gates and of 5 to 3·5, two gradients of each product
    "a step of a recurrent layer": (
        lambda *given: torch._VF.gru_cell(*given, None, None),
        (grad(3, 4), grad(3, 5), grad(15, 4), grad(15, 5)),
        2 * 3 * 15 * 9,
        4 * 3 * 15 * 9,
    ),
    # one row of weights: 2·3·4, and the weights' gradient; that of the rows sums nothing
    "one output": (torch.nn.functional.linear, (grad(3, 4), grad(4)), 24, 24),
    "rows times a vector": (torch.matmul, (grad(2, 3, 4), grad(4)), 48, 48),
    # 2·3·4; the vector's gradient the same
    "vector": (torch.mv, (plain(3, 4), grad(4)), 24, 24),
}


@pytest.mark.parametrize("name", STEPS)
def test_both_counters_meet_the_figure_on_paper(name):
    function, args, forward, backward = STEPS[name]
    assert second_count(function, args, {}) == (forward, backward)
    count = flopcount.count(function, *args)
    assert (count.forward, count.backward) == (forward, backward)


class Roundabout(torch.autograd.Function):
    """A product whose own backward takes two products more than mathematics asks for."""

    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        return x @ w

    @staticmethod
    def backward(ctx, gradient):
        x, w = ctx.saved_tensors
        return gradient @ w.T @ w @ w.T, x.T @ gradient


def test_a_gradient_that_a_model_computes_itself_is_counted_as_it_is_written():
    # forward 2·3·4·5; backward 2·3·5·4 + 2·3·4·5 + 2·3·5·4 for x, and 2·4·3·5 for w
    x, w = grad(3, 4), grad(4, 5)
    assert second_count(Roundabout.apply, (x, w), {}) == (120, 480)
    ours = flopcount.count(Roundabout.apply, x, w)
    assert (ours.forward, ours.backward) == (120, 480)

"""Sequences of different lengths in one nested tensor: each attends to itself, and to nothing else."""

import pytest
import torch
import torch.nn.functional as f

import flopcount

HEADS, WIDTH = 2, 8
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def sequences(lengths):
    parts = [torch.randn(length, HEADS * WIDTH) for length in lengths]
    return torch.nested.nested_tensor(parts, layout=torch.jagged).requires_grad_()


def attend(x, **options):
    heads = x.unflatten(-1, [HEADS, WIDTH]).transpose(1, 2)
    return f.scaled_dot_product_attention(heads, heads, heads, **options)


def total(out):
    return out.values().sum()


@pytest.mark.parametrize("lengths", [[4, 4, 4], [3, 5, 2], [7]])
@pytest.mark.parametrize("causal", [False, True])
def test_attention_of_each_sequence(lengths, causal):
    count = flopcount.count(attend, sequences(lengths), is_causal=causal, loss=total)
    # scores and values: 2·2·heads·width FLOP a pair; twice that backward
    pairs = sum(length * length for length in lengths)
    a_pair = 4 * HEADS * WIDTH
    assert (count.forward, count.backward) == (a_pair * pairs, 2 * a_pair * pairs)
    assert count.uncounted == ()
    assert count.attention_flop == count.total
    allowed = sum(n * (n + 1) // 2 for n in lengths) if causal else pairs
    assert count.masked_total == 3 * a_pair * allowed


def test_equal_lengths_cost_what_a_dense_batch_costs():
    dense = torch.randn(3, HEADS, 4, WIDTH, requires_grad=True)
    plain = flopcount.count(
        lambda q: f.scaled_dot_product_attention(q, q, q, is_causal=True), dense
    )
    ragged = flopcount.count(attend, sequences([4, 4, 4]), is_causal=True, loss=total)
    for figure in ("forward", "backward", "attention_flop", "masked_total"):
        assert getattr(ragged, figure) == getattr(plain, figure)


@pytest.mark.parametrize("layout", [torch.jagged, torch.strided])
def test_a_linear_layer_meets_every_position(layout):
    parts = [torch.randn(length, 6) for length in (3, 5, 2)]
    x = torch.nested.nested_tensor(parts, layout=layout).requires_grad_()

    def loss(out):
        return out.values().sum() if layout is torch.jagged else out.to_padded_tensor(0).sum()

    count = flopcount.count(torch.nn.Linear(6, 7), x, loss=loss)
    once = 2 * (3 + 5 + 2) * 6 * 7
    assert (count.forward, count.backward) == (once, 2 * once)

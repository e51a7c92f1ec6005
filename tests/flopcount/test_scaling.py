"""Exact polynomials: found, checked, piecewise, refused."""

from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import flopcount
from flopcount.scaling import find

WHOLE = st.integers(min_value=0, max_value=10**15)


@given(a=WHOLE, b=WHOLE, c=WHOLE, batch=st.integers(1, 10**4), sequence=st.integers(1, 10**6))
def test_any_polynomial_is_recovered_exactly(a, b, c, batch, sequence):
    found = find(lambda n, s: n * (a + b * s + c * s * s))
    assert found(batch=batch, sequence=sequence) == batch * (
        a + b * sequence + c * sequence * sequence
    )


def test_terms_and_few_probes():
    found = find(lambda n, s: 7 * n * s + 3 * n * s * s)
    assert found.terms == [[7, 1, 1], [3, 1, 2]]
    assert len(found.probes) <= 10


def test_blocks_are_exact_at_their_multiples_and_refused_between():
    # an image side in patches of 16
    found = find(lambda n, s: n * (s // 16) ** 4)
    assert found(batch=2, sequence=224) == 2 * 14**4
    assert found.terms == [[Fraction(1, 65536), 1, 4]]
    with pytest.raises(flopcount.NotPolynomialError, match="count this size directly"):
        found(batch=1, sequence=100)


def test_patches_of_an_odd_side_are_met_at_their_multiples():
    # patches of 14, merged two by two: no power of two hits a side that both divide
    found = find(lambda n, s: n * 3 * (s // 28) ** 4, blocks=(28,))
    assert found(batch=2, sequence=448) == 2 * 3 * 16**4
    with pytest.raises(flopcount.NotPolynomialError, match="steps of 28"):
        found(batch=1, sequence=30)


def test_a_window_makes_two_pieces():
    def count(n, s):
        return n * (5 * s + 2 * sum(min(i + 1, 64) for i in range(s)))

    found = find(count, windows=(64,))
    assert len(found.pieces) == 2
    for sequence in (1, 33, 64, 65, 100, 4097):
        assert found(batch=3, sequence=sequence) == count(3, sequence)


def test_an_image_that_fills_the_shortest_sequences_moves_the_probes_up():
    table = nn.Embedding(9, 4)

    def inputs(batch, sequence):
        if sequence < 40:
            raise flopcount.FlopcountError("the image alone makes 40 tokens")
        return torch.zeros(batch, sequence, dtype=torch.long, device="meta")

    found = flopcount.polynomial(nn.Sequential(table, nn.Linear(4, 9)), inputs)
    assert found(batch=2, sequence=77) == 2 * 77 * 3 * 2 * 4 * 9
    assert found.pieces[0].step == 1
    with pytest.raises(flopcount.NotPolynomialError, match="64 to any"):
        found(batch=1, sequence=30)


def test_what_is_no_polynomial_is_refused():
    with pytest.raises(flopcount.NotPolynomialError, match="no polynomial"):
        find(lambda n, s: n * s * s.bit_length())


def test_a_model_on_unseen_sizes():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.head = nn.Embedding(50, 16), nn.Linear(16, 50)
            self.attend = nn.MultiheadAttention(16, 2, batch_first=True)

        def forward(self, ids):
            x = self.table(ids)
            return self.head(self.attend(x, x, x)[0])

    def inputs(batch, sequence):
        return torch.zeros(batch, sequence, dtype=torch.long, device="meta")

    model = Model()
    found = flopcount.polynomial(model, inputs)
    for batch, sequence in ((1, 1), (5, 77), (2, 1000)):
        counted = flopcount.count(model, inputs(batch, sequence)).total
        assert found(batch=batch, sequence=sequence) == counted
    # scores and values: 12·16 a pair; projections 6·4·16² and head 6·16·50 a token
    assert found.terms == [[6 * 1024 + 4800, 1, 1], [192, 1, 2]]


def test_sizes_are_at_least_one():
    found = find(lambda n, s: n * s)
    with pytest.raises(flopcount.NotPolynomialError, match="at least 1"):
        found(batch=0, sequence=4)

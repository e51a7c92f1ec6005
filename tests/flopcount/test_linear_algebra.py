"""Dense linear algebra and packed recurrent layers, by the arithmetic of the textbook."""

import pytest
import torch
from torch import nn

import flopcount


class Asked(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def flop(function, x):
    return flopcount.count(Asked(function), x, backward=False).forward


@pytest.mark.parametrize(
    ("rows", "columns", "mode", "expected"),
    [
        # R: 2·3²·(30 − 1) = 522; the thin Q, 30 x 3: as much again
        (30, 3, "r", 522),
        (30, 3, "reduced", 522 + 522),
        # the whole Q, 30 x 30, of 3 reflectors: 4·30·30·3 − 2·60·9 + 4·27/3 = 10800 − 1080 + 36
        (30, 3, "complete", 522 + 9756),
        # a wide matrix: R as before, but Q is only 3 x 3: 4·27 − 2·6·9 + 36 = 36
        (3, 30, "reduced", 522 + 36),
        (3, 30, "complete", 522 + 36),
    ],
)
def test_an_orthogonal_factor_costs_by_its_columns(rows, columns, mode, expected):
    x = torch.zeros(rows, columns)
    assert flop(lambda m: torch.linalg.qr(m, mode=mode)[1], x) == expected


def test_a_symmetric_factor_costs_half_of_a_general_one():
    symmetric = torch.eye(4)
    # 4³/3 and 2·4³/3, rounded down
    assert flop(lambda m: torch.linalg.ldl_factor(m)[0], symmetric) == 21
    assert flop(lambda m: torch.linalg.lu_factor(m)[0], symmetric) == 42


@pytest.mark.parametrize(("left", "shape"), [(True, (4, 7)), (False, (7, 4))])
def test_triangular_solves_of_seven_right_hand_sides_from_either_side(left, shape):
    lu, pivots = torch.linalg.lu_factor(torch.eye(4))
    answered = flop(lambda b: torch.linalg.lu_solve(lu, pivots, b, left=left), torch.zeros(shape))
    assert answered == 2 * 4 * 4 * 7


def test_pivots_do_not_hide_that_numbers_are_complex():
    lu, pivots = torch.linalg.lu_factor(torch.eye(4, dtype=torch.complex64))
    b = torch.zeros(4, 7, dtype=torch.complex64)
    # four real products in one of complex numbers
    assert flop(lambda b: torch.linalg.lu_solve(lu, pivots, b), b) == 4 * 2 * 4 * 4 * 7


def test_reflectors_on_a_matrix():
    def applied(x):
        reflectors, scales = torch.geqrf(x)
        return torch.ormqr(reflectors, scales, x.new_ones(6, 2))

    # geqrf: 2·3²·(6 − 1) = 90; 3 reflectors of length 6 on 2 columns: (4·6·3 − 2·3²)·2 = 108
    assert flop(applied, torch.zeros(6, 3)) == 90 + 108


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("kind", "gates"), [(nn.LSTM, 4), (nn.GRU, 3)])
@pytest.mark.filterwarnings("ignore")  # torch announces the end of its quantisation
def test_a_quantised_recurrent_layer_costs_what_it_did_before(kind, gates, packed):
    whole = nn.Sequential(kind(4, 6, num_layers=2, bidirectional=True))
    layer = torch.ao.quantization.quantize_dynamic(whole, {kind}, dtype=torch.qint8)[0]
    x = torch.zeros(5, 3, 4)
    data = nn.utils.rnn.pack_padded_sequence(x, [5, 3, 2]) if packed else x
    rows = 10 if packed else 15
    # two directions: gates·6 rows on 4 inputs and 6 hidden, then on 12 inputs and 6 hidden
    expected = 2 * rows * 2 * gates * 6 * (4 + 6 + 12 + 6)
    assert flop(lambda x: layer(data)[0].data + x.sum(), x) == expected

"""Models as people write them: odd outputs, compiled scripts, dice, complex numbers.

``Linear(4, 5)`` on three rows costs 2·3·4·5 = 120 forward and as much for its weight's gradient.
"""

import dataclasses
import random
from collections import UserDict
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import flopcount

X = torch.zeros(3, 4)
WEIGHT = nn.Parameter(torch.zeros(4, 5))


@dataclasses.dataclass
class Output:
    logits: torch.Tensor
    more: object = None


class Holder:
    def __init__(self, tensor):
        self.tensor = tensor


class Shaped(nn.Module):
    """A linear layer whose result is wrapped."""

    def __init__(self, wrap):
        super().__init__()
        self.inner, self.wrap = nn.Linear(4, 5), wrap

    def forward(self, x):
        return self.wrap(self.inner(x))


def twice(out):
    yield out
    yield out * 2


@pytest.mark.parametrize(
    "wrap",
    [Output, Holder, twice, lambda out: {"a": [Output(None, out)]}, lambda out: (Output(out),)],
    ids=["dataclass", "object", "generator", "nested", "tuple"],
)
def test_a_result_is_found_wherever_it_lies(wrap):
    count = flopcount.count(Shaped(wrap), X)
    assert (count.forward, count.backward) == (120, 120)
    assert count.notes == ()


def test_an_object_beside_a_tensor_is_no_result():
    """A cache that is handed on with the logits does not widen what is differentiated."""
    model = Shaped(lambda out: (out.detach().requires_grad_(), Holder(out)))
    assert flopcount.count(model, X).backward == 0


@pytest.mark.parametrize("wrap", [torch.Tensor.detach, lambda out: None, lambda out: "text"])
def test_nothing_to_differentiate_is_said(wrap):
    count = flopcount.count(Shaped(wrap), X)
    assert count.backward == 0
    assert count.notes[0].startswith("backward: no output needs a gradient")
    assert flopcount.count(Shaped(wrap), X, backward=False).notes == ()


@pytest.mark.parametrize("compile_", [torch.jit.script, lambda m: torch.jit.trace(m, X)])
@pytest.mark.filterwarnings("ignore")
def test_a_script_is_counted_and_left_alone(compile_):
    script = compile_(nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.BatchNorm1d(6), nn.Linear(6, 5)))
    before = {name: tensor.clone() for name, tensor in script.state_dict().items()}
    count = flopcount.count(script, X)
    # 2·3·(4·6 + 6·5); backward twice that less the first layer's input gradient
    assert (count.forward, count.backward) == (324, 2 * 324 - 144)
    assert all(torch.equal(before[name], now) for name, now in script.state_dict().items())
    assert all(p.grad is None and p.device.type == "cpu" for p in script.parameters())
    script(X).sum().backward()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_lazy_layer_asks_to_be_run_once():
    model = nn.Sequential(nn.LazyLinear(5))
    with pytest.raises(flopcount.CountError, match="0: LazyLinear has no shape yet"):
        flopcount.count(model, X)
    model(X)
    assert flopcount.count(model, X).forward == 120


def test_a_weight_used_in_a_comprehension_keeps_no_gradient():
    count = flopcount.count(lambda x: torch.stack([row @ WEIGHT for row in x]), X)
    assert count.forward == 120
    assert WEIGHT.grad is None


# ------------------------------------------------------------------ dice
def linear(x):
    return x @ WEIGHT


DICE = {
    "torch": lambda x: linear(x) if torch.rand(()) > 0.5 else linear(x + 1),
    "item": lambda x: linear(x) if torch.rand(1).mul(2).item() > 0.5 else linear(x + 1),
    "list": lambda x: linear(x) if torch.randint(2, (3,)).tolist()[0] else linear(x + 1),
    "device": lambda x: linear(x) if torch.rand((), device=x.device) > 0.5 else linear(x + 1),
    "python": lambda x: linear(x) if random.random() > 0.5 else linear(x + 1),
    "numpy": lambda x: linear(x) if np.random.rand() > 0.5 else linear(x + 1),
}


@pytest.mark.parametrize("name", DICE)
def test_dice_that_decide_are_noticed_and_put_back(name):
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    count = flopcount.count(DICE[name], X)
    assert count.forward == 120
    assert any(note.startswith("random: ") for note in count.notes)
    assert random.getstate() == states[0]
    assert np.random.get_state()[1].tolist() == states[1]
    assert torch.equal(torch.get_rng_state(), states[2])


def test_dropout_decides_nothing():
    model = nn.Sequential(nn.Linear(4, 5), nn.Dropout(), nn.Linear(5, 4))
    assert flopcount.count(model, X).notes == ()


# ------------------------------------------------------------------ complex numbers
def test_a_complex_product_is_four_real_ones():
    a, b = (torch.zeros(*shape, dtype=torch.complex64) for shape in ((3, 4), (4, 5)))
    count = flopcount.count(torch.mm, a.requires_grad_(), b.requires_grad_())
    # (a + bi)(c + di): four multiply-adds for each of the 3·4·5
    assert (count.forward, count.backward) == (4 * 120, 2 * 4 * 120)
    assert count.by_dtype == {"complex64": 3 * 4 * 120}


def test_a_complex_convolution_is_what_torch_makes_of_it():
    """Three real convolutions, by Gauss's trick."""
    model = nn.Conv1d(2, 3, 3, dtype=torch.complex64)
    count = flopcount.count(model, torch.zeros(1, 2, 8, dtype=torch.complex64), backward=False)
    assert count.forward == 3 * (2 * 3 * 6 * 2 * 3)


def test_a_transform_knows_its_complex_numbers_itself():
    points = torch.zeros(2, 64, dtype=torch.complex64)
    assert flopcount.count(torch.fft.fft, points, backward=False).forward == 5 * 2 * 64 * 6


def test_channels_that_do_not_fit_a_transposed_convolution_are_told():
    """Torch's kernel without storage looks at nothing: real tensors would raise."""
    model = nn.ConvTranspose1d(8, 8, 4, stride=2, groups=8, device="meta")
    with pytest.raises(flopcount.FlopcountError, match="reads 8 channels; its input has 2"):
        flopcount.count(model, torch.zeros(1, 2, 5, device="meta"))
    # 2 · 8 channels · 5 places · kernel 4, one channel a group; batched or not
    assert flopcount.count(model, torch.zeros(8, 5, device="meta")).forward == 320


# ------------------------------------------------------------------ inputs
@pytest.mark.parametrize("source", [iter, lambda items: (item for item in items)])
def test_an_iterator_is_read_from_its_beginning_by_each_rung(source):
    """Asking a value of an unknown weight ends the trace on meta; the next one reads all five again."""
    layer = nn.Linear(4, 5, device="meta")

    def model(batches):
        results = [layer(x) for x in batches]
        return torch.stack([y if y.sum() > 1e9 else 2 * y for y in results])

    count = flopcount.count(model, source([X] * 5))
    assert count.method != "meta"
    assert (count.forward, count.backward) == (5 * 120, 5 * 120)


@pytest.mark.parametrize(
    "wrap", [Output, Holder, lambda x: UserDict(x=x), lambda x: SimpleNamespace(x=x)]
)
def test_a_tensor_inside_an_input_keeps_its_gradient(wrap):
    x = torch.zeros(3, 4, requires_grad=True)
    given = wrap(x)
    inside = next(key for key, value in vars(given).items() if value is not None)

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(4, 5)

        def forward(self, held):
            found = vars(held)[inside]
            return self.inner(found if torch.is_tensor(found) else found["x"])

    count = flopcount.count(Model(), given)
    assert (count.forward, count.backward) == (120, 240)
    assert x.grad is None


def test_an_exported_program_is_counted_itself():
    program = torch.export.export(nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 5)), (X,))
    # 2·3·(4·6 + 6·5); backward twice that less the first layer's input gradient
    count = flopcount.count(program, X)
    assert (count.forward, count.backward) == (324, 2 * 324 - 144)


class ByItsOwnMask(nn.Module):
    """Attends where a layer of its own says so; a count asks for the mask's values."""

    def __init__(self):
        super().__init__()
        self.query, self.allowed = nn.Linear(8, 8), nn.Linear(8, 5)

    def forward(self, x):
        query, mask = self.query(x)[:, None], (self.allowed(x) > 0)[:, None]
        return nn.functional.scaled_dot_product_attention(query, query, query, attn_mask=mask)


class ByItsOwnChoice(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(4, 4)

    def forward(self, x):
        return torch.cond(self.inner(x).sum() > 0, self.inner, lambda y: self.inner(y) * 2, (x,))


def test_what_is_computed_again_to_know_a_value_is_no_work_of_the_step():
    count = flopcount.count(ByItsOwnMask(), torch.ones(2, 5, 8))
    # 10 rows to 8 and to 5 numbers; scores and values of 5 x 5 pairs of 8 in each sample
    attention = 2 * 2 * 2 * 5 * 5 * 8
    assert count.forward == 2 * 10 * 8 * 8 + 2 * 10 * 8 * 5 + attention
    # nothing flows back through the mask, and the input needs no gradient
    assert count.backward == 2 * 10 * 8 * 8 + 2 * attention
    # the choice and its branch, 2·3·4·4 each; the branch's weight
    choice = flopcount.count(ByItsOwnChoice(), X)
    assert (choice.forward, choice.backward) == (2 * 96, 96)

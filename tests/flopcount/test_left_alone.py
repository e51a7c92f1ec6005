"""Nothing of the caller's changes, also where real numbers are computed or a forward misbehaves.

``Linear(4, 4)`` on two rows costs 2·2·4·4 = 64 forward and as much for its weight's gradient.
"""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import flopcount

X = torch.ones(2, 4)


class Writing(nn.Module):
    """Writes to its weights in its forward, one of them through ``.data``."""

    def __init__(self, real):
        super().__init__()
        self.inner, self.real = nn.Linear(4, 4), real
        self.scale = nn.Parameter(torch.ones(4))
        self.fixed = nn.Parameter(torch.ones(4), requires_grad=False)

    def forward(self, x):
        with torch.no_grad():
            self.inner.weight.clamp_(-0.01, 0.01)
            self.fixed.mul_(0.5)
            self.scale.data.mul_(0.5)
        if self.real:  # a question that only real numbers answer
            np.unique(x.detach().numpy())
        return self.inner(x) * self.scale * self.fixed


@pytest.mark.parametrize(("real", "method"), [(False, "meta"), (True, "cpu")])
def test_a_forward_that_writes_to_its_weights(real, method):
    model = Writing(real)
    before = [(p, p.detach().clone(), p._version) for p in model.parameters()]
    count = flopcount.count(model, X, optimizer=lambda p: torch.optim.SGD(p, lr=1.0))
    assert (count.forward, count.backward, count.method) == (64, 64, method)
    for parameter, value, version in before:
        assert torch.equal(parameter, value)
        assert parameter._version == version
        assert parameter.grad is None


@pytest.mark.parametrize("real", [False, True])
def test_tensors_beside_a_function(real):
    held, listed, table = torch.ones(4, 4), [torch.ones(4)], {"row": torch.ones(3, 4)}

    def step(x):
        held.mul_(2)
        listed[0].add_(1)
        table["row"][1].zero_()  # through a view
        torch.add(listed[0], 1, out=listed[0])
        if real:
            np.unique(x.numpy())
        return x @ held

    assert flopcount.count(step, X).forward == 64
    assert all(bool((item == 1).all()) for item in (held, *listed, *table.values()))


class Table:
    """No module: a table that is made at the first call and moved to where the input is."""

    def __init__(self):
        self.rows, self.calls = None, []

    def __call__(self, x):
        self.calls.append(x)
        if self.rows is None or self.rows[0].device != x.device:
            self.rows = [torch.ones(4, device=x.device)]
        return self.rows[0]


class Holding(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.table = nn.Linear(4, 4), Table()

    def forward(self, x, cache=None):
        if cache is not None:
            cache.rows = [x]
        return self.inner(x) * self.table(x)


def test_plain_objects_beside_modules_and_inputs():
    model, cache = Holding(), Table()
    for _ in range(2):
        # one product forward (2 x 2 x 4 x 4), one for the weight's gradient
        count = flopcount.count(model, X, cache=cache)
        assert (count.forward, count.backward) == (64, 64)
        assert model.table.rows is None
        assert model.table.calls == []
        assert cache.rows is None
    model(X)
    rows = model.table.rows
    flopcount.count(model, X)
    assert model.table.rows is rows
    assert rows[0].device.type == "cpu"


def test_a_step_that_raises_after_writing():
    model = Writing(True)
    value = model.inner.weight.detach().clone()

    def loss(_out):
        raise ValueError("no loss today")

    with pytest.raises(flopcount.CountError, match="no loss today"):
        flopcount.count(model, X, loss=loss)
    assert torch.equal(model.inner.weight, value)


def test_a_mode_around_a_count_sees_nothing_of_it():
    with FlopCounterMode(display=False) as around:
        assert flopcount.count(nn.Linear(4, 4), X).total == 128
    assert around.get_total_flops() == 0
    refused = torch.autograd.graph.saved_tensors_hooks(lambda t: t.numpy(), torch.from_numpy)
    with refused:
        assert flopcount.count(nn.Linear(4, 4), X).method == "meta"


def test_settings_that_a_forward_changes():
    def step(x):
        torch.set_default_dtype(torch.float64)
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.set_float32_matmul_precision("medium")
        return x @ x.t()

    flopcount.count(step, X)
    assert torch.get_default_dtype() is torch.float32
    assert not torch.are_deterministic_algorithms_enabled()
    assert not torch.is_deterministic_algorithms_warn_only_enabled()
    assert torch.get_float32_matmul_precision() == "highest"


class Tracker:
    """What a trainer or a logger is to a model: reachable, and written to by other threads."""

    def __init__(self):
        self.sent, self.queue, self.keys = 0, [], None


def test_what_others_write_meanwhile_stays():
    tracker = Tracker()

    class Led(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.trainer = nn.Linear(4, 4), tracker

        def forward(self, x):
            tracker.sent += 1  # as another thread might, while the count runs
            tracker.queue.append("row")
            return self.inner(x)

    flopcount.count(Led(), X)
    assert tracker.sent == len(tracker.queue) > 0


def test_a_helper_that_got_tensors_is_as_it_was_altogether():
    """A cache counts what it holds: one without the other would be neither."""
    cache = Tracker()

    class Caching(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(4, 4)

        def forward(self, x, cache):
            cache.keys, cache.sent = x, cache.sent + len(x)
            return self.inner(x)

    flopcount.count(Caching(), X, cache=cache)
    assert (cache.keys, cache.sent) == (None, 0)

"""Repeated layers: the shared count equals the unshared one in everything, or is not used."""

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import flopcount
from flopcount import shared_layers
from flopcount.doubles import MetaDoubles
from flopcount.known_values import KnownValues
from flopcount.layer_numbers import SharingRefusedError
from flopcount.summary import summarise
from flopcount.trace import Step, trace


class Block(nn.Module):
    def __init__(self, number, width=16):
        super().__init__()
        self.layer_idx = number
        self.norm = nn.LayerNorm(width)
        self.attend = nn.MultiheadAttention(width, 4, batch_first=True)
        self.up, self.down = nn.Linear(width, 32), nn.Linear(32, width)

    def forward(self, x):
        y = self.norm(x)
        x = x + self.attend(y, y, y, need_weights=False)[0]
        return x + self.down(torch.relu(self.up(x)))


class Stack(nn.Module):
    def __init__(self, depth=8, special=()):
        super().__init__()
        self.table = nn.Embedding(10, 16)
        self.layers = nn.ModuleList(Block(i) for i in range(depth))
        for number in special:
            self.layers[number].up = nn.Linear(16, 64)
            self.layers[number].down = nn.Linear(64, 16)
        self.head = nn.Linear(16, 10)

    def forward(self, ids):
        x = self.table(ids)
        for layer in self.layers:
            x = layer(x)
        return self.head(x)


def both(model, *args, backward=True):
    step = Step(model=model, args=args, kwargs={}, backward=backward, loss=None)
    shared = trace(step, MetaDoubles(KnownValues()), share=True)
    plain = trace(step, MetaDoubles(KnownValues()), share=False)
    return summarise(shared, method="meta"), summarise(plain, method="meta")


IDS = torch.zeros(2, 6, dtype=torch.long)


@pytest.mark.parametrize("backward", [True, False])
@pytest.mark.parametrize(
    ("depth", "special"), [(3, ()), (4, ()), (8, ()), (4, (0,)), (8, (2,)), (8, (0, 3))]
)
def test_equal_in_everything(depth, special, backward):
    shared, plain = both(Stack(depth, special), IDS, backward=backward)
    assert shared.total == plain.total > 0
    assert shared.by_module == plain.by_module
    assert shared.by_op == plain.by_op
    assert shared.masked_total == plain.masked_total
    assert shared.elementwise == plain.elementwise
    assert shared.coverage == plain.coverage


def test_most_layers_are_really_skipped(monkeypatch):
    skipped = []
    original = shared_layers.Sharing._skip

    def watched(self, family, like, path, inputs):
        skipped.append(path)
        return original(self, family, like, path, inputs)

    monkeypatch.setattr(shared_layers.Sharing, "_skip", watched)
    flopcount.count(Stack(8), IDS)
    assert skipped == [f"layers.{i}" for i in range(2, 8)]


def test_a_frozen_layer_is_another_kind():
    model = Stack(8)
    model.layers[5].requires_grad_(requires_grad=False)
    shared, plain = both(model, IDS)
    assert shared.total == plain.total
    assert shared.by_module == plain.by_module


def test_a_layer_that_looks_alike_and_differs_is_found_out():
    class Sneaky(Block):
        def forward(self, x):
            return super().forward(x) if self.layer_idx != 1 else x + self.down(self.up(x))

    model = Stack(8)
    model.layers = nn.ModuleList(Sneaky(i) for i in range(8))
    step = Step(model=model, args=(IDS,), kwargs={}, backward=True, loss=None)
    with pytest.raises(SharingRefusedError):
        trace(step, MetaDoubles(KnownValues()), share=True)
    assert flopcount.count(model, IDS).total == both(Stack(8), IDS)[1].total - (
        # layer 1 has no attention: projections 4·2·12·16², scores and values 4·(2·4·6·6·4)
        3 * (8 * 12 * 256 + 4 * 1152)
    )


def test_a_question_that_all_like_layers_answer_alike_is_none():
    """RWKV's first layer has a norm of its own, and each layer asks whether it is the first."""

    class Beginning(Block):
        def forward(self, x):
            return super().forward(self.first(x) if self.layer_idx == 0 else x)

    model = Stack(8)
    model.layers = nn.ModuleList(Beginning(i) for i in range(8))
    model.layers[0].first = nn.Linear(16, 16)
    shared, plain = both(model, IDS)
    assert shared.total == plain.total
    assert shared.by_module == plain.by_module
    # the first layer's own matrix: 2·12·16·16, threefold
    assert shared.total == both(Stack(8), IDS)[1].total + 3 * 2 * 12 * 256


# ------------------------------------------------------------------ what makes equal layers unequal
KINDS = "--+-+---"


class Plain(nn.Module):
    """Runs its matrix once, and once more where something beside its input says so."""

    times = 0

    def __init__(self, number, shared):
        super().__init__()
        self.layer_idx, self.shared = number, shared
        self.inner = nn.Linear(16, 16)

    def forward(self, x):
        x = self.inner(x)
        return self.inner(x) if self.twice(x) else x

    def twice(self, x):
        return False


class ByNumber(Plain):
    def twice(self, x):
        return self.layer_idx in (2, 4)


class ByKind(Plain):
    def twice(self, x):
        return KINDS[self.layer_idx] == "+"


class ByName(Plain):
    def twice(self, x):
        return f"layers.{self.layer_idx}" in ("layers.2", "layers.4")


class ByWhatAllHold(Plain):
    def twice(self, x):
        self.shared.number += 1
        return self.shared.number in (3, 5)


class ByAList(Plain):
    def twice(self, x):
        self.shared.items.append(x)
        return len(self.shared.items) in (3, 5)


class ByItsClass(Plain):
    def twice(self, x):
        ByItsClass.times += 1
        return ByItsClass.times in (3, 5)


class ByAGlobal(Plain):
    def twice(self, x):
        global KINDS
        KINDS = KINDS[1:] + KINDS[:1]
        return KINDS[-1] == "+"


class Shared:
    def __init__(self):
        self.number, self.items = 0, []


@pytest.mark.parametrize(
    "kind", [ByNumber, ByKind, ByName, ByWhatAllHold, ByAList, ByItsClass, ByAGlobal]
)
def test_what_decides_beside_the_input(kind):
    """Eight layers of 2·3·16·16, two of which run twice, and their backward; none may be shared."""
    shared = Shared()
    model = nn.Sequential(*(kind(number, shared) for number in range(8)))
    count = flopcount.count(model, torch.zeros(3, 16, requires_grad=True))
    assert (count.forward, count.backward) == (10 * 1536, 20 * 1536)
    assert shared.items == []


def test_what_a_layer_keeps_for_the_model_is_kept_by_each():
    class Keeping(Plain):
        kept = None

        def twice(self, x):
            self.kept = x
            return False

    class Reading(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList(Keeping(number, None) for number in range(8))
            self.head = nn.Linear(16, 4)

        def forward(self, x):
            for layer in self.layers:
                x = layer(x)
            return [self.head(layer.kept) for layer in self.layers if layer.kept is not None]

    # 8 layers of 2·3·16·16 and 8 heads of 2·3·16·4
    assert flopcount.count(Reading(), torch.zeros(3, 16)).forward == 8 * 1536 + 8 * 384


def test_a_list_that_two_modules_hold_stays_one_list():
    class Writer(nn.Module):
        def __init__(self, notes):
            super().__init__()
            self.notes, self.inner = notes, nn.Linear(16, 16)

        def forward(self, x):
            self.notes.append(self.inner(x))
            return x

    class Reader(Writer):
        def forward(self, x):
            return sum(self.inner(note) for note in self.notes[1:])

    notes = [0]
    model = nn.Sequential(Writer(notes), Writer(notes), Reader(notes))
    assert flopcount.count(model, torch.zeros(3, 16)).forward == 4 * 1536
    assert notes == [0]


def test_a_layer_whose_result_is_not_used():
    class Early(Stack):
        def forward(self, ids):
            x = self.table(ids)
            for number, layer in enumerate(self.layers):
                y = layer(x)
                x = y if number < 5 else x
            return self.head(x)

    model = Early(8)
    count = flopcount.count(model, IDS)
    plain = both(Stack(8), IDS)[1]
    layer = plain.by_module["layers.0"]
    # three of eight layers run forward only: two thirds of their cost is missing
    assert count.total == plain.total - 3 * layer * 2 // 3


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointed_layers(reentrant):
    class Saved(Stack):
        def forward(self, ids):
            x = self.table(ids)
            for layer in self.layers:
                x = checkpoint(layer, x, use_reentrant=reentrant)
            return self.head(x)

    model = Saved(6)
    count = flopcount.count(model, IDS)
    step = Step(model=model, args=(IDS,), kwargs={}, backward=True, loss=None)
    plain = summarise(trace(step, MetaDoubles(KnownValues())), method="meta")
    assert (count.total, count.recompute) == (plain.total, plain.recompute)
    assert count.recompute > 0


def test_layers_with_hooks_or_used_twice_are_traced_in_full():
    model = Stack(6)
    seen = []
    for layer in model.layers:
        layer.register_forward_hook(lambda *_: seen.append(1))
    plain = both(Stack(6), IDS)[1]
    assert flopcount.count(model, IDS).total == plain.total
    assert len(seen) == 6

    class Twice(Stack):
        def forward(self, ids):
            x = self.table(ids)
            for layer in [*self.layers, *self.layers]:
                x = layer(x)
            return self.head(x)

    twice = flopcount.count(Twice(6), IDS)
    inner = sum(plain.by_module[f"layers.{i}"] for i in range(6))
    assert twice.total == plain.total + inner


def test_layers_that_run_a_module_of_somebody_else_are_traced_in_full():
    class Lending(Block):
        def __init__(self, number, lent):
            super().__init__(number)
            self.lent = lent

        def forward(self, x):
            return super().forward(self.lent(x))

    model = Stack(6)
    lent = nn.Linear(16, 16)
    model.lent = lent
    model.layers = nn.ModuleList(Lending(i, lent) for i in range(6))
    # the lent layer runs six times: 2·12·16·16 each, threefold
    count = flopcount.count(model, IDS)
    assert count.total == both(Stack(6), IDS)[1].total + 6 * 3 * 2 * 12 * 256

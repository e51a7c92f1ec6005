"""Varying sizes: counted until a polynomial is proven, then computed, and never wrong."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

torch = pytest.importorskip("torch")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from torch import nn  # noqa: E402

from flopcount.live.fit import REACH, SPARE, Fit  # noqa: E402
from tests.recording.conftest import by_counter, sgd  # noqa: E402

if TYPE_CHECKING:
    from tests.recording.conftest import Run

WHOLE = st.integers(0, 10**6)


class Attention(nn.Module):
    """Quadratic in the length, linear in the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, 8)
        self.qkv = nn.Linear(8, 24)
        self.out = nn.Linear(8, 50)

    def forward(self, tokens: Any) -> Any:
        q, k, v = self.qkv(self.embed(tokens)).chunk(3, dim=-1)
        return self.out((q @ k.transpose(1, 2)).softmax(-1) @ v)


def test_many_lengths_are_exact_and_few_are_counted(run: Run) -> None:
    model = Attention()
    optimizer = sgd(model)
    lengths = random.Random(0).choices(range(4, 200), k=60)
    expected = []
    with run.record():
        for length in lengths:
            tokens = torch.randint(0, 50, (3, length))
            model(tokens).sum().backward()
            optimizer.step()
    for length in lengths:
        tokens = torch.randint(0, 50, (3, length))
        expected.append(by_counter(lambda tokens=tokens: model(tokens).sum().backward()))
    assert run.flop == expected
    hows = [cost.how for cost in run.process.costs.values()]
    assert hows.count("meta") <= 12
    assert hows.count("polynomial") >= 30
    assert [step.tokens for step in run.process.steps()] == [3 * length for length in lengths]
    assert run.totals.tokens == 3 * sum(lengths)


def test_batch_and_length_vary_together(run: Run) -> None:
    model = Attention()
    optimizer = sgd(model)
    generator = random.Random(1)
    sizes = [(generator.randint(1, 6), generator.randint(4, 60)) for _ in range(40)]
    with run.record():
        for size in sizes:
            model(torch.randint(0, 50, size)).sum().backward()
            optimizer.step()
    expected = []
    for size in sizes:
        tokens = torch.randint(0, 50, size)
        expected.append(by_counter(lambda tokens=tokens: model(tokens).sum().backward()))
    assert run.flop == expected
    assert any(cost.how == "polynomial" for cost in run.process.costs.values())


def test_a_model_that_changes_with_the_length_is_found_out(run: Run) -> None:
    """Above 64 positions this model works twice; the polynomial from below must not be used."""

    class Windowed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(8, 8)

        def forward(self, x: Any) -> Any:
            out = self.layer(x)
            return self.layer(out) if x.shape[1] > 64 else out

    model = Windowed()
    optimizer = sgd(model)
    lengths = [*range(5, 33, 2), 100, 101, 102, 40, 130]
    with run.record():
        for length in lengths:
            model(torch.randn(2, length, 8)).sum().backward()
            optimizer.step()
    expected = []
    for length in lengths:
        x = torch.randn(2, length, 8)
        expected.append(by_counter(lambda x=x: model(x).sum().backward()))
    assert run.flop == expected
    assert "polynomial-refuted" in run.notes()


def test_generation_with_a_cache_follows_the_caches_length(run: Run) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(
        n_layer=2, n_embd=16, n_head=2, vocab_size=50, n_positions=64,
        bos_token_id=0, eos_token_id=None, pad_token_id=0, attn_implementation="eager",
    )  # fmt: skip
    model = transformers.GPT2LMHeadModel(config)
    tokens = torch.randint(1, 50, (2, 5))
    with run.record() as recording, recording.span("rollout"):
        model.generate(tokens, max_new_tokens=24, do_sample=False)
    expected = by_counter(lambda: model.generate(tokens, max_new_tokens=24, do_sample=False))
    assert dict(run.totals.span_flop) == {"rollout": expected}
    assert any(cost.how == "polynomial" for cost in run.process.costs.values())


@given(
    coefficients=st.tuples(WHOLE, WHOLE, WHOLE),
    sizes=st.lists(st.integers(1, 500), min_size=3 + SPARE, max_size=9, unique=True),
    beyond=st.integers(1, 500),
)
def test_a_proven_polynomial_is_the_polynomial(
    coefficients: tuple[int, int, int], sizes: list[int], beyond: int
) -> None:
    def figures(n: int) -> dict[str, int]:
        a, b, c = coefficients
        return {"forward": a + b * n + c * n * n, "backward": 2 * (a + b * n)}

    fit = Fit()
    for n in sizes:
        assert fit.add((4, n, n + 7), figures(n))
    for _ in range(2):  # every now and then a size is to be counted all the same
        found = fit.predict((4, beyond, beyond + 7))
        if found is not None:
            assert found == figures(beyond)
            assert beyond <= REACH * max(sizes)
    assert fit.predict((4, REACH * max(sizes) + 1, REACH * max(sizes) + 8)) is None
    assert fit.predict((5, beyond, beyond + 8)) is None  # changes in another way


def test_too_few_counts_prove_nothing() -> None:
    fit = Fit()
    for n in (1, 2, 3):
        fit.add((n,), {"forward": n * n})
    assert fit.predict((4,)) is None


def test_bounds_between_counted_sizes() -> None:
    fit = Fit()
    fit.add((2, 10), {"forward": 5})
    fit.add((4, 30), {"forward": 50})
    assert fit.between((3, 20)) == (5, 50)
    assert fit.between((1, 5)) == (0, 5)
    assert fit.between((9, 99)) == (50, None)


class Ragged(nn.Module):
    """An attention within each of the sequences that lie in one ragged tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(8, 24), nn.Linear(8, 8)

    def forward(self, x: Any) -> Any:
        q, k, v = (
            part.contiguous().unflatten(-1, [2, 4]).transpose(1, 2)
            for part in self.qkv(x).chunk(3, -1)
        )
        seen = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.out(seen.transpose(1, 2).flatten(-2))


def ragged(first: int, rows: int = 12) -> Any:
    parts = [torch.randn(first, 8), torch.randn(rows - first, 8)]
    return torch.nested.nested_tensor(parts, layout=torch.jagged)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_lengths_in_a_ragged_tensor_decide_its_attention(run: Run) -> None:
    """As many elements, in parts of other lengths: an attention over n and m costs n² + m²."""
    model = Ragged()
    optimizer = sgd(model)
    firsts = [6] * 120 + [1, 6, 11, 3, 6, 2, 4, 9]
    with run.record():
        for first in firsts:
            model(ragged(first)).values().square().mean().backward()
            optimizer.step()
    # Weights: 2·12·8·24 and 2·12·8·8, forward and gradient, and the second one's input.
    linear = 2 * 12 * 8 * (2 * 24 + 3 * 8)
    # Scores and sums, 2·2·n²·4 in each of two heads, and twice that backward.
    assert run.flop == [linear + 3 * 32 * (n * n + (12 - n) ** 2) for n in firsts]
    assert {cost.bounds for cost in run.process.costs.values()} == {None}


def test_lengths_in_a_ragged_tensor_that_decide_nothing_are_left_alone(run: Run) -> None:
    model = nn.Linear(8, 8)
    optimizer = sgd(model)
    with run.record():
        for step in range(40):
            model(ragged(1 + step % 29, 30)).values().square().mean().backward()
            optimizer.step()
    assert run.flop == [2 * 2 * 30 * 64] * 40
    assert len(run.process.costs) < 12


class Packed(nn.Module):
    """Packs what it is given by the lengths that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.recurrent, self.out = nn.GRU(8, 8), nn.Linear(8, 8)

    def forward(self, x: Any, lengths: Any) -> Any:
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
        y, _ = nn.utils.rnn.pad_packed_sequence(self.recurrent(packed)[0])
        return self.out(y)


class Marked(nn.Module):
    """Chooses rows by a mask that it makes of a shape alone."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(8, 8)

    def forward(self, x: Any, lengths: Any) -> Any:
        mask = torch.ones_like(x[..., 0], dtype=torch.bool)
        for place, length in enumerate(lengths.tolist()):
            mask[length:, place] = False
        return self.out(x[mask])


@pytest.mark.parametrize("kind", [Packed, Marked])
def test_lengths_that_are_given_leave_the_count_exact(run: Run, kind: Any) -> None:
    model = kind()
    optimizer = sgd(model)
    lengths = [torch.tensor([6, 1 + step % 5, 2]) for step in range(12)]
    with run.record():
        for length in lengths:
            model(torch.randn(6, 3, 8), length).sum().backward()
            optimizer.step()
    x = torch.randn(6, 3, 8)
    assert run.flop == [by_counter(lambda n=n: model(x, n).sum().backward()) for n in lengths]
    assert {cost.bounds for cost in run.process.costs.values()} == {None}

"""Varying sizes: counted until a polynomial is proven, then computed, and never wrong."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

torch = pytest.importorskip("torch")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from torch import nn  # noqa: E402

from flopcount.live_fit import REACH, SPARE, Fit  # noqa: E402
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

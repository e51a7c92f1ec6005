"""Mixtures of experts: exact without values where arithmetic proves it, bounded where not."""

import pytest
import torch
from torch import nn

import flopcount

ROWS, WIDTH, INNER, EXPERTS, CHOSEN = 16, 8, 12, 4, 2


class Mixture(nn.Module):
    """Routed experts as one grouped product; ``spread`` may change where the choices go."""

    def __init__(self, spread):
        super().__init__()
        self.router = nn.Linear(WIDTH, EXPERTS, bias=False)
        self.experts = nn.Parameter(torch.randn(EXPERTS, WIDTH, INNER))
        self.spread = spread

    def forward(self, x):
        chosen = torch.topk(self.router(x), CHOSEN, dim=-1).indices
        ids, order = torch.sort(self.spread(chosen.reshape(-1)))
        counts = torch.histc(ids.float(), bins=EXPERTS, min=0, max=EXPERTS - 1)
        ends = torch.cumsum(counts, dim=0, dtype=torch.int32)
        return torch._grouped_mm(x[order // CHOSEN], self.experts, offs=ends)


X = torch.randn(ROWS, WIDTH)
ROUTER = 2 * ROWS * WIDTH * EXPERTS
GROUPED = 2 * ROWS * CHOSEN * WIDTH * INNER
KEEP = {
    "as chosen": lambda ids: ids,
    "cloned and cast": lambda ids: ids.clone().to(torch.int32).long(),
    "seen otherwise": lambda ids: ids.view(2, -1).t().reshape(-1),
}
LOSE = {
    "shifted": lambda ids: ids + 1,
    "dropped": lambda ids: torch.where(ids == 3, EXPERTS, ids),
    "masked in place": lambda ids: ids.clone().masked_fill_(ids == 3, EXPERTS),
}


def counted(spread, x):
    with torch.device("meta"):
        model = Mixture(spread)
    return flopcount.count(model, x, backward=False)


@pytest.mark.parametrize("name", KEEP)
def test_every_choice_of_a_top_k_goes_to_an_expert(name):
    count = counted(KEEP[name], X.to("meta"))
    assert count.method == "meta"
    assert count.total == ROUTER + GROUPED
    assert count.flop_bounds is None
    assert count.experts.exact
    assert count.experts.rows == count.experts.rows_low == ROWS * CHOSEN


@pytest.mark.parametrize("name", LOSE)
def test_choices_that_may_get_lost_give_bounds_that_hold(name):
    torch.manual_seed(0)
    count = counted(LOSE[name], X.to("meta"))
    assert count.flop_bounds == (ROUTER, ROUTER + GROUPED)
    assert not count.experts.exact
    assert (count.experts.rows_low, count.experts.rows) == (0, ROWS * CHOSEN)
    # with values: rows of the lost choices are padding, and the count lies within the bounds
    real = flopcount.count(Mixture(LOSE[name]).to(torch.bfloat16), X.bfloat16(), backward=False)
    assert real.experts.exact
    assert real.flop_bounds is None
    assert real.experts.padded > 0
    assert real.experts.rows + real.experts.padded == ROWS * CHOSEN
    low, high = count.flop_bounds
    assert low <= real.total < high
    assert real.total == ROUTER + 2 * real.experts.rows * WIDTH * INNER


def test_the_backward_has_the_same_bounds():
    with torch.device("meta"):
        model = Mixture(LOSE["dropped"])
    count = flopcount.count(model, X.to("meta"))
    # the router's choices carry no gradient; the experts' two do not reach x
    assert count.forward == ROUTER + GROUPED
    assert count.backward == GROUPED
    assert count.flop_bounds == (ROUTER, ROUTER + 2 * GROUPED)


def test_a_library_mixture_is_exact_without_values():
    transformers = pytest.importorskip("transformers")
    config = transformers.MixtralConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, num_local_experts=8, vocab_size=64,
    )  # fmt: skip
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config)
    count = flopcount.count(model, torch.zeros(2, 16, dtype=torch.long))
    assert count.experts.exact
    assert count.flop_bounds is None
    # 2 layers, 2 products (gate and up in one), 2 of 8 experts for each of 32 tokens
    assert count.experts.rows == 2 * 2 * 2 * 32


@pytest.mark.parametrize("dtype", [torch.uint8, torch.bfloat16])
def test_numbers_that_are_rounded_prove_nothing(dtype):
    from flopcount import routing

    many = torch.empty(10, dtype=torch.long, device="meta")
    setattr(many, routing.BELOW, 1000)
    out = many.to(dtype)
    routing.follow("_to_copy", (many,), {}, out)
    assert not hasattr(out, routing.BELOW)

"""Rungs below the first: chosen by the tool, reported, and as exact as they say."""

import pytest
import torch
from torch import nn

import flopcount
from flopcount import ladder


class Looking(nn.Module):
    """Asks its activations a question, so that nothing but real numbers will do."""

    def __init__(self):
        super().__init__()
        self.table, self.head = nn.Embedding(10, 8), nn.Linear(8, 10)

    def forward(self, ids):
        x = self.table(ids)
        noise = torch.rand(2, device=x.device)
        if bool((noise < 2).all()):
            x = x @ x.transpose(-1, -2) @ x
        return self.head(x)


def cost(batch, length):
    # two products of 2·S²·8 a row, threefold; their first operand twice: 2 + 2 gradients;
    # the head 2·S·8·10 threefold
    return batch * (6 * 2 * length * length * 8 + 6 * length * 80)


def test_cpu():
    count = flopcount.count(Looking(), torch.zeros(2, 6, dtype=torch.long))
    assert count.method == "cpu"
    assert count.total == cost(2, 6)
    assert [note.partition(":")[0] for note in count.notes] == ["meta", "fake", "random"]


def test_cpu_scaled_is_exact_too(monkeypatch):
    monkeypatch.setattr(ladder, "MOST_CPU_FLOP", 1000)
    count = flopcount.count(Looking(), torch.zeros(4, 100, dtype=torch.long))
    assert count.method == "cpu-scaled"
    assert count.total == cost(4, 100)
    assert count.by_module["head"] == 6 * 4 * 100 * 80


def test_a_model_on_meta_is_run_with_invented_weights_and_says_so():
    with torch.device("meta"):
        model = Looking()
    count = flopcount.count(model, torch.zeros(2, 6, dtype=torch.long, device="meta"))
    assert count.total == cost(2, 6)
    assert any("invented" in note for note in count.notes)
    assert count.flop_bounds is None


class Choosing(nn.Module):
    """Computes only with rows that pass a threshold."""

    def __init__(self):
        super().__init__()
        self.gate, self.head = nn.Linear(8, 4, bias=False), nn.Linear(8, 8, bias=False)

    def forward(self, x):
        return self.head(x[self.gate(x).softmax(-1).amax(-1) > 0.4])


def test_a_figure_that_hangs_on_invented_values_says_so():
    count = flopcount.count(Choosing().to("meta"), torch.zeros(50, 8, device="meta"))
    assert count.flop_bounds == (0, None)
    assert any(note.startswith("random:") for note in count.notes)
    # With values nothing is invented: no row of zeros passes.
    count = flopcount.count(Choosing(), torch.zeros(50, 8), backward=False)
    assert (count.total, count.flop_bounds) == (2 * 50 * 8 * 4, None)


class Routed(nn.Module):
    """A mixture that splits its rows by data; too large to run when on meta."""

    def __init__(self, width):
        super().__init__()
        self.gate = nn.Linear(width, 4, bias=False)
        self.experts = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(4))

    def forward(self, x):
        chosen = self.gate(x).topk(2).indices.flatten()
        order = chosen.argsort()
        sizes = torch.bincount(chosen, minlength=4).tolist()
        rows = x.repeat_interleave(2, 0)[order].split(sizes)
        return torch.cat([expert(part) for expert, part in zip(self.experts, rows, strict=True)])


def test_routing_in_a_model_too_large_to_run():
    with torch.device("meta"):
        model = Routed(16384)
    x = torch.zeros(6, 16384, device="meta")
    count = flopcount.count(model, x, backward=False)
    assert count.method == "meta-invented"
    # every row meets the gate and two experts, wherever it goes
    assert count.forward == 2 * 6 * 16384 * 4 + 2 * 6 * 2 * 16384 * 16384
    assert any("random answers" in note for note in count.notes)


def test_routing_on_real_values_is_real():
    torch.manual_seed(0)
    count = flopcount.count(Routed(8), torch.randn(6, 8), backward=False)
    assert count.method == "meta"
    assert count.forward == 2 * 6 * 8 * 4 + 2 * 6 * 2 * 8 * 8


def test_a_model_that_raises_everywhere_is_told_once():
    with pytest.raises(flopcount.CountError, match=r"meta: RuntimeError.*cpu: RuntimeError"):
        flopcount.count(nn.Linear(4, 5), torch.zeros(3, 7))


def small_llama(**changes):
    transformers = pytest.importorskip("transformers")
    sizes = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "vocab_size": 100,
    }
    config = transformers.LlamaConfig(**{**sizes, **changes})
    with torch.device("meta"):
        return transformers.LlamaForCausalLM(config)


def broken(monkeypatch, model):
    """The same model, whose forward raises on every rung."""

    def forward(self, *args, **kwargs):
        raise ValueError("a kernel that is not here")

    monkeypatch.setattr(type(model), "forward", forward)
    return model


def test_the_closed_form_stands_in_for_a_model_that_cannot_be_traced(monkeypatch):
    ids = torch.zeros(2, 16, dtype=torch.long)
    traced = flopcount.count(small_llama(), input_ids=ids)
    count = flopcount.count(broken(monkeypatch, small_llama()), input_ids=ids)
    assert (count.forward, count.backward) == (traced.forward, traced.backward)
    assert count.method == "closed-form"
    assert "a kernel that is not here" in count.notes[0]
    assert count.elementwise is None


def test_no_form_stands_in_where_something_is_left_to_guess(monkeypatch):
    ids = torch.zeros(2, 16, dtype=torch.long)
    model = broken(monkeypatch, small_llama())
    with pytest.raises(flopcount.CountError, match="more than token ids"):
        flopcount.count(model, inputs_embeds=torch.zeros(2, 16, 32))
    with pytest.raises(flopcount.CountError, match="loss"):
        flopcount.count(model, ids, loss=lambda out: out.logits.sum())
    model.lm_head.weight.requires_grad_(False)
    with pytest.raises(flopcount.CountError, match="frozen"):
        flopcount.count(model, ids)
    assert flopcount.count(model, ids, backward=False).method == "closed-form"
    model.lm_head = torch.nn.Linear(32, 7, device="meta")
    with pytest.raises(flopcount.CountError, match="parameters"):
        flopcount.count(model, ids, backward=False)


def test_a_cached_table_of_the_count_never_meets_the_callers_tensors():
    import functools

    class Cached(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(4, 4)

        @functools.lru_cache(maxsize=2)  # noqa: B019
        def table(self, rows):
            return torch.ones(rows, 4, device=self.layer.weight.device)

        def forward(self, x):
            return self.layer(x) + self.table(len(x))

    model = Cached()
    model(torch.ones(3, 4))  # the caller's table is cached
    assert flopcount.count(model, torch.ones(3, 4), backward=False).forward == 2 * 3 * 4 * 4
    assert model(torch.ones(3, 4)).device.type == "cpu"
    assert model.table(3).sum().item() == 12.0


EDGES = torch.tensor([[0, 1, 2, 3, 4, 0, 1], [1, 2, 3, 4, 0, 2, 3]])
MATRICES = {
    "as it is made": lambda edges: torch.sparse_coo_tensor(edges, torch.ones(7), (5, 5)),
    "turned": lambda edges: torch.sparse_coo_tensor(edges, torch.ones(7), (5, 5)).t(),
    "of rows": lambda edges: torch.sparse_coo_tensor(edges, torch.ones(7), (5, 5)).to_sparse_csr(),
}


@pytest.mark.parametrize("made", MATRICES)
def test_a_sparse_matrix_that_a_model_makes_keeps_its_elements(made):
    """Without storage nearly every op on one answers a matrix that stores nothing."""
    nodes = torch.zeros(5, 8, requires_grad=True)
    count = flopcount.count(lambda x, e: torch.sparse.mm(MATRICES[made](e), x), nodes, EDGES)
    # 7 stored elements, each times a row of 8; the rows' gradient as much
    assert (count.forward, count.backward) == (2 * 7 * 8, 2 * 7 * 8)
    assert count.method == "cpu"

"""Decoders whose code comes with their weights, written anew from that code, to be traced.

Each builder below reads a config.json with the key names and defaults of the family's own published
configuration class and makes the layers that its published modelling code makes. Nothing is shared
with the closed forms. Modules are named after the closed forms' terms, so that both can be compared
term by term.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Config = dict[str, Any]


class Scores(nn.Module):
    """Queries times keys, softmax under a causal mask."""

    def forward(self, query: Tensor, key: Tensor) -> Tensor:
        length = query.shape[-2]
        mask = torch.ones(length, length, dtype=torch.bool, device=query.device).triu(1)
        return torch.matmul(query, key.transpose(-1, -2)).masked_fill(mask, -1e30).softmax(-1)


class Values(nn.Module):
    """Probabilities times values."""

    def forward(self, weights: Tensor, value: Tensor) -> Tensor:
        return torch.matmul(weights, value)


class Attention(nn.Module):
    """Causal attention whose key-value heads are repeated for their queries."""

    def __init__(
        self,
        hidden: int,
        heads: int,
        kv_heads: int,
        *,
        head: int | None = None,
        bias: bool = False,
        output_bias: bool = False,
        fused: bool = False,
        normed: bool = False,
    ) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.width = heads, kv_heads, head or hidden // heads
        sizes = [count * self.width for count in (heads, kv_heads, kv_heads)]
        self.sizes, self.fused = sizes, fused
        if fused:
            self.query_key_value = nn.Linear(hidden, sum(sizes), bias=bias)
        else:
            self.query, self.key, self.value = (nn.Linear(hidden, n, bias=bias) for n in sizes)
        norm = nn.RMSNorm if normed else lambda _: nn.Identity()
        self.query_norm, self.key_norm = norm(self.width), norm(self.width)
        self.scores, self.values = Scores(), Values()
        self.output = nn.Linear(sizes[0], hidden, bias=output_bias)

    def forward(self, x: Tensor) -> Tensor:
        parts = (
            self.query_key_value(x).split(self.sizes, -1)
            if self.fused
            else (self.query(x), self.key(x), self.value(x))
        )
        q, k, v = (t.unflatten(-1, (-1, self.width)).transpose(1, 2) for t in parts)
        q, k = self.query_norm(q), self.key_norm(k)
        k, v = (t.repeat_interleave(self.heads // self.kv_heads, 1) for t in (k, v))
        return self.output(self.values(self.scores(q, k), v).transpose(1, 2).flatten(-2))


class Gated(nn.Module):
    """A feed-forward of three matrices."""

    def __init__(self, hidden: int, inner: int, *, bias: bool = False) -> None:
        super().__init__()
        self.gate, self.up = (nn.Linear(hidden, inner, bias=bias) for _ in range(2))
        self.down = nn.Linear(inner, hidden, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(nn.functional.silu(self.gate(x)) * self.up(x))


class Plain(nn.Module):
    """A feed-forward of two matrices."""

    def __init__(self, hidden: int, inner: int) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(hidden, inner), nn.Linear(inner, hidden)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(nn.functional.gelu(self.up(x)))


class Mixture(nn.Module):
    """Experts in a loop, each with the rows that the router sends it; a shared one beside them."""

    def __init__(self, hidden: int, inner: int, *, count: int, chosen: int, shared: int) -> None:
        super().__init__()
        self.router = nn.Linear(hidden, count, bias=False)
        self.experts = nn.ModuleList(Gated(hidden, inner) for _ in range(count))
        self.shared_experts = Gated(hidden, shared) if shared else None
        self.chosen = chosen

    def forward(self, x: Tensor) -> Tensor:
        rows = x.flatten(0, -2)
        weights, choice = self.router(rows).softmax(-1).topk(self.chosen, -1)
        result = torch.zeros_like(rows)
        for index, expert in enumerate(self.experts):
            row, place = torch.where(choice == index)
            if len(row):
                result = result.index_add(0, row, expert(rows[row]) * weights[row, place, None])
        result = result.view_as(x)
        return result if self.shared_experts is None else result + self.shared_experts(x)


class Layer(nn.Module):
    """Attention and feed-forward with a residual each; ``after`` norms what each adds."""

    def __init__(
        self, attention: nn.Module, ffn: nn.Module, norm: Callable[[], nn.Module], *, after: bool
    ) -> None:
        super().__init__()
        self.attention, self.ffn = attention, ffn
        self.norms = nn.ModuleList(norm() for _ in range(2))
        self.afters = nn.ModuleList(norm() if after else nn.Identity() for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.afters[0](self.attention(self.norms[0](x)))
        return x + self.afters[1](self.ffn(self.norms[1](x)))


class Decoder(nn.Module):
    """Token table, layers, norm, head."""

    def __init__(
        self,
        layers: list[nn.Module],
        norm: nn.Module,
        *,
        table: tuple[int, int],
        tied: bool,
        positions: int = 0,
    ) -> None:
        super().__init__()
        self.table = nn.Embedding(*table)
        self.positions = nn.Embedding(positions, table[1]) if positions else None
        self.layers, self.norm = nn.ModuleList(layers), norm
        self.head = nn.Linear(table[1], table[0], bias=False)
        if tied:
            self.head.weight = self.table.weight

    def forward(self, ids: Tensor) -> Tensor:
        x = self.table(ids)
        if self.positions is not None:
            x = x + self.positions(torch.arange(ids.shape[1], device=ids.device))
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x))


def _llama(c: Config, *, bias: bool = False, norm: type[nn.Module] = nn.RMSNorm) -> Decoder:
    """What Aquila, Skywork, InternLM and Orion call their own: a Llama."""
    hidden, heads = c["hidden_size"], c["num_attention_heads"]

    def layer() -> Layer:
        attention = Attention(
            hidden, heads, c.get("num_key_value_heads", heads), bias=bias, output_bias=bias
        )
        ffn = Gated(hidden, c["intermediate_size"])
        return Layer(attention, ffn, lambda: norm(hidden), after=False)

    layers: list[nn.Module] = [layer() for _ in range(c["num_hidden_layers"])]
    tied = c.get("tie_word_embeddings", False)
    return Decoder(layers, norm(hidden), table=(c["vocab_size"], hidden), tied=tied)


def internlm(c: Config) -> Decoder:
    """``modeling_internlm.py`` of InternLM: ``bias`` on all four projections, true by default."""
    return _llama(c, bias=c.get("bias", True))


def orion(c: Config) -> Decoder:
    """``modeling_orion.py`` of Orion-14B: LayerNorm where Llama has RMSNorm."""
    return _llama(c, norm=nn.LayerNorm)


def xverse(c: Config) -> Decoder:
    """XVERSE and XVERSE-MoE: experts of ``intermediate_size`` in every layer, ``moe_top_k`` each."""
    model = _llama(c)
    if c.get("num_experts") is not None:
        hidden, inner = c["hidden_size"], c["intermediate_size"]
        for layer in model.layers:
            layer.ffn = Mixture(
                hidden,
                inner,
                count=c["num_experts"],
                chosen=c["moe_top_k"],
                shared=inner * (c.get("num_shared_experts") or 0),
            )
    return model


def exaone(c: Config) -> Decoder:
    """``modeling_exaone.py`` of EXAONE 3: ``num_layers``; the head is tied unless the file denies it."""
    hidden = c["hidden_size"]
    keys = {"num_hidden_layers": c["num_layers"], "intermediate_size": 4 * hidden}
    return _llama({"tie_word_embeddings": True, **keys, **c})


def jais(c: Config) -> Decoder:
    """``modeling_jais.py``: GPT-2 with slopes instead of positions and, told so, a gated layer."""
    hidden, inner = c["n_embd"], c.get("n_inner") or 4 * c["n_embd"]
    gated = c.get("activation_function") == "swiglu"

    def layer() -> Layer:
        ffn = Gated(hidden, inner, bias=True) if gated else Plain(hidden, inner)
        attention = Attention(
            hidden, c["n_head"], c["n_head"], bias=True, output_bias=True, fused=True
        )
        return Layer(attention, ffn, lambda: nn.LayerNorm(hidden), after=False)

    alibi = c.get("position_embedding_type", "learned") == "alibi"
    return Decoder(
        [layer() for _ in range(c["n_layer"])],
        nn.LayerNorm(hidden),
        table=(c["vocab_size"], hidden),
        tied=c.get("tie_word_embeddings", True),
        positions=0 if alibi else c["n_positions"],
    )


def grok(c: Config) -> Decoder:
    """``model.py`` of Grok-1: four norms a layer, one table for tokens and head."""
    hidden, inner = c["hidden_size"], c["intermediate_size"]

    def layer() -> Layer:
        attention = Attention(hidden, c["num_attention_heads"], c["num_key_value_heads"])
        ffn: nn.Module = Gated(hidden, inner)
        if c["num_experts"] > 1:
            count, chosen = c["num_experts"], c["num_experts_per_tok"]
            ffn = Mixture(hidden, inner, count=count, chosen=chosen, shared=0)
        return Layer(attention, ffn, lambda: nn.RMSNorm(hidden), after=True)

    layers: list[nn.Module] = [layer() for _ in range(c["num_hidden_layers"])]
    return Decoder(layers, nn.RMSNorm(hidden), table=(c["vocab_size"], hidden), tied=True)


def bailing(c: Config) -> Decoder:
    """``modeling_bailing_moe.py`` and ``_v2.py`` of Ling: one matrix for queries, keys and values."""
    hidden, inner = c["hidden_size"], c["moe_intermediate_size"]

    def layer(index: int) -> Layer:
        attention = Attention(
            hidden,
            c["num_attention_heads"],
            c["num_key_value_heads"],
            head=c.get("head_dim"),
            bias=c.get("use_qkv_bias", False),
            output_bias=c.get("use_bias", True),
            fused=True,
            normed=c.get("use_qk_norm", False),
        )
        ffn: nn.Module = Gated(hidden, c["intermediate_size"])
        if index >= c.get("first_k_dense_replace", 0):
            ffn = Mixture(
                hidden,
                inner,
                count=c["num_experts"],
                chosen=c["num_experts_per_tok"],
                shared=c.get("moe_shared_expert_intermediate_size", inner)
                * (c.get("num_shared_experts") or 0),
            )
        return Layer(attention, ffn, lambda: nn.RMSNorm(hidden), after=False)

    layers: list[nn.Module] = [layer(index) for index in range(c["num_hidden_layers"])]
    tied = c.get("tie_word_embeddings", False)
    return Decoder(layers, nn.RMSNorm(hidden), table=(c["vocab_size"], hidden), tied=tied)


FAMILIES: dict[str, Callable[[Config], Decoder]] = {
    "aquila": _llama,
    "skywork": _llama,
    "internlm": internlm,
    "orion": orion,
    "xverse": xverse,
    "exaone": exaone,
    "jais": jais,
    "grok-1": grok,
    "bailing_moe": bailing,
}

"""Decoders with loops, borrowed keys and linear attention, written anew from their published code.

As in :mod:`reference_decoders`, nothing is shared with the closed forms. Scans follow the reference code
of flash-linear-attention and of mamba_ssm: what is a matrix product there is one here.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.flopcount.reference_decoders import (
    Attention,
    Config,
    Decoder,
    Gated,
    Layer,
    Mixture,
    Scores,
    Values,
)


def _chunks(x: Tensor, length: int) -> Tensor:
    """(batch, heads, positions, channels) padded at the end and cut: (batch, heads, chunks, l, channels)."""
    missing = -x.shape[-2] % length
    return functional.pad(x, (0, 0, 0, missing)).unflatten(-2, (-1, length))


def _heads(x: Tensor, width: int) -> Tensor:
    return x.unflatten(-1, (-1, width)).transpose(1, 2)


class Lightning(nn.Module):
    """``BailingMoeV2LinearAttention``: a decay a head, chunks of 64 (``naive_chunk_simple_gla``)."""

    def __init__(
        self, hidden: int, heads: int, width: int, *, bias: bool, output_bias: bool
    ) -> None:
        super().__init__()
        inner = heads * width
        self.width = width
        self.query_key_value = nn.Linear(hidden, 3 * inner, bias=bias)
        self.query_norm, self.key_norm = nn.RMSNorm(width), nn.RMSNorm(width)
        self.gate = nn.Linear(hidden, inner, bias=False)
        self.norm = nn.RMSNorm(inner)
        self.output = nn.Linear(inner, hidden, bias=output_bias)

    def forward(self, x: Tensor) -> Tensor:
        length = x.shape[1]
        q, k, v = (_heads(t, self.width) for t in self.query_key_value(x).chunk(3, -1))
        q, k = self.query_norm(q), self.key_norm(k)
        q, k, v = (_chunks(t, 64) for t in (q, k, v))
        state = torch.zeros(*q.shape[:2], self.width, self.width)
        found = []
        for i in range(q.shape[2]):
            scores = (q[:, :, i] @ k[:, :, i].transpose(-1, -2)).tril()
            found.append(q[:, :, i] @ state + scores @ v[:, :, i])
            state = state * 0.5 + k[:, :, i].transpose(-1, -2) @ v[:, :, i]
        out = torch.cat(found, 2)[:, :, :length].transpose(1, 2).flatten(-2)
        return self.output(self.norm(out) * self.gate(x).sigmoid())


def bailing_linear(c: Config) -> Decoder:
    """``modeling_bailing_moe_linear_v2.py``: in each group of layers the last attends."""
    hidden, heads, width = c["hidden_size"], c["num_attention_heads"], c["head_dim"]
    count, group = c["num_hidden_layers"], c["layer_group_size"]
    bias, output_bias = c["use_bias"] or c["use_qkv_bias"], c["use_bias"]

    def layer(index: int) -> Layer:
        attention: nn.Module = Lightning(hidden, heads, width, bias=bias, output_bias=output_bias)
        if (index + 1) % group == 0 or index >= count // group * group:
            attention = Attention(
                hidden, heads, c["num_key_value_heads"], head=width, bias=bias,
                output_bias=output_bias, normed=True,
            )  # fmt: skip
        ffn: nn.Module = Gated(hidden, c["intermediate_size"])
        if index >= c["first_k_dense_replace"]:
            inner = c["moe_intermediate_size"]
            ffn = Mixture(
                hidden, inner, count=c["num_experts"], chosen=c["num_experts_per_tok"],
                shared=inner * c["num_shared_experts"],
            )  # fmt: skip
        return Layer(attention, ffn, lambda: nn.RMSNorm(hidden), after=False)

    layers: list[nn.Module] = [layer(index) for index in range(count)]
    return Decoder(layers, nn.RMSNorm(hidden), table=(c["vocab_size"], hidden), tied=False)


class Ouro(nn.Module):
    """``modeling_ouro.py``: the layers are looped, each pass has logits, a gate weighs them."""

    def __init__(self, c: Config) -> None:
        super().__init__()
        hidden, heads = c["hidden_size"], c["num_attention_heads"]
        self.table = nn.Embedding(c["vocab_size"], hidden)
        self.layers = nn.ModuleList(
            Layer(
                Attention(hidden, heads, c["num_key_value_heads"]),
                Gated(hidden, c["intermediate_size"]),
                lambda: nn.RMSNorm(hidden),
                after=True,
            )
            for _ in range(c["num_hidden_layers"])
        )
        self.norm, self.passes = nn.RMSNorm(hidden), c["total_ut_steps"]
        self.gate = nn.Linear(hidden, 1)
        self.head = nn.Linear(hidden, c["vocab_size"], bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        x, gates, found = self.table(ids), [], []
        for _ in range(self.passes):
            for layer in self.layers:
                x = layer(x)
            x = self.norm(x)
            gates.append(self.gate(x).sigmoid())
            found.append(x)
        left, expected = torch.ones_like(gates[0]), torch.zeros(())
        for index, (gate, answer) in enumerate(zip(gates, found, strict=True)):
            last = index == self.passes - 1
            expected = expected + self.head(answer) * (left if last else gate * left)
            left = left if last else left * (1 - gate)
        return expected


class Hunyuan(nn.Module):
    """``hunyuan.py`` of Hunyuan-Large: layers between the owners of keys project queries alone."""

    def __init__(self, c: Config) -> None:
        super().__init__()
        hidden, heads, shared = c["hidden_size"], c["num_attention_heads"], c["num_key_value_heads"]
        self.width, self.groups = c.get("attention_head_dim", hidden // heads), heads // shared
        self.every = c["cla_share_factor"] if c["use_cla"] else 1
        self.table = nn.Embedding(c["vocab_size"], hidden)
        count = range(c["num_hidden_layers"])
        self.query = nn.ModuleList(nn.Linear(hidden, heads * self.width, bias=False) for _ in count)
        self.key_value = nn.ModuleList(
            nn.Linear(hidden, 2 * shared * self.width, bias=False)
            if i % self.every == 0
            else nn.Identity()
            for i in count
        )
        self.norms = nn.ModuleList(nn.RMSNorm(self.width) for _ in range(2 * len(count)))
        self.output = nn.ModuleList(
            nn.Linear(heads * self.width, hidden, bias=False) for _ in count
        )
        self.ffn = nn.ModuleList(
            Mixture(
                hidden, c.get("moe_intermediate_size", c["intermediate_size"]), count=c["num_experts"],
                chosen=c["moe_topk"], shared=c["num_shared_expert"] * c["intermediate_size"],
            )
            for _ in count
        )  # fmt: skip
        self.before = nn.ModuleList(nn.RMSNorm(hidden) for _ in range(2 * len(count)))
        self.norm, self.head = nn.RMSNorm(hidden), nn.Linear(hidden, c["vocab_size"], bias=False)
        self.head.weight = self.table.weight
        self.scores, self.values = Scores(), Values()

    def forward(self, ids: Tensor) -> Tensor:
        x, key, value = self.table(ids), None, None
        for i, query in enumerate(self.query):
            normed = self.before[2 * i](x)
            if i % self.every == 0:
                key, value = (_heads(t, self.width) for t in self.key_value[i](normed).chunk(2, -1))
            q = self.norms[2 * i](_heads(query(normed), self.width))
            k, v = self.norms[2 * i + 1](key), value
            k, v = (t.repeat_interleave(self.groups, 1) for t in (k, v))
            found = self.values(self.scores(q, k), v)
            x = x + self.output[i](found.transpose(1, 2).flatten(-2))
            x = x + self.ffn[i](self.before[2 * i + 1](x))
        return self.head(self.norm(x))


class Factored(nn.Module):
    """``Step3TextAttention``: queries of two factors, one key and one value."""

    def __init__(self, hidden: int, heads: int, width: int, rank: int) -> None:
        super().__init__()
        self.sizes, self.width, self.heads = (rank, width, width), width, heads
        self.query_key_value = nn.Linear(hidden, rank + 2 * width, bias=False)
        self.norm, self.query = nn.RMSNorm(rank), nn.Linear(rank, heads * width, bias=False)
        self.output = nn.Linear(heads * width, hidden, bias=False)
        self.scores, self.values = Scores(), Values()

    def forward(self, x: Tensor) -> Tensor:
        low, k, v = self.query_key_value(x).split(self.sizes, -1)
        q = _heads(self.query(self.norm(low)), self.width)
        k, v = (_heads(t, self.width).repeat_interleave(self.heads, 1) for t in (k, v))
        return self.output(self.values(self.scores(q, k), v).transpose(1, 2).flatten(-2))


def step3(c: Config) -> Decoder:
    """``Step3TextDecoderLayer``: a shared expert beside the routed ones where a layer is listed."""
    hidden, listed = c["hidden_size"], [int(n) for n in c["moe_layers_enum"].split(",")]

    def layer(index: int) -> Layer:
        ffn: nn.Module = Gated(hidden, c["intermediate_size"])
        if index in listed:
            ffn = Mixture(
                hidden, c["moe_intermediate_size"], count=c["moe_num_experts"],
                chosen=c["moe_top_k"], shared=c["share_expert_dim"],
            )  # fmt: skip
        attention = Factored(hidden, c["num_attention_heads"], c["head_dim"], c["share_q_dim"])
        return Layer(attention, ffn, lambda: nn.RMSNorm(hidden), after=False)

    layers: list[nn.Module] = [layer(index) for index in range(c["num_hidden_layers"])]
    return Decoder(layers, nn.RMSNorm(hidden), table=(c["vocab_size"], hidden), tied=False)


class PlamoMixer(nn.Module):
    """``Plamo2MambaMixer``; its scan as mamba_ssm's minimal form of SSD multiplies it."""

    def __init__(self, c: Config) -> None:
        super().__init__()
        hidden, self.width = c["hidden_size"], c["hidden_size_per_head"]
        self.states, self.chunk = c["mamba_d_state"], c["mamba_chunk_size"]
        heads, rank = c["mamba_num_heads"], max(64, hidden // 16)
        inner, self.rank, self.kernel = heads * self.width, rank, c["mamba_d_conv"]
        self.inside = nn.Linear(hidden, 2 * inner, bias=False)
        self.convolution = nn.Conv1d(inner, inner, self.kernel, groups=inner, bias=False)
        self.step_and_states = nn.Linear(inner, rank + 2 * self.states, bias=False)
        self.step = nn.Linear(rank, heads, bias=False)
        self.output = nn.Linear(inner, hidden, bias=False)
        self.norms = nn.ModuleList(nn.RMSNorm(n) for n in (rank, self.states, self.states))
        self.decay, self.skip, self.bias = (nn.Parameter(torch.ones(heads)) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        length = x.shape[1]
        z, x = self.inside(x).chunk(2, -1)
        x = self.convolution(functional.pad(x.transpose(1, 2), (self.kernel - 1, 0))).transpose(
            1, 2
        )
        reads, writes, low = self.step_and_states(x).split(
            (self.states, self.states, self.rank), -1
        )
        step = self.step(self.norms[0](low)) + self.bias
        heads = step.shape[-1]
        reads, writes = (
            _chunks(norm(t)[:, None].expand(-1, heads, -1, -1), self.chunk)
            for norm, t in ((self.norms[1], reads), (self.norms[2], writes))
        )
        values = _heads(x, self.width)
        inner = _chunks(
            values * step.transpose(1, 2)[..., None] * self.decay[:, None, None], self.chunk
        )
        within = (reads @ writes.transpose(-1, -2)) @ inner
        states = writes.transpose(-1, -2) @ inner  # (batch, heads, chunks, states, channels)
        states = torch.cat([torch.zeros_like(states[:, :, :1]), states], 2)
        weights = torch.ones(states.shape[2], states.shape[2]) * self.decay[:, None, None]
        handed = (weights @ states.flatten(-2)).view_as(states)[:, :, :-1]
        found = (within + reads @ handed).flatten(2, 3)[:, :, :length]
        found = found + values * self.skip[:, None, None]
        return self.output(found.transpose(1, 2).flatten(-2) * z)


class PlamoAttention(nn.Module):
    """``Plamo2AttentionMixer``: every head has scales of its own for queries and keys."""

    def __init__(self, c: Config) -> None:
        super().__init__()
        width, heads, shared = (
            c["hidden_size_per_head"],
            c["num_attention_heads"],
            c["num_key_value_heads"],
        )
        self.inner = Attention(c["hidden_size"], heads, shared, head=width, fused=True)
        self.scales = nn.Parameter(torch.ones((heads + shared) * width))

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


def plamo2(c: Config) -> Decoder:
    """``modeling_plamo.py`` of PLaMo 2: one layer in ``mamba_step`` attends, two norms around each half."""
    hidden, step = c["hidden_size"], c["mamba_step"]
    layers: list[nn.Module] = [
        Layer(
            PlamoAttention(c) if index % step == step // 2 else PlamoMixer(c),
            Gated(hidden, c["intermediate_size"]),
            lambda: nn.RMSNorm(hidden),
            after=True,
        )
        for index in range(c["num_hidden_layers"])
    ]
    return Decoder(layers, nn.RMSNorm(hidden), table=(c["vocab_size"], hidden), tied=True)


class TimeMix(nn.Module):
    """``RWKV7Attention``; its scan in chunks of 64 as ``dplr_chunkwise`` multiplies it."""

    def __init__(self, c: Config, *, first: bool) -> None:
        super().__init__()
        hidden, self.width = c["hidden_size"], c["head_dim"]
        self.receptance, self.key, self.value, self.output = (
            nn.Linear(hidden, hidden, bias=False) for _ in range(4)
        )
        self.ranks = nn.ModuleDict({
            name: nn.Sequential(
                nn.Linear(hidden, c[f"{key}_low_rank_dim"], bias=False),
                nn.Linear(c[f"{key}_low_rank_dim"], hidden, bias=key != "gate"),
            )
            for name, key in (("decay", "decay"), ("rate", "a"), ("mixed", "v"), ("gate", "gate"))
            if not (first and key == "v")
        })  # fmt: skip
        self.neighbours = nn.Parameter(torch.ones(6, hidden))
        self.scales = nn.Parameter(torch.ones(3, hidden))
        self.norm = nn.GroupNorm(hidden // self.width, hidden)

    def forward(self, x: Tensor, first: Tensor | None) -> tuple[Tensor, Tensor]:
        length = x.shape[1]
        mixed = [x * weight for weight in self.neighbours]
        r, k, v = self.receptance(mixed[0]), self.key(mixed[1]), self.value(mixed[2])
        w, a, g = (
            self.ranks[name](t)
            for name, t in zip(("decay", "rate", "gate"), mixed[3:], strict=True)
        )
        if first is not None:
            v = torch.lerp(v, first, self.ranks["mixed"](mixed[2]).sigmoid())
        q, k, values, a, b = (_heads(t, self.width) for t in (r, k * self.scales[0], v, a, a * w))
        out = _dplr(*(_chunks(t, 64) for t in (q, k, values, a, b)))[:, :, :length]
        out = self.norm(out.transpose(1, 2).flatten(-2).transpose(1, 2)).transpose(1, 2)
        out = out + v * (r * self.scales[1]) + self.scales[2]
        return self.output(out * g), v if first is None else first


def _dplr(q: Tensor, k: Tensor, v: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """A delta rule of a diagonal and a rank of one; as there, the scores are elementwise."""
    own, crossed, with_keys, with_b = (
        (first[..., :, None, :] * second[..., None, :, :]).sum(-1).tril()
        for first, second in ((a, b), (a, k), (q, k), (q, b))
    )
    u, w = own @ (crossed @ v), own @ a
    state = torch.zeros(*q.shape[:2], q.shape[-1], q.shape[-1])
    found = []
    for i in range(q.shape[2]):
        corrected = u[:, :, i] + w[:, :, i] @ state
        out = with_keys[:, :, i] @ v[:, :, i] + with_b[:, :, i] @ corrected
        found.append(out + q[:, :, i] @ state)
        state = state * 0.5 + k[:, :, i].transpose(-1, -2) @ v[:, :, i]
        state = state + b[:, :, i].transpose(-1, -2) @ corrected
    return torch.cat(found, 2)


class RWKV7(nn.Module):
    """``RWKV7Model``: a norm before the first layer, values of the first layer mixed into all others'."""

    def __init__(self, c: Config) -> None:
        super().__init__()
        hidden, count = c["hidden_size"], c["num_hidden_layers"]
        self.table = nn.Embedding(c["vocab_size"], hidden)
        self.norms = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(2 * count + 2))
        self.time = nn.ModuleList(TimeMix(c, first=index == 0) for index in range(count))
        inner = c["intermediate_size"]
        self.up = nn.ModuleList(nn.Linear(hidden, inner, bias=False) for _ in range(count))
        self.down = nn.ModuleList(nn.Linear(inner, hidden, bias=False) for _ in range(count))
        self.neighbours = nn.Parameter(torch.ones(count, hidden))
        self.head = nn.Linear(hidden, c["vocab_size"], bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        x, first = self.norms[-1](self.table(ids)), None
        for index, time in enumerate(self.time):
            out, first = time(self.norms[2 * index](x), first)
            x = x + out
            inner = self.up[index](self.norms[2 * index + 1](x) * self.neighbours[index])
            x = x + self.down[index](inner.relu() ** 2)
        return self.head(self.norms[-2](x))


FAMILIES: dict[str, Callable[[Config], Any]] = {
    "bailing_moe_linear": bailing_linear,
    "ouro": Ouro,
    "hunyuan": Hunyuan,
    "step3_text": step3,
    "plamo2": plamo2,
    "rwkv7": RWKV7,
}

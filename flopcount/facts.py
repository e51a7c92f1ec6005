"""The few facts about a model that the field's rules of thumb are written in. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from flopcount.errors import ConventionError
from flopcount.model_files.parameters import expert_groups, experts_per_token

NAMES = {
    # The decoder's own first: a pair's configuration may build its decoder alone (Blenderbot).
    "layers": (
        "decoder_layers",
        "num_decoder_layers",
        "num_hidden_layers",
        "n_layer",
        "n_layers",
        "num_layers",
    ),
    "hidden": ("hidden_size", "n_embd", "d_model", "dim"),
    "heads": ("num_attention_heads", "n_head", "n_heads", "num_heads", "decoder_attention_heads"),
    "kv_heads": ("num_key_value_heads", "n_kv_heads", "num_kv_heads", "multi_query_group_num"),
    "ffn": (
        "intermediate_size_mlp",
        "intermediate_size",
        "n_inner",
        "ffn_dim",
        "d_ff",
        "dff",
        "decoder_ffn_dim",
        "ffn_hidden_size",
    ),
    "vocabulary": ("vocab_size", "padded_vocab_size"),
    "expert_ffn": ("moe_intermediate_size", "expert_ffn_dim", "intermediate_size"),
}
HEAD_DIM = ("head_dim", "kv_channels")


@dataclass(frozen=True, kw_only=True, slots=True)
class Parameters:
    """Numbers of parameters by what they do in a product.

    Attributes:
        total: All of them, tied ones once.
        embedding: Of lookup tables that are not also the output head.
        tied_embedding: Of a lookup table that is also the output head.
        position: Of lookup tables for positions, part of ``embedding``.
        vectors: Norm scales, biases: everything with at most one axis.
        experts: Of all routed experts.
        hf_counted: What ``num_parameters(exclude_embeddings=True)`` of transformers counts.

    """

    total: int
    embedding: int
    tied_embedding: int
    position: int
    vectors: int
    experts: int
    hf_counted: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """A decoder's dimensions and the size of one step; None means the model does not say.

    Attributes:
        batch: Sequences in the step.
        sequence: Tokens of each.
        layers: Decoder layers.
        hidden: Width of the residual stream.
        heads: Query heads.
        kv_heads: Key and value heads.
        head_dim: Width of a query or key head (with the rotary part, for latent attention).
        value_dim: Width of a value head.
        ffn: Width of a dense feed-forward layer.
        ffn_matrices: 3 for gated layers, else 2.
        vocabulary: Rows of the output head.
        experts: Routed experts a layer, None for a dense model.
        experts_per_token: Chosen ones.
        expert_ffn: Width of one expert.
        shared_ffn: Width of all shared experts of a layer together.
        expert_layers: Layers with experts.
        q_lora_rank: Latent rank of queries, None when they are projected directly.
        kv_lora_rank: Latent rank of keys and values, None without latent attention.
        rope_dim: Rotary width of a latent head.
        window: Sliding window of every layer, None without one.
        parameters: See :class:`Parameters`.

    """

    batch: int
    sequence: int
    layers: int | None
    hidden: int | None
    heads: int | None
    kv_heads: int | None
    head_dim: int | None
    value_dim: int | None
    ffn: int | None
    ffn_matrices: int
    vocabulary: int | None
    experts: int | None
    experts_per_token: int | None
    expert_ffn: int | None
    shared_ffn: int
    expert_layers: int
    q_lora_rank: int | None
    kv_lora_rank: int | None
    rope_dim: int | None
    window: int | None
    parameters: Parameters

    @property
    def tokens(self) -> int:
        """Tokens of the step."""
        return self.batch * self.sequence

    def need(self, rule: str, *names: str) -> list[int]:
        """Several facts that a rule cannot do without.

        Raises:
            ConventionError: when the model lacks one.

        """
        values = [getattr(self, name) for name in names]
        missing = [name for name, value in zip(names, values, strict=True) if value is None]
        if missing:
            raise ConventionError(
                f"the rule {rule!r} needs {', '.join(missing)}; the model's config does not say; "
                "use convention='dense', or give the model a config with these entries"
            )
        return values


def facts_of(model: Any, args: Any, kwargs: Mapping[str, Any], rule: str) -> Facts:
    """Read the facts of a model and its inputs.

    Raises:
        ConventionError: when the model has no config or the inputs no token ids.

    """
    config = getattr(model, "config", None)
    if config is None or not hasattr(model, "named_parameters"):
        raise ConventionError(
            f"the rule {rule!r} is written in a model's dimensions; found "
            f"{type(model).__name__} without a config; use convention='dense'"
        )
    if getattr(config, "is_encoder_decoder", False):
        raise ConventionError(
            f"the rule {rule!r} is written for decoders; found the encoder-decoder "
            f"{type(model).__name__}; use convention='dense'"
        )
    config = config.get_text_config() if hasattr(config, "get_text_config") else config
    batch, sequence = _tokens(args, kwargs, rule)
    _refuse_mixers(config, rule)
    dims = {name: _first(config, names) for name, names in NAMES.items()}
    groups = list(expert_groups(model))
    matrices = 3 if _gated(model) else 2
    return Facts(
        batch=batch,
        sequence=sequence,
        parameters=_parameters(model, sum(size for size, _ in groups)),
        ffn_matrices=matrices,
        experts=groups[0][1] if groups else None,
        experts_per_token=experts_per_token(config.to_dict()) if groups else None,
        expert_layers=len(groups),
        shared_ffn=_shared_width(model, len(groups), dims["hidden"], matrices),
        **_derived(config, dims, bool(groups)),
    )


def _refuse_mixers(config: Any, rule: str) -> None:
    """A rule that charges attention in every layer says nothing of layers that have none.

    Raises:
        ConventionError: some layers mix positions otherwise.

    """
    if rule in ("hf-trainer", "6nd"):
        return
    for name in ("layer_types", "layers_block_type"):
        kinds = {str(kind) for kind in stated(config, name) or []}
        others = sorted(k for k in kinds if "attention" not in k or k.startswith("linear"))
        if others:
            raise ConventionError(
                f"the rule {rule!r} charges attention in every layer; found layers of "
                f"{', '.join(others)[:80]}; use convention='dense'"
            )


def _shared_width(model: Any, layers: int, hidden: int | None, matrices: int) -> int:
    """Inner width of the experts that every token passes, a layer, from their matrices."""
    if not layers or not hidden:
        return 0
    weights: int = sum(
        prod(item.shape)
        for name, item in model.named_parameters()
        if "shared" in name and item.dim() == 2 and item.shape[0] > 1
    )
    return weights // (layers * hidden * matrices)


def stated(config: Any, name: str) -> Any:
    """Read one entry of a model's config; None where it has none, or another one in each layer.

    The library's own classes raise what they like where layers differ (Gemma 4's heads).
    """
    try:
        return getattr(config, name, None)
    except Exception:  # noqa: BLE001 - nothing to read is nothing stated
        return None


def _differs(config: Any, names: tuple[str, ...]) -> bool:
    """Whether layers have an entry of their own each, for which nothing else stands in."""
    try:
        for name in names:
            getattr(config, name, None)
    except Exception:  # noqa: BLE001 - as above
        return True
    return False


def _first(config: Any, names: tuple[str, ...]) -> int | None:
    if _differs(config, names):
        return None
    for name in names:
        value = getattr(config, name, None)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return None


def _derived(config: Any, dims: dict[str, int | None], has_experts: bool) -> dict[str, Any]:
    """Dimensions that a config states in roundabout ways."""
    hidden, heads = dims["hidden"], dims["heads"]
    head = _first(config, HEAD_DIM)
    if head is None and hidden is not None and heads and not _differs(config, HEAD_DIM):
        head = hidden // heads
    rope = _first(config, ("qk_rope_head_dim",))
    plain = _first(config, ("qk_nope_head_dim",))
    latent = _first(config, ("kv_lora_rank",))
    if latent is not None and rope is not None and plain is not None:
        head = rope + plain
    value = _first(config, ("v_head_dim",)) if latent is not None else None
    nested = stated(config, "ffn_config")  # DBRX keeps its experts' sizes apart
    ffn = dims["ffn"]
    if ffn is None and hidden and not _differs(config, NAMES["ffn"]):
        ffn = 4 * hidden
    expert_ffn = _first(nested, ("ffn_hidden_size",)) or dims["expert_ffn"]
    if expert_ffn is None and not _differs(config, NAMES["expert_ffn"]):
        expert_ffn = ffn
    return {
        "layers": dims["layers"],
        "hidden": hidden,
        "heads": heads,
        "kv_heads": _kv_heads(config, dims["kv_heads"], heads),
        "head_dim": head,
        "value_dim": value if value is not None else head,
        "ffn": ffn,
        "vocabulary": dims["vocabulary"],
        "expert_ffn": expert_ffn if has_experts else None,
        "q_lora_rank": _first(config, ("q_lora_rank",)),
        "kv_lora_rank": latent,
        "rope_dim": rope,
        "window": _window(config),
    }


def _kv_heads(config: Any, found: int | None, heads: int | None) -> int | None:
    """Heads of keys and values; Falcon's first form has one, whatever number stands beside it."""
    if _differs(config, NAMES["kv_heads"]):
        return None
    first_form = stated(config, "new_decoder_architecture") is False
    if first_form and stated(config, "multi_query") is True:
        return 1
    return found or _first(stated(config, "attn_config"), ("kv_n_heads",)) or heads


def _window(config: Any) -> int | None:
    window, kinds = stated(config, "sliding_window"), stated(config, "layer_types")
    everywhere = kinds is None or all("sliding" in str(kind) for kind in kinds)
    return window if isinstance(window, int) and everywhere else None


def _tokens(args: Any, kwargs: Mapping[str, Any], rule: str) -> tuple[int, int]:
    """Batch and sequence of the first matrix of whole numbers among the inputs."""
    for value in (kwargs.get("input_ids"), *args, *kwargs.values()):
        shape = getattr(value, "shape", None)
        if shape is not None and len(shape) == 2 and "int" in str(value.dtype):
            return int(shape[0]), int(shape[1])
    raise ConventionError(
        f"the rule {rule!r} counts tokens; found no matrix of token ids among the inputs; "
        "use convention='dense'"
    )


def _gated(model: Any) -> bool:
    marks = ("gate_proj", "gate_up_proj", ".w3.", ".w3_", "mlp.w2.", "mlp.v1")
    return any(mark in name for name, _ in model.named_parameters() for mark in marks)


def _parameters(model: Any, experts: int) -> Parameters:
    sizes = {name: prod(item.shape) for name, item in model.named_parameters()}
    shapes = {name: tuple(item.shape) for name, item in model.named_parameters()}
    tables = {
        f"{name}.weight".removeprefix(".")
        for name, module in model.named_modules()
        if type(module).__name__.endswith("Embedding") and hasattr(module, "num_embeddings")
    }
    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    head_weight = getattr(head, "weight", None)
    tied = {name for name, item in model.named_parameters() if item is head_weight} & tables
    positions = {name for name in tables if "position" in name or "wpe" in name}
    return Parameters(
        total=sum(sizes.values()),
        embedding=sum(sizes.get(name, 0) for name in tables - tied),
        tied_embedding=sum(sizes[name] for name in tied),
        position=sum(sizes.get(name, 0) for name in positions),
        vectors=sum(sizes[name] for name, shape in shapes.items() if len(shape) < 2),
        experts=experts,
        hf_counted=sum(size for name, size in sizes.items() if name not in tables),
    )

"""The dimensions of a model, as a case file states them or a config.json implies them."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from flopcount.errors import FlopcountError

Kind = Literal["decoder", "encoder", "encoder-decoder", "vit", "dit", "unet", "ssm"]
KINDS = get_args(Kind)
LARGEST = 10**12
"""No dimension of a real model comes near; a larger number is a slip or an attack."""


class DimensionsError(FlopcountError):
    """Dimensions that cannot be used: names the key, what was found and the cure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimensions:
    """What a closed form needs to know. ``None`` means: not stated, see :meth:`resolved`.

    The first block holds the keys of a case file's ``architecture``; the second refines what a
    config.json knows besides (biases, norms, position tables) and matters to the FLOP only where
    its comment says so.
    """

    kind: Kind = "decoder"
    layers: int | None = None
    """Transformer (or state-space) layers; for an encoder-decoder see the two keys below."""
    hidden: int | None = None
    heads: int | None = None
    kv_heads: int | None = None
    """Key-value heads; ``heads`` unless stated (1: multi-query, between: grouped-query)."""
    head_dim: int | None = None
    """Width of a query and key head; ``hidden / heads`` unless stated."""
    v_head_dim: int | None = None
    """Width of a value head; ``head_dim`` unless stated."""
    ffn: int | None = None
    """Inner width of the dense feed-forward; ``4 hidden`` unless stated."""
    ffn_matrices: int | None = None
    """3 for a gated feed-forward (SwiGLU, GeGLU), 2 for a plain one."""
    vocabulary: int | None = None
    """Rows of the token table and of the output head; None: no output head."""
    tied_embeddings: bool | None = None
    """Whether the output head is the token table (parameters once, FLOP all the same)."""
    experts: int | None = None
    """Routed experts a layer; None: dense."""
    experts_per_token: int | None = None
    shared_experts: int = 0
    """Experts that every token passes, each of ``expert_ffn``."""
    expert_ffn: int | None = None
    """Inner width of one expert; ``ffn`` unless stated."""
    first_dense_layers: int = 0
    """Leading layers with a dense feed-forward of width ``ffn`` in a mixture of experts."""
    sliding_window: int | None = None
    """Positions that a sliding-window layer sees; changes the masked count only."""
    sliding_window_every: int | None = None
    """Every n-th layer attends in full, the others slide; None: all layers slide."""
    q_lora_rank: int | None = None
    kv_lora_rank: int | None = None
    """Rank of the latent keys and values; stating it selects multi-head latent attention."""
    qk_nope_head_dim: int | None = None
    qk_rope_head_dim: int | None = None
    encoder_layers: int | None = None
    decoder_layers: int | None = None
    state_size: int | None = None
    """States a channel of a state-space layer."""
    mlm_positions: int | None = None
    """Positions a sample that reach the output head of a masked language model; None: all."""

    # ------------------------------------------------ what only a config.json tells
    dense_layers: int | None = None
    """Layers with a dense feed-forward in a mixture of experts, wherever they stand."""
    full_attention_layers: int | None = None
    """Layers without the sliding window, where the pattern is irregular."""
    shared_expert_ffn: int | None = None
    """Inner width of all shared experts together, where it is no multiple of ``expert_ffn``."""
    shared_expert_gate: bool = False
    """A gate of one output on the shared expert (a product)."""
    embedding_width: int | None = None
    """Width of the token table, where it is projected to ``hidden`` (two products)."""
    position_rows: int = 0
    """Rows of a learned position table."""
    token_types: int = 0
    embedding_norm: bool = False
    qkv_bias: bool = False
    key_bias: bool = True
    """Whether the key has the bias that query and value have (Whisper's has not)."""
    output_bias: bool = False
    ffn_bias: bool = False
    expert_bias: bool = False
    router_bias: bool = False
    head_bias: bool = False
    norm_width: int = 1
    """Numbers a channel in a norm: 1 for RMSNorm, 2 with a bias, 0 without parameters."""
    norms_per_layer: int = 2
    final_norm: bool = True
    qk_norm: Literal["none", "head", "width"] = "none"
    """Norms on queries and keys: one head wide, or as wide as the whole projection."""
    attention_sinks: bool = False
    head_transform: bool | None = None
    """A square layer before the output head (BERT); None: as the family has it."""
    pooler: bool = False
    """A square layer on the first position (BERT)."""
    classes: int | None = None
    """Outputs of a classifier on one position."""
    image: tuple[int, int] | None = None
    """Training image size, in pixels."""
    patch: int | None = None
    """Pixels (or latent cells) a side of a patch."""
    channels: int | None = None
    """Channels of the image, latent or spectrogram."""
    details: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Further sizes of one family (a state-space layer's kernel, a U-Net's levels)."""
    assumptions: tuple[str, ...] = ()
    """What was left open and how it was read."""

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> "Dimensions":
        """Read a case file's ``architecture`` table.

        Raises:
            DimensionsError: an unknown key, a value of the wrong type or size, a missing key.
        """
        from flopcount.closed_form.reading import read_mapping

        return read_mapping(mapping)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Dimensions":
        """Read the contents of a Hugging Face ``config.json`` (transformers or diffusers).

        Raises:
            DimensionsError: a family or setting without a closed form, named.
        """
        from flopcount.closed_form.configs import read_config

        return read_config(config)

    def need(self, name: str) -> int:
        """Return the dimension ``name``.

        Raises:
            DimensionsError: it is not stated.
        """
        value = getattr(self, name)
        if value is None:
            msg = (
                f"architecture: the key '{name}' is missing\n"
                f"  a model of kind '{self.kind}' cannot be counted without it\n"
                f"  state {name} = ..."
            )
            raise DimensionsError(msg)
        return int(value)

    def longest(self) -> tuple[int | None, int | None]:
        """Places in the learned tables of positions: the main input's, the decoder's of a pair."""
        if self.kind != "encoder-decoder":
            return self.position_rows or None, None
        encoder, decoder = (
            self.details.get(f"{side}_position_rows") or None for side in ("encoder", "decoder")
        )
        heard = self.channels is not None  # then the source is a spectrogram, and text the target
        return None if heard else encoder, decoder

    @property
    def moe_layers(self) -> int:
        """Layers with routed experts."""
        if self.experts is None:
            return 0
        dense = self.dense_layers if self.dense_layers is not None else self.first_dense_layers
        return self.need("layers") - dense

    @property
    def sliding_layers(self) -> int:
        """Layers whose attention is limited to ``sliding_window`` positions."""
        layers = self.need("layers")
        if self.sliding_window is None:
            return 0
        if self.full_attention_layers is not None:
            return layers - self.full_attention_layers
        if self.sliding_window_every is None:
            return layers
        return layers - layers // self.sliding_window_every

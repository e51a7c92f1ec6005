"""Stated configuration keys and inputs of families of transformers."""

from __future__ import annotations

from typing import Any

from benchmarks.counts.stated_inputs import Stated

HALF_ROTARY = {"rope_parameters": {"partial_rotary_factor": 0.5}}
# What default configurations leave open or set at odds with each other, as published ones state it.
CONFIGS: dict[str, dict[str, Any]] = {
    "deepseek_v2": {
        "moe_intermediate_size": 1408,
        "num_experts_per_tok": 6,
        "n_group": 8,
        "topk_group": 3,
    },
    "esm": {"vocab_size": 33, "pad_token_id": 1, "mask_token_id": 32},
    "blip-2": {"image_token_index": 50265},
    "instructblip": {"image_token_index": 50265},
    "instructblipvideo": {"image_token_index": 50265, "video_token_index": 50265},
    "informer": {"prediction_length": 24},
    "autoformer": {"prediction_length": 24},
    "time_series_transformer": {"prediction_length": 24},
    "hunyuan_v1_dense": {"head_dim": 128},
    "hunyuan_v1_moe": {"head_dim": 128, "num_experts": 8, "moe_topk": 2},
    "dots1": {"n_routed_experts": 8, "n_shared_experts": 2, "num_experts_per_tok": 2},
    "lfm2_moe": {"layer_types": ["full_attention"] * 4, "num_hidden_layers": 4},
    "ministral": {"head_dim": 128},
    "glm4v_text": HALF_ROTARY,
    "glm4v_moe_text": {**HALF_ROTARY, "head_dim": 128},
    "llama4_vision_model": {"hidden_size": 1408},
    "granitemoehybrid": {"layer_types": ["mamba", "attention"] * 2, "num_hidden_layers": 4},
    "rf_detr": {"backbone_config": {"image_size": 560}},
    "glm_image_text": HALF_ROTARY,
    **{key: {"text_config": HALF_ROTARY} for key in ("glm4v", "glm46v", "glmga")},
    "glm4v_moe": {"text_config": {**HALF_ROTARY, "head_dim": 128}},
    "xmod": {"default_language": "en_XX"},
}

INPUTS = dict[str, Stated]()

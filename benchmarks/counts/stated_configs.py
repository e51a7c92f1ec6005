"""Stated configuration keys of families of transformers.

What the library's default configurations leave open or set at odds with each other is stated as
published configurations have it; a mixture of experts that chooses by real weights gets few of them.
"""

from __future__ import annotations

from typing import Any


def stages(number):
    """All stages of a backbone, where its default hands on the last one only."""
    named = [f"stage{index}" for index in range(1, number + 1)]
    return {"out_features": named, "out_indices": list(range(1, number + 1))}


SMALL_STEP = {
    "n_routed_experts": 8,
    "num_experts_per_tok": 2,
    "hidden_size": 512,
    "vocab_size": 2048,
    "intermediate_size": 1024,
    "num_attention_heads": 8,
    "num_sliding_attention_heads": 8,
}
SMALL_GLM = {
    "pad_token_id": 0,
    "hidden_size": 512,
    "intermediate_size": 1024,
    "moe_intermediate_size": 256,
    "num_attention_heads": 8,
    "num_key_value_heads": 8,
    "linear_num_heads": 8,
    "index_n_heads": 8,
    "n_routed_experts": 8,
    "num_experts_per_tok": 2,
    "vocab_size": 2048,
}
THINKER = {"num_attention_heads": 32, "head_dim": 128, "vocab_size": 152064}
SHARED_EXPERT = {"shared_expert_intermediate_size": 768}
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
    "glm_image": {"text_config": HALF_ROTARY},
    **{key: {"text_config": HALF_ROTARY} for key in ("glm4v", "glm46v", "glmga")},
    "glm4v_moe": {"text_config": {**HALF_ROTARY, "head_dim": 128}},
    "xmod": {"default_language": "en_XX"},
    "vitmatte": {"hidden_size": 768},
    "t5gemma2": {"encoder": {"vision_config": {"image_size": 896, "patch_size": 14}}},
    "step3p7": {
        "vision_config": {"hidden_size": 256, "intermediate_size": 512},
        "text_config": {"sliding_window": 512, **SMALL_STEP},
    },
    "qwen3_omni_moe_text": {"num_attention_heads": 32, "head_dim": 128},
    "qwen3_omni_moe_thinker": {
        "vision_start_token_id": 151652,
        "text_config": THINKER,
    },
    "qwen3_omni_moe": {
        "thinker_config": {"vision_start_token_id": 151652, "text_config": THINKER},
        "talker_config": {"spatial_merge_size": 2, "text_config": SHARED_EXPERT},
    },
    "qwen3_omni_moe_talker_text": SHARED_EXPERT,
    "deepseek_ocr2_vision": {
        "encoder_config": {
            "hidden_size": 896,
            "intermediate_size": 4864,
            "num_attention_heads": 14,
            "num_key_value_heads": 2,
        }
    },
    "lw_detr": {
        "projector_scale_factors": [1.0],
        "projector_in_channels": [256],
        "num_feature_levels": 1,
    },
    # The default misspells its backbone's key.
    "edgetam_vision_model": {"backbone_config": {"architecture": "repvit_m1"}},
    "edgetam": {"vision_config": {"backbone_config": {"architecture": "repvit_m1"}}},
    "uvdoc": {"backbone_config": stages(6)},
    "pp_ocrv6_small_det": {
        "backbone_config": stages(4),
        "layer_list_out_channels": [96, 96, 192, 384],
    },
    "pp_doclayout_v2": {"class_thresholds": [0.5] * 25, "class_order": list(range(25))},
    # Eight experts instead of hundreds: which ones are chosen takes real weights in memory.
    "longcat_flash": {
        "n_routed_experts": 8,
        "zero_expert_num": 4,
        "moe_topk": 4,
        "hidden_size": 512,
        "ffn_hidden_size": 1024,
        "expert_ffn_hidden_size": 256,
        "num_attention_heads": 8,
        "num_key_value_heads": 8,
        "vocab_size": 2048,
    },
    "jev": {
        "hidden_size": 1024,
        "text_config": {
            "hidden_size": 1024,
            "intermediate_size": 2048,
            "vocab_size": 2048,
            "num_attention_heads": 4,
            "num_key_value_heads": 1,
        },
    },
    "blt": {"encoder_hash_byte_group_vocab": 1024},
    "slanet": {"max_text_length": 16},
    "slanext": {"max_text_length": 16},
    "nllb-moe": {
        "num_experts": 8,
        "vocab_size": 2048,
        "encoder_ffn_dim": 1024,
        "decoder_ffn_dim": 1024,
    },
    "step3p5": SMALL_STEP,
    "glm5_next": {"text_config": SMALL_GLM},
    "glm5_next_text": SMALL_GLM,
}

"""What the library takes for keys that a config.json leaves out, where that changes the form.

A key that is there and null means what the family's code says of null, mostly "as many as heads".
A test holds the table against the installed library, key by key.
"""

from collections.abc import Mapping
from typing import Any

_KV = "num_key_value_heads"
_WINDOW: dict[str, Any] = {"sliding_window": 4096}
_DEEPSEEK_V3 = {
    _KV: 128,
    "q_lora_rank": 1536,
    "n_shared_experts": 1,
    "moe_intermediate_size": 2048,
    "first_k_dense_replace": 3,
}
_TWO_TYPES = {"type_vocab_size": 2}
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "mistral": {_KV: 8, **_WINDOW},
    "ministral": {_KV: 8, **_WINDOW},
    "qwen2": {_KV: 32},
    "qwen3": {_KV: 32},
    "olmo3": _WINDOW,
    "gemma": {_KV: 16},
    "gemma2": {_KV: 4, **_WINDOW},
    "gemma3_text": {_KV: 4, **_WINDOW},
    "stablelm": {_KV: 32},
    "starcoder2": {_KV: 2},
    "cohere2": _WINDOW,
    "smollm3": {_KV: 4, "tie_word_embeddings": True},
    "glm": {_KV: 2},
    "glm4": {_KV: 2},
    "ernie4_5": {_KV: 2},
    "seed_oss": {_KV: 8},
    "exaone4": {_KV: 32, **_WINDOW},
    "mixtral": {_KV: 8},
    "qwen2_moe": {_KV: 16, "moe_intermediate_size": 1408},
    "qwen3_moe": {_KV: 4, "moe_intermediate_size": 768},
    "deepseek_v2": {"q_lora_rank": 1536, "n_shared_experts": 2, "moe_intermediate_size": 1407},
    "deepseek_v3": _DEEPSEEK_V3,
    "kimi_k2": _DEEPSEEK_V3,  # built as the family above
    "dbrx": {"attn_config": {"kv_n_heads": 1}},
    "dots1": {_KV: 32, "moe_intermediate_size": 1408},
    "glm4_moe": {
        _KV: 8,
        "n_shared_experts": 1,
        "moe_intermediate_size": 1408,
        "first_k_dense_replace": 1,
    },
    "minimax_m2": {_KV: 8, "head_dim": 128},
    "phimoe": {_KV: 8},
    "gpt_oss": {_KV: 8, "sliding_window": 128},
    "longcat_flash": {"zero_expert_num": 256},
    "longcat_flash_ngram": {"zero_expert_num": 256},  # the configuration of the family above
    "jamba": {_KV: 8},
    "bamba": {_KV: 8},
    "bert": _TWO_TYPES,
    "roberta": _TWO_TYPES,
    "electra": _TWO_TYPES,
    "albert": _TWO_TYPES,
    "umt5": {"feed_forward_proj": "gated-gelu"},
    "mt5": {"feed_forward_proj": "gated-gelu"},
    "modernbert": {"local_attention": 128},
}

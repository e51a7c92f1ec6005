"""Closed forms of every decoder dialect against torch's counter on the real transformers class.

The model is built on meta with eager attention, so that FlopCounterMode sees plain products; the
grouped product of the experts, which it does not know, gets its formula here, written anew.
"""

import warnings

import pytest

from flopcount.closed_form import Dimensions, count

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.trace

SMALL = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 1000,
    "pad_token_id": 0,
}
GPT2 = {"n_embd": 64, "n_layer": 3, "n_head": 4, "vocab_size": 1000}
PLAIN = {k: v for k, v in SMALL.items() if k not in ("num_key_value_heads", "intermediate_size")}
MOE = {"num_experts_per_tok": 2, "moe_intermediate_size": 48}
LATENT = {
    "num_key_value_heads": 4,
    "kv_lora_rank": 16,
    "q_lora_rank": 24,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 8,
    "v_head_dim": 12,
    "n_routed_experts": 8,
    "n_shared_experts": 2,
    "first_k_dense_replace": 1,
    "n_group": 1,
    "topk_group": 1,
}
CASES = [
    ("llama", SMALL),
    ("llama", SMALL | {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True}),
    ("llama", SMALL | {"head_dim": 24}),
    ("mistral", SMALL | {"sliding_window": 8}),
    ("mixtral", SMALL | {"num_local_experts": 8}),
    ("qwen2", SMALL | {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 2}),
    ("qwen2_moe", SMALL | MOE | {"num_experts": 8, "shared_expert_intermediate_size": 40,
                                 "decoder_sparse_step": 2, "mlp_only_layers": [3]}),
    ("qwen3", SMALL | {"head_dim": 32}),
    ("qwen3_moe", SMALL | MOE | {"num_experts": 8, "mlp_only_layers": [0]}),
    ("deepseek_v2", SMALL | MOE | LATENT),
    ("deepseek_v2", SMALL | MOE | LATENT | {"q_lora_rank": None}),
    ("deepseek_v3", SMALL | MOE | LATENT | {"num_nextn_predict_layers": 0}),
    ("glm4_moe", SMALL | MOE | {"n_routed_experts": 8, "n_shared_experts": 1,
                                "first_k_dense_replace": 2, "use_qk_norm": True}),
    ("olmo", SMALL),
    ("olmo2", SMALL),
    ("olmo3", SMALL | {"sliding_window": 8}),
    ("olmoe", SMALL | {"num_experts_per_tok": 2, "num_experts": 8}),
    ("gemma", SMALL | {"head_dim": 32}),
    ("gemma2", SMALL | {"head_dim": 32, "sliding_window": 8}),
    ("gemma3_text", SMALL | {"head_dim": 32, "sliding_window": 8}),
    ("phi", SMALL),
    ("phi3", SMALL),
    ("phimoe", SMALL | {"num_local_experts": 8, "lm_head_bias": True, "attention_bias": True}),
    ("stablelm", SMALL | {"use_qkv_bias": True}),
    ("stablelm", SMALL | {"use_parallel_residual": True}),
    ("starcoder2", SMALL),
    ("cohere", SMALL),
    ("cohere2", SMALL | {"sliding_window": 8}),
    ("granite", SMALL),
    ("granitemoe", SMALL | {"num_local_experts": 8, "num_experts_per_tok": 2}),
    ("smollm3", SMALL),
    ("glm", SMALL | {"head_dim": 16}),
    ("glm4", SMALL | {"head_dim": 16}),
    ("ernie4_5", SMALL | {"use_bias": True, "head_dim": 16}),
    ("seed_oss", SMALL | {"attention_out_bias": True}),
    ("exaone4", SMALL | {"sliding_window": 8}),
    ("nemotron", SMALL),
    ("arcee", SMALL | {"mlp_bias": True}),
    ("apertus", SMALL),
    ("apertus", SMALL | {"hidden_act": "relu2"}),
    ("gpt_oss", SMALL | {"num_local_experts": 8, "num_experts_per_tok": 2, "head_dim": 16}),
    ("gpt2", GPT2),
    ("gpt2", GPT2 | {"n_inner": 80, "tie_word_embeddings": False}),
    ("gpt_bigcode", GPT2),
    ("gpt_bigcode", GPT2 | {"multi_query": False}),
    ("gpt_neo", {"hidden_size": 64, "num_layers": 4, "num_heads": 4, "vocab_size": 1000,
                 "attention_types": [[["global", "local"], 2]], "window_size": 8}),
    ("gpt_neox", PLAIN | {"intermediate_size": 96}),
    ("gptj", GPT2 | {"rotary_dim": 8}),
    ("opt", PLAIN | {"ffn_dim": 96, "word_embed_proj_dim": 64}),
    ("opt", PLAIN | {"ffn_dim": 96, "word_embed_proj_dim": 32, "do_layer_norm_before": False}),
    ("bloom", {"hidden_size": 64, "n_layer": 3, "n_head": 4, "vocab_size": 1000}),
    ("falcon", PLAIN | {"num_kv_heads": 2, "new_decoder_architecture": True}),
    ("falcon", PLAIN | {"bias": True, "parallel_attn": False, "multi_query": False}),
]  # fmt: skip


def grouped_product(a_shape, b_shape, *_args, **_kwargs):
    """Rows times a stack of matrices, or (in the weight's gradient) columns times rows."""
    return 2 * a_shape[0] * a_shape[1] * b_shape[-1]


def traced(config, batch, sequence):
    """Forward FLOP, total FLOP and parameters of the real class by torch's own counter."""
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    model = model.to(torch.bfloat16).train()
    ids = torch.zeros(batch, sequence, dtype=torch.long, device="meta")
    formula = {torch.ops.aten._grouped_mm: grouped_product}
    with FlopCounterMode(display=False, custom_mapping=formula) as counter:
        output = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False)
        forward = counter.get_total_flops()
        output.logits.float().sum().backward()
    return forward, counter.get_total_flops(), sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("family", "sizes"), CASES, ids=[f"{i}-{name}" for i, (name, _) in enumerate(CASES)]
)
def test_equals_the_trace(family, sizes):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = transformers.AutoConfig.for_model(family, **sizes)
        forward, total, parameters = traced(config, batch=2, sequence=24)
    form = count(Dimensions.from_config(config.to_dict()), batch=2, sequence=24)
    assert form.forward == forward
    assert form.total == total
    assert form.parameters.total == parameters

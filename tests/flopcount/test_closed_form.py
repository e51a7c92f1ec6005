"""Closed forms against hand arithmetic: the reference shapes, and what bad dimensions answer."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopcount.closed_form import Dimensions, DimensionsError, count
from flopcount.closed_form.sheet import causal_pairs
from flopcount.errors import FlopcountError

GPT3 = {"layers": 96, "hidden": 12288, "heads": 96, "ffn_matrices": 2, "vocabulary": 51200}
LLAMA_8B = {
    "layers": 32,
    "hidden": 4096,
    "heads": 32,
    "kv_heads": 8,
    "head_dim": 128,
    "ffn": 14336,
    "ffn_matrices": 3,
    "vocabulary": 128256,
    "tied_embeddings": False,
}
LLAMA_405B = LLAMA_8B | {"layers": 126, "hidden": 16384, "heads": 128, "ffn": 53248}
MIXTRAL = {
    "layers": 32,
    "hidden": 4096,
    "heads": 32,
    "kv_heads": 8,
    "ffn": 14336,
    "ffn_matrices": 3,
    "vocabulary": 32000,
    "tied_embeddings": False,
    "experts": 8,
    "experts_per_token": 2,
}
DEEPSEEK_V3 = {
    "layers": 61,
    "hidden": 7168,
    "heads": 128,
    "ffn": 18432,
    "ffn_matrices": 3,
    "vocabulary": 129280,
    "tied_embeddings": False,
    "experts": 256,
    "experts_per_token": 8,
    "shared_experts": 1,
    "expert_ffn": 2048,
    "first_dense_layers": 3,
    "q_lora_rank": 1536,
    "kv_lora_rank": 512,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
}


def test_gpt3_reference_shape_per_token():
    # 6 (12 L h^2 + V h) + 12 L h s with L 96, h 12288, V 51200, s 2048
    # = 6 (173,946,175,488 + 629,145,600) + 28,991,029,248 = 1,076,442,955,776
    form = count(Dimensions.from_mapping(GPT3), sequence=2048)
    assert form.total == 1_076_442_955_776 * 2048


def test_llama_8b_per_token_and_parameters():
    # weights in products: 32 (2 * 4096^2 + 2 * 4096 * 1024 + 3 * 4096 * 14336) + 4096 * 128256
    #                    = 7,504,658,432; x 6 = 45,027,950,592
    # attention in full:   12 * 32 * 32 * 128 * 8192 = 12,884,901,888
    form = count(Dimensions.from_mapping(LLAMA_8B), sequence=8192)
    assert form.total == (45_027_950_592 + 12_884_901_888) * 8192
    assert form.attention_flop == 12_884_901_888 * 8192
    # the same and the token table 4096 * 128256 and 65 norms of 4096
    assert form.parameters.total == 8_030_261_248
    assert form.parameters.in_products == 7_504_658_432
    assert form.six_nd == 6 * 8_030_261_248 * 8192


def test_llama_405b_parameters():
    form = count(Dimensions.from_mapping(LLAMA_405B), sequence=1)
    assert form.parameters.total == 405_853_388_800
    # the layers: 126 (2 * 16384^2 + 2 * 16384 * 1024 + 3 * 16384 * 53248); the head: 16384 * 128256
    assert form.parameters.in_products == 403_747_897_344


def test_mixtral_counts_the_experts_that_a_token_passes():
    form = count(Dimensions.from_mapping(MIXTRAL), sequence=2048)
    # 46.7e9 in all, as published; 12.9e9 active: 6 of 8 experts of 3 * 4096 * 14336 left out
    assert form.parameters.total == 46_702_792_704
    assert form.parameters.active == 46_702_792_704 - 32 * 6 * 3 * 4096 * 14336
    assert form.six_nd_active == 6 * form.parameters.active * 2048
    assert form.six_nd == 6 * form.parameters.total * 2048
    weights = form.parameters.active_in_products
    attention = 12 * 32 * 4096 * 2048
    assert form.total == (6 * weights + attention) * 2048


def test_deepseek_v3_counts_latent_attention_and_shared_experts():
    form = count(Dimensions.from_mapping(DEEPSEEK_V3), sequence=4096)
    # published: 671e9 in all, 37e9 active, without the multi-token-prediction module
    assert form.parameters.total == 671_026_404_352
    assert 37.0e9 < form.parameters.active < 37.6e9
    # scores of 128 heads: 192 numbers a query-key pair, 128 a probability-value pair
    assert form.attention_flop == 6 * 61 * 128 * (192 + 128) * 4096 * 4096


def test_masked_count_sums_the_pairs():
    form = count(Dimensions.from_mapping(LLAMA_8B), sequence=4)
    # 1 + 2 + 3 + 4 = 10 of 16 pairs
    assert form.total - form.masked_total == form.attention_flop * 6 // 16


def test_sliding_window_thins_only_its_layers():
    d = Dimensions.from_mapping(LLAMA_8B | {"sliding_window": 2, "sliding_window_every": 4})
    form = count(d, sequence=4)
    # 24 of 32 layers slide: 1 + 2 + 2 + 2 = 7 pairs; the others see 10
    per_pair = 12 * 32 * 128
    assert form.total - form.masked_total == per_pair * (24 * (16 - 7) + 8 * (16 - 10))


@given(st.integers(1, 200), st.integers(1, 300))
def test_causal_pairs_is_the_sum_over_positions(sequence, window):
    assert causal_pairs(sequence, window) == sum(min(i, window) for i in range(1, sequence + 1))


@given(st.integers(1, 8), st.integers(1, 64), st.integers(1, 64))
def test_cost_is_linear_in_batch_and_quadratic_in_sequence(batch, sequence, step):
    d = Dimensions.from_mapping(MIXTRAL)

    def total(s, b=1):
        return count(d, batch=b, sequence=s).total

    assert total(sequence, batch) == batch * total(sequence)
    second = total(sequence) - 2 * total(sequence + step) + total(sequence + 2 * step)
    # the second difference of a s^2 is 2 a step^2, with a = 12 L h
    assert second == 2 * 12 * 32 * 4096 * step * step


def test_terms_are_named_once_and_sum_to_the_total():
    form = count(Dimensions.from_mapping(DEEPSEEK_V3), sequence=128)
    names = [term.name for term in form.terms]
    assert len(names) == len(set(names))
    assert {"router", "experts.down", "attention.latent_up", "head"} <= set(names)
    assert form.backward == 2 * form.forward


def test_what_is_left_open_is_said():
    d = Dimensions.from_mapping({"layers": 2, "hidden": 64, "vocabulary": 100})
    text = " ".join(d.assumptions)
    for key in ("heads", "ffn ", "ffn_matrices", "tied_embeddings"):
        assert key in text
    assert Dimensions.from_mapping(LLAMA_8B).assumptions == ()


def test_bert_large_from_a_case_file():
    d = Dimensions.from_mapping(
        {"kind": "encoder", "layers": 24, "hidden": 1024, "heads": 16, "vocabulary": 30522,
         "mlm_positions": 76}
    )  # fmt: skip
    form = count(d, batch=2, sequence=512)
    # layers: 12 h^2 weights; scores and values of all pairs; the head on 76 positions a sample
    layers = 2 * 1024 * 24 * 12 * 1024**2 + 4 * 2 * 24 * 1024 * 512**2
    head = 2 * 2 * 76 * (1024**2 + 1024 * 30522)
    assert form.forward == layers + head
    assert form.backward == 2 * form.forward
    assert form.masked_total == form.total
    assert form.attention_flop == 0


def test_vit_large_from_a_case_file():
    d = Dimensions.from_mapping({"kind": "vit", "layers": 24, "hidden": 1024, "heads": 16})
    form = count(d, image=(224, 224))
    # 14 x 14 patches of 16 x 16 x 3 and a class token
    patches = 2 * 196 * 768 * 1024
    layers = 2 * 197 * 24 * 12 * 1024**2 + 4 * 24 * 1024 * 197**2
    assert form.forward == patches + layers
    assert form.backward == patches + 2 * layers
    assert any("patch is not stated" in text for text in d.assumptions)


def test_encoder_decoder_weights_meet_their_own_tokens():
    d = Dimensions.from_mapping(
        {"kind": "encoder-decoder", "encoder_layers": 2, "decoder_layers": 3, "hidden": 8,
         "heads": 2, "ffn": 16, "ffn_matrices": 2, "vocabulary": 10, "tied_embeddings": True}
    )  # fmt: skip
    form = count(d, sequence=5, decoder_sequence=3)
    encoder = 2 * 5 * 2 * (4 * 64 + 2 * 128) + 4 * 2 * 8 * 25
    decoder = 2 * 3 * 3 * (4 * 64 + 2 * 128) + 4 * 3 * 8 * 9
    cross = 2 * 3 * 64 * (3 + 3 + 5 + 5) + 4 * 3 * 8 * 15
    assert form.forward == encoder + decoder + cross + 2 * 3 * 80
    # only the decoder's own scores are causal: 6 of 9 pairs
    assert form.total - form.masked_total == 3 * (4 * 3 * 8 * 9) * 3 // 9


def test_state_space_from_a_case_file():
    base = {"kind": "ssm", "layers": 2, "hidden": 64, "state_size": 16, "vocabulary": 100}
    form = count(Dimensions.from_mapping(base), batch=2, sequence=16)
    # as the real Mamba of these sizes: in 2 * 32 * 64 * 256, convolution 2 * 2 * 128 * 19 * 4,
    # steps and states 2 * 32 * 128 * 36, step 2 * 32 * 4 * 128, state 2 * 32 * 128 * 16, out
    layer = 1_048_576 + 38_912 + 294_912 + 32_768 + 131_072 + 524_288
    assert form.forward == 2 * layer + 2 * 32 * 64 * 100
    with pytest.raises(DimensionsError, match="state_size"):
        Dimensions.from_mapping(base | {"state_size": None})


def test_dit_from_a_case_file():
    d = Dimensions.from_mapping({"kind": "dit", "layers": 28, "hidden": 1152, "heads": 16})
    form = count(d, batch=2, latent=(32, 32))
    # DiT-XL/2 is published with 118.6 billion multiply-adds a sample
    assert abs(form.forward / 2 / 2 / 118.6e9 - 1) < 0.01


def test_a_unet_needs_its_config():
    with pytest.raises(DimensionsError, match=r"config\.json"):
        count(Dimensions.from_mapping({"kind": "unet"}), latent=(64, 64), text_tokens=77)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer": 3}, "did you mean 'layers'"),
        ({"layers": 0}, "layers = 0"),
        ({"layers": 10**40}, "a huge integer"),
        ({"layers": "32"}, "layers = '32'"),
        ({"layers": True}, "layers = True"),
        ({"layers": 2.5}, "layers = 2.5"),
        ({"layers": None}, "'layers' is missing"),
        ({"heads": 33}, "head_dim"),
        ({"kv_heads": 5}, "kv_heads = 5"),
        ({"kind": "oracle"}, "known: decoder"),
        ({"tied_embeddings": 1}, "true or false"),
        ({"experts_per_token": 2}, "'experts' is not"),
        ({"experts": 2, "experts_per_token": 3}, "more experts than there are"),
        ({"experts": 4, "experts_per_token": 2, "first_dense_layers": 99}, "more dense layers"),
        ({"ffn_matrices": 4}, "ffn_matrices = 4"),
        ({"kv_lora_rank": 8}, "qk_nope_head_dim"),
    ],
)
def test_bad_dimensions_name_the_key(change, message):
    mapping = LLAMA_8B | {"head_dim": None} | change
    with pytest.raises(DimensionsError, match=message):
        Dimensions.from_mapping(mapping)


@pytest.mark.parametrize("size", [0, -1, 10**13, 1.5, True, "8"])
def test_bad_input_sizes_are_refused(size):
    with pytest.raises(FlopcountError, match="sequence"):
        count(Dimensions.from_mapping(LLAMA_8B), sequence=size)


def test_a_missing_input_size_is_no_number():
    with pytest.raises(FlopcountError, match="'sequence' is missing"):
        count(Dimensions.from_mapping(LLAMA_8B))


def test_import_needs_the_standard_library_only():
    code = (
        "import sys; import flopcount.closed_form, flopcount.closed_form.configs;"
        "print(sorted({'torch', 'numpy', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["LlamaForSequenceClassification", "LlamaModel"])
def test_another_head_than_the_language_models_is_declined(name):
    config = {
        "model_type": "llama",
        "architectures": [name],
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "vocab_size": 100,
    }
    with pytest.raises(DimensionsError, match="head has no closed form"):
        Dimensions.from_config(config)

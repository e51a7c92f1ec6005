"""What a file says that the library's class does not know, and sizes that a model does not read."""

import json

import pytest

from flopcount.closed_form import Dimensions
from flopcount.closed_form import count as closed_form
from flopcount.closed_form.configs import read_config
from flopcount.errors import FlopcountError
from flopcount.findings import name_mismatch, prediction_left_out
from flopcount.formula_config import count_by_formula

traced = pytest.mark.trace
TINY = {
    "model_type": "mistral",
    "architectures": ["MistralForCausalLM"],
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 100,
    "sliding_window": None,
}
MIXTURE = TINY | {
    "model_type": "mixtral",
    "architectures": ["MixtralForCausalLM"],
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
}
VIT = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
VIT |= {"model_type": "vit", "image_size": 32, "patch_size": 8}
BERT = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "vocab_size": 50}
BERT |= {"model_type": "bert", "num_attention_heads": 2, "max_position_embeddings": 16}
BART = {"model_type": "bart", "d_model": 32, "encoder_layers": 1, "decoder_layers": 1}
BART |= {"encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "vocab_size": 50}
BART |= {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "max_position_embeddings": 16}


@pytest.fixture
def write(tmp_path):
    def put(config):
        (tmp_path / "config.json").write_text(json.dumps(config))
        return tmp_path

    return put


def counted(folder, **sizes):
    from flopcount.model_files.counted_model import count_config

    return count_config(folder, **sizes)


def codes(found):
    return [finding.code for finding in found.findings]


# ------------------------------------------------------------------ windows of nothing
@pytest.mark.parametrize("window", [0, -1])
def test_a_window_of_nothing_is_no_window_in_the_form(window):
    form = closed_form(read_config(TINY | {"sliding_window": window}), sequence=16)
    # Causal: 16 x 17 / 2 pairs of 256, 2 layers, 4 x 64 FLOP a pair, and twice that backward.
    assert form.total - form.masked_total == 2 * 3 * 4 * 64 * (256 - 136)


@traced
@pytest.mark.parametrize("window", [0, -1])
def test_a_window_of_nothing_is_no_window_in_the_trace(write, window):
    got = counted(write(TINY | {"sliding_window": window}), sequence=16)
    assert got.count.total - got.count.masked_total == 2 * 3 * 4 * 64 * (256 - 136)
    assert got.count.masked_total == got.closed_form.masked_total


# ------------------------------------------------------------------ sizes of what is not read
@traced
@pytest.mark.parametrize(
    ("config", "sizes"),
    [
        (TINY, {"image": (32, 32)}),
        (TINY, {"audio_frames": 100}),
        (TINY, {"frames": 4}),
        (TINY, {"decoder_sequence": 8}),
        (VIT, {"frames": 4}),
        (VIT, {"audio_frames": 100}),
        (BART, {"image": (32, 32)}),
    ],
)
def test_a_size_of_what_a_model_does_not_read_is_refused(write, config, sizes):
    option = "--" + next(iter(sizes)).replace("_", "-")
    with pytest.raises(FlopcountError, match=option) as raised:
        counted(write(config), sequence=16, **sizes)
    assert f"leave {option} out" in str(raised.value)


@traced
def test_a_size_of_what_a_model_reads_is_taken(write):
    # 4 x 4 patches become 8 x 8, and the class token comes beside them.
    small, large = (counted(write(VIT | {"image_size": n})) for n in (32, 64))
    again = counted(write(VIT | {"image_size": 64}), image=(64, 64))
    assert again.count.total == large.count.total > small.count.total


@pytest.mark.parametrize(
    ("config", "sizes", "option"),
    [
        (TINY, {"image": (32, 32)}, "--image"),
        (TINY, {"frames": 4}, "--frames"),
        (TINY, {"given": {"input_ids": "1x8:long"}}, "--input"),
        (VIT, {"text_tokens": 8}, "--text-tokens"),
        (BART, {"audio_frames": 100}, "--audio-frames"),
    ],
)
def test_the_form_alone_refuses_what_it_does_not_look_at(write, config, sizes, option):
    with pytest.raises(FlopcountError, match=option):
        count_by_formula(write(config), sequence=16, **sizes)


# ------------------------------------------------------------------ more tokens than places
@traced
def test_more_tokens_than_places_are_said(write):
    # Nobody misses a row of a table without storage: the library's BART runs on them.
    assert "sequence-too-long" in codes(counted(write(BART), sequence=32))
    assert "sequence-too-long" in codes(counted(write(BART), sequence=16, decoder_sequence=32))
    assert "sequence-too-long" not in codes(counted(write(BART), sequence=16))


@pytest.mark.parametrize(("sequence", "said"), [(16, False), (17, True)])
def test_the_form_alone_says_it_too(write, sequence, said):
    found = count_by_formula(write(BERT), sequence=sequence)
    assert ("sequence-too-long" in codes(found)) is said


def test_a_spectrogram_is_not_measured_in_tokens():
    whisper = BART | {"model_type": "whisper", "num_mel_bins": 8, "max_source_positions": 50}
    dimensions = Dimensions.from_config(whisper | {"max_target_positions": 16})
    assert dimensions.longest() == (None, 16)


# ------------------------------------------------------------------ what the class does not know
@traced
@pytest.mark.parametrize(
    "more",
    [
        {"n_shared_experts": 2},
        {"first_k_dense_replace": 3},
        {"routed_expert_hidden_size": 48},
        {"moe_train_capacity_factor": 1.25},
    ],
)
def test_a_size_that_the_class_never_reads_is_said(write, more):
    ((key, value),) = more.items()
    (found,) = (f for f in counted(write(MIXTURE | more)).findings if f.code == "size-not-read")
    assert f"{key} = {value}" in found.message


@traced
def test_what_a_class_reads_is_not_said(write):
    usual = {"bos_token_id": 7, "num_beams": 4, "rope_theta": 10000, "num_labels": 3}
    assert codes(counted(write(MIXTURE | usual), sequence=16)) == []


@traced
def test_a_family_of_somebodys_own_name_is_that_of_its_class(write):
    own = counted(write(TINY | {"model_type": "ourtral"}), sequence=16)
    assert codes(own) == ["remote-code-not-run"]
    assert own.count.total == counted(write(TINY), sequence=16).count.total


@traced
def test_a_class_is_known_however_its_name_is_spelt():
    from flopcount.model_files.model_classes import library_class

    found = library_class("KimiK25ForConditionalGeneration")
    assert found is None or found.__name__ == "Kimi_K25ForConditionalGeneration"
    assert library_class("GPTNeo_ForCausalLM").__name__ == "GPTNeoForCausalLM"


@traced
def test_a_part_of_a_known_family_is_named(write):
    towers = {"model_type": "ours", "architectures": ["OursForAll"], "text_config": TINY}
    for config in (towers, towers | {"auto_map": {"AutoModel": "modeling_ours.OursForAll"}}):
        with pytest.raises(FlopcountError, match="text_config is of the family 'mistral'"):
            counted(write(config))


# ------------------------------------------------------------------ names and further tokens
@pytest.mark.parametrize(
    ("name", "total", "active", "found"),
    [
        ("Llama-4-Scout-17B-16E", 108_000_000_000, 17_600_000_000, False),
        ("Llama-4-Scout-17B-16E", 108_000_000_000, 108_000_000_000, True),
        ("Llama-4-Scout-17B-16E", 108_000_000_000, None, True),
        ("Mixtral-8x7B", 46_700_000_000, 12_900_000_000, False),
    ],
)
def test_a_mixture_may_be_named_by_what_a_token_meets(name, total, active, found):
    assert (name_mismatch([name], total, active=active) is not None) is found


@pytest.mark.parametrize(
    ("config", "found"),
    [
        ({"num_nextn_predict_layers": 1}, True),
        ({"num_mtp_modules": 3}, True),
        ({"text_config": {"mtp_num_hidden_layers": 1}}, True),
        ({"num_mtp_modules": 0, "num_nextn_predict_layers": None}, False),
        ({"num_mtp_modules": "three"}, False),
    ],
)
def test_layers_that_predict_further_tokens_go_by_several_names(config, found):
    assert (prediction_left_out(config, "config.json") is not None) is found


# ------------------------------------------------------------------ a mixture beside a plain layer
def test_the_published_sizes_of_arctic():
    arctic = {
        "model_type": "arctic",
        "architectures": ["ArcticForCausalLM"],
        "hidden_size": 7168,
        "intermediate_size": 4864,
        "num_attention_heads": 56,
        "num_key_value_heads": 8,
        "num_hidden_layers": 35,
        "num_local_experts": 128,
        "num_experts_per_tok": 2,
        "moe_layer_frequency": 1,
        "parallel_attn_mlp_res": True,
        "moe_train_capacity_factor": 1,
        "vocab_size": 32000,
        "tie_word_embeddings": False,
    }
    form = closed_form(read_config(arctic), sequence=1)
    attention = 2 * 7168 * 7168 + 2 * 7168 * 8 * 128
    around = attention + 3 * 7168 * 7168 + 128 * 7168 + 3 * 7168  # with router and norms
    expert, tables = 3 * 7168 * 4864, 2 * 32000 * 7168 + 7168
    # Published as 480 billion parameters, 17 of which a token meets.
    assert form.parameters.total == 35 * (around + 128 * expert) + tables == 478_584_608_768
    assert form.parameters.active == 35 * (around + 2 * expert) + tables == 17_318_647_808
    assert any("capacity" in text for text in form.assumptions)
    with pytest.raises(FlopcountError, match="moe_layer_frequency"):
        read_config(arctic | {"moe_layer_frequency": 2})

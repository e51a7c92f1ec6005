"""Closed forms of encoders, pairs, vision transformers and state-space models against our trace.

The trace (``flopcount.count`` on the real transformers class) shares no code with the closed form:
both must say the same FLOP, forward and backward, and the same numbers of parameters.
"""

import json
import warnings

import pytest

from flopcount.closed_form import Dimensions, DimensionsError, count

pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.trace

ENCODER = {
    "hidden_size": 64,
    "vocab_size": 500,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 96,
    "pad_token_id": 0,
}
T5 = {"d_model": 64, "d_kv": 12, "d_ff": 96, "num_layers": 3, "num_decoder_layers": 2,
      "num_heads": 4, "vocab_size": 500}  # fmt: skip
PAIR = {
    "d_model": 64,
    "encoder_layers": 3,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 8,
    "encoder_ffn_dim": 96,
    "decoder_ffn_dim": 112,
    "vocab_size": 500,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
}
VIT = {
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 96,
    "image_size": 64,
    "patch_size": 16,
}
DINO = {k: v for k, v in VIT.items() if k != "intermediate_size"} | {"mlp_ratio": 2}
SSM = {"hidden_size": 64, "vocab_size": 500, "num_hidden_layers": 4}
HYBRID = SSM | {"num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 96}
BAMBA = HYBRID | {
    "mamba_n_heads": 8,
    "mamba_d_head": 16,
    "mamba_d_state": 12,
    "mamba_chunk_size": 16,
}
SPECIAL = {"cls_token_id": 1, "sep_token_id": 2, "bos_token_id": 1, "eos_token_id": 2}
CASES = [
    ("bert", "BertForMaskedLM", ENCODER, {}),
    ("bert", "BertForPreTraining", ENCODER, {}),
    ("bert", "BertModel", ENCODER, {}),
    ("bert", "BertForSequenceClassification", ENCODER | {"num_labels": 5}, {}),
    ("bert", "BertForTokenClassification", ENCODER | {"num_labels": 5}, {}),
    ("roberta", "RobertaForMaskedLM", ENCODER, {}),
    ("roberta", "RobertaForSequenceClassification", ENCODER, {}),
    ("distilbert", "DistilBertForMaskedLM",
     {"dim": 64, "n_layers": 2, "n_heads": 4, "hidden_dim": 96, "vocab_size": 500}, {}),
    ("electra", "ElectraForMaskedLM", ENCODER | {"embedding_size": 32}, {}),
    ("albert", "AlbertForMaskedLM", ENCODER | {"embedding_size": 32}, {}),
    ("albert", "AlbertForMaskedLM", ENCODER | {"embedding_size": 64}, {}),
    ("bert", "BertForMaskedLM", ENCODER | {"tie_word_embeddings": False}, {}),
    ("albert", "AlbertForMaskedLM",
     ENCODER | {"embedding_size": 32, "tie_word_embeddings": False}, {}),
    ("roberta", "RobertaForMaskedLM", ENCODER | {"tie_word_embeddings": False}, {}),
    ("electra", "ElectraForMaskedLM",
     ENCODER | {"embedding_size": 32, "tie_word_embeddings": False}, {}),
    ("modernbert", "ModernBertForMaskedLM", ENCODER | SPECIAL | {"local_attention": 8}, {}),
    ("t5", "T5ForConditionalGeneration", T5 | {"is_gated_act": True}, {}),
    ("modernbert", "ModernBertForMaskedLM", ENCODER | SPECIAL, {}),
    ("t5", "T5ForConditionalGeneration", T5, {"decoder_sequence": 17}),
    ("t5", "T5ForConditionalGeneration", T5 | {"feed_forward_proj": "gated-gelu"}, {}),
    ("umt5", "UMT5ForConditionalGeneration", T5, {}),
    ("mt5", "MT5ForConditionalGeneration", T5, {}),
    ("bart", "BartForConditionalGeneration", PAIR, {"decoder_sequence": 17}),
    ("mbart", "MBartForConditionalGeneration", PAIR, {}),
    ("pegasus", "PegasusForConditionalGeneration", PAIR, {}),
    ("marian", "MarianMTModel", PAIR | {"decoder_vocab_size": 500}, {}),
    ("m2m_100", "M2M100ForConditionalGeneration", PAIR, {}),
    ("whisper", "WhisperForConditionalGeneration", PAIR | {"max_source_positions": 30}, {}),
    ("vit", "ViTForImageClassification", VIT | {"num_labels": 7}, {}),
    ("vit", "ViTModel", VIT, {}),
    ("vit", "ViTModel", VIT | {"pooler_output_size": 48}, {}),
    ("deit", "DeiTForImageClassification", VIT, {}),
    ("deit", "DeiTModel", VIT | {"pooler_output_size": 48}, {}),
    ("dinov2", "Dinov2ForImageClassification", DINO, {}),
    ("dinov2", "Dinov2ForImageClassification", DINO | {"use_mask_token": False}, {}),
    ("clip_vision_model", "CLIPVisionModel", VIT, {}),
    ("mamba", "MambaForCausalLM", SSM | {"state_size": 8, "time_step_rank": 5}, {}),
    ("falcon_mamba", "FalconMambaForCausalLM", SSM | {"state_size": 8, "use_bias": True}, {}),
    ("mamba2", "Mamba2ForCausalLM", SSM | {"state_size": 24, "num_heads": 8, "head_dim": 16,
                                           "chunk_size": 16, "n_groups": 2}, {}),
    ("rwkv", "RwkvForCausalLM", SSM | {"attention_hidden_size": 48}, {}),
    ("jamba", "JambaForCausalLM", HYBRID | {"num_hidden_layers": 8, "num_experts": 4}, {}),
    ("bamba", "BambaForCausalLM", BAMBA | {"attn_layer_indices": [1, 3]}, {}),
    ("granitemoehybrid", "GraniteMoeHybridForCausalLM",
     BAMBA | {"layer_types": ["linear_attention", "full_attention"] * 2}, {}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("family", "name", "keys", "sizes"), CASES, ids=[f"{i}-{c[1]}" for i, c in enumerate(CASES)]
)
def test_closed_form_and_trace_agree(tmp_path, family, name, keys, sizes):
    from flopcount.model_files.counted_model import count_config

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = transformers.AutoConfig.for_model(family, **keys).to_dict()
        (tmp_path / "config.json").write_text(json.dumps(config | {"architectures": [name]}))
        counted = count_config(tmp_path, batch=2, sequence=24, **sizes)
    form, trace = counted.closed_form, counted.count
    assert form is not None, counted.no_closed_form
    assert counted.name == name
    assert (form.forward, form.backward) == (trace.forward, trace.backward)
    assert form.masked_total == trace.masked_total
    assert form.parameters.total == counted.parameters.total
    assert form.parameters.active == counted.parameters.active
    embedded = counted.parameters.total_without_embeddings
    assert form.parameters.total_without_embeddings == embedded
    if counted.polynomial is not None:
        assert sum(c * 2**b * 24**s for c, b, s in counted.polynomial) == form.total


def test_a_scan_in_chunks_is_no_polynomial(tmp_path):
    from flopcount.form_polynomial import expand

    config = transformers.AutoConfig.for_model(
        "mamba2", **next(c for c in CASES if c[0] == "mamba2")[2]
    ).to_dict()
    d = Dimensions.from_config(config)
    assert expand(lambda b, s: count(d, batch=b, sequence=s).total) is None


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "oracle"}, "'oracle' has no closed form"),
        ({"architectures": ["X"]}, "neither 'model_type'"),
        ({"model_type": "llama"}, "'hidden_size' is missing"),
        ({"model_type": "llama", "hidden_size": "wide"}, "hidden_size = 'wide'"),
        ({"model_type": "llama", "hidden_size": 10**40}, "a huge integer"),
        ({"model_type": "llava", "text_config": {}}, "several towers"),
        ({"model_type": "bert", "is_decoder": True}, "decoder of a pair"),
        ({"model_type": "electra", "is_decoder": True}, "decoder of a pair"),
        ({"model_type": "bert", "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1,
          "intermediate_size": 8, "vocab_size": 9, "max_position_embeddings": 9,
          "architectures": ["BertForNextSentencePrediction"]}, "this head has no closed form"),
        ([1, 2], "expected an object"),
    ],
)  # fmt: skip
def test_what_has_no_form_is_declined_with_the_reason(config, message):
    with pytest.raises(DimensionsError, match=message):
        Dimensions.from_config(config)


def test_an_encoder_of_sound_meets_its_frames_and_not_the_transcript():
    shape = Dimensions.from_mapping(
        {
            "kind": "encoder-decoder",
            "encoder_layers": 1,
            "decoder_layers": 1,
            "hidden": 8,
            "heads": 2,
        }
        | {"ffn": 16, "ffn_matrices": 2, "vocabulary": 10, "tied_embeddings": True}
    )
    form = count(shape, batch=1, sequence=4, audio_frames=100)
    # 50 encoder positions: weights 4 x 64 + 2 x 128 = 512, scores 2 x 2 x 50^2 x 8; second convolution 3 x 64
    encoder = 2 * 50 * (512 + 3 * 64) + 4 * 50 * 50 * 8
    # 4 decoder positions: 4 x 64 + 2 x 64 (query, output) + 2 x 128 and the head 80; keys and values of 50
    decoder = (
        2 * 4 * (4 * 64 + 2 * 64 + 256 + 80) + 2 * 50 * 2 * 64 + 4 * 4 * 4 * 8 + 4 * 4 * 50 * 8
    )
    assert form.forward == encoder + decoder
    assert any("first of the two is left out" in one for one in form.assumptions)

"""Pairs that an attention's mask allows, for the library's own classes, against the library's masks."""

import json
import warnings

import pytest

pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.trace

SMALL = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 500,
    "pad_token_id": 0,
}
MOE = {"num_local_experts": 4, "num_experts_per_tok": 2}
LENGTH = 24


def asked(kind, length, size, name, device):
    """The mask that the library hands a layer, of a sequence of that length."""
    import torch
    from transformers import masking_utils

    config = transformers.MistralConfig(**SMALL, sliding_window=size)
    config.attention_chunk_size = size
    config._attn_implementation = name
    ask = getattr(masking_utils, f"create_{kind}_mask")
    embedded = torch.empty(1, length, 64, device=device)
    return ask(config=config, inputs_embeds=embedded, attention_mask=None, past_key_values=None)


@pytest.mark.parametrize("kind", [
    "causal", "bidirectional", "sliding_window_causal", "chunked_causal",
    "bidirectional_sliding_window",
])  # fmt: skip
@pytest.mark.parametrize(
    ("length", "size"), [(24, 7), (24, 8), (24, 1), (24, 2), (23, 24), (24, 24)]
)
@pytest.mark.parametrize("fused", [True, False])
def test_pairs_follow_from_places_alone(kind, length, size, fused):
    import torch

    import flopcount
    from flopcount import causal_attention

    name, masks = causal_attention.register(fused=fused), []

    def step(x):
        masks.append(asked(kind, length, size, name, "meta"))
        return x

    flopcount.count(step, torch.zeros(1, device="meta"), backward=False)
    (found,) = masks
    real = asked(kind, length, size, "sdpa", "cpu")
    # Without a mask the fused function is causal, or attends in full, by itself.
    full = length * length if kind.startswith("bi") else length * (length + 1) // 2
    expected = full if real is None else int(real.sum())
    if found is None:
        assert expected == full
        return
    assert found._flopcount_attention.allowed == expected
    assert tuple(found.shape) == (1, 1, length, length)
    assert found.dtype.is_floating_point is not fused


def counted(tmp_path, family, keys, sequence=LENGTH):
    from flopcount.model_files.counted_model import count_config

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = transformers.AutoConfig.for_model(family, **keys).to_dict()
        config["architectures"] = [keys.get("architectures", [None])[0] or _causal(family)]
        (tmp_path / "config.json").write_text(json.dumps(config))
        return count_config(tmp_path, sequence=sequence).count


def _causal(family):
    from transformers.models.auto import modeling_auto

    return modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[family]


def left_out(count, heads, width, layers):
    """Pairs that the mask takes from each layer's scores and values, forward and backward."""
    dense = count.forward + count.backward
    return (dense - count.masked_total) / (3 * 4 * heads * width), layers


def test_chunks_are_no_causal_mask(tmp_path):
    keys = SMALL | MOE | {
        "attention_chunk_size": 7,
        "intermediate_size_mlp": 96,
        "head_dim": 16,
        "num_hidden_layers": 4,
    }  # fmt: skip
    count = counted(tmp_path, "llama4_text", keys)
    # 24 places: 576 pairs; chunks of 7, 7, 7 and 3: 28 + 28 + 28 + 6 = 90 in three layers, 300 causal
    assert left_out(count, 4, 16, 4)[0] == 3 * (576 - 90) + (576 - 300)
    assert not count.notes


def test_a_window_that_no_layer_passes_on_is_seen(tmp_path):
    """PhiMoE builds a sliding mask, and its attention says nothing of it."""
    count = counted(tmp_path, "phimoe", SMALL | MOE | {"sliding_window": 8})
    # 36 pairs of the first 8 places and 8 of each of the 16 others
    assert left_out(count, 4, 16, 4)[0] == 4 * (576 - 36 - 16 * 8)


def test_a_window_at_any_length_takes_no_memory(tmp_path):
    length = 2**20
    keys = SMALL | {"sliding_window": 4096, "max_position_embeddings": length}
    count = counted(tmp_path, "mistral", keys, sequence=length)
    allowed = 4096 * 4097 // 2 + (length - 4096) * 4096
    assert left_out(count, 4, 16, 4)[0] == 4 * (length**2 - allowed)


LATENT = {
    "num_key_value_heads": 4,
    "kv_lora_rank": 16,
    "q_lora_rank": 24,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 8,
    "v_head_dim": 12,
    "n_routed_experts": 8,
    "n_shared_experts": 1,
    "moe_intermediate_size": 48,
    "num_experts_per_tok": 2,
    "first_k_dense_replace": 1,
    "n_group": 1,
    "topk_group": 1,
}


def test_an_indexers_causality_is_known(tmp_path):
    """DeepSeek-V3.2 hands the same mask to its indexer and to its attention."""
    keys = SMALL | LATENT | {"index_n_heads": 2, "index_head_dim": 16, "index_topk": 64}
    count = counted(tmp_path, "deepseek_v32", keys)
    assert not any(note.startswith("masked") for note in count.notes)
    assert count.masked_total < count.forward + count.backward


@pytest.mark.parametrize("family", ["deepseek_v32", "glm_moe_dsa"])
def test_the_keys_that_an_indexer_chooses_are_counted(tmp_path, family):
    """Which keys are chosen is data, how many is not: as many as a window of ``index_topk`` holds."""
    indexer = {"index_n_heads": 2, "index_head_dim": 16}
    all_keys, few = (
        counted(tmp_path, family, SMALL | LATENT | indexer | {"index_topk": chosen})
        for chosen in (LENGTH, 8)
    )
    assert (few.forward, few.backward) == (all_keys.forward, all_keys.backward)
    assert not any(note.startswith("masked") for note in few.notes)
    # Causal: 1 + 2 + .. + n pairs a head; of the keys chosen 1 + 2 + .. + 8 and 8 for each further query.
    fewer = LENGTH * (LENGTH + 1) // 2 - (8 * 9 // 2 + (LENGTH - 8) * 8)
    heads, layers = SMALL["num_attention_heads"], SMALL["num_hidden_layers"]
    # Scores of 16 + 8 channels and values of 12, forward and twice that backward.
    assert all_keys.masked_total - few.masked_total == 3 * 2 * (24 + 12) * heads * layers * fewer


def test_a_mask_that_the_model_lengthens_leaves_no_key_out(tmp_path):
    """DeepSeek-V4 adds compressed keys, and their places to the mask: without one they were lost."""
    import flopcount
    from flopcount.model_files.architectures import load

    keys = {"num_hidden_layers": 4, "vocab_size": 500}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = transformers.AutoConfig.for_model("deepseek_v4", **keys).to_dict()
        (tmp_path / "config.json").write_text(json.dumps(config))
        from flopcount.model_files.counted_model import count_config

        ours = count_config(tmp_path, sequence=48).count
        built = load(tmp_path)
        built.model.set_attn_implementation("eager")
        theirs = flopcount.count(built.model, **built.inputs(1, 48))
    assert (ours.forward, ours.backward) == (theirs.forward, theirs.backward)
    assert any(note.startswith("masked") for note in ours.notes)


def test_the_tokens_of_an_image_see_each_other(tmp_path):
    """Gemma 3 attends in both directions inside an image, and causally everywhere else."""
    from flopcount.model_files.counted_model import count_config

    text = SMALL | {"model_type": "gemma3_text", "sliding_window": 32, "head_dim": 16}
    vision = {
        "model_type": "siglip_vision_model", "hidden_size": 32, "intermediate_size": 64,
        "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 56, "patch_size": 14,
    }  # fmt: skip
    config = {
        "model_type": "gemma3",
        "architectures": ["Gemma3ForConditionalGeneration"],
        "mm_tokens_per_image": 16,
        "image_token_index": 90,
        "boi_token_index": 91,
        "eoi_token_index": 92,
        "text_config": text,
        "vision_config": vision,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    words = count_config(tmp_path, sequence=64).count
    image = count_config(tmp_path, sequence=64, image=(56, 56)).count
    assert not any(note.startswith("masked") for note in (*words.notes, *image.notes))
    forbidden = [c.forward + c.backward - c.masked_total for c in (words, image)]
    # 16 tokens of one image: 16·15/2 pairs that causality forbids among words, in four layers
    assert forbidden[0] - forbidden[1] == 3 * 4 * 4 * 16 * 4 * 120

"""Rules for single inputs: each follows from keys of a configuration, or from a complaint."""

import json
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytestmark = pytest.mark.trace


class Reader(torch.nn.Module):
    """A model that has a configuration and takes what it is asked to take."""

    main_input_name = "pixel_values"

    def __init__(self, **config):
        super().__init__()
        self.config = SimpleNamespace(**config)
        self.weight = torch.nn.Parameter(torch.zeros(1, device="meta"))

    def forward(self, pixel_values=None, input_features=None, task_inputs=None, state=None):
        """Take inputs by name."""

    def can_generate(self):
        return False


def made(model, name, **sizes):
    from flopcount.model_files.model_inputs import maker_of

    return tuple(maker_of(model, "config.json", **sizes).make(name).shape)


def test_the_smallest_copy_of_a_pyramid_fills_one_patch():
    model = Reader(patch_size=32, scaled_images_ratios=[0.25, 0.5, 1], image_size=32)
    assert made(model, "pixel_values") == (1, 3, 128, 128)  # 32 / 0.25
    assert made(model, "pixel_values", image=(256, 256)) == (1, 3, 256, 256)


@pytest.mark.parametrize("ratios", [[0], ["x"], [], [-1], "half", [float("nan")]])
def test_a_pyramid_that_makes_no_sense_is_none(ratios):
    model = Reader(patch_size=32, scaled_images_ratios=ratios, image_size=64)
    assert made(model, "pixel_values") == (1, 3, 64, 64)


def test_a_spectrogram_is_as_long_as_the_tokens_it_stands_beside():
    model = Reader(audio_length_per_tok=8, num_mel_bins=80)
    assert made(model, "input_features", sequence=5) == (1, 80, 40)
    assert made(model, "input_features", sequence=5, audio_frames=48) == (1, 80, 48)


def test_sizes_under_their_own_names_are_found():
    from flopcount.model_files.model_inputs import InputSizeUnknownError

    model = Reader(task_seq_len=77, max_state_dim=32)
    assert made(model, "task_inputs", batch=2) == (2, 77)
    assert made(model, "state", batch=2) == (2, 32)
    with pytest.raises(InputSizeUnknownError, match="max_state_dim"):
        made(Reader(), "state")


def test_a_tower_that_is_left_out_makes_no_pair():
    from flopcount.model_files.inputs.text import is_dual_tower

    text = SimpleNamespace()
    assert is_dual_tower(Reader(text_config=text, vision_config=text))
    assert not is_dual_tower(Reader(text_config=text, vision_config=None, audio_config=None))


def test_embeddings_are_given_instead_of_tokens(tmp_path):
    from flopcount.model_files.counted_model import count_config

    config = {"model_type": "llama", "hidden_size": 32, "intermediate_size": 64, "vocab_size": 100,
              "num_hidden_layers": 1, "num_attention_heads": 4}  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    tokens = count_config(tmp_path, sequence=8).count
    rows = count_config(tmp_path, sequence=8, given={"inputs_embeds": "1x8x32"}).count
    # Rows from elsewhere need no gradient, but the weight of the norm before q, k and v does.
    assert (rows.forward, rows.backward) == (tokens.forward, tokens.backward)
    # MLP 3·32·64, attention 4·32·32, head 32·100 a token; scores and values 2·8·8·32
    assert rows.forward == 2 * (8 * (3 * 32 * 64 + 4 * 32 * 32 + 32 * 100) + 2 * 8 * 8 * 32)


def test_flattened_patches_become_small_images_where_a_convolution_reads_them(tmp_path):
    from flopcount.model_files.counted_model import count_config

    config = {"model_type": "kimi_k25_vision", "patch_size": 14, "hidden_size": 32,
              "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
              "pos_emb_height": 4, "pos_emb_width": 4}  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    counted = count_config(tmp_path, image=(56, 84)).count
    # 4 x 6 patches of 3·14·14 numbers, projected to 32: forward and the weight's gradient
    assert counted.by_module["patch_embed.proj"] == 2 * (2 * 24 * 3 * 14 * 14 * 32)


def test_words_with_values_are_no_special_tokens():
    from flopcount.model_files.inputs.attempts import Attempts, _plain_words
    from flopcount.model_files.model_inputs import maker_of

    model = Reader(pad_token_id=0, image_token_index=1, text_config=SimpleNamespace(eos_token_id=2))
    maker = maker_of(model, "config.json")
    ids = torch.zeros(1, 4, dtype=torch.long, device="meta")
    asked = Attempts(SimpleNamespace(maker=maker, model=model), {"input_ids": ids})
    asked.failure = ValueError("something else")
    assert not _plain_words(asked)
    asked.failure = ValueError("Tensor.item() cannot be called on meta tensors")
    assert _plain_words(asked)
    assert not asked.inputs["input_ids"].is_meta
    assert asked.inputs["input_ids"].unique().item() not in (0, 1)


def test_a_part_without_tables_of_its_own_builds(tmp_path):
    from flopcount.model_files.architectures import load

    config = {"model_type": "blt_local_decoder", "hidden_size": 32, "hidden_size_global": 32,
              "intermediate_size": 32, "num_attention_heads": 2, "num_hidden_layers": 1,
              "vocab_size": 10, "tie_word_embeddings": False}  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert load(tmp_path).class_name == "BltLocalDecoder"


def test_a_number_of_tokens_is_not_used_where_no_text_is_read_and_said_so(tmp_path):
    from flopcount.formula_config import count_by_formula
    from flopcount.model_files.counted_model import count_config

    config = {"model_type": "vit", "hidden_size": 32, "intermediate_size": 64, "image_size": 32,
              "num_hidden_layers": 1, "num_attention_heads": 4, "patch_size": 8}  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    for ask in (count_config, count_by_formula):
        plain, told = ask(tmp_path), ask(tmp_path, sequence=16)
        assert told.count.total == plain.count.total > 0
        assert told.sequence is None
        (finding,) = (f for f in told.findings if f.code == "length-not-read")
        assert "--sequence 16 was not used" in finding.message
        assert finding not in plain.findings

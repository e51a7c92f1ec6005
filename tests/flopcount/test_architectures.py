"""A config.json to a model on meta: what is built, what is refused, what is found suspicious."""

import contextlib
import dataclasses
import json
import logging
import os
from pathlib import Path

import pytest

from flopcount.errors import FlopcountError
from flopcount.findings import name_mismatch
from flopcount.model_files.architectures import quiet_and_offline
from flopcount.model_files.config_file import ConfigError

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytestmark = pytest.mark.trace

TINY = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 1000,
    "tie_word_embeddings": False,
}


@pytest.fixture
def write(tmp_path):
    def writer(config, folder="model"):
        path = tmp_path / folder
        path.mkdir(exist_ok=True)
        text = config if isinstance(config, str) else json.dumps(config)
        (path / "config.json").write_text(text)
        return path

    return writer


def load(path):
    from flopcount.model_files.architectures import load as loader

    return loader(path)


def test_builds_on_meta_in_training_mode(write):
    before = {k: v for k, v in os.environ.items() if "OFFLINE" in k}
    built = load(write(TINY))
    assert built.model_type == "llama"
    assert built.model.training
    assert {p.device.type for p in built.model.parameters()} == {"meta"}
    assert {p.dtype for p in built.model.parameters()} == {torch.bfloat16}
    # tables 2 * 1000 * 64; each layer 64 (64 + 2 * 32 + 64) + 3 * 64 * 96 + 2 * 64; a norm of 64
    assert built.parameters.total == built.parameters.trainable == 189_760
    assert built.parameters.total_without_embeddings == 189_760 - 64_000
    assert {k: v for k, v in os.environ.items() if "OFFLINE" in k} == before


def test_tied_weights_count_once(write):
    built = load(write(TINY | {"tie_word_embeddings": True}))
    assert built.parameters.total == 189_760 - 64_000


def test_active_parameters_of_a_mixture(write):
    config = TINY | {
        "model_type": "mixtral",
        "architectures": ["MixtralForCausalLM"],
        "num_local_experts": 8,
        "num_experts_per_tok": 2,
    }
    parameters = load(write(config)).parameters
    # 6 of 8 experts of 3 * 64 * 96 in 2 layers are not met by a token
    assert parameters.total - parameters.active == 2 * 6 * 3 * 64 * 96


def test_inputs_are_on_meta_and_sized(write):
    inputs = load(write(TINY)).inputs(3, 7)
    assert inputs["input_ids"].shape == (3, 7)
    assert inputs["input_ids"].device.type == "meta"
    assert inputs["use_cache"] is False


def test_a_missing_size_is_unknown_and_not_zero(write):
    from flopcount.model_files.counted_model import count_config

    counted = count_config(write(TINY))
    assert counted.count is None
    assert counted.parameters.total == 189_760
    assert [finding.code for finding in counted.findings] == ["input-size-unknown"]


def test_causal_mask_is_seen(write):
    from flopcount.model_files.counted_model import count_config

    counted = count_config(write(TINY), batch=1, sequence=16)
    assert counted.count.masked_total == counted.closed_form.masked_total


@pytest.mark.parametrize(
    ("family", "extra"),
    [
        ("mistral", {"sliding_window": 5}),
        ("gemma2", {"sliding_window": 5, "head_dim": 16}),
        ("qwen2", {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1}),
        ("gpt2", {"n_embd": 64, "n_layer": 2, "n_head": 4}),
    ],
)
def test_windows_are_seen_without_a_mask(write, family, extra):
    from transformers import AutoConfig

    from flopcount.model_files.counted_model import count_config

    base = extra if family == "gpt2" else {k: v for k, v in TINY.items() if "_" in k} | extra
    config = AutoConfig.for_model(family, **{k: v for k, v in base.items() if k != "model_type"})
    path = write(config.to_dict() | {"architectures": None})
    counted = count_config(path, batch=2, sequence=16)
    assert counted.count.masked_total == counted.closed_form.masked_total
    assert counted.count.masked_total < counted.count.total


def test_recomputation_repeats_the_layers(write):
    from flopcount.model_files.counted_model import count_config

    counted = count_config(write(TINY), sequence=16, recompute=True)
    # Everything runs again but the head, and each layer's last product: its result is not needed
    # for any gradient, and torch stops the recomputation there.
    head, last = 2 * 64 * 1000 * 16, 2 * 96 * 64 * 16
    assert counted.count.recompute == counted.count.forward - head - 2 * last
    assert counted.count.total == counted.count.forward + counted.count.backward


REMOTE = {"AutoModelForCausalLM": "modeling_evil.EvilForCausalLM"}


def test_remote_code_of_an_unknown_family_is_refused(write):
    path = write({"model_type": "evil", "architectures": ["EvilForCausalLM"], "auto_map": REMOTE})
    (path / "modeling_evil.py").write_text("raise SystemExit('executed')")
    with pytest.raises(ConfigError, match="auto_map"):
        load(path)


def test_remote_code_beside_a_known_family_is_not_run(write):
    path = write(TINY | {"auto_map": REMOTE})
    (path / "modeling_evil.py").write_text("raise SystemExit('executed')")
    built = load(path)
    assert [finding.code for finding in built.findings] == ["remote-code-not-run"]
    assert built.parameters.total == 189_760


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{", "not readable as JSON"),
        ("[]", "expected an object"),
        ("9" * 5000, "not readable as JSON"),
        ('{"a":' * 60 + "1" + "}" * 60, "nested deeper"),
        ("[" * 100_000, "not readable as JSON"),
        ({"model_type": "oracle-9"}, "oracle-9"),
        ({"hidden_size": 64}, "model_type"),
        (TINY | {"hidden_size": 10**30}, "hidden_size"),
        (TINY | {"num_hidden_layers": 10**6}, "num_hidden_layers"),
        (TINY | {"num_experts": 10**7}, "num_experts"),
        (TINY | {"hidden_size": "wide"}, "hidden_size"),
        (TINY | {"num_attention_heads": 5}, "attention"),
        ({"_class_name": "StableDiffusionPipeline"}, "pipeline"),
        ({"_class_name": "EvilModel"}, "EvilModel"),
    ],
)
def test_bad_files_are_refused_by_name(write, config, message):
    with pytest.raises(ConfigError, match=message) as raised:
        load(write(config))
    assert "config.json" in str(raised.value)


def test_a_prediction_module_that_is_not_built_is_noticed(write):
    codes = [f.code for f in load(write(TINY | {"num_nextn_predict_layers": 1})).findings]
    assert codes == ["module-left-out"]


def test_a_real_whisper_equals_its_closed_form(write):
    from flopcount.model_files.counted_model import count_config

    shared = Path(os.environ.get("FLOPLEDGER_SHARED", Path(__file__).parents[3] / "shared"))
    source = shared / "data/evidence/hf/whisper-medium-pt/config.json"
    if not source.is_file():
        pytest.skip(f"the shared evidence is not here: {source}")
    counted = count_config(source, batch=2, sequence=20)
    assert counted.parameters.total == 763_857_920  # as published
    assert counted.count.total == counted.closed_form.total


def test_a_folder_without_a_config_says_so(tmp_path):
    with pytest.raises(ConfigError, match=r"no config\.json"):
        load(tmp_path)


def test_a_size_that_the_model_has_not_is_refused(write):
    from flopcount.model_files.counted_model import count_config

    with pytest.raises(FlopcountError, match="no input size latent"):
        count_config(write(TINY), sequence=8, latent=(8, 8))


def test_an_unstated_class_is_guessed_aloud(write):
    built = load(write({k: v for k, v in TINY.items() if k != "architectures"}))
    assert built.class_name == "LlamaForCausalLM"
    assert "architectures is not stated" in built.assumptions[0]


def test_a_shrunk_model_is_noticed(write):
    codes = [f.code for f in load(write(TINY, folder="Llama-3.1-405B")).findings]
    assert codes == ["config-name-mismatch"]


@pytest.mark.parametrize(
    ("name", "parameters", "found"),
    [
        ("Llama-3.1-405B", 405_853_388_800, False),
        ("Llama-3.1-405B", 8_030_261_248, True),
        ("Mixtral-8x7B-v0.1", 46_702_792_704, False),
        ("Mixtral-8x7B-v0.1", 1_000_000, True),
        ("Qwen2.5-7B-Instruct-1M", 7_615_616_512, False),
        ("Qwen3-30B-A3B", 30_532_122_624, False),
        ("gemma-2b", 2_506_172_416, False),
        ("gpt2", 124_439_808, False),
        ("pythia-70m", 70_426_624, False),
        ("TinyLlama-1.1B-intermediate-step-1431k-3T", 1_100_048_384, False),
        ("run-v2b-final", 100, False),
    ],
)
def test_sizes_in_names(name, parameters, found):
    assert (name_mismatch([name], parameters) is not None) is found


def test_weights_that_contradict_the_config_are_noticed(write):
    from safetensors.torch import save_file

    from flopcount.model_files.counted_model import count_config

    path = write(TINY)
    built = load(path)
    state = {
        name: torch.zeros(tensor.shape, dtype=torch.bfloat16)
        for name, tensor in built.model.state_dict().items()
    }
    save_file(state, path / "model.safetensors")
    assert count_config(path, sequence=4).findings == ()
    save_file({"model.embed_tokens.weight": torch.zeros(10, 64)}, path / "model.safetensors")
    codes = [finding.code for finding in count_config(path, sequence=4).findings]
    assert codes == ["config-weights-mismatch"]


def test_diffusers_denoisers_equal_their_closed_form(write):
    pytest.importorskip("diffusers")
    from flopcount.model_files.counted_model import count_config

    unet = {
        "_class_name": "UNet2DConditionModel",
        "sample_size": 16,
        "block_out_channels": [32, 64],
        "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
        "transformer_layers_per_block": [2, 1],
        "cross_attention_dim": 24,
        "attention_head_dim": 8,
    }
    dit = {
        "_class_name": "DiTTransformer2DModel",
        "num_attention_heads": 4,
        "attention_head_dim": 8,
        "num_layers": 3,
        "sample_size": 8,
        "in_channels": 4,
        "out_channels": 8,
        "patch_size": 2,
    }
    for config in (unet, dit):
        counted = count_config(write(config), batch=2, sequence=7)
        form = counted.closed_form
        assert (form.forward, form.backward) == (counted.count.forward, counted.count.backward)
        assert form.parameters.total == counted.parameters.total


def test_without_the_libraries_the_closed_form_answers(write, monkeypatch):
    from flopcount.model_files import config_file
    from flopcount.model_files.counted_model import count_config

    traced = count_config(write(TINY), batch=2, sequence=16)
    monkeypatch.setattr(config_file.importlib.util, "find_spec", lambda name: None)
    counted = count_config(write(TINY), batch=2, sequence=16)
    assert counted.count.method == "closed-form"
    assert counted.count.total == traced.count.total
    assert counted.count.masked_total == traced.count.masked_total
    assert counted.parameters == traced.parameters
    assert [finding.code for finding in counted.findings] == ["trace-missing"]
    assert count_config(write(TINY)).count is None
    assert count_config(write(TINY)).parameters == traced.parameters
    with pytest.raises(FlopcountError, match="needs a traced model"):
        count_config(write(TINY), sequence=16, convention="megatron")
    with pytest.raises(FlopcountError, match="flopledger\\[trace\\]"):
        count_config(write({"model_type": "clip"}), sequence=16)


def test_a_model_that_cannot_be_traced_falls_back_aloud(write, monkeypatch):
    import flopcount
    from flopcount.errors import CountError
    from flopcount.model_files.counted_model import count_config

    def fail(*_args, **_kwargs):
        raise CountError("no way")

    monkeypatch.setattr(flopcount, "count", fail)
    counted = count_config(write(TINY), sequence=16)
    assert counted.count.method == "closed-form"
    assert "no way" in counted.count.notes[0]
    assert [finding.code for finding in counted.findings] == ["trace-failed"]


def test_every_attention_is_tried_before_the_closed_form(write, monkeypatch):
    import flopcount
    from flopcount.model_files.counted_model import count_config

    real, tried = flopcount.count, []

    def picky(model, **inputs):
        attention = model.config._attn_implementation
        tried.append(attention)
        count = real(model, **inputs)
        return count if attention == "eager" else dataclasses.replace(count, method="closed-form")

    monkeypatch.setattr(flopcount, "count", picky)
    counted = count_config(write(TINY), sequence=16)
    assert counted.count.method == "meta"
    assert tried[1:] == ["sdpa", "eager"]
    assert counted.findings == ()


def test_a_spectrogram_is_turned_where_the_model_reads_frames_by_bins(write):
    from flopcount.model_files.counted_model import count_config

    config = {
        "model_type": "parakeet_ctc",
        "vocab_size": 50,
        "encoder_config": {
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 1,
            "num_attention_heads": 4,
            "num_mel_bins": 16,
            "subsampling_conv_channels": 8,
        },
    }
    counted = count_config(write(config), batch=1, audio_frames=80)
    assert counted.count.forward > 0
    assert counted.count.by_module["ctc_head"] > 0


def test_a_spectrogram_without_stated_bins_is_asked_for():
    from types import SimpleNamespace

    from flopcount.model_files.inputs.makers import Maker
    from flopcount.model_files.inputs.sizes import InputSizeUnknownError, Sizes

    class Listener(torch.nn.Linear):
        config = SimpleNamespace(model_type="listener")

        def forward(self, input_features):
            return super().forward(input_features)

    sizes = Sizes(source="here", config=Listener.config, audio_frames=100)
    with pytest.raises(InputSizeUnknownError, match="the bins of a spectrogram"):
        Maker(Listener(2, 2), sizes).make("input_features")


def test_a_video_model_gets_its_frames(write):
    from flopcount.model_files.counted_model import count_config

    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4,
             "intermediate_size": 64, "image_size": 32, "patch_size": 16, "num_frames": 4,
             "decoder_num_hidden_layers": 1}  # fmt: skip
    config = {"model_type": "videomae", "architectures": ["VideoMAEModel"], **sizes}
    counted = count_config(write(config), batch=1)
    # tubes of 2 frames and 16x16 pixels of 3 channels: 2·2·2 = 8 tokens of 2·3·2·16·16·32 FLOP
    patches = counted.count.by_module["embeddings.patch_embeddings"]
    assert patches == 2 * (8 * 2 * 3 * 2 * 16 * 16 * 32)


def test_remarks_of_libraries_are_quiet_and_as_before_even_after_a_failure() -> None:
    import transformers.utils.logging as library_logging

    names = ("torchao", "torch.utils._pytree")
    before = library_logging.get_verbosity()
    library_logging.set_verbosity_info()
    logging.getLogger("torchao").setLevel(logging.INFO)
    try:
        inside = []
        with contextlib.suppress(KeyError), quiet_and_offline():
            inside = [logging.getLogger(name).level for name in names]
            raise KeyError("a model's own")
        assert inside == [logging.ERROR] * 2
        assert library_logging.get_verbosity() == logging.INFO
        assert logging.getLogger("torchao").level == logging.INFO
    finally:
        library_logging.set_verbosity(before)
        logging.getLogger("torchao").setLevel(logging.NOTSET)


def test_states_without_attention_are_traced_without_the_librarys_cache(tmp_path: Path) -> None:
    """Granite 4's default layers are all of states; its cache, asked for its length, raises."""
    keys = {
        "model_type": "granitemoehybrid", "hidden_size": 32, "num_hidden_layers": 2,
        "intermediate_size": 48, "num_attention_heads": 4, "num_key_value_heads": 2,
        "vocab_size": 64, "mamba_n_heads": 4, "mamba_d_head": 16, "mamba_d_state": 8,
        "mamba_chunk_size": 8, "num_local_experts": 4, "num_experts_per_tok": 2,
        "shared_intermediate_size": 16, "layer_types": ["mamba", "mamba"],
        "architectures": ["GraniteMoeHybridForCausalLM"],
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(keys))
    from flopcount.model_files.counted_model import count_config

    counted = count_config(tmp_path / "config.json", sequence=16)
    assert counted.count.method == "meta"
    assert counted.count.total == counted.closed_form.total

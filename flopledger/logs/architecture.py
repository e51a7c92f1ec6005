"""The shape of the trained model as the evidence gives it: rules, configuration or source code."""

from collections.abc import Mapping
from dataclasses import dataclass

from flopledger.facts import Fact
from flopledger.logs.benchmarks import Benchmark
from flopledger.logs.evidence import Evidence

#: Keys of ``architecture`` in a case file that readers may write as ``architecture.<key>``.
_PREFIX = "architecture."

#: Decoders whose feed-forward block has a gate (three matrices), and those without (two).
_GATED = frozenset(
    {"llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "phi3", "olmo", "olmo2", "smollm3"}
    | {"stablelm", "granite", "cohere", "internlm2", "baichuan", "yi"}
)
_PLAIN = frozenset(
    {"gpt2", "gpt_neox", "gptj", "opt", "bloom", "gpt_bigcode", "phi", "starcoder2", "gpt_neo"}
)
_ENCODERS = frozenset(["bert", "roberta", "xlm-roberta", "electra", "deberta-v2", "camembert"])


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """Dimensions, where they come from, and what one sample is."""

    architecture: Mapping[str, int | str | bool] | None = None
    source: str | None = None
    input: Mapping[str, int | tuple[int, ...]] | None = None
    config_file: str | None = None
    model_type: str | None = None


def find_shape(evidence: Evidence, rules: Benchmark | None) -> Shape:
    """Prefer what the run's own files say; the benchmark's rules come next."""
    config_file, model_type, config = _config(evidence)
    stated = {
        fact.name.removeprefix(_PREFIX): fact.value
        for fact in evidence.facts
        if fact.name.startswith(_PREFIX) and isinstance(fact.value, int | str | bool)
    }
    base = Shape(config_file=config_file, model_type=model_type)
    if "layers" in stated and "hidden" in stated:
        places = sorted({fact.file for fact in evidence.facts if fact.name.startswith(_PREFIX)})
        return _with(base, stated, f"read as text from {', '.join(places)}", None)
    if model_type is not None and config:
        dimensions, sample = from_config(model_type, config)
        if dimensions is not None:
            return _with(base, dimensions, f"{config_file} ({model_type})", sample)
    if rules is not None and rules.architecture is not None:
        return _with(base, rules.architecture, f"the benchmark's rules ({rules.source})", None)
    return base


def _with(
    base: Shape,
    architecture: Mapping[str, int | str | bool],
    source: str,
    sample: Mapping[str, int | tuple[int, ...]] | None,
) -> Shape:
    return Shape(
        architecture=architecture,
        source=source,
        input=sample,
        config_file=base.config_file,
        model_type=base.model_type,
    )


def _config(evidence: Evidence) -> tuple[str | None, str | None, dict[str, int]]:
    """Give the one model configuration of the evidence; of several that differ, none."""
    types = [fact for fact in evidence.named("model_type") if fact.locator.startswith("$")]
    files = sorted({fact.file for fact in types}, key=lambda file: (file.count("/"), file))
    if not files:
        return None, None, {}
    configs = [_whole_numbers(evidence, file) for file in files]
    if any(config != configs[0] for config in configs[1:]):
        return None, None, {}  # checkpoints repeat one configuration; these differ
    kind = next(str(fact.value) for fact in types if fact.file == files[0])
    return files[0], kind, configs[0]


def _whole_numbers(evidence: Evidence, file: str) -> dict[str, int]:
    return {
        fact.name.removeprefix("config."): int(fact.value)
        for fact in evidence.facts
        if fact.file == file and fact.name.startswith("config.") and _is_whole(fact)
    }


def _is_whole(fact: Fact) -> bool:
    return isinstance(fact.value, int)


def from_config(
    model_type: str, config: Mapping[str, int]
) -> tuple[dict[str, int | str | bool] | None, dict[str, int | tuple[int, ...]] | None]:
    """Give a case file's ``architecture`` and ``input`` for families whose shape is plain.

    Mixtures of experts, hybrids, U-Nets and everything unknown give ``None``: they are counted
    from the configuration itself, or declined.
    """
    if model_type == "whisper":
        return _whisper(config)
    if model_type in ("vit", "deit"):
        return _vit(config)
    if model_type not in _GATED | _PLAIN | _ENCODERS:
        return None, None
    if any("expert" in key for key in config):
        return None, None

    def first(*keys: str) -> int | None:
        return next((config[key] for key in keys if config.get(key)), None)

    layers = first("num_hidden_layers", "n_layer", "num_layers")
    hidden = first("hidden_size", "n_embd", "d_model")
    heads = first("num_attention_heads", "n_head")
    vocabulary = first("vocab_size")
    if layers is None or hidden is None or heads is None or vocabulary is None:
        return None, None
    ffn = first("intermediate_size", "n_inner", "ffn_dim")
    tied = config.get("tie_word_embeddings")
    shape: dict[str, int | str | bool] = {
        "kind": "encoder" if model_type in _ENCODERS else "decoder",
        "layers": layers,
        "hidden": hidden,
        "heads": heads,
        "kv_heads": first("num_key_value_heads") or heads,
        "head_dim": first("head_dim") or hidden // heads,
        "ffn": ffn or 4 * hidden,
        "ffn_matrices": 3 if model_type in _GATED else 2,
        "vocabulary": vocabulary,
    }
    if tied is not None:
        shape["tied_embeddings"] = bool(tied)
    return shape, None


def _whisper(
    config: Mapping[str, int],
) -> tuple[dict[str, int | str | bool] | None, dict[str, int | tuple[int, ...]] | None]:
    keys = (
        "d_model encoder_layers decoder_layers encoder_attention_heads encoder_ffn_dim vocab_size"
    )
    if any(key not in config for key in keys.split()):
        return None, None
    shape: dict[str, int | str | bool] = {
        "kind": "encoder-decoder",
        "encoder_layers": config["encoder_layers"],
        "decoder_layers": config["decoder_layers"],
        "hidden": config["d_model"],
        "heads": config["encoder_attention_heads"],
        "kv_heads": config["encoder_attention_heads"],
        "head_dim": config["d_model"] // config["encoder_attention_heads"],
        "ffn": config["encoder_ffn_dim"],
        "ffn_matrices": 2,
        "vocabulary": config["vocab_size"],
        "tied_embeddings": True,
    }
    # Two mel frames make one encoder position (the second convolution has stride 2).
    frames = 2 * config.get("max_source_positions", 1500)
    return shape, {"audio_frames": frames}


def _vit(
    config: Mapping[str, int],
) -> tuple[dict[str, int | str | bool] | None, dict[str, int | tuple[int, ...]] | None]:
    keys = "num_hidden_layers hidden_size num_attention_heads intermediate_size image_size"
    if any(key not in config for key in keys.split()):
        return None, None
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    shape: dict[str, int | str | bool] = {
        "kind": "vit",
        "layers": config["num_hidden_layers"],
        "hidden": hidden,
        "heads": heads,
        "kv_heads": heads,
        "head_dim": hidden // heads,
        "ffn": config["intermediate_size"],
        "ffn_matrices": 2,
    }
    return shape, {"image": (config["image_size"], config["image_size"])}

"""The config.json dialects of dense decoders since Llama."""

from collections.abc import Callable

from flopcount.closed_form.dialects_common import Reading, llama, plain, qwen_windows, refuse_qk
from flopcount.closed_form.fields import Fields


def _mistral(f: Fields) -> Reading:
    return llama(f)


def qwen2(f: Fields) -> Reading:
    """Queries, keys and values have biases, the output has none."""
    return qwen_windows(f, llama(f) | {"qkv_bias": True, "output_bias": False})


def _qwen3(f: Fields) -> Reading:
    return qwen_windows(f, llama(f, head_dim=128) | {"qk_norm": "head"})


def _olmo(f: Fields) -> Reading:
    return llama(f) | {"norm_width": 0}


def _olmo2(f: Fields) -> Reading:
    return llama(f) | {"qk_norm": "width"}


def _olmo3(f: Fields) -> Reading:
    reading = _olmo2(f)
    if "layer_types" not in f and "sliding_window" in reading:
        reading["sliding_window_every"] = 4
    return reading


def _gemma(f: Fields) -> Reading:
    return llama(f, tied=True, head_dim=256)


def _gemma2(f: Fields) -> Reading:
    reading = _gemma(f) | {"norms_per_layer": 4}
    if "layer_types" not in f and "sliding_window" in reading:
        reading["sliding_window_every"] = 2
    return reading


def _gemma3(f: Fields) -> Reading:
    reading = _gemma(f) | {"norms_per_layer": 4, "qk_norm": "head"}
    if "layer_types" not in f and reading.get("sliding_window_every") is None:
        reading["sliding_window_every"] = 6
    return reading


def _phi3(f: Fields) -> Reading:
    return llama(f)


def _phi(f: Fields) -> Reading:
    # One norm feeds attention and feed-forward side by side; every matrix has a bias.
    reading = plain(llama(f), ffn_bias=True)
    return reading | {
        "qkv_bias": True,
        "output_bias": True,
        "head_bias": True,
        "norms_per_layer": 1,
        "qk_norm": "none" if not f.flag("qk_layernorm") else refuse_qk(),
    }


def _stablelm(f: Fields) -> Reading:
    if f.flag("qk_layernorm"):
        refuse_qk()
    return llama(f) | {
        "qkv_bias": f.flag("use_qkv_bias"),
        "output_bias": False,
        "norm_width": 2,
        "norms_per_layer": 1 if f.flag("use_parallel_residual") else 2,
    }


def _starcoder2(f: Fields) -> Reading:
    bias = f.flag("use_bias", default=True)
    reading = plain(llama(f, tied=True), ffn_bias=bias)
    return reading | {"qkv_bias": bias, "output_bias": bias}


def _cohere(f: Fields) -> Reading:
    qk_norm = "width" if f.flag("use_qk_norm") else "none"  # every head has scales of its own
    return llama(f, tied=True) | {"norms_per_layer": 1, "qk_norm": qk_norm}


def _cohere2(f: Fields) -> Reading:
    reading = llama(f, tied=True) | {"norms_per_layer": 1}
    if "layer_types" not in f and reading.get("sliding_window_every") is None:
        reading["sliding_window_every"] = 4
    return reading


def _glm(f: Fields) -> Reading:
    return llama(f, attention_bias=True, head_dim=128) | {"output_bias": False}


def _glm4(f: Fields) -> Reading:
    return _glm(f) | {"norms_per_layer": 4}


def _ernie(f: Fields) -> Reading:
    bias = f.flag("use_bias")
    return llama(f, tied=True, head_dim=128) | {
        "qkv_bias": bias,
        "output_bias": bias,
        "ffn_bias": bias,
    }


def _seed_oss(f: Fields) -> Reading:
    return llama(f, attention_bias=True, head_dim=128) | {
        "output_bias": f.flag("attention_out_bias")
    }


def _exaone4(f: Fields) -> Reading:
    reading = llama(f) | {"qk_norm": "head"}
    if "layer_types" not in f and reading.get("sliding_window_every") is None:
        reading["sliding_window_every"] = 4
    return reading


def _nemotron(f: Fields) -> Reading:
    reading = llama(f)
    return plain(reading, ffn_bias=reading["ffn_bias"])


def _arcee(f: Fields) -> Reading:
    reading = llama(f)
    return plain(reading, ffn_bias=reading["ffn_bias"], layer_norm=False)


def _apertus(f: Fields) -> Reading:
    # The family's own activation has two trained numbers a layer.
    own = (f.text("hidden_act") or "xielu") == "xielu"
    reading = plain(llama(f), layer_norm=False)
    return reading | {"qk_norm": "head", "details": {"vectors_per_layer": 2 if own else 0}}


DENSE: dict[str, Callable[[Fields], Reading]] = {
    "llama": llama,
    "mistral": _mistral,
    "ministral": _mistral,
    "qwen2": qwen2,
    "qwen3": _qwen3,
    "olmo": _olmo,
    "olmo2": _olmo2,
    "olmo3": _olmo3,
    "gemma": _gemma,
    "gemma2": _gemma2,
    "gemma3_text": _gemma3,
    "phi": _phi,
    "phi3": _phi3,
    "stablelm": _stablelm,
    "starcoder2": _starcoder2,
    "cohere": _cohere,
    "cohere2": _cohere2,
    "granite": llama,
    "smollm3": llama,
    "glm": _glm,
    "glm4": _glm4,
    "ernie4_5": _ernie,
    "seed_oss": _seed_oss,
    "exaone4": _exaone4,
    "nemotron": _nemotron,
    "arcee": _arcee,
    "apertus": _apertus,
}

"""The sizes that a config.json states: possible ones, and those that it leaves to the library."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from flopcount.model_files.config_file import ConfigError

LARGEST_INTEGER = 10**9
"""No size in a config is larger, except parameter totals, which are no size of a module."""
MOST_LAYERS = 2000
_TOTALS = {"total_flos", "max_length", "num_parameters", "total_size", "model_max_length"}
_POSITIVE = re.compile(
    r"(num_(hidden_)?layers|n_layers?|(encoder|decoder)_attention_heads|num_(attention_)?heads|n_heads?"
    r"|hidden_size|d_model|n_embd|vocab_size)"
)
"""Sizes of which a model has one at least. The library builds one without, or with fewer, as well."""
_DECIDING = re.compile(
    r"(num_(hidden_)?layers|n_layers?|(encoder|decoder)_layers|depths?|num_(attention_)?heads|n_heads?"
    r"|(encoder|decoder)_attention_heads|hidden_size|d_model|n_embd|embed_dim|intermediate_size|d_ff"
    r"|(encoder_|decoder_)?ffn_dim|vocab_size|num_(local_|routed_)?experts|n_routed_experts"
    r"|num_experts_per_tok|moe_intermediate_size|patch_size|image_size|state_size"
    r"|num_single_layers|in_channels|out_channels|block_out_channels|layers_per_block"
    r"|(cross_|joint_)?attention_(head_)?dim|(pooled|caption)_projection_dim|sample_size"
    r"|(down|up)_block_types)"
)
"""Sizes that decide what a model multiplies."""
_SIZE = re.compile(
    r"(num|n)_\w+|\w*_(size|dim|rank|ratio|width|heads|layers|experts|per_tok\w*|ffn\w*)|ffn\w*|moe_top_k"
    r"|first_k_dense\w*|moe_layer_freq\w*|\w*(capacity_factor|expert_choice|shared_expert)\w*"
)
"""How families call what decides the sizes of their parts."""
_NO_SIZE_OF_A_PART = re.compile(
    r"\w*(token|vocab|beam|return|position|ngram|patch|group|chunk|length|label|frames|gradient|kernel"
    r"|window|pos_emb|parameters|mtp|nextn)\w*"
)
"""What generates, trains or tokenizes, or is told elsewhere."""
_MOST_TOLD = 8
_DEEPEST_NESTING = 3
_MANNER = {
    "return_dict", "use_return_dict", "torchscript", "output_attentions", "output_hidden_states",
}  # fmt: skip
"""How a model hands out what it computed; some layers fail without the library's own way."""


def check_sizes(config: Mapping[str, Any], file: Path) -> None:
    """Refuse sizes that would keep a builder busy for ever: meta tensors are free, modules not.

    Raises:
        ConfigError: a size is impossible; names the key.
    """
    for path, value in _walk(config):
        if not isinstance(value, int) or isinstance(value, bool):
            continue
        key = path.rpartition(".")[2]
        if abs(value) > LARGEST_INTEGER and path not in _TOTALS:
            shown = f"{value:.3g}" if abs(value) < 10**30 else "a huge integer"
            raise ConfigError(f"{file}: {path} = {shown}\n  no size of a real model is so large")
        if value > MOST_LAYERS and "layers" in key:
            msg = f"{file}: {path} = {value}\n  more than {MOST_LAYERS} layers are not built"
            raise ConfigError(msg)
        # A part may be there without layers (nested, 0); fewer than none has nobody.
        if value < (0 if "." in path else 1) and _POSITIVE.fullmatch(key):
            raise ConfigError(f"{file}: {path} = {value}\n  a model has at least one")
    _check_heads(config, file)
    for key in ("num_experts", "num_local_experts", "n_routed_experts"):
        number, chosen = config.get(key), config.get("num_experts_per_tok")
        if isinstance(number, int) and number > 0 and chosen == 0:
            msg = f"{file}: num_experts_per_tok = 0 of {key} = {number}\n  no token meets an expert"
            raise ConfigError(msg)
        if isinstance(number, int) and isinstance(chosen, int) and 0 < number < chosen:
            msg = (
                f"{file}: num_experts_per_tok = {chosen} of {key} = {number}\n"
                "  a token meets no expert twice"
            )
            raise ConfigError(msg)
        if isinstance(number, int) and number > 100_000:
            msg = f"{file}: {key} = {number}\n  more than 100,000 experts are not built"
            raise ConfigError(msg)


def _check_heads(config: Mapping[str, Any], file: Path) -> None:
    """Refuse heads of queries that do not divide among those of keys: such a model cannot run."""
    heads, shared = config.get("num_attention_heads"), config.get("num_key_value_heads")
    if type(heads) is not int or type(shared) is not int or heads <= 0 or shared < 0:
        return
    if shared == 0 or heads % shared:
        msg = (
            f"{file}: num_key_value_heads = {shared} of num_attention_heads = {heads}\n"
            "  equal numbers of heads share their keys and values, so the one divides the other"
        )
        raise ConfigError(msg)


def _walk(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, inner in value.items():
        if isinstance(inner, Mapping):
            yield from _walk(inner, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", inner


def without_manner(keys: dict[str, Any]) -> dict[str, Any]:
    """Drop what changes no FLOP and only lets the library fail: how results look, foreign dtypes."""
    kept: dict[str, Any] = {}
    for key, value in keys.items():
        if key in _MANNER or (key in ("dtype", "torch_dtype") and not _is_dtype(value)):
            continue
        kept[key] = without_manner(value) if isinstance(value, dict) else value
    return kept


def _is_dtype(value: object) -> bool:
    import torch

    return isinstance(value, str) and isinstance(getattr(torch, value, None), torch.dtype)


def left_open(config: Mapping[str, Any], parsed: Any) -> str | None:
    """Name the deciding sizes that the file does not state, with what the library takes for them.

    Published files leave out what equals the library's default, a damaged file anything.
    """
    return told(_defaults(config, parsed, 0))


def left_to_diffusers(config: Mapping[str, Any], complete: Mapping[str, Any]) -> str | None:
    """Name the deciding sizes that a file of diffusers does not state; ``complete`` has them all."""
    open_keys = sorted(set(complete) - {k for k, v in config.items() if v is not None})
    return told(
        (key, complete[key])
        for key in open_keys
        if _DECIDING.fullmatch(key) and complete[key] is not None
    )


def told(sizes: Iterable[tuple[str, Any]]) -> str | None:
    """Say which sizes are the library's; None where there are none."""
    found = [f"{name} = {value}" for name, value in sizes]
    if not found:
        return None
    more = f" and {len(found) - _MOST_TOLD} more" if len(found) > _MOST_TOLD else ""
    names = ", ".join(found[:_MOST_TOLD])
    return f"the file does not state, and the library takes by default: {names}{more}"


def _defaults(stated: Mapping[str, Any], parsed: Any, depth: int) -> Iterator[tuple[str, Any]]:
    other_names: Mapping[str, str] = getattr(parsed, "attribute_map", None) or {}
    own = {other_names.get(key, key) for key, value in stated.items() if value is not None}
    try:
        default = vars(type(parsed)())
    except Exception:  # noqa: BLE001 - a class may ask for arguments; then nothing is told
        return
    for name, value in vars(parsed).items():
        if hasattr(value, "model_type"):
            if depth < _DEEPEST_NESTING:
                inner = stated.get(name)
                nested = inner if isinstance(inner, Mapping) else _same_level(stated, value)
                for path, size in _defaults(nested, value, depth + 1):
                    yield f"{name}.{path}", size
            continue
        decides = type(value) is int and _DECIDING.fullmatch(name) is not None
        # A value that is not the default's follows from what is stated.
        if decides and name not in own and default.get(name) == value:
            yield name, value


def never_read(config: Mapping[str, Any], parsed: Any) -> list[str]:
    """Name the sizes that a file states and that the library's code of its family never mentions.

    They are remains of another form of the family, or the mark of a model that the library's class is
    not: in both cases the file says more than what was built. The code is searched as text.
    """
    return list(_unread(config, parsed, frozenset(), 0))


def _unread(
    stated: Mapping[str, Any], parsed: Any, above: frozenset[str], depth: int
) -> Iterator[str]:
    words = above | _words(type(parsed).__module__)
    for key, value in stated.items():
        if isinstance(value, Mapping):
            inner = vars(parsed).get(key)
            if hasattr(inner, "model_type") and depth < _DEEPEST_NESTING:
                for found in _unread(value, inner, words, depth + 1):
                    yield f"{key}.{found}"
        elif (
            key not in words
            and isinstance(value, int | float)
            and value not in (0, 1)
            and _SIZE.fullmatch(key)
            and not _NO_SIZE_OF_A_PART.fullmatch(key)
        ):
            yield f"{key} = {value}"


@cache
def _words(configuration: str) -> frozenset[str]:
    """Every word in a family's two files."""
    found: set[str] = set()
    for name in (configuration, configuration.replace(".configuration_", ".modeling_")):
        with suppress(ImportError, OSError, TypeError):
            found |= set(re.findall(r"\w+", inspect.getsource(importlib.import_module(name))))
    return frozenset(found)


def _same_level(stated: Mapping[str, Any], part: Any) -> Mapping[str, Any]:
    """A part's sizes, where an older file writes them at its top (Qwen2-VL's text)."""
    return stated if getattr(part, "model_type", "").endswith("_text") else {}

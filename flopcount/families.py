"""Families that the library knows under another name than their published files give."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flopcount.config_file import ConfigError
from flopcount.findings import Finding

_FALCON = {"n_layer": "num_hidden_layers", "n_head": "num_attention_heads"}
_OTHER_NAMES: dict[str, tuple[str, Mapping[str, str]]] = {
    "kimi_k2": ("deepseek_v3", {}),
    "Yi": ("llama", {}),
    "RefinedWebModel": ("falcon", _FALCON),
    "RefinedWeb": ("falcon", {**_FALCON, "n_head_kv": "num_kv_heads"}),
    "minimax_text_01": ("minimax", {}),
}
"""A published ``model_type``: the library's, and the keys that are named otherwise there."""


class UnknownFamilyError(ConfigError):
    """A family that the library does not know, or whose code would have to be run."""


def translated(config: Mapping[str, Any], file: object) -> tuple[dict[str, Any], list[Finding]]:
    """Return the configuration in the library's words, and what to know about it.

    Raises:
        ConfigError: a setting that the library's class of that family does not have.
    """
    stated = config.get("model_type")
    known = _OTHER_NAMES.get(stated) if isinstance(stated, str) else None
    if known is None:
        return dict(config), []
    name, keys = known
    words = {keys.get(key, key): value for key, value in config.items() if key != "auto_map"}
    words |= {"model_type": name}
    if stated == "RefinedWeb":
        words["new_decoder_architecture"] = True
    if stated == "minimax_text_01":
        words["layer_types"] = _minimax_layers(config, file)
    return words, [
        Finding(
            code="remote-code-not-run",
            severity="info",
            message=(
                f"'{stated}' comes with code of its own, which was not run; the installed library "
                f"knows the same architecture as '{name}', and that was built"
            ),
            evidence=(str(file),),
        )
    ]


def _minimax_layers(config: Mapping[str, Any], file: object) -> list[str]:
    """Lightning attention is written as 0, attention as 1."""
    kinds = config.get("attn_type_list")
    if not isinstance(kinds, list) or not all(kind in (0, 1) for kind in kinds):
        raise ConfigError(f"{file}: attn_type_list is no list of 0 and 1")
    if config.get("shared_intermediate_size"):
        raise ConfigError(
            f"{file}: shared_intermediate_size: the library's MiniMax has no shared expert"
        )
    return ["full_attention" if kind else "linear_attention" for kind in kinds]

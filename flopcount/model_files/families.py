"""Families that the library knows under another name than their published files give."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flopcount.findings import Finding
from flopcount.model_files.config_file import ConfigError

_FALCON = {"n_layer": "num_hidden_layers", "n_head": "num_attention_heads"}
_OTHER_NAMES: dict[str, tuple[str, Mapping[str, str]]] = {
    "kimi_k2": ("deepseek_v3", {}),
    "Yi": ("llama", {}),
    "RefinedWebModel": ("falcon", _FALCON),
    "RefinedWeb": ("falcon", {**_FALCON, "n_head_kv": "num_kv_heads"}),
    "minimax_text_01": ("minimax", {}),
    "mimo": ("qwen2", {}),
    "kimi_vl": ("kimi_k25", {"media_placeholder_token_id": "image_token_id"}),
}
"""A published ``model_type``: the library's, and the keys that are named otherwise there."""


_FURTHER = {
    "kimi_linear": ("routed_expert_hidden_size", "attn_res_block_size", "mla_use_output_gate"),
}
"""Keys of later models (Kimi K3) under a family that the library knows without them."""


class UnknownFamilyError(ConfigError):
    """A family that the library does not know, or whose code would have to be run."""


def translated(config: Mapping[str, Any], file: object) -> tuple[dict[str, Any], list[Finding]]:
    """Return the configuration in the library's words, and what to know about it.

    Raises:
        ConfigError: a setting that the library's class of that family does not have.
    """
    stated = config.get("model_type")
    _refuse_further(config, file)
    known = _OTHER_NAMES.get(stated) if isinstance(stated, str) else None
    if known is None:
        return _by_class(config, file)
    name, keys = known
    words = {keys.get(key, key): value for key, value in config.items() if key != "auto_map"}
    words |= {"model_type": name}
    if stated == "RefinedWeb":
        words["new_decoder_architecture"] = True
    if stated == "kimi_vl":
        words |= _kimi_towers(config, file)
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


def _refuse_further(config: Mapping[str, Any], file: object) -> None:
    """Refuse a file of a later model that states its parent's family; a closed form may know it.

    Raises:
        UnknownFamilyError: the library's class of the family would build another model of it.
    """
    keys = _FURTHER.get(str(config.get("model_type")), ())
    if found := [key for key in keys if config.get(key)]:
        raise UnknownFamilyError(
            f"{file}: {found[0]} = {str(config[found[0]])[:40]}: the installed library's "
            f"'{config['model_type']}' has nothing of that kind, and would build another model\n"
            "  update transformers, or state the dimensions (architecture = {...}) instead"
        )


def _by_class(config: Mapping[str, Any], file: object) -> tuple[dict[str, Any], list[Finding]]:
    """A family of a name of somebody's own, whose class the library knows: that class is the family."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    from flopcount.model_files.model_classes import library_class

    stated, names = config.get("model_type"), config.get("architectures")
    if stated is None or stated in CONFIG_MAPPING or not isinstance(names, list) or not names:
        return dict(config), []
    cls = library_class(names[0])
    name = getattr(getattr(cls, "config_class", None), "model_type", None)
    if name not in CONFIG_MAPPING:
        return dict(config), []
    words = {key: value for key, value in config.items() if key != "auto_map"}
    return words | {"model_type": name}, [
        Finding(
            code="remote-code-not-run",
            severity="warning",
            message=(
                f"the installed library knows no family {str(stated)[:60]!r}; the file's class, "
                f"'{cls.__name__}', is its own of the family '{name}', and that was built"
            ),
            evidence=(str(file),),
        )
    ]


def known_part(config: Mapping[str, Any]) -> str:
    """Tell which part of a model of several towers is of a known family; empty where none is."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    for part in ("text_config", "llm_config", "language_config"):
        inner = config.get(part)
        name = inner.get("model_type") if isinstance(inner, Mapping) else None
        if isinstance(name, str) and (name in CONFIG_MAPPING or name in _OTHER_NAMES):
            return (
                f"\n  its {part} is of the family '{name[:60]}', which is known: that object alone, "
                "as a config.json, counts the text's part"
            )
    return ""


def _kimi_towers(config: Mapping[str, Any], file: object) -> dict[str, Any]:
    """Kimi-VL's towers in the words of Kimi K2.5, whose image tower is the same for a single frame."""
    text, vision = config.get("text_config"), config.get("vision_config")
    if not isinstance(text, Mapping) or not isinstance(vision, Mapping):
        raise ConfigError(f"{file}: kimi_vl needs a text_config and a vision_config, both objects")
    renamed = {_MOONVIT.get(key, key): value for key, value in vision.items()}
    return {
        "architectures": ["Kimi_K25ForConditionalGeneration"],
        "text_config": {"model_type": "deepseek_v3"}
        | {key: value for key, value in text.items() if key != "auto_map"},
        "vision_config": renamed | {"model_type": "kimi_k25_vision"},
        "projection_hidden_size": vision.get("hidden_size", 1152),
        "tie_word_embeddings": bool(text.get("tie_word_embeddings", False)),
    }


_MOONVIT = {"init_pos_emb_height": "pos_emb_height", "init_pos_emb_width": "pos_emb_width"}


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

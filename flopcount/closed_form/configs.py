"""From a Hugging Face ``config.json`` to dimensions: one small reader for each dialect."""

from collections.abc import Callable, Mapping
from typing import Any

from flopcount.closed_form.dialects_custom import CUSTOM
from flopcount.closed_form.dialects_custom_further import FURTHER
from flopcount.closed_form.dialects_decoder import DENSE
from flopcount.closed_form.dialects_diffusion import DIFFUSERS
from flopcount.closed_form.dialects_experts import MIXTURES
from flopcount.closed_form.dialects_gpt import EARLY
from flopcount.closed_form.dialects_other import ENCODERS, OTHERS
from flopcount.closed_form.dialects_state_space import STATE_SPACES
from flopcount.closed_form.dialects_unequal import UNEQUAL
from flopcount.closed_form.dimensions import Dimensions, DimensionsError
from flopcount.closed_form.fields import Fields
from flopcount.closed_form.library_defaults import DEFAULTS
from flopcount.closed_form.reading import complete

_ALIASES = {
    "llava_llama": "llama",
    "code_llama": "llama",
    "mimo": "qwen2",
    "mt5": "t5",
    "camembert": "roberta",
    "xlm-roberta": "roberta",
}
_LANGUAGE_HEADS = (
    "ForCausalLM", "LMHeadModel", "ForConditionalGeneration", "ChatGLMModel", "DreamModel",
    "LLaDAModelLM", "LLaDA2MoeModelLM",
)  # fmt: skip
"""Endings of classes that end in the vocabulary; files of ChatGLM and Dream name the body and mean it."""
DECODERS = {**DENSE, **MIXTURES, **EARLY, **CUSTOM, **FURTHER, **UNEQUAL}
DIALECTS: dict[str, Callable[[Fields], dict[str, Any]]] = {
    **DECODERS,
    **OTHERS,
    **STATE_SPACES,
    **DIFFUSERS,
}


def read_config(config: Mapping[str, Any] | Any) -> Dimensions:
    """Read a parsed ``config.json``; see :meth:`Dimensions.from_config`."""
    if not isinstance(config, Mapping):  # json.loads may have handed on anything
        msg = "config.json: expected an object of keys and values at the top"
        raise DimensionsError(msg)
    stated = config.get("model_type")
    family = stated if isinstance(stated, str) else ""
    fields = Fields(config, DEFAULTS.get(family, DEFAULTS.get(_ALIASES.get(family, family))))
    name = fields.text("model_type") or fields.text("_class_name")
    if name is None and "ssm_cfg" in fields:
        name = "mamba_ssm"  # the library of that name writes no family
    if name is None:
        msg = (
            "config.json: neither 'model_type' (transformers) nor '_class_name' (diffusers)\n"
            "  without one of them the family is unknown; state the dimensions instead"
        )
        raise DimensionsError(msg)
    dialect = DIALECTS.get(_ALIASES.get(name, name))
    if dialect is None:
        nested = config.get("text_config")
        hint = (
            "  it nests a 'text_config': several towers need the traced count"
            if isinstance(nested, Mapping)
            else "  the traced count may know it; or state the dimensions"
        )
        msg = f"config.json: the family '{name[:60]}' has no closed form here\n{hint}"
        raise DimensionsError(msg)
    if fields.flag("add_cross_attention") or (
        fields.flag("is_decoder") and _ALIASES.get(name, name) in ENCODERS
    ):
        msg = (
            f"config.json: a '{name}' used as the decoder of a pair has no closed form here\n"
            "  use the traced count"
        )
        raise DimensionsError(msg)
    if _ALIASES.get(name, name) in DECODERS:
        _need_language_head(fields)
    reading = dialect(fields)
    fields.refuse_unread(name)
    # A nested object is the library's own way to write what stands in the file.
    taken = [
        f"{key} = {value}" for key, value in fields.taken.items() if not isinstance(value, dict)
    ]
    if taken:
        note = "the file does not state, and the library takes by default: " + ", ".join(taken)
        reading["assumptions"] = (*reading.get("assumptions", ()), note)
    return complete(Dimensions(**reading))


def _need_language_head(fields: Fields) -> None:
    """Decline a decoder's bare body or classifier: the forms end in the vocabulary.

    Raises:
        DimensionsError: the class has another head.
    """
    names = fields.items("architectures") or []
    name = names[0] if names and isinstance(names[0], str) else ""
    if name and not name.endswith(_LANGUAGE_HEADS):
        msg = (
            f"config.json: architectures = ['{name[:60]}']: this head has no closed form here\n"
            "  known: ...ForCausalLM, ...LMHeadModel; use the traced count"
        )
        raise DimensionsError(msg)

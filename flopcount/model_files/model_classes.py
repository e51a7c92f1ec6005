"""Which of the library's classes a config.json means."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flopcount.model_files.config_file import ConfigError
from flopcount.model_files.families import UnknownFamilyError

_LANGUAGE = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
_HEADS = {
    "MODEL_FOR_CAUSAL_LM_MAPPING": "a causal language model",
    "MODEL_FOR_MASKED_LM_MAPPING": "a masked language model",
    "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING": "a sequence-to-sequence model",
    "MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING": "a speech-to-text model",
    "MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING": "a vision-language model",
    "MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING": "an image classifier",
    "MODEL_MAPPING": "a bare model without a head",
}


def library_class(name: object) -> Any:
    """Return the transformers model class of that name, or None.

    Code beside weights often spells a class otherwise than the library that took it in
    (``MPTForCausalLM``, ``MptForCausalLM``; ``KimiK25...``, ``Kimi_K25...``): where no name is equal,
    letters' case and underscores are overlooked.
    """
    import transformers

    if not isinstance(name, str) or not name.isidentifier():
        return None
    if not hasattr(transformers, name):
        alike = [other for other in dir(transformers) if _spelt(other) == _spelt(name)]
        name = alike[0] if len(alike) == 1 else name
    found = getattr(transformers, name, None)
    is_model = isinstance(found, type) and issubclass(found, transformers.PreTrainedModel)
    return found if is_model else None


def _spelt(name: str) -> str:
    return name.lower().replace("_", "")


def class_of(config: Mapping[str, Any], parsed: Any, file: Path) -> tuple[Any, str | None]:
    """Return the class that was trained, and the assumption made where the file names none."""
    import transformers

    names = config.get("architectures")
    if isinstance(names, list) and names:
        cls = library_class(names[0])
        if cls is not None and isinstance(parsed, _config_class(cls)):
            return cls, None
        reason = f"architectures = {str(names)[:80]} is no class of the library for this family"
    else:
        reason = "architectures is not stated"
    for mapping in _likely_heads(parsed):
        table = getattr(transformers, mapping, None)
        if table is not None and type(parsed) in table:
            cls = table[type(parsed)]
            cls = cls[0] if isinstance(cls, tuple) else cls
            if mapping == "MODEL_MAPPING":
                _need_no_head(names, cls, file)
            return cls, f"{reason}: built as {_HEADS[mapping]} ({cls.__name__})"
    cls = _namesake(parsed)
    if cls is not None:
        _need_no_head(names, cls, file)
        return cls, f"{reason}: built as the library's {cls.__name__}"
    msg = f'{file}: {reason}\n  state architectures = ["..."] with a class of transformers'
    raise ConfigError(msg)


def _need_no_head(names: object, cls: Any, file: Path) -> None:
    """Refuse a bare model where the file's own class ends in the vocabulary: that product would be missing.

    Raises:
        UnknownFamilyError: it does; a closed form may know the family.
    """
    name = names[0] if isinstance(names, list) and names else None
    if isinstance(name, str) and name.endswith(_LANGUAGE) and not cls.__name__.endswith(_LANGUAGE):
        raise UnknownFamilyError(
            f"{file}: architectures = ['{name[:60]}'] ends in the vocabulary; the installed library has no "
            f"such class of that family, and its {cls.__name__} has no output head\n"
            "  update transformers, or state the dimensions (architecture = {...}) instead"
        )


def _namesake(parsed: Any) -> Any:
    """Return the model beside a configuration's class: its namesake, else the first written there.

    Towers of larger models (a text encoder, a vision tower) stand in no table of the library.
    """
    import importlib

    from transformers import PreTrainedModel

    place = type(parsed).__module__.replace(".configuration_", ".modeling_")
    try:
        module = importlib.import_module(place)
    except ImportError:
        return None
    stem = type(parsed).__name__.removesuffix("Config")
    fitting: list[Any] = [
        found
        for name, found in vars(module).items()
        if isinstance(found, type)
        and issubclass(found, PreTrainedModel)
        and getattr(found, "config_class", None) is type(parsed)
        and "PreTrainedModel" not in name  # the library's common ancestors, which build nothing
    ]
    namesakes = [found for found in fitting if found.__name__ in (f"{stem}Model", stem)]
    return next(iter(namesakes or fitting), None)


def _likely_heads(parsed: Any) -> list[str]:
    """Order the heads by what such a configuration is usually trained with."""
    heads = list(_HEADS)
    first: list[str] = []
    if getattr(parsed, "is_encoder_decoder", False):
        first = heads[2:4]
    elif not getattr(parsed, "is_decoder", True):
        first = heads[1:2]
    elif hasattr(parsed, "text_config"):
        first = ["MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING", "MODEL_MAPPING"]
    return first + [head for head in heads if head not in first]


def _config_class(cls: Any) -> Any:
    return cls.config_class if isinstance(cls.config_class, type) else object

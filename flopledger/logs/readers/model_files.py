"""``adapter_config.json`` and ``config.json``: what was trained, as the files beside it say.

Names in these files (``_name_or_path``, ``base_model_name_or_path``) are claims about content.
Nothing named in them is loaded.
"""

from typing import Any

from flopledger.facts import Grade
from flopledger.logs.document import Document
from flopledger.logs.evidence import EvidenceError
from flopledger.logs.notes import Notes
from flopledger.logs.numbers import parse_number
from flopledger.logs.reader import Reader

_STATEMENT = Grade.STATEMENT


def sniff_adapter(head: bytes, _name: str) -> bool:
    """Recognise a PEFT adapter."""
    return head.lstrip()[:1] == b"{" and b'"peft_type"' in head


def sniff_config(head: bytes, _name: str) -> bool:
    """Recognise a transformers or diffusers configuration."""
    if head.lstrip()[:1] != b"{":
        return False
    return b'"model_type"' in head or b'"_class_name"' in head or b'"architectures"' in head


def read_adapter(document: Document, notes: Notes) -> None:
    """Write down that the base is frozen, the rank and the targets."""
    adapter = document.table()
    kind = adapter.get("peft_type")
    notes.fact("adapter", kind, "$.peft_type", grade=_STATEMENT)
    notes.fact(
        "base_model",
        adapter.get("base_model_name_or_path"),
        "$.base_model_name_or_path",
        grade=_STATEMENT,
    )
    notes.count("adapter_rank", adapter.get("r"), "$.r", grade=_STATEMENT)
    targets = adapter.get("target_modules")
    if isinstance(targets, list):
        words = sorted(target for target in targets if isinstance(target, str))
        notes.fact("adapter_targets", ",".join(words), "$.target_modules", grade=_STATEMENT)
    elif isinstance(targets, str):
        notes.fact("adapter_targets", targets, "$.target_modules", grade=_STATEMENT)
    also = adapter.get("modules_to_save")
    if isinstance(also, list):
        words = sorted(word for word in also if isinstance(word, str))
        notes.fact("modules_to_save", ",".join(words), "$.modules_to_save", grade=_STATEMENT)
    notes.fact("kind", "lora", "$.peft_type", grade=_STATEMENT)
    notes.finding(
        "frozen-parameters",
        "info",
        f"adapter training ({str(kind)[:20]}): a frozen weight costs 4 FLOP a token, not 6, and "
        "total_flos of the Trainer counts 6",
        "$.peft_type",
    )


def read_config(document: Document, notes: Notes) -> None:
    """Write down the family, the name it claims, and the dimensions."""
    config = document.table()
    notes.fact(
        "model_type",
        config.get("model_type") or config.get("_class_name"),
        "$.model_type" if "model_type" in config else "$._class_name",
        grade=_STATEMENT,
    )
    notes.fact("model", config.get("_name_or_path"), "$._name_or_path", grade=_STATEMENT)
    architectures = config.get("architectures")
    if isinstance(architectures, list) and architectures and isinstance(architectures[0], str):
        notes.fact("model_class", architectures[0], "$.architectures[0]", grade=_STATEMENT)
    for key in ("dtype", "torch_dtype"):
        notes.fact("stored_dtype", config.get(key), f"$.{key}", grade=_STATEMENT)
    _note_dimensions(config, "$", notes)
    text = config.get("text_config")
    if isinstance(text, dict):
        _note_dimensions(text, "$.text_config", notes)


def _note_dimensions(config: dict[str, Any], prefix: str, notes: Notes) -> None:
    """Keep every whole number under its own key: which of them matter depends on the family."""
    for key, value in sorted(config.items()):
        if key.endswith(("_token_id", "_id")) or not isinstance(value, int):
            continue
        number = value if isinstance(value, bool) else parse_number(value)
        if isinstance(number, int) and (isinstance(number, bool) or number > 0):
            notes.fact(f"config.{key}", number, f"{prefix}.{key}", grade=_STATEMENT)


#: Files beside a model that say nothing of its training.
_AUXILIARY = (
    b'"tokenizer_class"',
    b'"feature_extractor_type"',
    b'"image_processor_type"',
    b'"processor_class"',
    b'"_from_model_config"',
    b'"weight_map"',
    b'"added_tokens_decoder"',
    b'"added_tokens":',
    b'"eos_token":',
    b'"bos_token":',
)
#: Lists of packages and the like, which loggers leave beside a run.
_AUXILIARY_NAMES = ("requirements.txt", "conda-environment.yaml", "vocab.json", "merges.txt")


def sniff_auxiliary(head: bytes, name: str) -> bool:
    """Recognise tokenizers, preprocessors, generation settings and the index of shards."""
    if name.rsplit("/", 1)[-1] in _AUXILIARY_NAMES:
        return True
    return head.lstrip()[:1] == b"{" and any(mark in head for mark in _AUXILIARY)


def read_nothing(_document: Document, _notes: Notes) -> None:
    """Take nothing: such a file is known, and holds no fact of a run."""


def sniff_pointer(head: bytes, _name: str) -> bool:
    """Recognise what Git LFS leaves in the place of a large file."""
    return head.startswith(b"version https://git-lfs.github.com/spec/")


def read_pointer(document: Document, _notes: Notes) -> None:
    """Refuse it: the figures are in the file that it stands for."""
    raise EvidenceError(
        f"{document.name}: a Git LFS pointer and not the file itself; fetch it (git lfs pull) and hand "
        "that in"
    )


POINTER = Reader(format="git-lfs-pointer", sniff=sniff_pointer, read=read_pointer)
AUXILIARY = Reader(format="model-auxiliary", sniff=sniff_auxiliary, read=read_nothing)
ADAPTER = Reader(format="adapter-config", sniff=sniff_adapter, read=read_adapter)
CONFIG = Reader(format="model-config", sniff=sniff_config, read=read_config)

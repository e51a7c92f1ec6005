"""Training configurations: YAML, TOML or JSON that tells a program what to do.

Axolotl, LLaMA-Factory, LLM-foundry, OLMo, LitGPT, torchtitan, DeepSpeed. What stands in them was asked
for, and is a statement: a log tells what was done. Read line by line, so nothing is constructed.
"""

import re

from flopledger.facts import Grade
from flopledger.logs import limits
from flopledger.logs.document import Document
from flopledger.logs.notes import Notes, line
from flopledger.logs.reader import Reader
from flopledger.logs.readers.printed_settings import PrintedSettings

_ENDINGS = (".yaml", ".yml", ".toml", ".json")
_WORD = re.compile(
    r"^\s{0,24}['\"]?([a-z_]{2,40})['\"]?\s{0,4}[:=]\s{0,4}['\"]?([\w./+-]{1,120})['\"]?,?\s*(?:#.*)?$"
)
#: Keys whose value is a word or a switch -> canonical name.
_WORDS = {
    "base_model": "base_model",
    "model_name_or_path": "base_model",
    "adapter": "adapter",
    "finetuning_type": "adapter",
    "precision": "precision",
    "mixed_precision": "precision",
}
_DURATION = re.compile(r"(\d{1,12})(ba|ep|tok|T)?")
_PLANNED = {
    "ba": "planned_steps",
    "ep": "planned_epochs",
    "tok": "planned_tokens",
    "T": "planned_tokens",
}
_EPOCHS = re.compile(r"\d{1,6}(?:\.\d{1,6})?")
#: Numbers that mean something under these names in a configuration alone.
_TRAINED = re.compile(
    r"(?m)^\s{0,24}['\"]?(?:learning_rate|lr|optimizer|lr_scheduler(?:_type)?|weight_decay|"
    r"zero_optimization|max_duration|num_epochs|num_train_epochs)['\"]?\s{0,4}[:=\]]",
    re.ASCII,
)
_HEAD_CHARACTERS = 1 << 16


def sniff(head: bytes, name: str) -> bool:
    """Recognise a file of settings that speak of a batch or a length, and of learning."""
    if not name.lower().endswith(_ENDINGS) or b"\0" in head[:4096]:
        return False
    text = "\n".join(
        one for _, one in _lines(head[:_HEAD_CHARACTERS].decode("utf-8", "replace"), name)
    )
    if _TRAINED.search(text) is None:
        return False
    settings = PrintedSettings()
    for number, one in _lines(text, name):
        settings.take(number, one)
    return len(settings) > 0 or '"train_batch_size"' in text


def _lines(text: str, name: str) -> list[tuple[int, str]]:
    """Number the lines; JSON that a program wrote into one line is broken where its keys begin."""
    lines = text.splitlines()
    if len(lines) > 2 or not name.lower().endswith(".json"):
        return list(enumerate(lines, start=1))
    return [(1, one) for one in re.sub(r"(?<=[{,])\s*(?=[\"}])|(?=})", "\n", text).splitlines()]


def read(document: Document, notes: Notes) -> None:
    """Write down batch, length, plan and precision as they were asked for."""
    settings = PrintedSettings()
    section = ""
    for number, text in _lines(document.text(limits.SMALL_BYTES), document.name):
        plain = text.split("#", 1)[0]
        settings.take(number, plain)
        match = _WORD.match(text)
        if match is not None:
            _note_word(match[1], match[2], section, line(number), notes)
        elif begun := re.match(r"\s{0,24}['\"]?(bf16|bfloat16|fp16)['\"]?\s{0,3}:\s{0,3}\{?", text):
            section = begun[1]
        elif text.strip().startswith("}"):
            section = ""
    settings.note(notes, Grade.STATEMENT)


def _note_word(key: str, value: str, section: str, place: str, notes: Notes) -> None:
    """Write down what a key says that is no plain number."""
    grade = Grade.STATEMENT
    if key in ("bf16", "fp16", "tf32", "fp8") and value.lower() == "true":
        notes.fact("precision", key, place, grade=grade)
    elif key == "enabled" and value == "true" and section:
        notes.fact("precision", section.replace("bfloat16", "bf16"), place, grade=grade)
    elif key == "train_batch_size" and value.isdigit():
        notes.fact("global_batch", int(value), place, grade=grade)
    elif key in ("num_epochs", "num_train_epochs") and _EPOCHS.fullmatch(value):
        notes.fact("planned_epochs", float(value), place, grade=grade)
    elif key == "max_duration" and (found := _DURATION.fullmatch(value)) and found[2]:
        name = _PLANNED[found[2]]
        unit = "tokens" if name == "planned_tokens" else None
        notes.fact(name, int(found[1]), place, unit=unit, grade=grade)
    elif key in _WORDS and value not in ("auto", "no"):
        word = re.sub(r"^amp_", "", value)
        if _WORDS[key] == "adapter":
            if value in ("lora", "qlora"):
                notes.fact("kind", "lora", place, grade=grade)
        elif _WORDS[key] != "precision" or re.fullmatch(r"(?:bf|fp)\d{1,2}", word):
            notes.fact(_WORDS[key], word, place, grade=grade)


READER = Reader(format="training-config", sniff=sniff, read=read)

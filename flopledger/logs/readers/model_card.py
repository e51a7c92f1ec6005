"""Model cards: the training sections of a README that the Trainer or a person wrote.

Everything in a card is a statement. The lists that the Trainer generates and the headings of the
standard template are taken; the rest is read as any other text is (``prose/``), which is weaker.
"""

import re

from flopledger import flop_words
from flopledger.facts import Grade
from flopledger.logs.document import Document
from flopledger.logs.notes import Notes, line
from flopledger.logs.numbers import is_placeholder, parse_count, parse_positive
from flopledger.logs.reader import Reader
from flopledger.logs.readers.prose import groups, labels
from flopledger.logs.readers.prose.reader import note

_HYPERPARAMETER = re.compile(r"\s*[-*]\s*\**([A-Za-z_ ]{3,40}?)\**\s*:\s*\**\s*(.{1,200}?)\**\s*")
_BASE = re.compile(r"base_model:\s*([^\s\[\]]{1,200})\s*")
_FINE_TUNED = re.compile(r"fine-tuned version of \[([^\]]{1,200})\]")

#: The Trainer's own list: word -> (canonical name, whether it is a whole number).
_GENERATED: dict[str, tuple[str, bool]] = {
    "train_batch_size": ("per_process_batch", True),
    "total_train_batch_size": ("global_batch", True),
    "gradient_accumulation_steps": ("gradient_accumulation", True),
    "num_devices": ("accelerator_count", True),
    "training_steps": ("planned_steps", True),
    "num_epochs": ("planned_epochs", False),
    "distributed_type": ("distributed_type", False),
    "mixed_precision_training": ("mixed_precision", False),
}
#: Headings of the model card template.
_TEMPLATE = {
    "hardware type": "accelerator",
    "hardware": "accelerator",
    "hours used": "hours_used",
    "gpu hours": "accelerator_hours",
}
_COUNTED_PART = re.compile(r"(\d{1,6})\s*[x×*]\s*(.{2,100})|(.{2,100}?)\s*[x×*]\s*(\d{1,6})")


def sniff(head: bytes, name: str) -> bool:
    """Recognise a Markdown card that has a training section."""
    if b"\0" in head[:4096] or head.lstrip()[:1] in (b"{", b"["):
        return False
    marks = (
        b"### Training hyperparameters",
        b"were used during training",
        b"**Hardware Type:**",
        b"## Training procedure",
        b"# Model Card for",
    )
    front_matter = head.startswith(b"---") and b"base_model:" in head[:8192]
    return name.lower().endswith((".md", ".markdown")) and (
        front_matter or any(mark in head for mark in marks)
    )


def read(document: Document, notes: Notes) -> None:
    """Write down the hyper-parameters and the stated hardware."""
    whole = document.text()
    for number, text in enumerate(whole.splitlines(), start=1):
        if (match := _BASE.fullmatch(text)) or (match := _FINE_TUNED.search(text)):
            notes.fact("base_model", match[1], line(number), grade=Grade.STATEMENT)
        elif match := _HYPERPARAMETER.fullmatch(text):
            _note_item(match[1].strip().lower(), match[2].strip(), line(number), notes)
    note(whole, notes)


def _note_item(key: str, value: str, place: str, notes: Notes) -> None:
    key = key.strip("* ")
    if key in _GENERATED:
        name, whole = _GENERATED[key]
        number = parse_count(value) if whole else parse_positive(value)
        if name in ("distributed_type", "mixed_precision"):
            notes.fact(name, value, place, grade=Grade.STATEMENT)
        elif number is not None:
            notes.fact(name, number, place, grade=Grade.STATEMENT)
    elif key in _TEMPLATE and not is_placeholder(value):
        _note_template(_TEMPLATE[key], value, place, notes)


def _note_template(name: str, value: str, place: str, notes: Notes) -> None:
    if name == "accelerator":
        part, count = split_count(value)
        notes.fact("accelerator", part, place, grade=Grade.STATEMENT)
        if count is not None:
            notes.fact("accelerator_count", count, place, grade=Grade.STATEMENT)
        return
    # "24", "~24h", "3 days", "1.2 x 10^6": a rounded word of a person, kept with that grade.
    text = groups.joined(flop_words.spelled(value))
    if groups.veiled(text, by_commas=groups.parts_by_commas(text)) != text:
        notes.finding(
            "prose-ambiguous",
            "warning",
            f"{name}: digits that can be read in two ways, or a range, in {value[:80]!r}: not used",
            place,
        )
        return
    hours = labels.hours(text)
    if hours is None:
        return
    if name == "accelerator_hours":
        notes.fact("accelerator_seconds", hours * 3600, place, grade=Grade.STATEMENT)
        return
    notes.fact(name, hours, place, unit="h", grade=Grade.STATEMENT)
    notes.finding(
        "unit-ambiguity",
        "info",
        f"{hours:,} hours used: of the machine or of all its devices, the template does not say; "
        "the figure is listed and not used",
        place,
    )


def split_count(text: str) -> tuple[str, int | None]:
    """Split ``"8 x NVIDIA A100"`` or ``"NVIDIA A100 x 8"`` into part and count."""
    match = _COUNTED_PART.fullmatch(text.strip())
    if match is None:
        return text.strip(), None
    count = parse_count(match[1] or match[4])
    return (match[2] or match[3]).strip(), count


READER = Reader(format="model-card", sniff=sniff, read=read)

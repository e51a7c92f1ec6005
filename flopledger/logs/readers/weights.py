"""Headers of safetensors and GGUF files: how many numbers the weights hold, and in which type.

Only the header is read. A shard counts for itself; the shards of one model are added up once all
of them are there. An adapter's file gives the trainable parameters.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from flopledger import foreign_json
from flopledger.facts import Grade
from flopledger.logs.document import Document
from flopledger.logs.evidence import EvidenceError
from flopledger.logs.notes import Notes
from flopledger.logs.numbers import parse_count, parse_positive
from flopledger.logs.reader import Reader

if TYPE_CHECKING:
    from flopcount.model_files.headers import StoredTensor

_ADAPTER = re.compile(
    r"(?:^|\.)(?:lora_[AB]|lora_magnitude_vector|prompt_embeddings|lora_up|"
    r"lora_down)(?:\.|$)|\.alpha$"
)


def sniff_safetensors(head: bytes, _name: str) -> bool:
    """Recognise a length, then JSON that places tensors."""
    return head[8:9] == b"{" and b'"data_offsets"' in head[: 1 << 16]


def sniff_gguf(head: bytes, _name: str) -> bool:
    """Recognise the magic number."""
    return head[:4] == b"GGUF"


def read_safetensors(document: Document, notes: Notes) -> None:
    """Write down parameters and types."""
    from flopcount.model_files.headers import safetensors_file

    _note(_tensors(lambda: safetensors_file.read(document.path), document), document, notes)
    _note_training(_metadata(document), notes)


#: What kohya's scripts write of their training into the header -> canonical name.
_TRAINING = {
    "ss_steps": "steps",
    "ss_epoch": "epochs",
    "ss_max_train_steps": "planned_steps",
    "ss_num_epochs": "planned_epochs",
    "ss_num_train_images": "dataset_samples",
    "ss_batch_size_per_device": "per_process_batch",
    "ss_gradient_accumulation_steps": "gradient_accumulation",
    "ss_network_dim": "adapter_rank",
}
_METADATA_BYTES = 16 << 20


def _metadata(document: Document) -> dict[str, Any]:
    """Give the free text of the header, of which whoever holds the file may have written any part."""
    with document.open() as file:
        length = int.from_bytes(file.read(8), "little")
        raw = file.read(min(length, _METADATA_BYTES))
    found = (foreign_json.table(raw) or {}).get("__metadata__")
    return found if isinstance(found, dict) else {}


def _note_training(metadata: dict[str, Any], notes: Notes) -> None:
    """Write down what a diffusion adapter's file says of its training: a statement, not a log."""
    grade = Grade.STATEMENT
    for key, name in _TRAINING.items():
        value = parse_count(metadata.get(key))
        notes.fact(name, value, f"header, __metadata__.{key}", grade=grade)
    begun = parse_positive(metadata.get("ss_training_started_at"))
    ended = parse_positive(metadata.get("ss_training_finished_at"))
    if begun is not None and ended is not None and ended > begun:
        place = "header, ss_training_finished_at - ss_training_started_at"
        notes.fact("wall_seconds", round(ended - begun, 3), place, grade=grade)
    word = metadata.get("ss_mixed_precision")
    if word in ("bf16", "fp16"):
        notes.fact("precision", word, "header, __metadata__.ss_mixed_precision", grade=grade)
    notes.fact(
        "base_model", metadata.get("ss_sd_model_name"), "header, ss_sd_model_name", grade=grade
    )


def read_gguf(document: Document, notes: Notes) -> None:
    """Write down parameters, types and the name that the file gives its model."""
    from flopcount.model_files.headers import gguf_file

    metadata: dict[str, object] = {}

    def read() -> "Sequence[StoredTensor]":
        tensors, found = gguf_file.read(document.path)
        metadata.update(found)
        return tensors

    tensors = _tensors(read, document)
    notes.fact("model_name", metadata.get("general.name"), "general.name")
    _note(tensors, document, notes)


def _tensors(
    read: "Callable[[], Sequence[StoredTensor]]", document: Document
) -> "tuple[StoredTensor, ...]":
    from flopcount.errors import FlopcountError

    try:
        return tuple(read())
    except FlopcountError as error:
        raise EvidenceError(f"{document.name}: {error}") from None


def _note(tensors: "tuple[StoredTensor, ...]", document: Document, notes: Notes) -> None:
    from flopcount.model_files.weight_files import shard_of
    from flopcount.model_files.weights import Weights

    types = Counter(tensor.dtype for tensor in tensors)
    place = f"header, {len(tensors)} tensors"
    notes.fact("stored_dtype", ",".join(sorted(types)), place)
    is_adapter = bool(tensors) and all(_ADAPTER.search(tensor.name) for tensor in tensors)
    if is_adapter:  # a scale that kohya stores beside its matrices is not trained
        tensors = tuple(tensor for tensor in tensors if not tensor.name.endswith(".alpha"))
    weights = Weights(files=(document.path,), tensors=tensors)
    counted = weights.parameters
    if counted is None:
        if weights.are_packed:
            notes.finding(
                "packed-weights",
                "info",
                "weights are packed several to a number: the header does not tell the parameters",
                place,
            )
    elif is_adapter:
        notes.fact("trainable_parameters", counted.total, place)
    elif shard_of(document.name) is not None:
        notes.fact("parameters_of_shard", counted.total, place, unit="parameters")
    elif counted.total:
        notes.fact("parameters", counted.total, place)


SAFETENSORS = Reader(
    format="safetensors", sniff=sniff_safetensors, read=read_safetensors, header_only=True
)
GGUF = Reader(format="gguf", sniff=sniff_gguf, read=read_gguf, header_only=True)

"""Headers of safetensors and GGUF files: how many numbers the weights hold, and in which type.

Only the header is read. A shard counts for itself; the shards of one model are added up once all
of them are there. An adapter's file gives the trainable parameters.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from flopledger.logs.document import Document
from flopledger.logs.evidence import EvidenceError
from flopledger.logs.notes import Notes
from flopledger.logs.reader import Reader

if TYPE_CHECKING:
    from flopcount.headers import StoredTensor

SHARD = re.compile(r"-(\d{5})-of-(\d{5})\.(?:safetensors|gguf)$")
_ADAPTER = re.compile(r"(?:^|\.)(?:lora_[AB]|lora_magnitude_vector|prompt_embeddings)(?:\.|$)")


def sniff_safetensors(head: bytes, _name: str) -> bool:
    """Recognise a length, then JSON that places tensors."""
    return head[8:9] == b"{" and b'"data_offsets"' in head[: 1 << 16]


def sniff_gguf(head: bytes, _name: str) -> bool:
    """Recognise the magic number."""
    return head[:4] == b"GGUF"


def read_safetensors(document: Document, notes: Notes) -> None:
    """Write down parameters and types."""
    from flopcount.headers import safetensors_file

    _note(_tensors(lambda: safetensors_file.read(document.path), document), document, notes)


def read_gguf(document: Document, notes: Notes) -> None:
    """Write down parameters, types and the name that the file gives its model."""
    from flopcount.headers import gguf_file

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
    from flopcount.weights import Weights

    types = Counter(tensor.dtype for tensor in tensors)
    place = f"header, {len(tensors)} tensors"
    notes.fact("stored_dtype", ",".join(sorted(types)), place)
    counted = Weights(files=(document.path,), tensors=tensors).parameters
    if counted is None:
        notes.finding(
            "packed-weights",
            "info",
            "weights are packed several to a number: the header does not tell the parameters",
            place,
        )
    elif tensors and all(_ADAPTER.search(tensor.name) for tensor in tensors):
        notes.fact("trainable_parameters", counted.total, place)
    elif SHARD.search(document.name):
        notes.fact("parameters_of_shard", counted.total, place, unit="parameters")
    elif counted.total:
        notes.fact("parameters", counted.total, place)


SAFETENSORS = Reader(
    format="safetensors", sniff=sniff_safetensors, read=read_safetensors, header_only=True
)
GGUF = Reader(format="gguf", sniff=sniff_gguf, read=read_gguf, header_only=True)

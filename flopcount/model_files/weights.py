"""Parameter truth from files of weights: safetensors, GGUF and torch checkpoints, headers only."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flopcount.findings import Finding, name_mismatch
from flopcount.model_files.counted_model import CountedModel
from flopcount.model_files.headers import (
    HeaderError,
    StoredTensor,
    gguf_file,
    safetensors_file,
    torch_file,
)
from flopcount.model_files.parameters import ParameterCount
from flopcount.model_files.trained_tensors import are_packed, of_the_model, trained
from flopcount.model_files.weight_files import ModelFiles, is_slice, model_files, shard_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_TABLE = re.compile(
    r"(^|\.)(embed_tokens|wte|wpe|word_embeddings|position_embeddings|token_type_embeddings|"
    r"tok_embeddings|embed_in|token_embd|embed_positions|shared)\.weight$"
)
_EXPERT = re.compile(
    r"(^|[._])(experts?|moe|router)([._\d]|$)|ffn_\w+_exps|ffn_gate_inp|ffn_(gate|up|down)\.\d"
)
"""Marks of a mixture, also where its experts are stored as one tensor of another name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """The tensors of one file, or of all shards of one model."""

    files: tuple[Path, ...]
    tensors: tuple[StoredTensor, ...]
    name: str | None = None
    """The name that the file itself gives its model (GGUF)."""

    missing: tuple[int, ...] = ()
    """Numbers of the shards that are not there."""
    unread: tuple[Path, ...] = ()
    """Further files of weights in the same folder."""
    left: tuple[str, ...] = ()
    """Parts of a training program's checkpoint that are no part of its model."""

    @property
    def are_packed(self) -> bool:
        """Whether several weights are packed into one stored number."""
        return are_packed(self.tensors)

    @property
    def parameters(self) -> ParameterCount | None:
        """Trained numbers, shared memory once; None where there are none or they are packed.

        See :mod:`flopcount.model_files.trained_tensors`.
        """
        found = trained(self.tensors)
        if self.are_packed or not found:
            return None
        total = sum(tensor.numbers for tensor in found)
        tables = [tensor for tensor in found if _TABLE.search(tensor.name)]
        embedded = sum(tensor.numbers for tensor in tables)
        routed = any(_EXPERT.search(tensor.name) for tensor in found)
        without = total - embedded if tables else None
        return ParameterCount(
            total=total,
            trainable=None,
            active=None if routed else total,
            total_without_embeddings=without,
            active_without_embeddings=None if routed else without,
        )


def read_weights(path: Path) -> Weights:
    """Read the header of one file, or of every shard in a folder.

    Raises:
        HeaderError: a header is corrupt, or there is no such file.
    """
    chosen = model_files(path) if path.is_dir() else ModelFiles(files=(path,))
    if not chosen.files:
        raise HeaderError(f"{path}: no .safetensors, .gguf, .bin or .pt file in this folder")
    tensors: list[StoredTensor] = []
    name: str | None = None
    for file in chosen.files:
        if file.suffix == ".safetensors":
            tensors += safetensors_file.read(file)
        elif file.suffix == ".gguf":
            found, metadata = gguf_file.read(file)
            tensors += found
            said = metadata.get("general.name")
            name = said[:200] if isinstance(said, str) else name
        else:
            tensors += torch_file.read(file)
    kept, left = of_the_model(tensors)
    return Weights(
        files=chosen.files,
        tensors=tuple(kept),
        name=name,
        missing=chosen.missing,
        unread=chosen.left,
        left=left,
    )


def count_weights(path: Path) -> CountedModel:
    """Answer with the parameters of a file of weights; it has no FLOP to count.

    Raises:
        HeaderError: the header is corrupt.
    """
    weights = read_weights(path)
    parameters = weights.parameters
    findings = [
        Finding(
            code="input-size-unknown",
            severity="info",
            message="weights tell parameters only; FLOP need the model's config.json or graph",
        )
    ]
    findings += _of_the_files(path, weights)
    if parameters is None:
        findings.append(_unknown_total(weights))
    elif not any(finding.code == "partial-weights" for finding in findings):
        mismatch = name_mismatch(
            [name for name in (weights.name, path.stem) if name], parameters.total
        )
        findings += [] if mismatch is None else [mismatch]
    return CountedModel(
        name=weights.name or path.name,
        kind="weights",
        source=path,
        batch=1,
        sequence=None,
        parameters=parameters,
        count=None,
        no_closed_form="weights alone do not say how they are multiplied",
        findings=tuple(findings),
    )


def _of_the_files(path: Path, weights: Weights) -> list[Finding]:
    """What of a model the files that were read leave out, and what they hold besides."""
    found = []
    shard = None if path.is_dir() else shard_of(path.name)
    if shard is not None and shard[1] > 1:
        text = f"shard {shard[0]} of {shard[1]}: give the folder for the whole"
        found.append(Finding(code="partial-weights", severity="warning", message=text))
    if not path.is_dir() and is_slice(path):
        text = "the file holds slices of matrices, whose other slices lie in the files beside it"
        found.append(Finding(code="partial-weights", severity="warning", message=text))
    if weights.missing:
        text = (
            f"shards are missing: {_few(weights.missing)}; the parameters are of the others alone"
        )
        found.append(Finding(code="partial-weights", severity="warning", message=text))
    if weights.unread:
        names = _few(file.name for file in weights.unread)
        text = f"only {weights.files[0].name} of this folder was read, not {names}"
        found.append(Finding(code="weights-unread", severity="warning", message=text))
    if weights.left:
        text = f"parts of the checkpoint that are no weights of the model: {_few(weights.left)}"
        found.append(Finding(code="checkpoint-parts", severity="info", message=text))
    return found


def _few(names: Iterable[object]) -> str:
    shown = [str(name)[:60] for name in names]
    more = f" and {len(shown) - 5} more" if len(shown) > 5 else ""
    return ", ".join(shown[:5]) + more


def _unknown_total(weights: Weights) -> Finding:
    if weights.are_packed:
        return Finding(
            code="packed-weights",
            severity="warning",
            message="several weights are packed into one number; the total is not known",
        )
    return Finding(
        code="weights-unreadable",
        severity="warning",
        message="the file holds no weights of a model: " + (_few(weights.left) or "buffers only"),
    )


def compare_with_config(folder: Path, parameters: ParameterCount) -> Finding | None:
    """Compare what a config builds with what the weights beside it hold; within 1% is agreement.

    A multi-token-prediction module or a value head that the library's class leaves out shows here.
    """
    try:
        if not model_files(folder).files:
            return None
        weights = read_weights(folder)
    except HeaderError as error:
        return Finding(code="weights-unreadable", severity="warning", message=str(error))
    stored = weights.parameters
    if stored is None or abs(stored.total - parameters.total) <= parameters.total // 100:
        return None
    return Finding(
        code="config-weights-mismatch",
        severity="warning",
        message=(
            f"the config builds {parameters.total:,} parameters, the weights beside it hold "
            f"{stored.total:,}: another model's file, a part that the library's class leaves out, "
            f"or shards that are missing{_missing(weights)}"
        ),
        evidence=tuple(str(file) for file in weights.files[:5]),
    )


def _missing(weights: Weights) -> str:
    return f" ({_few(weights.missing)})" if weights.missing else ""

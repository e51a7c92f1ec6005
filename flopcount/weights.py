"""Parameter truth from files of weights: safetensors, GGUF and torch checkpoints, headers only."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flopcount.counted_model import CountedModel
from flopcount.findings import Finding, name_mismatch
from flopcount.headers import HeaderError, StoredTensor, gguf_file, safetensors_file, torch_file
from flopcount.parameters import ParameterCount

if TYPE_CHECKING:
    from pathlib import Path

_TABLE = re.compile(
    r"(^|\.)(embed_tokens|wte|wpe|word_embeddings|position_embeddings|token_type_embeddings|"
    r"tok_embeddings|embed_in|token_embd|embed_positions|shared)\.weight$"
)
_EXPERT = re.compile(r"(^|\.)(experts|ffn_(gate|up|down)_exps)(\.|$)")
_NO_PARAMETER = re.compile(
    r"(inv_freq|running_mean|running_var|num_batches_tracked|position_ids|masked_bias|"
    r"rotary_emb\.\w+|attn\.bias|attention\.bias|e_score_correction_bias|rope_freqs\.weight)$"
)
_PACKED = re.compile(r"(\.qweight|\.quant_state\.\w+|\.weight_packed|_blocks)$")
_SCALE = re.compile(
    r"(weight_scale(_inv)?|\.scales|\.qzeros|\.g_idx|\.absmax|input_scale|_scales|weight_shape)$"
)
_INTEGERS = {"I64", "I32", "U32", "U64", "I16", "U16", "BOOL", "LongStorage", "IntStorage",
             "BoolStorage", "ShortStorage"}  # fmt: skip
_SHARD = re.compile(r"-(\d{5})-of-(\d{5})\.(safetensors|bin|gguf)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """The tensors of one file, or of all shards of one model."""

    files: tuple[Path, ...]
    tensors: tuple[StoredTensor, ...]
    name: str | None = None
    """The name that the file itself gives its model (GGUF)."""

    @property
    def parameters(self) -> ParameterCount | None:
        """Trained numbers, shared memory once; None where weights are packed several to a number.

        Buffers, scales and indices are left out, by name and by type.
        """
        if any(_PACKED.search(tensor.name) for tensor in self.tensors):
            return None
        trained = self._trained()
        total = sum(tensor.numbers for tensor in trained)
        tables = [tensor for tensor in trained if _TABLE.search(tensor.name)]
        embedded = sum(tensor.numbers for tensor in tables)
        routed = any(_EXPERT.search(tensor.name) for tensor in trained)
        without = total - embedded if tables else None
        return ParameterCount(
            total=total,
            trainable=None,
            active=None if routed else total,
            total_without_embeddings=without,
            active_without_embeddings=None if routed else without,
        )

    def _trained(self) -> list[StoredTensor]:
        kept: dict[object, StoredTensor] = {}
        for index, tensor in enumerate(self.tensors):
            leave = _NO_PARAMETER.search(tensor.name) or _SCALE.search(tensor.name)
            if not leave and tensor.dtype not in _INTEGERS:
                kept.setdefault(index if tensor.identity is None else tensor.identity, tensor)
        return list(kept.values())


def read_weights(path: Path) -> Weights:
    """Read the header of one file, or of every shard in a folder.

    Raises:
        HeaderError: a header is corrupt, or there is no such file.
    """
    if path.is_dir():
        files = weight_files(path)
        if not files:
            raise HeaderError(f"{path}: no .safetensors, .gguf, .bin or .pt file in this folder")
    else:
        files = [path]
    tensors: list[StoredTensor] = []
    name: str | None = None
    for file in files:
        if file.suffix == ".safetensors":
            tensors += safetensors_file.read(file)
        elif file.suffix == ".gguf":
            found, metadata = gguf_file.read(file)
            tensors += found
            said = metadata.get("general.name")
            name = said[:200] if isinstance(said, str) else name
        else:
            tensors += torch_file.read(file)
    return Weights(files=tuple(files), tensors=tuple(tensors), name=name)


def weight_files(folder: Path) -> list[Path]:
    """Return the shards of one model in a folder; one form only, the safest that is there."""
    for pattern in ("*.safetensors", "*.gguf", "pytorch_model*.bin", "*.pt", "*.pth"):
        found = sorted(
            file
            for file in folder.glob(pattern)
            if file.is_file()
            and not file.name.startswith(("training_args", "adapter", "optimizer"))
        )
        shards = [file for file in found if _SHARD.search(file.name)]
        if found:
            # A folder may hold the shards and the consolidated copy of the same weights.
            return shards or found[:1]
    return []


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
    shard = _SHARD.search(path.name)
    if shard and int(shard[2]) > 1:
        findings.append(
            Finding(
                code="partial-weights",
                severity="warning",
                message=f"shard {int(shard[1])} of {int(shard[2])}: give the folder for the whole",
            )
        )
    if parameters is None:
        findings.append(
            Finding(
                code="packed-weights",
                severity="warning",
                message="several weights are packed into one number; the total is not known",
            )
        )
    else:
        mismatch = name_mismatch(
            [name for name in (weights.name, path.stem) if name], parameters.total
        )
        findings += [] if mismatch is None or shard else [mismatch]
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


def compare_with_config(folder: Path, parameters: ParameterCount) -> Finding | None:
    """Compare what a config builds with what the weights beside it hold; within 1% is agreement.

    A multi-token-prediction module or a value head that the library's class leaves out shows here.
    """
    if not weight_files(folder):
        return None
    try:
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
            "or shards that are missing"
        ),
        evidence=tuple(str(file) for file in weights.files[:5]),
    )

"""Reading the graph in a ``.pt2`` file: JSON in a zip, no pickle touched, no weight read."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flopcount.errors import FlopcountError
from flopcount.model_files.headers.tensor import LARGEST_SIDE

LARGEST_GRAPH = 2**29
DTYPES = {
    1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float16", 7: "float32",
    8: "float64", 9: "complex32", 10: "complex64", 11: "complex128", 12: "bool", 13: "bfloat16",
    28: "uint16", 29: "float8_e4m3fn", 30: "float8_e5m2", 31: "float8_e4m3fnuz",
    32: "float8_e5m2fnuz", 33: "float8_e8m0fnu", 34: "uint32", 35: "uint64",
}  # fmt: skip
"""The number of a dtype in the file -> its name in torch."""


class ExportError(FlopcountError):
    """A ``.pt2`` file that cannot be read or run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorMeta:
    """Shape and dtype of one input; a free size is the name of its symbol."""

    sizes: tuple[int | str, ...]
    dtype: str
    requires_grad: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphInput:
    """One input of the graph, in order."""

    name: str
    kind: str
    """``parameter``, ``buffer``, ``tensor_constant``, ``user_input``, or another of the format."""
    meta: TensorMeta | None
    value: Any = None
    """A number that was fixed when the graph was made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedGraph:
    """What the file says."""

    path: Path
    inputs: tuple[GraphInput, ...]
    nodes: tuple[dict[str, Any], ...]
    outputs: tuple[dict[str, Any], ...]


def read_export(path: Path) -> ExportedGraph:
    """Read the graph.

    Raises:
        ExportError: no export, a cut-off zip, a graph of an unknown form.
    """
    text = _graph_text(path)
    try:
        program = json.loads(text)
        module = program["graph_module"]
        graph, signature = module["graph"], module["signature"]
        values = graph["tensor_values"]
        inputs = tuple(_input(spec, values) for spec in signature["input_specs"])
        return ExportedGraph(
            path=path,
            inputs=inputs,
            nodes=tuple(_node(node) for node in graph["nodes"]),
            outputs=tuple(graph["outputs"]),
        )
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise unknown_form(path, error) from None


def unknown_form(path: Path, error: BaseException) -> ExportError:
    """What to say of a graph that holds something else than it should."""
    return ExportError(
        f"{path}: the graph is not of the known form: {type(error).__name__}: "
        f"{str(error)[:100]}\n  export it again with torch.export.save of torch 2.13 or later"
    )


def _node(node: dict[str, Any]) -> dict[str, Any]:
    """Return an operator's call when its parts are there.

    Raises:
        TypeError: one of them is something else.
    """
    metadata = node.get("metadata")
    parts = (node["inputs"], node["outputs"], {} if metadata is None else metadata)
    if not isinstance(node["target"], str) or [type(p) for p in parts] != [list, list, dict]:
        msg = "a node without target, inputs or outputs"
        raise TypeError(msg)
    return node


def _graph_text(path: Path) -> bytes:
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                inside = info.filename.partition("/")[2] or info.filename
                if inside in ("models/model.json", "serialized_exported_program.json") or (
                    info.filename == "serialized_exported_program.json"
                ):
                    if info.file_size > LARGEST_GRAPH:
                        raise ExportError(f"{path}: its graph is larger than {LARGEST_GRAPH:,}")
                    with archive.open(info) as member:
                        return member.read(LARGEST_GRAPH)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise ExportError(f"{path}: not a readable .pt2 archive: {str(error)[:100]}") from None
    raise ExportError(f"{path}: a zip without an exported program; no .pt2 file")


def _input(spec: dict[str, Any], values: dict[str, Any]) -> GraphInput:
    ((kind, body),) = spec.items()
    argument = body.get("arg", body)
    if "as_tensor" in argument:
        argument = argument["as_tensor"]
    name = argument.get("name")
    if name is None and kind == "user_input":
        ((_, fixed),) = argument.items()
        return GraphInput(name="", kind=kind, meta=None, value=fixed)
    if kind == "constant_input":
        return GraphInput(name=str(body.get("name")), kind=kind, meta=None, value=body["value"])
    meta = values.get(name)
    return GraphInput(name=name, kind=kind, meta=None if meta is None else _meta(meta))


def _meta(meta: dict[str, Any]) -> TensorMeta:
    return TensorMeta(
        sizes=tuple(_size(size) for size in meta["sizes"]),
        dtype=DTYPES[meta["dtype"]],
        requires_grad=bool(meta["requires_grad"]),
    )


def _size(size: dict[str, Any]) -> int | str:
    number = size.get("as_int")
    if number is None:
        return str(size["as_expr"]["expr_str"])
    if type(number) is not int or not 0 <= number <= LARGEST_SIDE:
        msg = "an impossible size"
        raise ValueError(msg)
    return number

"""An ONNX file as a graph in which every shape is told, as far as it follows from the inputs' sizes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flopcount.errors import FlopcountError
from flopcount.model_files.config_file import need_libraries
from flopcount.onnx_files.folding import MOST_ROUNDS, folded
from flopcount.onnx_files.products import SAME_SHAPE, Operand

if TYPE_CHECKING:
    from pathlib import Path

LARGEST_FILE = 2**31
_BATCH = re.compile(r"^(n|b|batch|batch_?size|unk__0|unknown_batch)$", re.IGNORECASE)
_SEQUENCE = re.compile(
    r"^(s|t|l|seq|seq(uence)?_?(len(gth)?)?|tokens|time|max_?len(gth)?)$", re.IGNORECASE
)
MOST_NODES = 500_000
MOST_TURNED = 100 * MOST_NODES
"""Nodes of a loop times its turns; most loops are alike after the second turn and end there."""
MOST_CALLS_DEEP = 100
"""Functions that call functions: exporters write a few levels."""


class OnnxError(FlopcountError):
    """An ONNX file that cannot be read or counted."""


def read_graph(path: Path) -> Any:
    """Read an ONNX file, its weights in other files left where they are.

    Raises:
        OnnxError: it is none, is cut off or too large.
    """
    size = path.stat().st_size
    if size > LARGEST_FILE:
        raise OnnxError(f"{path}: {size:,} bytes; no graph is larger than {LARGEST_FILE:,}")
    need_libraries(path, "onnx")
    import onnx
    import onnx.inliner

    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # noqa: BLE001 - protobuf raises classes of its own
        raise OnnxError(f"{path}: not readable as ONNX: {str(error)[:150]}") from None
    if not model.graph.node:
        raise OnnxError(f"{path}: a graph without a node\n  cut off, or no ONNX file")
    if len(model.graph.node) > MOST_NODES:
        raise OnnxError(f"{path}: {len(model.graph.node):,} nodes; no model has so many")
    for tensor in model.graph.initializer:
        known = tensor.data_type in onnx.TensorProto.DataType.values()
        if not known or any(side < 0 for side in tensor.dims):
            what = f"sizes {list(tensor.dims)[:6]}, data type {tensor.data_type}"
            raise OnnxError(f"{path}: the stored tensor '{tensor.name[:80]}' has {what}")
    return _without_functions(model, path) if model.functions else model


def _without_functions(model: Any, path: Path) -> Any:
    """Put the nodes of the graph's own functions in their calls' place.

    Raises:
        OnnxError: a function calls itself, or calls of calls make more nodes than any model has.
    """
    import onnx

    made = {(f.domain, f.name): f for f in model.functions}
    sizes: dict[tuple[str, str], int] = {}

    def size(nodes: Any, above: tuple[tuple[str, str], ...]) -> int:
        total = 0
        for node in nodes:
            key = (node.domain, node.op_type)
            if key in above or len(above) > MOST_CALLS_DEEP:
                raise OnnxError(f"{path}: the function '{key[1][:80]}' calls itself, or too deep")
            if key in made and key not in sizes:
                sizes[key] = size(made[key].node, (*above, key))
            total += sizes.get(key, 1)
            for attribute in node.attribute:
                total += size(attribute.g.node, above)
        return total

    if size(model.graph.node, ()) > MOST_NODES:
        raise OnnxError(f"{path}: its functions call each other into too many nodes")
    try:
        return onnx.inliner.inline_local_functions(model)
    except Exception as error:  # noqa: BLE001 - the library raises classes of its own
        raise OnnxError(f"{path}: its functions cannot be read: {str(error)[:150]}") from None


def weights_of(graph: Any) -> dict[str, Operand]:
    """Every stored tensor by name."""
    weights = {
        tensor.name: Operand(shape=tuple(tensor.dims), element=tensor.data_type, constant=True)
        for tensor in graph.initializer
    }
    for sparse in graph.sparse_initializer:
        weights[sparse.values.name] = Operand(
            shape=tuple(sparse.dims), element=sparse.values.data_type, constant=True
        )
    return weights


@dataclass(frozen=True, slots=True)
class Bound:
    """What became of the free sizes of a graph's inputs."""

    free: tuple[str, ...]
    """Those that nothing fills."""
    batch: bool
    """Whether one was filled with the batch, or all inputs have that many rows anyway."""
    sequence: bool
    """Whether one was filled with the length."""


def bind_sizes(
    graph: Any, weights: dict[str, Operand], *, batch: int, sequence: int | None
) -> Bound:
    """Fill the free sizes of the inputs in place; return those that stay free, and what was used."""
    free: list[str] = []
    used: set[str] = set()
    rows: set[int] = set()
    for value in graph.input:
        if value.name in weights:
            continue
        rows.update(size.dim_value for size in value.type.tensor_type.shape.dim[:1])
        for axis, size in enumerate(value.type.tensor_type.shape.dim):
            if size.HasField("dim_value") and size.dim_value > 0:
                continue
            name = size.dim_param or ""
            if _SEQUENCE.match(name) or (axis == 1 and not name and sequence is not None):
                if sequence is None:
                    free.append(f"{value.name}[{axis}] ({name})")
                    continue
                size.dim_value = sequence
                used.add("sequence")
            elif axis == 0 or _BATCH.match(name):
                size.dim_value = batch
                used.add("batch")
            else:
                free.append(f"{value.name}[{axis}]" + (f" ({name})" if name else ""))
    return Bound(tuple(free), "batch" in used or rows == {batch}, "sequence" in used)


def inferred(model: Any, path: Path, values: dict[str, Any]) -> Any:
    """Infer every shape, once more whenever sizes were computed that the inference did not follow."""
    stored = len(model.graph.initializer)
    for _ in range(MOST_ROUNDS):
        told = _told(model, path)
        shapes = {
            value.name: described(value).shape
            for value in (*told.input, *told.value_info, *told.output)
        }
        before = len(values)
        folded(model.graph.node, values, shapes)
        fresh = list(values)[before:]
        seeded = _seed_bodies(model.graph, shapes)
        if not seeded and (not fresh or not any(shape is None for shape in shapes.values())):
            break
        _state(model.graph, {name: values[name] for name in fresh})
    del model.graph.initializer[stored:]
    model.graph.value_info.extend(told.value_info)
    for target, source in zip(_bodies(model.graph), _bodies(told), strict=False):
        del target.value_info[:]
        target.value_info.extend(source.value_info)
        del target.output[:]
        target.output.extend(source.output)
    del model.graph.output[:]
    model.graph.output.extend(told.output)
    return model.graph


def _seed_bodies(graph: Any, shapes: dict[str, Any]) -> bool:
    """Give a loop's body the shapes of what goes into it, where its own inputs state none.

    Exporters that know a state's size leave it out of the body; a state that a turn changes in
    size contradicts the body's own output and is then told by the inference.
    """
    known = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer} | shapes
    seeded = False
    for node in graph.node:
        for body in (a.g for a in node.attribute if node.op_type == "Loop" and a.g.node):
            for name, given in zip(node.input[2:], body.input[2:], strict=False):
                shape = known.get(name)
                if shape and described(given).shape is None:
                    del given.type.tensor_type.shape.dim[:]
                    for size in shape:
                        given.type.tensor_type.shape.dim.add().dim_value = size
                    seeded = True
    return seeded


def _state_loops(graph: Any) -> None:
    """Tell the inference the shapes of what a loop carries, where no turn changes them."""
    import onnx

    for node in graph.node:
        for body in (a.g for a in node.attribute if node.op_type == "Loop" and a.g.node):
            for name, given, out in zip(node.output, body.input[2:], body.output[1:], strict=False):
                shape = described(given).shape
                if name and shape is not None and shape == described(out).shape:
                    element = given.type.tensor_type.elem_type
                    graph.value_info.append(
                        onnx.helper.make_tensor_value_info(name, element, shape)
                    )


def _state(graph: Any, values: dict[str, Any]) -> None:
    """Let the inference know computed values: the nodes that made them become stored tensors."""
    from onnx import numpy_helper

    for name, value in values.items():
        graph.initializer.append(numpy_helper.from_array(value, f"{name}"))


def _bodies(graph: Any) -> list[Any]:
    """The bodies of a graph's loops and scans and the branches of its choices, in order."""
    return [
        a.g
        for node in graph.node
        if node.op_type in ("Loop", "Scan", "If")
        for a in node.attribute
        if a.g.node
    ]


def _told(model: Any, path: Path) -> Any:
    import onnx

    del model.graph.value_info[:]  # sizes that the exporter froze may contradict the new inputs
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    for body in _bodies(model.graph):
        del body.value_info[:]
        for value in body.output:
            if described(value).shape is None:
                value.type.tensor_type.ClearField("shape")
    _state_loops(model.graph)
    plain = _plain(model)
    try:
        told = onnx.shape_inference.infer_shapes(plain, check_type=False).graph
        if _has_long_row(told):
            return told
        return onnx.shape_inference.infer_shapes(plain, check_type=False, data_prop=True).graph
    except Exception as error:  # noqa: BLE001 - the library raises classes of its own
        raise OnnxError(f"{path}: its shapes contradict each other: {str(error)[:150]}") from None


LONGEST_ROW = 1 << 20
"""Numbers in a row of which the library may ask whether they are sizes."""


def _has_long_row(graph: Any) -> bool:
    """Whether some tensor of one side is too long to follow its values.

    The library takes each such tensor for a shape and keeps an entry for each of its numbers: a graph
    of a few bytes would take all memory.
    """
    for value in (*graph.input, *graph.value_info, *graph.output):
        shape = described(value).shape
        if shape is not None and len(shape) == 1 and shape[0] > LONGEST_ROW:
            return True
    if any(len(t.dims) == 1 and t.dims[0] > LONGEST_ROW for t in graph.initializer):
        return True
    return any(_has_long_row(body) for body in _bodies(graph))


def _plain(model: Any) -> Any:
    """The model without operators that onnx infers no shape for and that change none.

    What is a stored tensor already is no longer computed.
    """
    import onnx

    stored = {tensor.name for tensor in model.graph.initializer}
    done = [node for node in model.graph.node if stored.issuperset(node.output)]
    if not done and not any(node.op_type in SAME_SHAPE for node in model.graph.node):
        return model
    plain = onnx.ModelProto()
    plain.CopyFrom(model)
    kept = [node for node in plain.graph.node if not stored.issuperset(node.output)]
    del plain.graph.node[:]
    plain.graph.node.extend(kept)
    for node in plain.graph.node:
        if node.op_type in SAME_SHAPE:
            node.op_type, node.domain = "Identity", ""
            del node.attribute[:]
    return plain


def described(value: Any) -> Operand:
    """What a graph tells of a tensor; a shape with a free size is unknown."""
    kind = value.type.tensor_type
    if not kind.HasField("shape"):
        return Operand(element=kind.elem_type)
    sizes = [size.dim_value if size.HasField("dim_value") else None for size in kind.shape.dim]
    shape = None if None in sizes else tuple(size for size in sizes if size is not None)
    return Operand(shape=shape, element=kind.elem_type)

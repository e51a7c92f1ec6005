"""Counting an ONNX file: models from Keras, TensorFlow, JAX, scikit-learn and torch exporters.

Only the graph is read; weights in external files are not touched. Shapes come from the file's own
inputs with batch and sequence filled in, and from ONNX shape inference. A product is counted
forward, and backward once for each operand that needs a gradient: weights do, and everything that
was computed from weights does.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from flopcount.config_file import ConfigError, need_libraries
from flopcount.counted_model import CountedModel
from flopcount.errors import FlopcountError
from flopcount.findings import Finding, name_mismatch
from flopcount.onnx_folding import MOST_ROUNDS, folded, stored_values, trip_count
from flopcount.onnx_products import (
    ELEMENTWISE,
    MOVES,
    PRODUCTS,
    SAME_SHAPE,
    Operand,
    stored_inside,
    weights_inside,
)
from flopcount.parameters import ParameterCount
from flopcount.static_count import GraphLedger

LARGEST_FILE = 2**31
_BATCH = re.compile(r"^(n|b|batch|batch_?size|unk__0|unknown_batch)$", re.IGNORECASE)
_SEQUENCE = re.compile(
    r"^(s|t|l|seq|seq(uence)?_?(len(gth)?)?|tokens|time|max_?len(gth)?)$", re.IGNORECASE
)
_MOST_NODES = 2_000_000


class OnnxError(FlopcountError):
    """An ONNX file that cannot be read or counted."""


def count_onnx(
    path: Path,
    *,
    batch: int = 1,
    sequence: int | None = None,
    backward: bool = True,
    convention: str = "dense",
    recompute: bool = False,
) -> CountedModel:
    """Count one step of the graph in an ``.onnx`` file.

    Args:
        path: the file.
        batch: fills the free first size of each input.
        sequence: fills the sizes that are named as a sequence length.
        backward: whether the gradients of all weights are part of the step.
        convention: ``dense``; a graph knows no other.
        recompute: refused; a graph does not say which activations are kept.

    Raises:
        FlopcountError: the file is corrupt or too large, or a request does not fit a graph.
    """
    if recompute:
        msg = f"{path}: a graph does not say which layers are recomputed\n  leave recompute out"
        raise ConfigError(msg)
    model = _read(path)
    weights = _weights(model.graph)
    total = sum(operand.numbers for operand in weights.values() if operand.is_float)
    total += sum(map(stored_inside, model.graph.node))
    findings = [f for f in [name_mismatch([path.stem], total)] if f is not None]
    free = _bind(model.graph, weights, batch=batch, sequence=sequence)
    count = None
    if free:
        findings.append(
            Finding(
                code="input-size-unknown",
                severity="info",
                message=f"{path}: the sizes {', '.join(free[:6])} of its inputs are free; "
                "give --sequence, or export the model with fixed sizes",
            )
        )
    else:
        values = stored_values(model.graph)
        graph = _inferred(model, path, values)
        ledger = _Walk(graph, weights, values, backward=backward).run()
        note = "attention masks are not visible in a graph: counted in full"
        count = ledger.close(method="onnx", convention=convention, notes=(note,))
    return CountedModel(
        name=path.name,
        kind="onnx",
        source=path,
        batch=batch,
        sequence=sequence,
        parameters=ParameterCount(
            total=total,
            trainable=None,
            active=None,
            total_without_embeddings=None,
            active_without_embeddings=None,
        ),
        count=count,
        no_closed_form="a graph has no dimensions to read",
        findings=tuple(findings),
    )


def _read(path: Path) -> Any:
    size = path.stat().st_size
    if size > LARGEST_FILE:
        raise OnnxError(f"{path}: {size:,} bytes; no graph is larger than {LARGEST_FILE:,}")
    need_libraries(path, "onnx")
    import onnx

    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # noqa: BLE001 - protobuf raises classes of its own
        raise OnnxError(f"{path}: not readable as ONNX: {str(error)[:150]}") from None
    if not model.graph.node:
        raise OnnxError(f"{path}: a graph without a node\n  cut off, or no ONNX file")
    if len(model.graph.node) > _MOST_NODES:
        raise OnnxError(f"{path}: {len(model.graph.node):,} nodes; no model has so many")
    return model


def _weights(graph: Any) -> dict[str, Operand]:
    weights = {
        tensor.name: Operand(shape=tuple(tensor.dims), element=tensor.data_type, constant=True)
        for tensor in graph.initializer
    }
    for sparse in graph.sparse_initializer:
        weights[sparse.values.name] = Operand(
            shape=tuple(sparse.dims), element=sparse.values.data_type, constant=True
        )
    return weights


def _bind(
    graph: Any, weights: dict[str, Operand], *, batch: int, sequence: int | None
) -> list[str]:
    """Fill the free sizes of the inputs in place; return those that stay free."""
    free: list[str] = []
    for value in graph.input:
        if value.name in weights:
            continue
        for axis, size in enumerate(value.type.tensor_type.shape.dim):
            if size.HasField("dim_value") and size.dim_value > 0:
                continue
            name = size.dim_param or ""
            if _SEQUENCE.match(name) or (axis == 1 and not name and sequence is not None):
                if sequence is None:
                    free.append(f"{value.name}[{axis}] ({name})")
                    continue
                size.dim_value = sequence
            elif axis == 0 or _BATCH.match(name):
                size.dim_value = batch
            else:
                free.append(f"{value.name}[{axis}]" + (f" ({name})" if name else ""))
    return free


def _inferred(model: Any, path: Path, values: dict[str, Any]) -> Any:
    """Infer every shape, once more whenever sizes were computed that the inference did not follow."""
    stored = len(model.graph.initializer)
    for _ in range(MOST_ROUNDS):
        told = _told(model, path)
        shapes = {
            value.name: _described(value).shape
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
                if shape and _described(given).shape is None:
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
                shape = _described(given).shape
                if name and shape is not None and shape == _described(out).shape:
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
    """The bodies of a graph's loops and the branches of its choices, in order."""
    return [
        a.g
        for node in graph.node
        if node.op_type in ("Loop", "If")
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
            if _described(value).shape is None:
                value.type.tensor_type.ClearField("shape")
    _state_loops(model.graph)
    try:
        return onnx.shape_inference.infer_shapes(
            _plain(model), check_type=False, data_prop=True
        ).graph
    except Exception as error:  # noqa: BLE001 - the library raises classes of its own
        raise OnnxError(f"{path}: its shapes contradict each other: {str(error)[:150]}") from None


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


class _Walk:
    """One pass over the nodes in order; each tensor knows its shape and whether it needs a grad."""

    def __init__(
        self,
        graph: Any,
        weights: dict[str, Operand],
        values: dict[str, Any],
        *,
        backward: bool,
    ) -> None:
        self.graph, self.backward, self.values = graph, backward, values
        self.visited = 0
        self.known: dict[str, Operand] = dict(weights)
        self.ledger = GraphLedger()
        for value in (*graph.input, *graph.value_info, *graph.output):
            if value.name not in self.known:
                self.known[value.name] = _described(value)
        for name, computed in values.items():
            told = self.known.get(name, Operand())
            if told.shape is None:
                self.known[name] = replace(told, shape=tuple(computed.shape))

    def run(self) -> GraphLedger:
        for node in self.graph.node:
            self.visit(node)
        return self.ledger

    def visit(self, node: Any) -> None:
        operands = [self.known.get(name) if name else None for name in node.input]
        outputs = [self.known.get(name) for name in node.output]
        attributes = {item.name: _attribute(item) for item in node.attribute}
        kind = node.op_type
        formula = PRODUCTS.get(kind)
        if kind == "Constant":
            self._constant(node, attributes)
            return
        if kind == "Loop" and attributes.get("body") is not None:
            self._loop(node, attributes["body"], operands)
            return
        branches = (attributes.get("then_branch"), attributes.get("else_branch"))
        if kind == "If" and all(branches) and self._branches(branches):
            self._mark(node, operands, product=False)
            return
        if formula is not None:
            self._product(node, formula, operands, outputs, attributes)
        elif kind in ELEMENTWISE:
            self.ledger.elementwise += sum(o.numbers for o in outputs if o and o.shape is not None)
            self.ledger.zero += 1
        elif kind in MOVES:
            self.ledger.zero += 1
        else:
            self.ledger.miss(f"onnx.{kind}", ", ".join(str(o.shape) for o in operands if o))
        self._mark(node, operands, product=formula is not None)

    def _product(
        self, node: Any, formula: Any, operands: list[Any], outputs: list[Any], attributes: Any
    ) -> None:
        flop = formula(operands, outputs, attributes)
        if flop is None:
            shapes = ", ".join(str(o.shape) if o else "-" for o in operands)
            self.ledger.miss(f"onnx.{node.op_type}", shapes)
            return
        module, op = _module(node), f"onnx.{node.op_type}"
        dtype = operands[0].dtype if operands[0] else "unknown"
        attention = node.op_type in ("Attention", "MultiHeadAttention")
        self.ledger.add(module, op, dtype, "forward", flop, attention=attention)
        if self.backward:
            gradients = formula.gradients(operands, flop)
            self.ledger.add(module, op, dtype, "backward", gradients, attention=attention)

    def _branches(self, branches: tuple[Any, ...]) -> bool:
        """Walk both branches of an ``If``; where both cost the same, either is the count."""
        before, ledgers = self.ledger, []
        for branch in branches:
            self.ledger = GraphLedger()
            self.known |= _weights(branch)
            for item in (*branch.value_info, *branch.output):
                self.known[item.name] = _described(item)
            for part in branch.node:
                self.visit(part)
            ledgers.append(self.ledger)
        self.ledger = before
        first, second = ledgers
        if first.unknown or second.unknown or first.costs() != second.costs():
            return False
        before.join(first)
        return True

    def _loop(self, node: Any, body: Any, operands: list[Any]) -> None:
        """Walk the body once for each turn, as far as its counter can be followed."""
        turns = trip_count(node, body, self.values)
        if turns is None or turns * len(body.node) > _MOST_NODES:
            self.ledger.miss(
                "onnx.Loop", f"{len(body.node)} nodes a turn, an unknown number of turns"
            )
            self._mark(node, operands, product=False)
            return
        given = {item.name for item in body.input}
        same = {part.output[0]: part.input[0] for part in body.node if part.op_type == "Identity"}
        handed_on = [same.get(item.name, item.name) for item in body.output[1:]]
        # A stored tensor that the turns replace is a first state; one handed on as it is, a weight.
        carried = [
            operand if operand is None or item.name == name else replace(operand, constant=False)
            for operand, item, name in zip(operands[2:], body.input[2:], handed_on, strict=False)
        ]
        inner = {item.name: _described(item) for item in (*body.value_info, *body.output)}
        inner = {name: operand for name, operand in inner.items() if name not in given}
        for tensor in body.initializer:
            shape = tuple(tensor.dims)
            inner[tensor.name] = Operand(shape=shape, element=tensor.data_type, constant=True)
        for _ in range(turns):
            for item, operand in zip(body.input[2:], carried, strict=True):
                state = operand or Operand()
                if state.shape is None:
                    state = replace(state, shape=_described(item).shape)
                self.known[item.name] = state
            for name, operand in inner.items():
                self.known[name] = operand
            for part in body.node:
                self.visit(part)
            carried = [self.known.get(item.name) for item in body.output[1:]][: len(carried)]
        found = [self.known.get(item.name) for item in body.output[1:]]
        for name, operand in zip(node.output, found, strict=False):
            told = self.known.get(name, Operand())
            self.known[name] = Operand(
                shape=told.shape,
                element=told.element,
                needs_gradient=operand is not None and operand.needs_gradient,
            )
        self.ledger.zero += 1

    def _mark(self, node: Any, operands: list[Any], *, product: bool) -> None:
        """An output needs a gradient when an operand does, or a weight was multiplied in."""
        needs = any(o is not None and o.needs_gradient for o in operands)
        trained = product or node.op_type in _TRAINED
        if trained and any(o is not None and o.is_weight for o in operands):
            needs = True
        needs = needs or weights_inside(node) > 0
        constant = bool(operands) and all(o is None or o.constant for o in operands)
        for name in node.output:
            before = self.known.get(name, Operand())
            self.known[name] = Operand(
                shape=before.shape,
                element=before.element,
                needs_gradient=needs and not constant,
                constant=constant,
            )

    def _constant(self, node: Any, attributes: dict[str, Any]) -> None:
        value = attributes.get("value")
        shape = getattr(value, "dims", None)
        self.known[node.output[0]] = Operand(
            shape=None if shape is None else tuple(shape),
            element=getattr(value, "data_type", 0),
            constant=True,
        )
        self.ledger.zero += 1


_TRAINED = {"BatchNormalization", "LayerNormalization", "InstanceNormalization", "Gather",
            "GroupNormalization", "RMSNormalization", "SimplifiedLayerNormalization",
            "SkipLayerNormalization", "EmbedLayerNormalization", "PRelu"}  # fmt: skip


def _described(value: Any) -> Operand:
    kind = value.type.tensor_type
    if not kind.HasField("shape"):
        return Operand(element=kind.elem_type)
    sizes = [size.dim_value if size.HasField("dim_value") else None for size in kind.shape.dim]
    shape = None if None in sizes else tuple(size for size in sizes if size is not None)
    return Operand(shape=shape, element=kind.elem_type)


def _attribute(item: Any) -> Any:
    import onnx

    try:
        return onnx.helper.get_attribute_value(item)
    except ValueError:
        return None


def _module(node: Any) -> str:
    """Exporters write the module into the node's name: ``/layers.0/attn/MatMul``."""
    parts = [part for part in re.split(r"[/:]", node.name) if part][:-1]
    return ".".join(parts)

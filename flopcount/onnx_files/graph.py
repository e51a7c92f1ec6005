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

from flopcount.findings import AskedSizes, Finding, name_mismatch, sizes_asked
from flopcount.model_files.config_file import ConfigError
from flopcount.model_files.counted_model import CountedModel
from flopcount.model_files.parameters import ParameterCount
from flopcount.onnx_files.folding import stored_values, trip_count
from flopcount.onnx_files.products import (
    ATTENTIONS,
    DOMAINS,
    ELEMENTWISE,
    MOVES,
    PRODUCTS,
    Operand,
    weights_inside,
)
from flopcount.onnx_files.shapes import (
    MOST_NODES,
    MOST_TURNED,
    OnnxError,
    bind_sizes,
    described,
    inferred,
    read_graph,
    weights_of,
)
from flopcount.onnx_files.stored import stored_numbers
from flopcount.static_count import GraphLedger


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
    model = read_graph(path)
    weights = weights_of(model.graph)
    total = _stored(model, path)
    findings = [f for f in [name_mismatch([path.stem], total)] if f is not None]
    bound = bind_sizes(model.graph, weights, batch=batch, sequence=sequence)
    asked = AskedSizes(batch=batch, sequence=sequence)
    count = None
    if not bound.free:
        asked = sizes_asked(
            path.name,
            batch=batch,
            sequence=sequence,
            batch_read=bound.batch,
            length_read=bound.sequence,
        )
        ledger = _walked(model, path, weights, backward=backward)
        note = "attention masks are not visible in a graph: counted in full"
        count = ledger.close(method="onnx", convention=convention, notes=(note,))
    else:
        findings.append(
            Finding(
                code="input-size-unknown",
                severity="info",
                message=f"{path}: the sizes {', '.join(bound.free[:6])} of its inputs are free; "
                "give --sequence, or export the model with fixed sizes",
            )
        )
    return CountedModel(
        name=path.name,
        kind="onnx",
        source=path,
        batch=asked.batch,
        sequence=asked.sequence,
        parameters=ParameterCount(
            total=total,
            trainable=None,
            active=None,
            total_without_embeddings=None,
            active_without_embeddings=None,
        ),
        count=count,
        no_closed_form="a graph has no dimensions to read",
        findings=(*findings, *asked.findings),
    )


def _stored(model: Any, path: Path) -> int:
    try:
        return stored_numbers(model.graph)
    except (IndexError, ValueError, RecursionError) as error:  # a constant without an output
        what = f"{type(error).__name__}: {str(error)[:120]}"
        raise OnnxError(
            f"{path}: no well-formed graph ({what})\n  export the model anew"
        ) from error


def _walked(model: Any, path: Path, weights: dict[str, Operand], *, backward: bool) -> GraphLedger:
    """Walk the graph; where it is put together wrongly, say so.

    Raises:
        OnnxError: a node lacks what every such node has (an output, an input, a body's answer), or
            loops take too many turns.
    """
    try:
        values = stored_values(model.graph)
        graph = inferred(model, path, values)
        return _Walk(graph, weights, values, backward=backward).run()
    except OnnxError as error:
        text = str(error)
        raise OnnxError(text if text.startswith(str(path)) else f"{path}: {text}") from None
    except _MALFORMED as error:
        what = f"{type(error).__name__}: {str(error)[:120]}"
        raise OnnxError(
            f"{path}: no well-formed graph ({what})\n  export the model anew"
        ) from error


_MALFORMED = (
    IndexError, KeyError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError,
    NotImplementedError,
)  # fmt: skip
"""What reading a graph that nobody checked may raise."""


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
        self.visits = 0
        self.known: dict[str, Operand] = dict(weights)
        self.ledger = GraphLedger()
        for value in (*graph.input, *graph.value_info, *graph.output):
            if value.name not in self.known:
                self.known[value.name] = described(value)
        for name, computed in values.items():
            told = self.known.get(name, Operand())
            if told.shape is None:
                self.known[name] = replace(told, shape=tuple(computed.shape))

    def run(self) -> GraphLedger:
        for node in self.graph.node:
            self.visit(node)
        return self.ledger

    def visit(self, node: Any) -> None:
        self.visits += 1
        if self.visits > MOST_NODES:
            msg = "its loops within loops take too many turns to walk, and no two turns are alike"
            raise OnnxError(msg)
        operands = [self.known.get(name) if name else None for name in node.input]
        outputs = [self.known.get(name) for name in node.output]
        attributes = {item.name: _attribute(item) for item in node.attribute}
        kind = node.op_type if node.domain in DOMAINS else f"{node.domain[:40]}.{node.op_type}"
        formula = PRODUCTS.get(kind)
        if kind == "Constant":
            self._constant(node, attributes)
            return
        if kind == "Loop" and attributes.get("body") is not None:
            self._loop(node, attributes["body"], operands)
            return
        if kind == "Scan" and attributes.get("body") is not None:
            self._scan(node, attributes, operands)
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
        attention = node.op_type in ATTENTIONS
        self.ledger.add(module, op, dtype, "forward", flop, attention=attention)
        if self.backward:
            gradients = formula.gradients(operands, flop)
            self.ledger.add(module, op, dtype, "backward", gradients, attention=attention)

    def _branches(self, branches: tuple[Any, ...]) -> bool:
        """Walk both branches of an ``If``; where both cost the same, either is the count."""
        before, ledgers = self.ledger, []
        for branch in branches:
            self.ledger = GraphLedger()
            self.known |= weights_of(branch)
            for item in (*branch.value_info, *branch.output):
                self.known[item.name] = described(item)
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
        if turns is None or turns * len(body.node) > MOST_TURNED:
            self.ledger.miss(
                "onnx.Loop", f"{len(body.node)} nodes a turn, an unknown number of turns"
            )
            self._mark(node, operands, product=False)
            return
        self._walk_turns(node, body, turns, operands[2:], skipped=2, answered=1)

    def _scan(self, node: Any, attributes: dict[str, Any], operands: list[Any]) -> None:
        """Walk the body of a ``Scan`` once for each slice of what it scans."""
        body, number = attributes["body"], attributes.get("num_scan_inputs")
        if type(number) is not int or not 0 < number <= len(operands):
            self.ledger.miss("onnx.Scan", f"{len(operands)} operands, of which it scans {number}")
            self._mark(node, operands, product=False)
            return
        states, scanned = operands[: len(operands) - number], operands[len(operands) - number :]
        axes = attributes.get("scan_input_axes") or [0] * number
        slices, turns = [], set()
        for operand, axis in zip(scanned, axes, strict=False):
            shape = operand.shape if operand is not None else None
            if shape is None or not -len(shape) <= axis < len(shape):
                break
            turns.add(int(shape[axis]))
            left = [size for place, size in enumerate(shape) if place != axis % len(shape)]
            slices.append(replace(operand, shape=tuple(left)))
        fits = len(slices) == number and len(turns) == 1 and len(body.input) == len(operands)
        if not fits or min(turns) * len(body.node) > MOST_TURNED:
            self.ledger.miss("onnx.Scan", f"{len(body.node)} nodes a turn, of {number} inputs")
            self._mark(node, operands, product=False)
            return
        for item, piece in zip(body.input[len(states) :], slices, strict=True):
            self.known[item.name] = piece
        self._walk_turns(node, body, min(turns), states, skipped=0, answered=0)

    def _walk_turns(
        self, node: Any, body: Any, turns: int, states: list[Any], *, skipped: int, answered: int
    ) -> None:
        """Visit a body so often, its states handed on from turn to turn.

        Args:
            node: the operator whose outputs are the last states and what the turns collected.
            body: its graph.
            turns: how often.
            states: operands of the first states.
            skipped: inputs of the body before the states (a counter, a condition).
            answered: outputs of the body before them (a condition).
        """
        own = body.input[skipped : skipped + len(states)]
        given = {item.name for item in body.input}
        same = {part.output[0]: part.input[0] for part in body.node if part.op_type == "Identity"}
        handed_on = [same.get(item.name, item.name) for item in body.output[answered:]]
        # A stored tensor that the turns replace is a first state; one handed on as it is, a weight.
        carried = [
            operand if operand is None or item.name == name else replace(operand, constant=False)
            for operand, item, name in zip(states, own, handed_on, strict=False)
        ]
        inner = {item.name: described(item) for item in (*body.value_info, *body.output)}
        inner = {name: operand for name, operand in inner.items() if name not in given}
        for tensor in body.initializer:
            shape = tuple(tensor.dims)
            inner[tensor.name] = Operand(shape=shape, element=tensor.data_type, constant=True)
        whole = self.ledger
        for turn in range(turns):
            self.ledger = GraphLedger()
            for item, operand in zip(own, carried, strict=True):
                state = operand or Operand()
                if state.shape is None:
                    state = replace(state, shape=described(item).shape)
                self.known[item.name] = state
            for name, operand in inner.items():
                self.known[name] = operand
            for part in body.node:
                self.visit(part)
            found = [self.known.get(item.name) for item in body.output[answered:]]
            settled, carried = found[: len(carried)] == carried, found[: len(carried)]
            # What comes out as it went in makes every further turn cost what this one did.
            whole.join(self.ledger, times=turns - turn if settled else 1)
            if settled:
                break
        self.ledger = whole
        found = [self.known.get(item.name) for item in body.output[answered:]]
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
                needs_gradient=needs and not constant and before.element not in _COUNTS,
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


_COUNTS = {7, 9}
"""Whole numbers of 64 bits and truth values: sizes, places, choices. No gradient goes through them."""
_TRAINED = {"BatchNormalization", "LayerNormalization", "InstanceNormalization", "Gather",
            "GroupNormalization", "RMSNormalization", "SimplifiedLayerNormalization",
            "SkipLayerNormalization", "EmbedLayerNormalization", "PRelu"}  # fmt: skip


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

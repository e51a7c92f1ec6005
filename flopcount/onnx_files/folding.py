"""Shapes that a graph computes for itself: small tensors of sizes, evaluated once.

TensorFlow's converter writes a reshape's target as arithmetic on an operand's sizes (gather, product,
concatenate). ONNX shape inference follows only some of it, so what depends on sizes alone is
evaluated here, node by node, and inference runs again with the answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

MOST_ELEMENTS = 4096
"""A larger tensor holds no sizes."""
MOST_ROUNDS = 12
_FOLDABLE = frozenset(
    """Abs Add And Cast Ceil Concat Constant ConstantOfShape Div Equal Expand Floor Gather Greater
    GreaterOrEqual Identity Less LessOrEqual Max Min Mod Mul Neg Not Or Range ReduceMax ReduceMin
    ReduceProd ReduceSum Reshape Round ScatterND Sign Slice Split Squeeze Sub Sum Tile Transpose
    Unsqueeze Where""".split()  # noqa: SIM905
)


def stored_values(graph: Any) -> dict[str, Any]:
    """Return the values of the graph's small stored tensors, by name."""
    from onnx import numpy_helper

    found = {}
    for tensor in graph.initializer:
        size = 1
        for side in tensor.dims:
            size *= side
        if 0 <= size <= MOST_ELEMENTS and not tensor.external_data:
            with suppress(ValueError, TypeError, KeyError):  # fewer bytes than sizes, no such type
                found[tensor.name] = numpy_helper.to_array(tensor)
    return found


def folded(
    nodes: Iterable[Any],
    values: dict[str, Any],
    shapes: Mapping[str, Any],
    evaluators: dict[int, Any] | None = None,
) -> bool:
    """Evaluate what follows from known values and shapes; add it to ``values``; say if any did.

    ``evaluators`` keeps what evaluates a node, for whoever asks for the same nodes again.
    """
    import numpy as np

    progress = False
    for node in nodes:
        if not node.output or node.output[0] in values:
            continue
        if node.op_type == "Shape" and not node.attribute:
            shape = shapes.get(node.input[0])
            if shape is not None:
                values[node.output[0]] = np.array(shape, np.int64)
                progress = True
            continue
        names = [name for name in node.input if name]
        if node.op_type not in _FOLDABLE or any(name not in values for name in names):
            continue
        progress |= _evaluate(node, values, {} if evaluators is None else evaluators)
    return progress


def _evaluate(node: Any, values: dict[str, Any], evaluators: dict[int, Any]) -> bool:
    """Evaluate one node; False where its answer is large or the evaluator refuses it."""
    from onnx.reference import ReferenceEvaluator

    if _is_large(node, values):
        return False
    try:
        inputs = {name: values[name] for name in node.input if name}
        if id(node) not in evaluators:
            evaluators[id(node)] = ReferenceEvaluator(node)
        answers = evaluators[id(node)].run(None, inputs)
    except Exception:  # noqa: BLE001 - an evaluator of foreign graphs may raise anything
        return False
    if not all(_holds_sizes(answer) for answer in answers):
        return False
    values.update(zip(node.output, answers, strict=False))
    return True


def _holds_sizes(answer: Any) -> bool:
    """Whether an answer is a small array of numbers: no text, no sequence, nothing left empty."""
    kind = getattr(getattr(answer, "dtype", None), "kind", None)
    return kind in {"b", "i", "u", "f"} and answer.size <= MOST_ELEMENTS


def _is_large(node: Any, values: Mapping[str, Any]) -> bool:
    """Whether a node would make more numbers than sizes take: asked before it is evaluated."""
    known = [values[name] for name in node.input if name]
    if node.op_type in ("ConstantOfShape", "Expand", "Reshape", "Tile"):
        size = 1
        for side in known[-1].ravel().tolist():
            size *= max(int(side), 1)
        return size * (known[0].size if node.op_type == "Tile" else 1) > MOST_ELEMENTS
    if node.op_type == "Range":
        start, stop, step = (float(value) for value in known)
        return step == 0 or (stop - start) / step > MOST_ELEMENTS
    size = 1
    for value in known:
        size *= max(value.size, 1)
    return size > MOST_ELEMENTS**2


MOST_TURNS = 20_000
"""Turns of a loop whose condition is followed; one of the longest recurrences over time has 16,384."""
MOST_EVALUATIONS = 24_000
"""Nodes that are evaluated for it: a few seconds."""


def trip_count(node: Any, body: Any, values: Mapping[str, Any]) -> int | None:
    """Return how often a loop runs, None where that depends on data.

    The condition of a recurrence over time is arithmetic on a counter: it is followed turn by turn.
    """
    limit = values.get(node.input[0]) if node.input[0] else None
    if limit is not None and limit.size != 1:
        return None
    most = MOST_TURNS if limit is None else min(int(limit.item()), MOST_TURNS)
    condition: Any = values.get(node.input[1], True) if node.input[1] else True
    start = {**values, **stored_values(body)}
    carried = [values.get(name) for name in node.input[2:]]
    parts = _steering(body)
    evaluators: dict[int, Any] = {}
    most = min(most, MOST_EVALUATIONS // max(len(parts), 1))
    for turn in range(most):
        if not bool(condition):
            return turn
        if not parts:  # the condition is handed on as it came
            return None if limit is None else max(int(limit.item()), 0)
        now = dict(start)
        steering = [turn, condition, *carried]
        for item, value in zip(body.input, steering, strict=True):
            if value is not None:
                now[item.name] = _array(value)
        folded(parts, now, {}, evaluators)
        condition = now.get(body.output[0].name)
        if condition is None:
            return None
        carried = [now.get(item.name) for item in body.output[1 : 1 + len(carried)]]
    return most if limit is not None and int(limit.item()) == most else None


def _array(value: Any) -> Any:
    import numpy as np

    return np.asarray(value)


def _steering(body: Any) -> list[Any]:
    """The nodes that the condition and the counters depend on: all that work on known numbers."""
    made = {name: node for node in body.node for name in node.output}
    wanted = [body.output[0].name]
    kept: set[int] = set()
    seen: set[str] = set()
    back = {item.name: out.name for item, out in zip(body.input[2:], body.output[1:], strict=False)}
    while wanted:
        name = wanted.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in back:  # a carried value: what hands it to the next turn matters too
            wanted.append(back[name])
        if name in made:
            kept.add(id(made[name]))
            wanted.extend(part for part in made[name].input if part)
    return [node for node in body.node if id(node) in kept]

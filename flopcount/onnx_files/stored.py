"""How many trained numbers an ONNX file stores: as tensors, constants, attributes, quantised or not."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

from flopcount.onnx_files.products import PRODUCTS, Operand, weights_inside

_SCALING = {
    "DequantizeLinear": (1, 2),
    "QuantizeLinear": (1, 2),
    "QLinearConv": (1, 2, 4, 5, 6, 7),
    "QLinearMatMul": (1, 2, 4, 5, 6, 7),
    "ConvInteger": (2, 3),
    "MatMulInteger": (2, 3),
}
"""Inputs of the operators on whole numbers that say how these are to be read."""


def stored_numbers(graph: Any) -> int:
    """Count the trained numbers of a graph and of the bodies inside it.

    Fractions are trained wherever they are stored; whole numbers where an operator turns them into
    fractions or multiplies them, and then what scales them is not.
    """
    nodes = list(_nodes(graph))
    read, scales = _readers(nodes)
    total = sum(map(_stored_inside, nodes))
    for name, operand in _stored(graph):
        if name in scales and name not in read:
            continue
        if operand.is_float or name in read:
            total += operand.numbers
    return total


def _readers(nodes: list[Any]) -> tuple[set[str], set[str]]:
    """Names of whole numbers that are read as weights, and of what scales them."""
    read: set[str] = set()
    scales: set[str] = set()
    for node in nodes:
        places = _SCALING.get(node.op_type, ())
        scales |= {name for place, name in enumerate(node.input) if place in places}
        if places and node.op_type != "QuantizeLinear":
            read |= {name for place, name in enumerate(node.input) if place not in places}
        elif node.op_type in PRODUCTS:
            read |= set(node.input[:3])
    return read, scales


def _nodes(graph: Any) -> Iterator[Any]:
    """Yield the nodes of a graph and of the bodies inside it; no deeper than a file can nest."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            yield from _nodes(attribute.g)


def _stored(graph: Any) -> Iterator[tuple[str, Operand]]:
    """Yield every stored tensor, those of constants with more than one number too."""
    for tensor in graph.initializer:
        yield tensor.name, Operand(shape=tuple(tensor.dims), element=tensor.data_type)
    for sparse in graph.sparse_initializer:
        yield (
            sparse.values.name,
            Operand(shape=tuple(sparse.dims), element=sparse.values.data_type),
        )
    for node in graph.node:
        for attribute in node.attribute:
            dims = tuple(attribute.t.dims)
            if node.op_type == "Constant" and attribute.name == "value" and prod(dims) > 1:
                yield node.output[0], Operand(shape=dims, element=attribute.t.data_type)
            yield from _stored(attribute.g)


def _stored_inside(node: Any) -> int:
    """Numbers that a model of scikit-learn keeps in attributes, support vectors included."""
    if node.op_type not in ("SVMClassifier", "SVMRegressor"):
        return weights_inside(node)
    kept = ("coefficients", "support_vectors", "rho")
    return sum(len(item.floats) for item in node.attribute if item.name in kept)

"""Formulas read arguments by the names of torch's schemas: a misspelt one fails at a user's desk."""

import ast
import inspect
import textwrap

import pytest
import torch

import flopcount.formulas  # noqa: F401  (registers them)
from flopcount import registry

BY_NAME = sorted(registry._BY_NAME)


def overloads(op):
    space, name = op.split("::")
    packet = getattr(getattr(torch.ops, space), name, None)
    return [getattr(packet, one)._schema for one in packet.overloads()] if packet else []


def names_read(function):
    """Names that the formula cannot do without, and all that it asks for."""
    needed, asked = set(), set()
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function)))):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="call"), attr="shape" | "get" as how),
                args=[ast.Constant(value=str(name)), *_],
            ):
                (needed if how == "shape" else asked).add(name)
            case ast.Subscript(
                value=ast.Attribute(value=ast.Name(id="call"), attr="arguments"),
                slice=ast.Constant(value=str(name)),
            ):
                needed.add(name)
    return needed, needed | asked


@pytest.mark.parametrize("op", BY_NAME)
def test_every_name_that_a_formula_reads_is_in_the_schema(op):
    schemas = overloads(op)
    if not schemas:
        pytest.skip("not in this torch")
    needed, asked = names_read(registry.find(op))
    known = [{argument.name for argument in schema.arguments} for schema in schemas]
    for names in known:
        assert needed <= names, f"{op}: {sorted(needed - names)} not among {sorted(names)}"
    assert not asked or asked & set().union(*known)

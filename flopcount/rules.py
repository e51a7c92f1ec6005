"""How each op is treated: by formula, zero with a reason, by decomposition, or unknown."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any

import torch

from flopcount.formulas.known_unknown import KNOWN_UNKNOWN
from flopcount.formulas.zero import Rule, Traits, zero_rule
from flopcount.registry import find


@cache
def is_mutable(func: Any) -> bool:
    """Whether an op writes to an argument; torch makes its schema anew at every question."""
    return bool(func._schema.is_mutable)


@cache
def parameters_of(func: Any) -> tuple[str, ...]:
    """Names of an op's arguments."""
    return tuple(argument.name for argument in func._schema.arguments)


def resolve(func: Any) -> Rule:
    """How to treat an op: by formula, zero with a reason, by decomposition, or unknown."""
    return rule_for(func._schema.name, lambda: traits_of(func))


def rule_for(name: str, traits: Callable[[], Traits]) -> Rule:
    """How to treat an op of that name, of which torch says such things."""
    op = name.replace("::", ".")
    for candidate in (name, name.removesuffix("_")):
        if find(candidate) is not None:
            return Rule("formula", candidate, op)
    if name in KNOWN_UNKNOWN:
        return Rule("unknown", name, op, KNOWN_UNKNOWN[name])
    said = traits()
    return Rule("decompose", name, op) if said.composite else zero_rule(name, op, said)


@cache
def traits_of(func: Any) -> Traits:
    """What the installed torch says of an op."""
    packet = func._overloadpacket
    found: set[str] = set()
    for overload in packet.overloads():
        # TorchScript-only overloads are listed and cannot be looked up.
        with suppress(AttributeError, RuntimeError):
            found |= {str(tag).rpartition(".")[2] for tag in getattr(packet, overload).tags}
    composite = False
    with suppress(RuntimeError):  # e.g. prim::device and aten::sym_size, which the dispatcher lacks
        key = "CompositeImplicitAutograd"
        composite = bool(torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), key))
    return Traits(composite, bool(getattr(func, "is_view", False)), frozenset(found))

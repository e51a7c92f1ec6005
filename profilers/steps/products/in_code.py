"""Whether an optimizer, or what exchanges gradients, computes matrix products of its own, read from its code.

Muon orthogonalises, Shampoo takes roots, GaLore projects; PowerSGD factorises gradients before ranks exchange
them. That is neither forward nor backward, and no graph shows it. So the names are read in the optimizer's
methods or the hook's function, and in whatever functions and classes these name. No torch is imported here.
"""

from __future__ import annotations

import dis
from collections.abc import Iterator
from functools import lru_cache
from types import CodeType, FunctionType
from typing import Any

from profilers.steps.deciders.functions import WORK, is_product
from profilers.steps.deciders.methods import functions_of, names_of
from profilers.steps.deciders.places import DESCRIPTORS

FACTORISING = frozenset(
    """cholesky eig eigh eigvals eigvalsh inv inverse lobpcg lstsq lu_factor matrix_norm pca_lowrank pinv qr
    solve svd svd_lowrank svdvals""".split()  # noqa: SIM905
)
VECTORS = frozenset({"corrcoef", "cov", "dot", "inner", "linear"})
"""Names of ``WORK`` that in an optimizer are of vectors, or of no function (a schedule is ``linear``)."""
NAMES = (WORK | FACTORISING) - VECTORS
MOST_FUNCTIONS = 256
"""So many functions are read."""
MOST_ENTRIES = 32
"""Of a dictionary of functions so many are looked at."""
OURS_TO_READ = ("torch.optim", "torch.distributed.algorithms")
"""Packages of torch with optimizers and hooks."""
BASES = frozenset(
    {"builtins", "torch", "torch.optim.lr_scheduler", "torch.optim.optimizer", "typing"}
)
"""Modules of what every optimizer stands on, and of names that are no code."""


@lru_cache(maxsize=256)
def products_of(item: type | FunctionType) -> tuple[str, ...]:
    """Names of matrix products in the code of an optimizer's class or of a function, sorted."""
    found: set[str] = set()
    waiting: list[Any] = [each for each in getattr(item, "__mro__", (item,)) if _is_read(each)]
    seen = {id(each) for each in waiting}
    for own in waiting:
        for function in _functions(own):
            found |= _products(function.__code__)
            for each in _named(function):
                if id(each) not in seen and _is_read(each) and len(seen) < MOST_FUNCTIONS:
                    seen.add(id(each))
                    waiting.append(each)
    return tuple(sorted(found))


def _is_read(item: Any) -> bool:
    """Whether something is the optimizer's or the hook's own code, and not what all of them stand on."""
    home = getattr(item, "__module__", None)
    if not isinstance(home, str) or home in BASES:
        return False
    return not home.startswith("torch.") or home.startswith(OURS_TO_READ)


def _functions(item: Any) -> Iterator[FunctionType]:
    """The functions that a class or a function consists of."""
    values = list(vars(item).values()) if isinstance(item, type) else [item]
    for value in values:
        if isinstance(value, DESCRIPTORS) or hasattr(value, "__wrapped__"):
            yield from functions_of(value)


def _named(function: FunctionType) -> Iterator[Any]:
    """What a function names among its globals, or has around it: functions, classes, tables of functions."""
    around = [cell.cell_contents for cell in function.__closure__ or () if _is_full(cell)]
    for item in (*map(function.__globals__.get, names_of(function.__code__)), *around):
        several = list(item.values())[:MOST_ENTRIES] if isinstance(item, dict) else (item,)
        yield from (
            each for each in several if isinstance(each, type) or next(functions_of(each), None)
        )


def _is_full(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def _products(code: CodeType) -> set[str]:
    found = {name.rstrip("_") for name in names_of(code)} & NAMES
    waiting = [code]
    for each in waiting:
        if any(map(is_product, dis.get_instructions(each))):
            found.add("@")
        waiting += [constant for constant in each.co_consts if isinstance(constant, CodeType)]
    return found

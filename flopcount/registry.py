"""Op name -> formula. Users add their own ops with one decorator. No torch here.

A formula receives what the op received, plus its result as ``out``, and answers whole FLOP::

    @flopcount.formula("mylib::scan")
    def scan(x, state, *, out):
        return 6 * x.shape[0] * x.shape[1] * state.shape[-1]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from flopcount.errors import FormulaError

Formula = Callable[..., "Cost | int"]
_F = TypeVar("_F", bound=Formula)


@dataclass(frozen=True, slots=True)
class Cost:
    """What one call costs.

    Attributes:
        flop: Model FLOP, attention dense.
        attention: The part of ``flop`` in score and value products.
        masked: ``flop`` with masked pairs left out; None means the same as ``flop``.
        rescored: FLOP that the kernel repeats and mathematics does not need.
        dtype: Short dtype name when it is not that of the first tensor.
        rows: Rows sent to experts, for a grouped product.
        exact: False when the figure rests on data that the trace did not have.

    """

    flop: int
    attention: int = 0
    masked: int | None = None
    rescored: int = 0
    dtype: str | None = None
    rows: int = 0
    exact: bool = True


_FORMULAS: dict[str, Formula] = {}
_BY_NAME: set[str] = set()
_GENERATION = 0


def formula(*names: str, by_name: bool = False) -> Callable[[_F], _F]:
    """Register a formula for ops named ``namespace::op`` (without overload).

    With ``by_name`` the formula is called as ``function(arguments, out=out)`` where ``arguments``
    maps the names of the op's schema to the values that were passed.

    Raises:
        FormulaError: when a name has no ``::``.

    """
    for name in names:
        if "::" not in name:
            raise FormulaError(
                f"an op is named as 'namespace::op'; found {name!r}; "
                "write it as torch.library does, without overload"
            )

    def register(function: _F) -> _F:
        global _GENERATION  # noqa: PLW0603
        for name in names:
            _FORMULAS[name] = function
            (_BY_NAME.add if by_name else _BY_NAME.discard)(name)
        _GENERATION += 1
        return function

    return register


def unregister(name: str) -> None:
    """Forget the formula of one op; unknown names are ignored."""
    global _GENERATION  # noqa: PLW0603
    _FORMULAS.pop(name, None)
    _GENERATION += 1


def generation() -> int:
    """A number that changes with every registration, for caches."""
    return _GENERATION


def find(name: str) -> Formula | None:
    """The formula of an op ``namespace::op``, or None."""
    return _FORMULAS.get(name)


def names() -> frozenset[str]:
    """Every op that has a formula."""
    return frozenset(_FORMULAS)


def evaluate(
    name: str, function: Formula, args: Any, kwargs: Any, out: Any, parameters: Sequence[str] = ()
) -> Cost:
    """Run a formula and insist on a whole, non-negative number.

    ``parameters`` are the names of the op's schema, for formulas that read by name.

    Raises:
        FormulaError: when the answer is anything else.

    """
    if name in _BY_NAME:
        answer = function({**dict(zip(parameters, args, strict=False)), **kwargs}, out=out)
    else:
        answer = function(*args, **kwargs, out=out)
    cost = answer if isinstance(answer, Cost) else None
    flop = cost.flop if cost is not None else answer
    if isinstance(flop, bool) or not isinstance(flop, int) or flop < 0:
        raise FormulaError(
            f"the formula of {name} must return whole FLOP of at least 0; found {flop!r}; "
            "use integer arithmetic (// instead of /)"
        )
    return cost if cost is not None else Cost(flop)

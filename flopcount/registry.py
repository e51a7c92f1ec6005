"""Op name -> formula. Users add their own ops with one decorator. No torch here.

A formula receives what the op received, plus its result as ``out``, and answers whole FLOP::

    @flopcount.formula("mylib::scan")
    def scan(x, state, *, out):
        return 6 * x.shape[0] * x.shape[1] * state.shape[-1]
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from flopcount.errors import FormulaError

Formula = Callable[..., "Cost | int"]
_F = TypeVar("_F", bound=Formula)
_B = TypeVar("_B", bound=Callable[["Call"], "Cost | int"])


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
        padded: Rows of a grouped product that lie in no group.
        exact: False when the figure rests on data that the trace did not have; it is then the
            greatest that the call can cost.
        low: The least that the call can cost, where it is not exact.
        ahead: FLOP beside ``flop`` that belong to the backward and are executed in the forward.

    """

    flop: int
    attention: int = 0
    masked: int | None = None
    rescored: int = 0
    dtype: str | None = None
    rows: int = 0
    padded: int = 0
    exact: bool = True
    low: int = 0
    ahead: int = 0

    def times(self, number: int) -> Cost:
        """The same call with every figure of FLOP multiplied."""
        masked = None if self.masked is None else self.masked * number
        return replace(
            self,
            flop=self.flop * number,
            attention=self.attention * number,
            masked=masked,
            rescored=self.rescored * number,
            low=self.low * number,
            ahead=self.ahead * number,
        )


@dataclass(frozen=True, slots=True)
class Call:
    """One executed op, with its arguments by the names of its schema.

    Attributes:
        arguments: What was passed; defaults that were not passed are absent.
        out: The result.
        needs: In a backward, which inputs of the forward op need a gradient, in the order of its
            differentiable arguments; None where autograd was not asked.

    """

    arguments: Mapping[str, Any]
    out: Any
    needs: tuple[bool, ...] | None = None

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor argument."""
        return tuple(self.arguments[name].shape)

    def get(self, name: str, default: Any = None) -> Any:
        """An argument, or ``default`` where it was not passed."""
        return self.arguments.get(name, default)

    def out_shape(self) -> tuple[int, ...]:
        """Shape of the result, or of its first tensor."""
        out = self.out
        return tuple((out[0] if isinstance(out, tuple | list) else out).shape)


_FORMULAS: dict[str, Formula] = {}
_BY_NAME: set[str] = set()


def formula(*names: str) -> Callable[[_F], _F]:
    """Register a formula that is called as the op was, plus ``out``.

    Args:
        *names: The ops, as ``namespace::op`` without overload.

    Raises:
        FormulaError: when a name has no ``::``.

    """
    _check(names)

    def register(function: _F) -> _F:
        for name in names:
            _FORMULAS[name] = function
            _BY_NAME.discard(name)
        return function

    return register


def call_formula(*names: str) -> Callable[[_B], _B]:
    """Register a formula that reads a :class:`Call`, for ops whose schemas name their arguments."""
    _check(names)

    def register(function: _B) -> _B:
        for name in names:
            _FORMULAS[name] = function
            _BY_NAME.add(name)
        return function

    return register


def _check(names: Sequence[str]) -> None:
    for name in names:
        if "::" not in name:
            raise FormulaError(
                f"an op is named as 'namespace::op'; found {name!r}; "
                "write it as torch.library does, without overload"
            )


def unregister(name: str) -> None:
    """Forget the formula of one op; unknown names are ignored."""
    _FORMULAS.pop(name, None)
    _BY_NAME.discard(name)


def find(name: str) -> Formula | None:
    """The formula of an op ``namespace::op``, or None."""
    return _FORMULAS.get(name)


def names() -> frozenset[str]:
    """Every op that has a formula."""
    return frozenset(_FORMULAS)


def _complex_factor(name: str, args: Sequence[Any]) -> int:
    """Real multiply-adds in one of a product: four where both operands are complex.

    Pivots and other whole numbers beside them are no operands. Transforms say themselves what they
    cost in complex numbers, and so do formulas of users.
    """
    if not name.startswith("aten::") or "_fft_" in name:
        return 1
    dtypes = {str(item.dtype) for item in args if hasattr(item, "dtype")}
    of_numbers = {dtype for dtype in dtypes if "int" not in dtype and "bool" not in dtype}
    return 4 if of_numbers and all("complex" in dtype for dtype in of_numbers) else 1


def evaluate(
    name: str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    out: Any,
    parameters: Sequence[str] = (),
    needs: tuple[bool, ...] | None = None,
) -> Cost:
    """Run the formula of ``name`` and insist on a whole, non-negative number.

    Args:
        name: A registered op.
        args: Positional arguments of the call.
        kwargs: Keyword arguments of the call.
        out: Its result.
        parameters: Names of the op's schema, for formulas that read by name.
        needs: See :class:`Call`.

    Raises:
        FormulaError: when the op has no formula or the answer is no whole number.

    """
    function = _FORMULAS.get(name)
    if function is None:
        raise FormulaError(f"{name} has no formula; register one with @flopcount.formula")
    if name in _BY_NAME:
        bound = {**dict(zip(parameters, args, strict=False)), **kwargs}
        answer = function(Call(bound, out, needs))
    else:
        answer = function(*args, **kwargs, out=out)
    cost = answer if isinstance(answer, Cost) else None
    flop = cost.flop if cost is not None else answer
    times = _complex_factor(name, args)
    if times > 1 and isinstance(flop, int):
        cost = (cost or Cost(flop)).times(times)
        flop = cost.flop
    if isinstance(flop, bool) or not isinstance(flop, int) or flop < 0:
        raise FormulaError(
            f"the formula of {name} must return whole FLOP of at least 0; found {flop!r}; "
            "use integer arithmetic (// instead of /)"
        )
    return cost if cost is not None else Cost(flop)

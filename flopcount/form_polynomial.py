"""A closed form as a polynomial in batch and sequence, where the trace agrees with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flopcount.closed_form import ClosedForm, Dimensions
from flopcount.closed_form import count as closed_form_count
from flopcount.errors import FlopcountError

if TYPE_CHECKING:
    from collections.abc import Callable

    from flopcount.architectures import Architecture
    from flopcount.count import FlopCount


def polynomial_of(
    built: Architecture,
    form: ClosedForm | None,
    count: FlopCount | None,
    *,
    backward: bool,
    sizes: dict[str, Any],
) -> tuple[tuple[int, int, int], ...] | None:
    """Expand the closed form in batch and sequence, where it meets the trace at this point.

    The trace is the independent check: a form that misses it by one FLOP gives no polynomial.
    """
    dimensions = built.dimensions
    if form is None or count is None or dimensions is None:
        return None
    traced = count.forward + count.backward
    if traced != (form.total if backward else form.forward) or count.convention.name != "dense":
        return None

    return form_polynomial(dimensions, backward, "dense", sizes)


def form_polynomial(
    dimensions: Dimensions, backward: bool, convention: str, sizes: dict[str, Any]
) -> tuple[tuple[int, int, int], ...] | None:
    """Expand the closed form's dense total; None for another rule, or where it is no polynomial."""
    if convention != "dense":
        return None

    def total(batch: int, sequence: int) -> int:
        at = closed_form_count(dimensions, batch=batch, sequence=sequence, **sizes)
        return at.total if backward else at.forward

    try:
        return expand(total)
    except FlopcountError:
        return None


def expand(total: Callable[[int, int], int]) -> tuple[tuple[int, int, int], ...] | None:
    """Expand batch x (c + b s + a s^2) from three points; None where five more points deny it."""
    one, two, three = (total(1, length) for length in (1, 2, 3))
    a, odd = divmod(three - 2 * two + one, 2)
    b = two - one - 3 * a
    c = one - a - b
    # A scan in chunks is a polynomial only within its first chunk: look far out as well.
    for batch, length in ((3, 5), (1, 7), (2, 257), (1, 1009), (1, 65537)):
        if odd or total(batch, length) != batch * (c + length * b + length * length * a):
            return None
    return tuple((k, 1, power) for k, power in ((c, 0), (b, 1), (a, 2)) if k)

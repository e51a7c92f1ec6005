"""A closed form as a polynomial in batch and sequence, where the trace agrees with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flopcount.closed_form import ClosedForm, Dimensions
from flopcount.closed_form import count as closed_form_count
from flopcount.errors import FlopcountError

if TYPE_CHECKING:
    from collections.abc import Callable

    from flopcount.count import FlopCount
    from flopcount.model_files.architectures import Architecture


Terms = tuple[tuple[int, int, int], ...]
"""Coefficient, power of batch, power of sequence."""
PROBE = "flopcount.polynomial(built.model, built.inputs) may find one from small traces"


def polynomial_of(
    built: Architecture,
    form: ClosedForm | None,
    count: FlopCount | None,
    *,
    backward: bool,
    sizes: dict[str, Any],
) -> tuple[Terms | None, str | None]:
    """Expand the closed form in batch and sequence, where it meets the trace at this point.

    The trace is the independent check: a form that misses it by one FLOP gives no polynomial.

    Returns:
        The terms, or None and the reason why there are none.
    """
    dimensions = built.dimensions
    if count is None:
        return None, "the input size is not known, so nothing was counted"
    if form is None or dimensions is None:
        return None, f"there is no closed form to expand; {PROBE}"
    traced = count.forward + count.backward
    if traced != (form.total if backward else form.forward):
        return None, f"the closed form misses the trace at this size; {PROBE}"
    return form_polynomial(dimensions, backward, count.convention.name, sizes)


def form_polynomial(
    dimensions: Dimensions, backward: bool, convention: str, sizes: dict[str, Any]
) -> tuple[Terms | None, str | None]:
    """Expand the closed form's dense total; None and the reason where it is no polynomial."""
    if convention != "dense":
        return None, f"the polynomial is of the dense total, and '{convention}' was asked for"

    def total(batch: int, sequence: int) -> int:
        at = closed_form_count(dimensions, batch=batch, sequence=sequence, **sizes)
        return at.total if backward else at.forward

    try:
        terms = expand(total)
    except FlopcountError as error:
        return None, str(error)
    if terms is None:
        return None, "the total is no polynomial of the sequence: the model works in chunks of it"
    return terms, None


def expand(total: Callable[[int, int], int]) -> Terms | None:
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

"""Exact polynomials of a count in batch and sequence length, from a few small traces.

Every product's FLOP is a product of sizes, so a count is a polynomial in them as long as the model
does the same things at every size. Whether it does is not assumed: the polynomial is found from
small probes, in exact rational arithmetic, and must then predict independent larger probes to the
last FLOP. Models with windows do other things beyond the window; then there is one polynomial for
each side. What still fails the check is refused, with the sizes at which it fails.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import inf
from typing import Any

from flopcount.errors import CountError, FlopcountError, NotPolynomialError
from flopcount.facts import stated

Count = Callable[[int, int], int]
Term = tuple[Fraction, int, int]
DEGREES = ((1, 2), (2, 2), (2, 4))
"""Powers of batch and sequence that are tried: language models, contrastive losses, image sides."""
STEPS = (8, 16, 32, 64, 256, 512)
"""Spacings of the probed lengths; a model that works in blocks is exact at their multiples only."""
BASES = (0, 64, 512)
"""Lengths above which is probed, the least first: an image may need so many tokens for itself."""
FAR = (4096, 2048, 1000, 500, 248)
"""Lengths of the last check, the greatest that the model takes."""


class NoInputsError(CountError):
    """There are no inputs of this size; a longer sequence may have some."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """One polynomial and where it holds.

    Attributes:
        low: Least sequence length.
        high: Greatest sequence length; None without a limit.
        step: The length must be a multiple of this.
        terms: Coefficient, power of batch, power of sequence.

    """

    low: int
    high: int | None
    step: int
    terms: tuple[Term, ...]

    def covers(self, sequence: int) -> bool:
        """Whether the polynomial holds at a length."""
        high = inf if self.high is None else self.high
        return self.low <= sequence <= high and sequence % self.step == 0

    def value(self, batch: int, sequence: int) -> int:
        """The exact figure (FLOP)."""
        total = sum((c * batch**b * sequence**s for c, b, s in self.terms), Fraction(0))
        if total.denominator != 1:
            raise NotPolynomialError(
                f"the polynomial is no whole number at batch {batch}, sequence {sequence}; "
                f"the model was probed at multiples of {self.step}; use one of those"
            )
        return int(total)


@dataclass(frozen=True, kw_only=True, slots=True)
class Polynomial:
    """A count as a function of batch and sequence length; evaluates in microseconds.

    Attributes:
        pieces: Polynomials by range of the sequence length.
        probes: Sizes that were traced to find and check it, as ``(batch, sequence)``.

    """

    pieces: tuple[Piece, ...]
    probes: tuple[tuple[int, int], ...]

    @property
    def terms(self) -> list[list[Any]]:
        """``[[coefficient, power_of_batch, power_of_sequence], ...]`` of the last piece.

        Coefficients are whole numbers, or fractions where the size comes in blocks.
        """
        return [[int(c) if c.denominator == 1 else c, b, s] for c, b, s in self.pieces[-1].terms]

    def __call__(self, *, batch: int, sequence: int) -> int:
        """The exact figure (FLOP) at a size.

        Raises:
            NotPolynomialError: where no piece was shown to hold.

        """
        if batch < 1 or sequence < 1:
            raise NotPolynomialError(
                f"sizes are at least 1; found batch {batch}, sequence {sequence}"
            )
        for piece in self.pieces:
            if piece.covers(sequence):
                return piece.value(batch, sequence)
        steps = ", ".join(
            f"{piece.low} to {piece.high or 'any'} in steps of {piece.step}"
            for piece in self.pieces
        )
        raise NotPolynomialError(
            f"no polynomial was shown to hold at sequence {sequence}; found exact ranges: {steps}; "
            "count this size directly"
        )


def polynomial(
    model: Any,
    make_inputs: Callable[[int, int], Any],
    *,
    backward: bool = True,
    loss: Callable[[Any], Any] | None = None,
    convention: str = "dense",
) -> Polynomial:
    """Find the exact polynomial of a model's count. See :func:`flopcount.polynomial`."""
    from flopcount.counting import count

    def at(batch: int, sequence: int) -> int:
        try:
            made = make_inputs(batch, sequence)
        except FlopcountError as error:
            raise NoInputsError(str(error)) from error
        args, kwargs = _call(made)
        return count(
            model, *args, backward=backward, loss=loss, convention=convention, **kwargs
        ).total

    return find(at, windows=_windows(model), blocks=_blocks(model))


def _call(made: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What ``make_inputs`` answered, as arguments of a call."""
    if isinstance(made, Mapping):
        return (), dict(made)
    return (tuple(made), {}) if isinstance(made, tuple | list) else ((made,), {})


def _windows(model: Any) -> tuple[int, ...]:
    """Lengths at which a model may change what it does, from its config."""
    config = getattr(model, "config", None)
    names = ("sliding_window", "attention_window", "window_size", "attention_chunk_size")
    values = (stated(config, name) for name in names)
    return tuple(sorted({v for v in values if isinstance(v, int) and 1 < v <= 1 << 16}))


def _blocks(model: Any) -> tuple[int, ...]:
    """Sides of the blocks that a model cuts its input into, from its config: patches, merged ones."""
    config = getattr(model, "config", None)
    blocks = set()
    for part in (config, stated(config, "vision_config")):
        patch, merge = stated(part, "patch_size"), stated(part, "spatial_merge_size") or 1
        if type(patch) is int and type(merge) is int and 1 < patch * merge <= 1 << 10:
            blocks.add(patch * merge)
    return tuple(sorted(blocks))


def find(
    count: Count, *, windows: tuple[int, ...] = (), blocks: tuple[int, ...] = ()
) -> Polynomial:
    """Find the polynomial of any exact count of batch and sequence length.

    Args:
        count: the exact count at a batch and a length.
        windows: lengths beyond which the model may do something else.
        blocks: lengths of which the model may take multiples only.

    Raises:
        NotPolynomialError: when no polynomial of the tried degrees predicts the check points.
        CountError: when the model cannot be counted at any probed length.

    """
    seen: dict[tuple[int, int], int] = {}

    def at(batch: int, sequence: int) -> int:
        if (batch, sequence) not in seen:
            seen[(batch, sequence)] = count(batch, sequence)
        return seen[(batch, sequence)]

    failure: Exception | None = None
    for step in (STEPS[0], *(block for block in blocks if block not in STEPS), *STEPS[1:]):
        try:
            pieces = _above_a_base(at, step, windows)
        except (CountError, NotPolynomialError) as error:
            failure = failure if isinstance(failure, NotPolynomialError) else error
            continue
        return Polynomial(pieces=pieces, probes=tuple(seen))
    assert failure is not None
    raise failure


def _above_a_base(at: Count, step: int, windows: tuple[int, ...]) -> tuple[Piece, ...]:
    """The pieces above the least base at which there are inputs."""
    for base in BASES:
        try:
            return _pieces(at, step, base, tuple(w for w in windows if w > base))
        except NoInputsError:
            if base == BASES[-1]:
                raise
    raise AssertionError  # the loop returns or raises


def _pieces(at: Count, step: int, base: int, windows: tuple[int, ...]) -> tuple[Piece, ...]:
    """One polynomial if one suffices, else one on each side of each window."""
    try:
        whole = _fit(at, step, base, None)
        if all(_holds(at, whole, window + (-window) % step + step) for window in windows):
            return (whole,)
    except NotPolynomialError:
        if not windows:
            raise
    pieces: list[Piece] = []
    low = base
    for window in (*windows, None):
        pieces.append(_fit(at, step, low, window))
        low = window or 0
    return tuple(pieces)


def _holds(at: Count, piece: Piece, sequence: int) -> bool:
    return piece.value(1, sequence) == at(1, sequence)


def _fit(at: Count, step: int, low: int, high: int | None) -> Piece:
    """Fit and check inside ``(low, high]``."""
    start = low + (-low) % step
    reasons = []
    for batch_degree, length_degree in DEGREES:
        batches = list(range(1, batch_degree + 2))
        lengths = [start + step * (i + 1) for i in range(length_degree + 1)]
        checks = [(batches[-1] + 1, lengths[-1] + step), (1, lengths[-1] + 3 * step)]
        if high is not None and checks[-1][1] > high:
            raise NotPolynomialError(
                f"the range up to the window of {high} is too short to probe in steps of {step}; "
                "count these lengths directly"
            )
        values = {(b, s): Fraction(at(b, s)) for b in batches for s in lengths}
        piece = Piece(
            low=max(low, 1) if low else 1 if step == STEPS[0] else step,
            high=high,
            step=1 if step == STEPS[0] else step,
            terms=_interpolate(values, batches, lengths),
        )
        wrong = [(b, s) for b, s in checks if piece.value(b, s) != at(b, s)]
        if not wrong and _holds_between(at, piece, lengths) and _holds_far(at, piece):
            return piece
        reasons.append(f"degrees {batch_degree} and {length_degree} fail at {wrong or 'odd sizes'}")
    raise NotPolynomialError(
        f"the count is no polynomial of batch and sequence length at steps of {step}: "
        f"{'; '.join(reasons)}; count each size directly"
    )


def _holds_between(at: Count, piece: Piece, lengths: list[int]) -> bool:
    """Whether a length that is no multiple of the step is predicted too, where it should be."""
    if piece.step > 1:
        return True
    between = lengths[0] + (lengths[1] - lengths[0]) // 2 + 1
    return _holds(at, piece, between)


def _holds_far(at: Count, piece: Piece) -> bool:
    """Whether the greatest length that the model takes is predicted: blocks show only there."""
    for far in FAR:
        length = far - far % piece.step + (1 if piece.step == 1 else 0)
        if not piece.covers(length):
            continue
        try:
            return _holds(at, piece, length)
        except CountError:
            continue  # e.g. more positions than the model has
    return True


def fit_grid(
    values: Mapping[tuple[int, int], int], batches: Sequence[int], lengths: Sequence[int]
) -> Piece:
    """The polynomial through a grid of values, without any check of it."""
    exact = {(b, s): Fraction(values[(b, s)]) for b in batches for s in lengths}
    terms = _interpolate(exact, list(batches), list(lengths))
    return Piece(low=1, high=None, step=1, terms=terms)


def _interpolate(
    values: Mapping[tuple[int, int], Fraction], batches: list[int], lengths: list[int]
) -> tuple[Term, ...]:
    """Coefficients of the polynomial through a grid: one axis after the other."""
    by_batch = [
        _coefficients(lengths, [values[(batch, length)] for length in lengths]) for batch in batches
    ]
    terms: list[Term] = []
    for power in range(len(lengths)):
        column = _coefficients(batches, [row[power] for row in by_batch])
        terms += [(c, b, power) for b, c in enumerate(column) if c]
    return tuple(terms)


def _coefficients(points: list[int], values: list[Fraction]) -> list[Fraction]:
    """Coefficients, lowest power first, of the polynomial through the points (Newton's form)."""
    divided = list(values)
    for order in range(1, len(points)):
        for i in range(len(points) - 1, order - 1, -1):
            divided[i] = (divided[i] - divided[i - 1]) / (points[i] - points[i - order])
    result = [Fraction(0)] * len(points)
    for value, point in zip(reversed(divided), reversed(points), strict=True):
        shifted = [Fraction(0), *result[:-1]]
        result = [shift - point * old for shift, old in zip(shifted, result, strict=True)]
        result[0] += value
    return result

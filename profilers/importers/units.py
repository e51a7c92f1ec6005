"""Cells and units: text of a foreign tool to a number in the signal's own unit, or a reason.

Decimal arithmetic, because the bulk path is checked against this one: ``123.45 W`` is 123450 mW to
the last bit. Values keep six decimals of the signal's unit, far below any sensor's resolution.
"""

import math
import re
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation

from profilers.reading import SIGNALS, Reading, Reason, Unavailable

DECIMALS = 6
"""Decimals kept of the signal's unit (nanowatts, nanojoules, hertz, millionths of a permille)."""

_FLOAT_SAFE = 2**53 / 10**DECIMALS
_STEP = Decimal(1).scaleb(-DECIMALS)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?", re.ASCII)
_LONGEST_NUMBER = 64

SCALES: Mapping[str, Mapping[str, Decimal]] = {
    "mW": {"mW": Decimal(1), "W": Decimal(1000), "kW": Decimal(10**6)},
    "mJ": {
        "mJ": Decimal(1),
        "J": Decimal(1000),
        "kJ": Decimal(10**6),
        "Wh": Decimal(3_600_000),
        "kWh": Decimal(3_600_000_000),
    },
    "MHz": {
        "MHz": Decimal(1),
        "GHz": Decimal(1000),
        "kHz": Decimal("0.001"),
        "Hz": Decimal("0.000001"),
    },
    "permille": {"permille": Decimal(1), "%": Decimal(10), "ratio": Decimal(1000)},
    "bytes": {
        "B": Decimal(1),
        "KiB": Decimal(2**10),
        "MiB": Decimal(2**20),
        "GiB": Decimal(2**30),
        "kB": Decimal(10**3),
        "MB": Decimal(10**6),
        "GB": Decimal(10**9),
    },
    "degree Celsius": {"C": Decimal(1)},
    "cycles": {"cycles": Decimal(1)},
    "errors": {"count": Decimal(1)},
    "processes": {"count": Decimal(1)},
    "bit mask": {"mask": Decimal(1)},
    "FLOP": {"FLOP": Decimal(1)},
}
"""Signal unit to the units it may be recorded in, each with its factor."""

MISSING: Mapping[str, Reason] = {
    "": Reason.ABSENT,
    "-": Reason.UNSUPPORTED,
    "N/A": Reason.UNSUPPORTED,
    "n/a": Reason.UNSUPPORTED,
    "NA": Reason.UNSUPPORTED,
    "[N/A]": Reason.UNSUPPORTED,
    "[Not Supported]": Reason.UNSUPPORTED,
    "Not Supported": Reason.UNSUPPORTED,
    "[Not Found]": Reason.UNSUPPORTED,
    "[Unknown Error]": Reason.FAILED,
    "Unknown Error": Reason.FAILED,
    "ERR!": Reason.FAILED,
    "[GPU requires reset]": Reason.LOST,
    "[GPU is lost]": Reason.LOST,
    "GPU is lost": Reason.LOST,
    "[Insufficient Permissions]": Reason.FORBIDDEN,
    "nan": Reason.ABSENT,
    "NaN": Reason.ABSENT,
    "null": Reason.ABSENT,
    "None": Reason.ABSENT,
}
"""Words that foreign tools write where there is no number, and what they mean."""


def factor(signal: str, unit: str) -> Decimal:
    """Return what a figure in ``unit`` is multiplied with; KeyError names what is allowed."""
    allowed = SCALES[SIGNALS[signal].unit]
    if unit not in allowed:
        raise KeyError(f"{signal} cannot be recorded in {unit!r}; known: {', '.join(allowed)}")
    return allowed[unit]


def number(text: str) -> Decimal | None:
    """Return the number that a cell holds, or None where it is not plainly one."""
    if len(text) > _LONGEST_NUMBER or not _NUMBER.fullmatch(text):
        return None
    try:
        return Decimal(text)
    except InvalidOperation:  # pragma: no cover - the pattern admits nothing else
        return None


def scaled(value: Decimal, by: Decimal) -> int | float:
    """Return a figure in the signal's unit: an int where it is whole, else six decimals."""
    product = value * by
    if abs(product) >= 2**53:
        return int(product) if abs(product) < 2**63 else float(product)  # judged as impossible
    product = product.quantize(_STEP)
    return int(product) if product == product.to_integral_value() else float(product)


def missing(text: str) -> Unavailable | None:
    """Return the typed absence that a word stands for, or None where it is no such word."""
    reason = MISSING.get(text)
    if reason is None:
        return None
    return Unavailable(reason=reason, detail=text or "empty cell")


def judged(signal: str, value: int | float) -> Reading:
    """Refuse what is physically impossible, keeping the raw figure beside the reason."""
    rule = SIGNALS[signal]
    if not abs(value) < 2**63:
        raw = value if math.isfinite(value) else None
        return Unavailable(reason=Reason.REJECTED, detail=f"{signal} beyond any counter", raw=raw)
    if (rule.low is not None and value < rule.low) or (rule.high is not None and value > rule.high):
        return Unavailable(
            reason=Reason.REJECTED, detail=f"{signal} outside its physical range", raw=value
        )
    return value


def reading(signal: str, text: str, unit: str) -> Reading | None:
    """Read one cell; None: neither a number nor a known word for a missing one."""
    bare = text.strip()
    absent = missing(bare)
    if absent is not None:
        return absent
    value = number(bare)
    return None if value is None else judged(signal, scaled(value, factor(signal, unit)))


def reader(signal: str, unit: str) -> Callable[[str], Reading | None]:
    """Return ``reading`` for one signal and unit, for formats with a figure a line.

    Figures of ordinary size go through floats, several times faster; the six decimals that are kept
    are the same. Words for missing figures are the caller's, and answered with None.
    """
    exact = factor(signal, unit)
    by, rule = float(exact), SIGNALS[signal]
    low = -math.inf if rule.low is None else rule.low
    high = math.inf if rule.high is None else rule.high

    def read(text: str) -> Reading | None:
        if len(text) > _LONGEST_NUMBER or not _NUMBER.fullmatch(text):
            return None
        product = float(text) * by
        if not -_FLOAT_SAFE < product < _FLOAT_SAFE:
            return judged(signal, scaled(Decimal(text), exact))
        product = round(product, DECIMALS)
        value = int(product) if product.is_integer() else product
        return value if low <= value <= high else judged(signal, value)

    return read

"""Figures as people write them, the same in every message and report."""

from flopledger.quantity import Interval

#: Stands where a sentence stood that holds what a policy withholds.
WITHHELD_SENTENCE = "(withheld: this sentence names figures)"


#: An interval is written with no more, however narrow it is.
_MOST_DIGITS = 6


def number(value: float | None, digits: int = 3) -> str:
    """Write a figure with a few significant digits, exponents without padding: ``3.8e25``.

    A figure that has fewer is not given more: ``1.1e24`` as it was typed, or rounded, is no 1.10e24.
    One that stays below a power of ten is not rounded onto it: thresholds are powers of ten, and
    9.996e25 is not 1e26.
    """
    if value is None:
        return "not known"
    if value == 0:
        return "0"
    if 0.001 <= abs(value) < 1e6:
        short = f"{value:.{digits}g}" if abs(value) < 1000 else f"{value:.0f}"
        return f"{float(short):,.0f}" if "e" in short or abs(value) >= 1000 else short
    digits = min(digits, max(significant(value), 2))
    if abs(value) >= 1e6:
        digits = next((n for n in range(digits, _MOST_DIGITS + 1) if _stays(value, n)), digits)
    mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
    return f"{mantissa}e{int(exponent)}"


def _stays(value: float, digits: int) -> bool:
    """Say whether ``value`` has the same power of ten once it is rounded."""
    return f"{value:.{digits - 1}e}".partition("e")[2] == f"{value:.16e}".partition("e")[2]


def plural(count: int, word: str) -> str:
    """Count things: ``1 run``, ``2 runs``."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def factor(value: float) -> str:
    """Write by how much two figures differ: two digits where they are a hundred times apart.

    Nobody knows a ratio of 527,484 to its last digit; what matters is that it is half a million.
    """
    if 100 <= value < 1e6:
        return f"{float(f'{value:.1e}'):,.0f}"
    return number(value, 3 if 0.01 <= value < 100 else 2)


def share(value: float) -> str:
    """Write a share of a whole: ``38%``, ``0.7%``, and never ``0.00%`` of something that is there."""
    if 0 < value < 1e-4:
        return "less than 0.01%"
    if value < 0.1:
        return f"{number(100 * value, 2)}%"
    # The last per cent before the whole says whether something is missing.
    return f"{100 * value:.3g}%" if value < 0.995 else f"{100 * value:.4g}%"


def chance(probability: float | None) -> str:
    """Write a probability, and no more certainty than draws can show; ``None``: nothing settles it."""
    if probability is None:
        return "not determined"
    if probability < 0.001:
        return "< 0.1%"
    return "> 99.9%" if probability > 0.999 else f"{probability:.1%}"


def with_unit(value: float | None, unit: str) -> str:
    """Write a figure and its unit: ``700 W``, ``37%``."""
    return f"{number(value)}{'' if unit in {'', '%'} else ' '}{unit}"


def duration(seconds: float | None) -> str:
    """Write a duration: ``48.5 s``, ``12 min 05 s``, ``7 h 30 min``, ``54.0 days``."""
    if seconds is None:
        return "not known"
    if seconds < 120:
        return f"{number(seconds)} s"
    hours, rest = divmod(round(seconds), 3600)
    if hours >= 72:
        return f"{seconds / 86400:,.1f} days"
    return f"{hours} h {rest // 60:02d} min" if hours else f"{rest // 60} min {rest % 60:02d} s"


def energy(joules: float | None) -> str:
    """Write an energy: J, kJ, or kWh from a tenth of one on."""
    if joules is None:
        return "not known"
    if joules >= 360_000:
        return f"{number(joules / 3.6e6)} kWh"
    return f"{number(joules / 1000)} kJ" if joules >= 1000 else f"{number(joules)} J"


def sigmas(z: float) -> str:
    """Write a distance in standard deviations; far out, its size says nothing more."""
    return f"{z:+.1f} sigma" if abs(z) <= 10 else "more than 10 sigma apart"


def significant(value: float) -> int:
    """Count the significant digits of the shortest spelling of ``value``."""
    mantissa = f"{value!r}".lower().partition("e")[0].replace(".", "")
    return len(mantissa.strip("-0"))


def round_number(value: float) -> str:
    """Write a threshold: ``1e25`` where that is all there is to it, else two digits."""
    short = number(value, 1)
    return short if float(short.replace(",", "")) == value else number(value, 2)


def interval(value: Interval, digits: int = 3) -> str:
    """Write an interval as figure and ends, or as the bound that it is."""
    low, best, high = value.low, value.best, value.high
    if low is not None and low == high:
        return number(low, digits)
    ends = f"{number(low, digits)} to {number(high, digits)}"
    if best is not None and number(low, digits) == number(best, digits) == number(high, digits):
        return number(best, digits)  # the ends differ in digits that are not shown
    if best is not None:
        if digits < _MOST_DIGITS and any(_reads_like(end, best, digits) for end in (low, high)):
            return interval(value, digits + 1)
        return f"{number(best, digits)} ({ends})"
    if low is None:
        return "not known" if high is None else f"at most {number(high, digits)}"
    return f"at least {number(low, digits)}" if high is None else ends


def _reads_like(end: float | None, best: float, digits: int) -> bool:
    """Say whether an end that is not the figure rounds onto it."""
    if end is None or number(end, digits) != number(best, digits):
        return False
    return abs(end - best) > 1e-4 * abs(best)


def percent(value: Interval) -> str:
    """Write a utilisation."""
    if value.best is not None:
        return per_cent(value.best)
    if value.low is not None and value.high is not None:
        return f"{per_cent(value.low)} to {per_cent(value.high)}"
    if value.low is not None:
        return f"at least {per_cent(value.low)}"
    return f"at most {per_cent(value.high)}"


def per_cent(value: float | None) -> str:
    """Write a ratio to a tenth of a per cent: ``37.3%``; ``0.04%`` where that would hide it.

    Below a hundredth of a per cent it is ``< 0.01%``: what is there is not nothing, and no more matters.
    """
    if value is None:
        return "not known"
    if value >= 10:  # no utilisation any more, but a slip of units: "940,000%" hides that
        return f"{factor(value)} times 100%"
    if 0 < value < 1e-4:
        return "< 0.01%"
    return f"{value:.1%}" if value == 0 or value >= 0.001 else f"{factor(100 * value)}%"

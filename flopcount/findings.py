"""What a reader of a count should know besides the number."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

_BILLION = {"b": 10**9, "m": 10**6}
_SIZE = re.compile(
    r"(?<![A-Za-z0-9.])(?:(\d{1,3})x)?(\d{1,5}(?:\.\d{1,3})?)([bBmM])(?![A-Za-z0-9])"
    r"(?!-?(?:tok|step))"
)
_TOLERANCE = 1.5
"""Names round generously: gemma-2b builds 2.5e9. A shrunk or foreign model is further off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing to know about a file, as in the audit's list."""

    code: str
    severity: Literal["info", "warning", "error"]
    message: str
    evidence: tuple[str, ...] = ()


def name_mismatch(names: list[str], parameters: int) -> Finding | None:
    """Compare the sizes in a model's names ("405B", "8x7B", "125m") with what its config builds.

    The finding is None where no name states a size, or where one of them fits.
    """
    stated = {size: name for name in names for size in _sizes(name)}
    if not stated or parameters == 0:
        return None
    if any(low / _TOLERANCE <= parameters <= high * _TOLERANCE for low, high in stated):
        return None
    (low, high), name = min(stated.items(), key=lambda item: -item[0][1])
    said = f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}"
    return Finding(
        code="config-name-mismatch",
        severity="warning",
        message=(
            f"the name '{name[:100]}' states {said} parameters, the config builds {parameters:,}: "
            "a shrunk test model, another model's config, or a wrong name"
        ),
        evidence=(name[:200],),
    )


def prediction_left_out(config: Mapping[str, Any], file: object) -> Finding | None:
    """Tell of multi-token prediction that the file states and that was not counted."""
    stated = config.get("num_nextn_predict_layers")
    if type(stated) is not int or stated < 1:
        return None
    return Finding(
        code="module-left-out",
        severity="warning",
        message=(
            f"num_nextn_predict_layers = {stated}: multi-token prediction is not in this count; "
            "if it was trained, parameters and FLOP were higher than counted here"
        ),
        evidence=(str(file),),
    )


def _sizes(name: str) -> list[tuple[float, float]]:
    """Each stated size as an interval: "8x7B" lies between its parts and their full product."""
    found = []
    for times, number, unit in _SIZE.findall(name):
        size = float(number) * _BILLION[unit.lower()]
        found.append((size, size * int(times)) if times else (size, size))
    # "7B-Instruct-1M": the million is a context length.
    if any(high >= 1e9 for _, high in found):
        found = [pair for pair in found if pair[1] >= 1e8]
    return found

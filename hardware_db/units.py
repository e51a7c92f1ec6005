"""Reading a rate as people write it: "1979TFLOP/s", "2.5 PFLOPS", "624e12"."""

from __future__ import annotations

import math
import re

from hardware_db.errors import HardwareError

_PREFIXES = {"": 1.0, "m": 1e6, "g": 1e9, "t": 1e12, "p": 1e15, "e": 1e18}
_RATE = re.compile(
    r"(?P<number>\d[\d,_]*(?:\.\d+)?(?:e[+-]?\d+)?|\.\d+)\s*"
    r"(?P<unit>(?P<prefix>[mgtpe]|mega|giga|tera|peta|exa)?\s*"
    r"(?:flop|op)(?P<rate>s?\s*(?:/|per\s)\s*s(?:ec|econd)?|ps|s)?)?"
)
#: Below a million FLOP/s no device has been rated since the 1970s: a unit was forgotten.
_LEAST = 1e6


def parse_flop_per_second(written: str) -> float:
    """FLOP/s from text; TOPS and TFLOPS alike; raises HardwareError for anything else."""
    found = _RATE.fullmatch(written.strip().lower())
    if found is None or len(written) > 60:
        raise HardwareError(
            f"{written[:60]!r} is no rate; write for example 1979TFLOP/s, 1.98PFLOP/s or 1.979e15"
        )
    if found["unit"] and not found["rate"]:
        raise HardwareError(
            f"{written[:60]!r} is a count of operations and no rate; write for example 1979TFLOP/s"
        )
    number = float(found["number"].replace(",", "").replace("_", ""))
    value = number * _PREFIXES[(found["prefix"] or "")[:1]]
    if not (math.isfinite(value) and value > 0):
        raise HardwareError(f"{written[:60]!r}: a peak is a positive, finite number of FLOP/s")
    if value < _LEAST:
        raise HardwareError(
            f"{written[:60]!r} is {value:g} FLOP/s, which no accelerator is rated at; "
            "write the unit that it is in, for example 1979TFLOP/s"
        )
    return value

"""Names of several devices in a part's place: "8x H100", "DGX H100", a TPU slice.

A name gives the part, and with it a number that must not be lost: it is the count where the case states
none, and is held against the count where it does.
"""

import re

from flopledger import tpu_slices
from flopledger.facts import Finding

_BEFORE = re.compile(r"\s*(\d{1,6})\s*(?:[x×*]\s*|\s)(?=[a-z])(?!gi?b\b)", re.I)
_AFTER = re.compile(r".*[A-Za-z0-9]\s+[x×*]\s*(\d{1,6})\s*", re.I)
#: Machines that bear the name of their part, and the devices of one.
_MACHINES = (
    (re.compile(r"\b[DH]GX\b", re.I), 8),
    (re.compile(r"\bNVL[- ]?72\b", re.I), 72),
    (re.compile(r"\bNVL[- ]?36\b", re.I), 36),
)

_MACHINE = 8  #: devices of a machine; more are a rack's


def count_in(name: str) -> int | None:
    """Give the number of devices that a name itself says: of "8x H100" eight, of a TPU slice its chips."""
    match = _BEFORE.match(name) or _AFTER.fullmatch(name)
    return int(match[1]) if match is not None else tpu_slices.chips_of_slice(name)


def findings(name: str, count: float | None, place: str) -> list[Finding]:
    """Ask, where the count of devices does not fit the machines that the name speaks of."""
    if tpu_slices.chips_of_slice(name) is not None:
        return tpu_slices.slice_finding(name, count, place)
    match = _BEFORE.match(name) or _AFTER.fullmatch(name)
    each = next((size for words, size in _MACHINES if words.search(name)), None)
    if match is not None:
        each, is_listed = int(match[1]), True
    else:
        is_listed = False
    if each is None or each < 2 or count is None:
        return []
    # Of a rack's 72 jobs take what is whole in their own terms (64); of a machine's 8 they take all.
    fits = count >= each and (count % each == 0 or (each > _MACHINE and not is_listed))
    if is_listed and fits:
        return []
    message = (
        f"{name!r} speaks of {each} devices, and accelerator_count is {count:g}: it is taken as the number "
        f"of devices; if it counts machines, they are {count * each:,.0f}, and hours of machines are "
        f"{each} device-hours each"
    )
    return [
        Finding(
            code="unit-ambiguity" if fits else "device-count-mismatch",
            severity="info" if fits else "warning",
            message=message,
            evidence=(place,),
        )
    ]

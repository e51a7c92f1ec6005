"""Names of TPU slices in a part's place ("TPU v4-512"): their number may count cores, two a chip."""

import re

import hardware_db
from flopledger.facts import Finding

_SLICE = re.compile(r"(?:.*[ _-])?(v\d[ep]?(?:litepod)?-\d{1,6})", re.I)


def chips_of_slice(name: str) -> int | None:
    """Give the chips of a TPU slice that is named for a part ("TPU v4-512"): its number may count cores."""
    match = _SLICE.fullmatch(name.strip())
    if match is None:
        return None
    try:
        return int(hardware_db.instance(match[1].lower()).count)
    except hardware_db.HardwareError:
        return None


def slice_finding(name: str, count: float | None, place: str) -> list[Finding]:
    """Ask, where the number of a slice's name, or of slices, stands for that of its chips."""
    chips = chips_of_slice(name)
    if chips is None or count is None:
        return []
    cores = int(name.rsplit("-", 1)[1])
    is_cores = count == cores != chips
    if not is_cores and count >= chips:
        return []
    kind = (
        "the number in the name, which counts TensorCores"
        if is_cores
        else "less than one slice has"
    )
    message = (
        f"a slice {name!r} has {chips} chips, and accelerator_count is {count:g}: {kind}; its peak is a "
        "chip's, so count chips"
    )
    return [
        Finding(
            code="device-count-mismatch", severity="warning", message=message, evidence=(place,)
        )
    ]

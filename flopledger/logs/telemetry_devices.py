"""What several recordings say of one device, counted once; and where nobody can tell devices apart."""

from itertools import combinations
from typing import TYPE_CHECKING

from flopledger.facts import Finding
from flopledger.logs.telemetry_files import Recording

if TYPE_CHECKING:
    from profilers.trace import DeviceKey, DeviceTrace

#: So many equal rows, every signal of every device, are a copy and no coincidence.
_ROWS = 5


def united(
    found: list[Recording | Finding],
) -> tuple[list[Recording], tuple[Finding, ...], tuple[str, ...]]:
    """Join what several files say about one device; say where nobody can tell devices apart.

    Gives the recordings, what was noticed, and the files that repeat another one.
    """
    opened = [one for one in found if isinstance(one, Recording)]
    findings = [one for one in found if isinstance(one, Finding)]
    first: dict[tuple[str, DeviceKey], Recording] = {}
    for recording in opened:
        for key, device in list(recording.devices.items()):
            owner = first.setdefault((recording.scope, key), recording)
            if owner is not recording:
                owner.devices[key] = owner.devices[key].merged(device)
                del recording.devices[key]
    unnamed = [one for one in opened if one.devices and not any(map(_has_identity, one.devices))]
    copies = _copies(unnamed[:50])
    for copy, longer in copies:
        copy.devices = {}
        findings.append(_is_copy(copy, longer))
    findings += _maybe_twice([one for one in unnamed if one.devices][:50])
    repeats = tuple(copy.file.name for copy, _ in copies)
    kept = [one for one in opened if one.devices or one.findings]
    return kept, tuple(findings), repeats


def _is_copy(copy: Recording, longer: Recording) -> Finding:
    return Finding(
        code="device-identity-unknown",
        severity="info",
        message=f"every row of {copy.file.name} stands in {longer.file.name}, too: an older "
        "copy of the same recording; its devices are counted once",
        evidence=(copy.file.name, longer.file.name),
    )


def _maybe_twice(unnamed: list[Recording]) -> list[Finding]:
    """Name the first two recordings that may be of the same devices."""
    for one, two in combinations(unnamed, 2):
        if one.scope == two.scope == "device" and _overlap(one, two):
            return [
                Finding(
                    code="device-identity-unknown",
                    severity="warning",
                    message=f"{one.file.name} and {two.file.name} cover the same time and name their "
                    "devices by index alone: they were counted as different devices; if both are of "
                    "one machine, its device time and energy are counted twice",
                    evidence=(one.file.name, two.file.name),
                )
            ]
    return []


def _copies(unnamed: list[Recording]) -> list[tuple[Recording, Recording]]:
    """Pair each recording that another one holds whole with that other one."""
    ordered = sorted(unnamed, key=lambda one: sum(len(seen) for seen in one.devices.values()))
    found = []
    for place, one in enumerate(ordered):
        longer = next((other for other in ordered[place + 1 :] if _holds(other, one)), None)
        if longer is not None:
            found.append((one, longer))
    return found


def _holds(longer: Recording, one: Recording) -> bool:
    """Say whether every device and row of ``one`` stands in ``longer``, place by place."""
    if longer.kind != one.kind:
        return False
    there = {_slot(key): seen for key, seen in longer.devices.items()}
    return all(
        _slot(key) in there and _has_rows(there[_slot(key)], seen)
        for key, seen in one.devices.items()
    )


def _slot(key: "DeviceKey") -> tuple[str, str]:
    return key.uuid.rpartition("/")[2], key.mig


def _has_rows(longer: "DeviceTrace", one: "DeviceTrace") -> bool:
    import numpy as np

    _, at, there = np.intersect1d(one.time_ns, longer.time_ns, return_indices=True)
    signals = set(one.series) & set(longer.series)
    if len(at) < len(one) or len(at) < _ROWS or not signals:
        return False
    pairs = [
        (one.series[name].masked[at].filled(-1), longer.series[name].masked[there].filled(-1))
        for name in signals
    ]
    # Readings that never change, as of idle boards, tell nobody which machine they are of.
    has_life = any(len(np.unique(mine)) > 1 for mine, _ in pairs)
    return has_life and all(np.array_equal(mine, other) for mine, other in pairs)


def _has_identity(key: "DeviceKey") -> bool:
    """Say whether a device is named by more than its place in one file."""
    return "/" not in key.uuid


def _overlap(one: Recording, two: Recording) -> bool:
    (start, end), (begin, finish) = one.span, two.span
    return start < finish and begin < end

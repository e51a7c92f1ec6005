"""What ``flopledger doctor --calibrate`` found on a machine: do its instruments tell the truth?

A calibration says nothing about how long a run took or on how many devices, so it writes comparisons
down and no device, time or energy of the run.
"""

import math
from typing import Any

from flopledger.facts import Grade
from flopledger.foreign_json import tables_of
from flopledger.logs.document import Document
from flopledger.logs.evidence import EvidenceError
from flopledger.logs.notes import Notes
from flopledger.logs.numbers import parse_positive
from flopledger.logs.reader import Reader

#: A few products at the window's ends; more than this is the instruments' own error.
_TOLERANCE = 1.05


def _sniff(head: bytes, _name: str) -> bool:
    return b'"flopledger/doctor/1"' in head[:400]


def _read(document: Document, notes: Notes) -> None:
    told = document.json()
    if not isinstance(told, dict):
        raise EvidenceError(f"{document.name}: no answer of flopledger doctor")
    _note_energy(told, notes)
    outside = _note_products(told, notes)
    if outside:
        notes.finding(
            "calibration-disagrees",
            "warning",
            f"on the calibrated machine, products of known FLOP in {', '.join(outside)} lie outside "
            "what its instruments allow: FLOP bounds from such telemetry cannot be relied on",
            *(f"$.products.checks ({name})" for name in outside),
        )
    if not notes.facts:
        notes.finding(
            "calibration-read",
            "info",
            "nothing was compared on the calibrated machine: no energy counter beside power "
            "readings, and no matrix product",
            "$",
        )
        return
    notes.finding(
        "calibration-read",
        "info",
        f"{len(notes.facts)} comparisons of instruments on one machine; whether the run's devices "
        "behave like it, the case must say",
        *(fact.locator for fact in notes.facts[:20]),
    )


def _note_energy(told: dict[str, Any], notes: Notes) -> None:
    for i, source in enumerate(tables_of(told.get("sources"))):
        for j, device in enumerate(tables_of(source.get("devices"))):
            energy = device.get("energy")
            if not isinstance(energy, dict):
                continue
            counter = parse_positive(energy.get("counter_watts"))
            power = parse_positive(energy.get("power_watts"))
            if counter is not None and power is not None:
                place = f"$.sources[{i}].devices[{j}].energy"
                ratio = counter / power
                notes.fact("energy_counter_over_power", ratio, place, grade=Grade.INSTRUMENT)


def _note_products(told: dict[str, Any], notes: Notes) -> list[str]:
    """Write down each product beside its bounds; return the precisions that lie well outside."""
    products = told.get("products")
    outside = []
    for i, check in enumerate(
        tables_of(products.get("checks") if isinstance(products, dict) else ())
    ):
        precision, bounds = check.get("precision"), check.get("bounds")
        flop = parse_positive(check.get("flop"))
        if not isinstance(precision, str) or not isinstance(bounds, dict) or flop is None:
            continue
        low, high = parse_positive(bounds.get("low")), parse_positive(bounds.get("high"))
        place = f"$.products.checks[{i}].bounds"
        for name, bound in (("low", low), ("high", high)):
            if bound is not None:
                label = f"known_product_{name}_over_true"
                notes.fact(label, bound / flop, place, grade=Grade.INSTRUMENT)
        if flop < (low or 0) / _TOLERANCE or flop > (high or math.inf) * _TOLERANCE:
            outside.append(precision[:20])
    return outside


READER = Reader(format="flopledger-doctor", sniff=_sniff, read=_read)

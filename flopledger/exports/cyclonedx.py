"""A CycloneDX 1.6 machine-learning bill of materials.

The standard has fields for energy and none for FLOP: compute stands in properties under a name of
our own, and as a claim with its evidence under ``declarations``. No clock: the serial number follows
from the case.
"""

import json
import uuid
from typing import TYPE_CHECKING, Any

from flopledger import __version__
from flopledger.exports import disclosure, release
from flopledger.reports import wording
from flopledger.text import interval
from flopledger.unseen import in_json

if TYPE_CHECKING:
    from flopledger.auditing import AuditReport
    from flopledger.quantity import Interval

KILOWATT_HOUR = 3.6e6  #: joules
_MODEL, _CLAIM, _ESTIMATE = "model", "claim:training-compute", "estimate:training-compute"


def dumps(report: "AuditReport") -> str:
    """Render as JSON text; equal reports give equal bytes."""
    made = json.dumps(to_dict(report), indent=2, ensure_ascii=False, allow_nan=False)
    return in_json(made) + "\n"


def to_dict(report: "AuditReport") -> dict[str, Any]:
    """Render as plain values."""
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{identity(report)}",
        "version": 1,
        "metadata": {
            "tools": {
                "components": [
                    {"type": "application", "name": "flopledger", "version": __version__}
                ]
            },
            "component": _model(report),
        },
        "components": [_file(name, digest) for name, digest in _evidence(report)],
        "declarations": _declarations(report),
    }


def identity(report: "AuditReport") -> uuid.UUID:
    """Derive a name from case, seed and version: the same audit has the same one."""
    text = f"{report.case.sha256}/{report.seed}/{__version__}"
    return uuid.uuid5(uuid.NAMESPACE_URL, f"urn:flopledger:audit:{text}")


def _model(report: "AuditReport") -> dict[str, Any]:
    card: dict[str, Any] = {"properties": _properties(report)}
    considerations = _considerations(report)
    if considerations:
        card["considerations"] = considerations
    parameters = _modalities(report)
    if parameters:
        card["modelParameters"] = parameters
    return {
        "type": "machine-learning-model",
        "bom-ref": _MODEL,
        "name": release.name(report),
        **_released(report),
        "modelCard": card,
    }


def _released(report: "AuditReport") -> dict[str, Any]:
    """Give the component's fields that the provider states."""
    stated = release.of(report)
    made: dict[str, Any] = {}
    if stated.version is not None:
        made["version"] = stated.version
    if stated.provider is not None:
        made["supplier"] = {"name": stated.provider}
        address = release.email(stated)
        if address is not None:
            made["supplier"]["contact"] = [{"email": address}]
    if stated.license is not None:
        made["licenses"] = [{"expression": stated.license, "acknowledgement": "declared"}]
    if stated.sha256 is not None:
        made["hashes"] = [{"alg": "SHA-256", "content": stated.sha256}]
    places = [("distribution", stated.download_location), ("license", stated.license_location)]
    given = [{"type": kind, "url": url} for kind, url in places if url is not None]
    if given:
        made["externalReferences"] = given
    return made


def _modalities(report: "AuditReport") -> dict[str, Any]:
    stated = release.of(report)
    sides = {"inputs": stated.input_modalities, "outputs": stated.output_modalities}
    return {side: [{"format": one} for one in given] for side, given in sides.items() if given}


def _considerations(report: "AuditReport") -> dict[str, Any]:
    made: dict[str, Any] = {}
    intended = release.of(report).intended_use
    if intended is not None:
        made["useCases"] = [intended]
    used = _energy(report)
    if used:
        made["environmentalConsiderations"] = {"energyConsumptions": used}
    bounds = disclosure.energy_bounds(report)
    if bounds:
        made.setdefault("environmentalConsiderations", {})["properties"] = [
            {"name": f"flopledger:energy-bound:{run}", "value": text}
            for run, text in bounds.items()
        ]
    return made


def _properties(report: "AuditReport") -> list[dict[str, str]]:
    found = {"verdict": str(report.verdict)}
    found |= _figure("training-compute", disclosure.compute(report))
    for one in report.standings:
        name = f"regime:{one.regime.id}"
        found[f"{name}:threshold-flop"] = f"{one.threshold_flop:g}"
        found[f"{name}:probability-exceeded"] = disclosure.chance(one.probability_exceeded)
    date = release.of(report).date
    found["release:date"] = "not known" if date is None else date.isoformat()
    found |= _energy_bounds(report)
    missing = release.missing(report)
    if missing:
        found["release:missing"] = ", ".join(missing)
    return [{"name": f"flopledger:{name}", "value": value} for name, value in found.items()]


def _figure(name: str, flop: "Interval | None") -> dict[str, str]:
    ends: dict[str, float | None] = dict.fromkeys(("flop", "flop-low-90", "flop-high-90"))
    if flop is not None and flop.best is None:
        ends = {"flop": None, "flop-at-least": flop.low, "flop-at-most": flop.high}
    elif flop is not None:
        ends = {"flop": flop.best, "flop-low-90": flop.low, "flop-high-90": flop.high}
    return {
        f"{name}:{key}": "not known" if value is None else f"{value:.6g}"
        for key, value in ends.items()
    }


def _energy_bounds(report: "AuditReport") -> dict[str, str]:
    """List energy that is known on one side only: the standard's field takes a figure, no bound."""
    found = {}
    for run in disclosure.counted(report):
        known = run.figures.energy_joules
        if known is None or known.quantity.best is not None:
            continue
        ends = known.quantity.interval
        for word, joules in (("at-least", ends.low), ("at-most", ends.high)):
            if joules is not None:
                name = f"energy:{run.figures.name}:{word}-kwh"
                found[name] = f"{joules / KILOWATT_HOUR:.6g}"
    return found


def _energy(report: "AuditReport") -> list[dict[str, Any]]:
    """List measured energy by run. Who provided it is not known, so that list is empty."""
    activities = {"finetuning": "fine-tuning", "lora": "fine-tuning", "rl": "fine-tuning"}
    found = []
    for run in disclosure.counted(report):
        known = run.figures.energy_joules
        joules = None if known is None else known.quantity.best
        if known is None or joules is None:
            continue
        found.append(
            {
                "activity": activities.get(run.figures.kind, "training"),
                "energyProviders": [],
                "activityEnergyCost": {"value": joules / KILOWATT_HOUR, "unit": "kWh"},
                "properties": [
                    {"name": "flopledger:run", "value": run.figures.name},
                    {
                        "name": "flopledger:energy-boundary",
                        "value": run.figures.energy_boundary or "not known",
                    },
                    {"name": "flopledger:source", "value": known.source},
                ],
            }
        )
    return found


def _evidence(report: "AuditReport") -> list[tuple[str, str]]:
    found = {(name, digest) for run in report.runs for name, digest in run.evidence_digests.items()}
    return sorted({(report.case.path.name, report.case.sha256), *found})


def _file(name: str, digest: str) -> dict[str, Any]:
    made: dict[str, Any] = {"type": "file", "bom-ref": f"file:{name}:{digest[:12]}", "name": name}
    if disclosure.digest(digest) is not None:
        made["hashes"] = [{"alg": "SHA-256", "content": digest}]
    return made


def _declarations(report: "AuditReport") -> dict[str, Any]:
    claims: list[dict[str, Any]] = []
    if report.claim is not None:
        claims.append(
            {
                "bom-ref": _CLAIM,
                "target": _MODEL,
                "predicate": f"trained with {interval(report.claim.flop)} FLOP",
                "reasoning": f"as stated; found {wording.heading(report)}",
            }
        )
    flop = disclosure.compute(report)
    kind = "90% interval" if flop is not None and flop.best is not None else "bounds"
    stated = "not known" if flop is None else f"{interval(flop)} FLOP ({kind})"
    claims.append(
        {
            "bom-ref": _ESTIMATE,
            "target": _MODEL,
            "predicate": f"training compute: {stated}",
            "reasoning": ". ".join(disclosure.methodology(report)),
            "evidence": [f"evidence:{name}:{digest[:12]}" for name, digest in _evidence(report)],
        }
    )
    evidence = [
        {
            "bom-ref": f"evidence:{name}:{digest[:12]}",
            "description": f"{name}, SHA-256 {digest}",
        }
        for name, digest in _evidence(report)
    ]
    return {"claims": claims, "evidence": evidence}

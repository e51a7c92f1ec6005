"""An SPDX 3.0.1 document with an AI package, as JSON-LD.

Compute has no field of its own: it stands under ``hyperparameter`` (a dictionary by design) and in
``informationAboutTraining``; energy has one. The AI profile also requires release time, supplier,
download location and version, which an audit does not know: the document therefore claims the core
and software profiles only, and says what its supplier must add for the third.

SPDX demands a creation time, and an audit has no clock: it is the caller's, else that of
``SOURCE_DATE_EPOCH``, else the epoch itself with a comment that says so.
"""

import json
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from flopledger import __version__
from flopledger.errors import FlopledgerError
from flopledger.exports import disclosure
from flopledger.exports.cyclonedx import KILOWATT_HOUR, identity

if TYPE_CHECKING:
    from flopledger.auditing import AuditReport
    from flopledger.quantity import Interval

CONTEXT = "https://spdx.org/rdf/3.0.1/spdx-context.jsonld"
_CREATION = "_:creation"
_NO_CLOCK = "the creation time is a placeholder: an audit holds no clock"
_MISSING = (
    "For the AI profile the supplier adds releaseTime, suppliedBy, downloadLocation and packageVersion, "
    "which an audit of compute does not know."
)


def dumps(report: "AuditReport", created: str | None = None) -> str:
    """Render as JSON-LD text; equal reports give equal bytes.

    ``created`` is an ISO time such as ``2026-11-22T10:00:00Z``.
    """
    return (
        json.dumps(to_dict(report, created), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    )


def to_dict(report: "AuditReport", created: str | None = None) -> dict[str, Any]:
    """Render as plain values. Raises ``FlopledgerError`` for a time that is none."""
    base = f"urn:uuid:{identity(report)}"
    files = _files(report, base)
    elements = [_tool(base), _package(report, base), *files]
    names = [element["spdxId"] for element in elements]
    relation = {
        "type": "Relationship",
        "spdxId": f"{base}#evidence",
        "creationInfo": _CREATION,
        "from": f"{base}#model",
        "relationshipType": "hasEvidence",
        "to": [one["spdxId"] for one in files],
    }
    document = {
        "type": "SpdxDocument",
        "spdxId": f"{base}#document",
        "creationInfo": _CREATION,
        "name": f"Training compute of {report.case.spec.title}",
        "comment": _MISSING,
        "profileConformance": ["core", "software"],
        "rootElement": [f"{base}#model"],
        "element": [*names, relation["spdxId"]],
    }
    return {
        "@context": CONTEXT,
        "@graph": [_creation(base, created), *elements, relation, document],
    }


def _creation(base: str, created: str | None) -> dict[str, Any]:
    made = {
        "type": "CreationInfo",
        "@id": _CREATION,
        "specVersion": "3.0.1",
        "created": _time(created),
        "createdBy": [f"{base}#tool-agent"],
    }
    if created is None and "SOURCE_DATE_EPOCH" not in os.environ:
        made["comment"] = _NO_CLOCK
    return made


def _time(created: str | None) -> str:
    if created is None:
        epoch = os.environ.get("SOURCE_DATE_EPOCH", "0")
        try:
            moment = datetime.fromtimestamp(int(epoch), UTC)
        except (ValueError, OverflowError, OSError):
            raise FlopledgerError(
                f"SOURCE_DATE_EPOCH is {epoch!r}; it is a whole number of seconds since 1970"
            ) from None
    else:
        try:
            moment = datetime.fromisoformat(created)
        except ValueError:
            raise FlopledgerError(
                f"{created!r} is no time; write it like 2026-11-22T10:00:00Z"
            ) from None
        moment = moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _tool(base: str) -> dict[str, Any]:
    return {
        "type": "SoftwareAgent",
        "spdxId": f"{base}#tool-agent",
        "creationInfo": _CREATION,
        "name": f"flopledger {__version__}",
    }


def _package(report: "AuditReport", base: str) -> dict[str, Any]:
    made: dict[str, Any] = {
        "type": "ai_AIPackage",
        "spdxId": f"{base}#model",
        "creationInfo": _CREATION,
        "name": report.case.spec.title,
        "software_primaryPurpose": "model",
        "ai_informationAboutTraining": _about(report),
        "ai_hyperparameter": [
            {"type": "DictionaryEntry", "key": key, "value": value}
            for key, value in _entries(report).items()
        ],
        "ai_limitation": "Compute and energy of training only; see the audit for assumptions.",
    }
    used = _energy(report)
    if used:
        made["ai_energyConsumption"] = {
            "type": "ai_EnergyConsumption",
            "ai_trainingEnergyConsumption": used,
        }
    return made


def _about(report: "AuditReport") -> str:
    flop = disclosure.updates(report)
    stated = disclosure.rounded(flop, 2, "FLOP")
    if flop is None or stated is None:
        return f"Training compute not known; needed: {disclosure.missing_compute(report)}."
    lines = [f"Training compute {stated}; {disclosure.uncertainty(flop)}"]
    return ". ".join([*lines, *disclosure.methodology(report)]) + "."


def _entries(report: "AuditReport") -> dict[str, str]:
    found = {"flopledger:verdict": str(report.verdict)}
    found |= _ends("flopledger:trainingFlop", disclosure.updates(report))
    for one in report.standings:
        likely = one.probability_exceeded
        name = f"flopledger:probabilityExceeded:{one.regime.id}"
        found[name] = "not known" if likely is None else f"{likely:.4g}"
    return found


def _ends(name: str, flop: "Interval | None") -> dict[str, str]:
    if flop is None:
        return {name: "not known"}
    ends = {name: flop.best, f"{name}Low90": flop.low, f"{name}High90": flop.high}
    return {key: "not known" if end is None else f"{end:.6g}" for key, end in ends.items()}


def _energy(report: "AuditReport") -> list[dict[str, Any]]:
    figure = disclosure.energy(report).figure
    if figure is None or figure.best is None:
        return []
    return [
        {
            "type": "ai_EnergyConsumptionDescription",
            "ai_energyQuantity": figure.best / KILOWATT_HOUR,
            "ai_energyUnit": "kilowattHour",
        }
    ]


def _files(report: "AuditReport", base: str) -> list[dict[str, Any]]:
    found = {report.case.path.name: report.case.sha256}
    for run in report.runs:
        found |= run.evidence_digests
    return [
        {
            "type": "software_File",
            "spdxId": f"{base}#file-{digest[:16]}-{at}",
            "creationInfo": _CREATION,
            "name": name,
            "verifiedUsing": [{"type": "Hash", "algorithm": "sha256", "hashValue": digest}],
        }
        for at, (name, digest) in enumerate(sorted(found.items()))
    ]

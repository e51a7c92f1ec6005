"""An SPDX 3.0.1 document with an AI package, as JSON-LD.

Compute has no field of its own: it stands under ``hyperparameter`` (a dictionary by design) and in
``informationAboutTraining``; energy has one. The AI profile also requires release time, supplier,
download location, version and licence, which only the provider knows: where the case's ``[release]``
gives them the document conforms to that profile; else it claims core and software only, and names
the keys that are missing. What licence an auditor would conclude is not asserted.

SPDX demands a creation time, and an audit has no clock: it is the caller's, else that of
``SOURCE_DATE_EPOCH``, else the epoch itself with a comment that says so.
"""

import json
import os
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from flopledger import __version__
from flopledger.cases.release import references
from flopledger.errors import FlopledgerError
from flopledger.exports import disclosure, release
from flopledger.exports.cyclonedx import KILOWATT_HOUR, identity
from flopledger.unseen import in_json

if TYPE_CHECKING:
    from flopledger.auditing import AuditReport
    from flopledger.quantity import Interval

CONTEXT = "https://spdx.org/rdf/3.0.1/spdx-context.jsonld"
_CREATION = "_:creation"
_NO_CLOCK = "the creation time is a placeholder: an audit holds no clock"
#: No licence is concluded by whoever looks at compute; SPDX has a name for saying so.
_NO_ASSERTION = "expandedlicensing_NoAssertionLicense"
#: Words that stand for a licence and are no expression.
_INDIVIDUALS = {"NOASSERTION": _NO_ASSERTION, "NONE": "expandedlicensing_NoneLicense"}
#: Kinds of a run whose energy SPDX calls energy of fine-tuning.
_FINETUNING = frozenset({"finetuning", "lora", "rl"})
_DAY = "releaseTime is known to the day: it is the beginning of that day, UTC."


def dumps(report: "AuditReport", created: str | None = None) -> str:
    """Render as JSON-LD text; equal reports give equal bytes.

    ``created`` is an ISO time such as ``2026-11-22T10:00:00Z``.
    """
    made = json.dumps(to_dict(report, created), indent=2, ensure_ascii=False, allow_nan=False)
    return in_json(made) + "\n"


def to_dict(report: "AuditReport", created: str | None = None) -> dict[str, Any]:
    """Render as plain values. Raises ``FlopledgerError`` for a time that is none."""
    base = f"urn:uuid:{identity(report)}"
    files = _files(report, base)
    missing = release.missing(report)
    elements = [
        _tool(base),
        _package(report, base),
        *files,
        *_provider(report, base),
        *_licence(report, base),
        _relation(base, "evidence", "hasEvidence", [one["spdxId"] for one in files]),
    ]
    profiles = ["core", "software"]
    document: dict[str, Any] = {
        "type": "SpdxDocument",
        "spdxId": f"{base}#document",
        "creationInfo": _CREATION,
        "name": f"Training compute of {release.name(report)}",
        "profileConformance": profiles,
        "rootElement": [f"{base}#model"],
        "element": [element["spdxId"] for element in elements],
    }
    if release.of(report).license is not None:
        profiles.append("simpleLicensing")
    if missing:
        document["comment"] = (
            "The AI profile is not claimed: the provider adds "
            f"{', '.join(missing)} under [release] in the case."
        )
    else:
        profiles.append("ai")
    return {"@context": CONTEXT, "@graph": [_creation(base, created), *elements, document]}


def _relation(base: str, key: str, kind: str, to: list[str]) -> dict[str, Any]:
    return {
        "type": "Relationship",
        "spdxId": f"{base}#{key}",
        "creationInfo": _CREATION,
        "from": f"{base}#model",
        "relationshipType": kind,
        "to": to,
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
            moment = moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
        except (ValueError, OverflowError):
            raise FlopledgerError(
                f"{created!r} is no time; write it like 2026-11-22T10:00:00Z"
            ) from None
    return moment.replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def _tool(base: str) -> dict[str, Any]:
    return {
        "type": "SoftwareAgent",
        "spdxId": f"{base}#tool-agent",
        "creationInfo": _CREATION,
        "name": f"flopledger {__version__}",
    }


def _provider(report: "AuditReport", base: str) -> list[dict[str, Any]]:
    """Describe who supplies the model; whether a person or a body is not asked, so it is an agent."""
    stated = release.of(report)
    if stated.provider is None:
        return []
    made: dict[str, Any] = {
        "type": "Agent",
        "spdxId": f"{base}#provider",
        "creationInfo": _CREATION,
        "name": stated.provider,
    }
    address = release.email(stated)
    if address is not None:
        made["externalIdentifier"] = [
            {
                "type": "ExternalIdentifier",
                "externalIdentifierType": "email",
                "identifier": address,
            }
        ]
    return [made]


def _licence(report: "AuditReport", base: str) -> list[dict[str, Any]]:
    """State the licence that the provider declares; texts off SPDX's list are named by address."""
    stated = release.of(report)
    if stated.license is None:
        return []
    concluded = _relation(base, "concluded-licence", "hasConcludedLicense", [_NO_ASSERTION])
    if stated.license in _INDIVIDUALS:
        named = [_INDIVIDUALS[stated.license]]
        return [_relation(base, "declared-licence", "hasDeclaredLicense", named), concluded]
    own = references(stated.license)
    where = stated.license_location or "its address is not stated"
    texts = [
        {
            "type": "simplelicensing_SimpleLicensingText",
            "spdxId": f"{base}#{reference}",
            "creationInfo": _CREATION,
            "name": reference,
            "simplelicensing_licenseText": f"The text is not part of this document: {where}",
        }
        for reference in own
    ]
    expression: dict[str, Any] = {
        "type": "simplelicensing_LicenseExpression",
        "spdxId": f"{base}#licence",
        "creationInfo": _CREATION,
        "simplelicensing_licenseExpression": stated.license,
    }
    if own:
        expression["simplelicensing_customIdToUri"] = [
            {"type": "DictionaryEntry", "key": reference, "value": f"{base}#{reference}"}
            for reference in own
        ]
    return [
        *texts,
        expression,
        _relation(base, "declared-licence", "hasDeclaredLicense", [f"{base}#licence"]),
        concluded,
    ]


def _package(report: "AuditReport", base: str) -> dict[str, Any]:
    made: dict[str, Any] = {
        "type": "ai_AIPackage",
        "spdxId": f"{base}#model",
        "creationInfo": _CREATION,
        "name": release.name(report),
        "software_primaryPurpose": "model",
        "ai_informationAboutTraining": _about(report),
        "ai_hyperparameter": [
            {"type": "DictionaryEntry", "key": key, "value": value}
            for key, value in _entries(report).items()
        ],
        "ai_limitation": "Compute and energy of training only; see the audit for assumptions.",
    } | _released(report, base)
    used = _energy(report)
    if used:
        made["ai_energyConsumption"] = {"type": "ai_EnergyConsumption"} | used
    return made


def _released(report: "AuditReport", base: str) -> dict[str, Any]:
    """Give the package's fields that the provider states."""
    stated = release.of(report)
    made: dict[str, Any] = {}
    if stated.version is not None:
        made["software_packageVersion"] = stated.version
    if stated.download_location is not None:
        made["software_downloadLocation"] = stated.download_location
    if stated.provider is not None:
        made["suppliedBy"] = f"{base}#provider"
    if stated.date is not None:
        made |= {"releaseTime": release.moment(stated.date), "comment": _DAY}
    if stated.sha256 is not None:
        made["verifiedUsing"] = [
            {"type": "Hash", "algorithm": "sha256", "hashValue": stated.sha256}
        ]
    if stated.intended_use is not None:
        made["ai_informationAboutApplication"] = stated.intended_use
    return made


def _about(report: "AuditReport") -> str:
    flop = disclosure.compute(report)
    stated = disclosure.rounded(flop, 2, "FLOP")
    if flop is None or stated is None:
        return f"Training compute not known; needed: {disclosure.missing_compute(report)}."
    lines = [f"Training compute {stated}; {disclosure.uncertainty(flop)}"]
    return ". ".join([*lines, *disclosure.methodology(report)]) + "."


def _entries(report: "AuditReport") -> dict[str, str]:
    found = {"flopledger:verdict": str(report.verdict)}
    found |= _ends("flopledger:trainingFlop", disclosure.compute(report))
    for run, text in disclosure.energy_bounds(report).items():
        found[f"flopledger:energyBound:{run}"] = text
    for one in report.standings:
        name = f"flopledger:probabilityExceeded:{one.regime.id}"
        found[name] = disclosure.chance(one.probability_exceeded)
    return found


def _ends(name: str, flop: "Interval | None") -> dict[str, str]:
    if flop is None:
        return {name: "not known"}
    ends: dict[str, float | None] = {name: flop.best}
    if flop.best is None:
        ends |= {f"{name}AtLeast": flop.low, f"{name}AtMost": flop.high}
    else:
        ends |= {f"{name}Low90": flop.low, f"{name}High90": flop.high}
    return {key: "not known" if end is None else f"{end:.6g}" for key, end in ends.items()}


def _energy(report: "AuditReport") -> dict[str, Any]:
    """Give measured energy, training and fine-tuning apart; nothing unless every run is metered."""
    if disclosure.energy(report).figure is None:
        return {}
    joules: dict[str, float] = {}
    for run in disclosure.counted(report):
        known = run.figures.energy_joules
        best = None if known is None else known.quantity.interval.best
        if best is None:
            return {}
        stage = "finetuning" if run.figures.kind in _FINETUNING else "training"
        joules[stage] = joules.get(stage, 0.0) + best
    return {
        f"ai_{stage}EnergyConsumption": [
            {
                "type": "ai_EnergyConsumptionDescription",
                # Text, since a JSON number of JSON-LD becomes a double, and this is a decimal.
                "ai_energyQuantity": format(Decimal(f"{used / KILOWATT_HOUR:.9g}"), "f"),
                "ai_energyUnit": "kilowattHour",
            }
        ]
        for stage, used in joules.items()
    }


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
        }
        | (
            {}
            if disclosure.digest(digest) is None
            else {"verifiedUsing": [{"type": "Hash", "algorithm": "sha256", "hashValue": digest}]}
        )
        for at, (name, digest) in enumerate(sorted(found.items()))
    ]

"""What only the provider can say of a model: the case's ``[release]``, read for documents."""

import datetime as dt
import re
from typing import TYPE_CHECKING

from flopledger.cases.release import references
from flopledger.cases.spec import ReleaseSpec
from flopledger.exports.disclosure import Answer

if TYPE_CHECKING:
    from flopledger.auditing import AuditReport

#: What the AI profile of SPDX 3.0.1 requires of its package, as keys of ``[release]``.
REQUIRED = ("version", "date", "provider", "download_location", "license")
_EMAIL = re.compile(r"[^\s@<>]+@[^\s@<>]+\.[^\s@<>]+")


def of(report: "AuditReport") -> ReleaseSpec:
    """Give what the case says; every key of it may be missing."""
    return report.case.spec.release or ReleaseSpec()


def name(report: "AuditReport") -> str:
    """Name the model: as released, else by the case's title."""
    return of(report).name or report.case.spec.title


def missing(report: "AuditReport") -> tuple[str, ...]:
    """List the keys that a bill of materials needs and the case lacks."""
    release = of(report)
    found = [key for key in REQUIRED if getattr(release, key) is None]
    if references(release.license or "") and release.license_location is None:
        found.append("license_location")
    return tuple(found)


def moment(date: dt.date) -> str:
    """Write a day as the moment at which it began, UTC; standards that ask for a time get this."""
    return f"{date.isoformat()}T00:00:00Z"


def email(release: ReleaseSpec) -> str | None:
    """Give the contact where it is an e-mail address and nothing else."""
    contact = release.provider_contact
    return contact if contact is not None and _EMAIL.fullmatch(contact) else None


def answer(report: "AuditReport", *keys: str) -> Answer:
    """Answer a field by the first of ``keys`` that is given; else name what would complete it."""
    release = of(report)
    for key in keys:
        value = getattr(release, key)
        if isinstance(value, list):
            value = "; ".join(value) or None
        if value is not None:
            return Answer(text=str(value))
    return Answer(text=None, needed=f"the provider's word: {keys[0]} under [release] in the case")

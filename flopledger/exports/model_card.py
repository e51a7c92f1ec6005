"""A section for a Hugging Face model card, with the metadata that its front matter can hold.

The hub's metadata has a place for emissions (``co2_eq_emissions``), which need the grid's carbon
intensity: the audit does not know it, so the field is left out and the text says what it would take.
The licence is the provider's word, from the case's ``[release]``.
"""

import json
import re
from typing import TYPE_CHECKING

from flopledger import __version__
from flopledger.cases.release import references
from flopledger.exports import disclosure, release
from flopledger.exports.disclosure import DAY, MEGAWATT_HOUR
from flopledger.reports import wording
from flopledger.reports.document import visible
from flopledger.reports.markdown import escape as _escape
from flopledger.text import interval

if TYPE_CHECKING:
    from flopledger.auditing import AuditReport

_IDENTIFIER = re.compile(r"[A-Za-z0-9.-]+")


def escape(text: str) -> str:
    """Set words of a case or its evidence as words."""
    return _escape(visible(text))


def render(report: "AuditReport") -> str:
    """Write front matter and section, ready to be pasted into a README.md."""
    return f"{_metadata(report)}\n{_section(report)}"


def _metadata(report: "AuditReport") -> str:
    """Write YAML whose every value is JSON, which is YAML too and needs no quoting of its own."""
    flop = disclosure.compute(report)
    known = flop is not None and flop.best is not None
    fields: dict[str, object] = {
        "flop": flop.best if flop is not None and known else None,
        "flop_90_percent": [flop.low, flop.high] if flop is not None and known else None,
    }
    if flop is not None and not known:
        fields |= {"flop_at_least": flop.low, "flop_at_most": flop.high}
    fields |= {
        "verdict": str(report.verdict),
        "tool": f"flopledger {__version__}",
        "case_sha256": report.case.sha256,
    }
    total = disclosure.energy(report)
    energy = None if total.figure is None else total.figure.best
    fields["energy_mwh"] = None if energy is None else energy / MEGAWATT_HOUR
    if energy is None and total.least is not None:
        fields["energy_mwh_at_least"] = total.least / MEGAWATT_HOUR
    lines = [f"  {name}: {_yaml(value)}" for name, value in fields.items()]
    return "\n".join(["---", *_licence(report), "training_compute:", *lines, "---", ""])


def _yaml(value: object) -> str:
    """Write a value as JSON, with a point in every figure: to YAML 1.1 ``1e+25`` is a word."""
    if isinstance(value, list):
        return f"[{', '.join(map(_yaml, value))}]"
    text = json.dumps(value)
    return text.replace("e", ".0e") if isinstance(value, float) and "." not in text else text


def _licence(report: "AuditReport") -> list[str]:
    """Give the hub's licence fields: its identifier where there is one, else name and link."""
    stated = release.of(report)
    if stated.license is None:
        return []
    if _IDENTIFIER.fullmatch(stated.license) and not references(stated.license):
        return [f"license: {json.dumps(stated.license.lower())}"]
    lines = ["license: other", f"license_name: {json.dumps(stated.license)}"]
    if stated.license_location is not None:
        lines.append(f"license_link: {json.dumps(stated.license_location)}")
    return lines


def _section(report: "AuditReport") -> str:
    rows = [
        ("Training compute", _compute(report)),
        ("How sure", _doubt(report)),
        ("Hardware", _hardware(report)),
        ("Training time", _time(report)),
        ("Energy", _energy(report)),
        (
            "Carbon emitted",
            "not known: energy with the grid's carbon intensity, place and time would give it "
            "(`co2_eq_emissions`)",
        ),
        ("Claim and verdict", _verdict(report)),
    ]
    body = "\n".join(f"- **{label}:** {text}" for label, text in rows)
    method = "\n".join(f"- {escape(line)}." for line in disclosure.methodology(report))
    return (
        f"## Training compute and energy\n\n{body}\n\n### How it was determined\n\n{method}\n\n"
        f"Audited with flopledger {__version__}; case SHA-256 `{report.case.sha256}`.\n"
    )


def _compute(report: "AuditReport") -> str:
    text = disclosure.rounded(disclosure.compute(report), 2, "FLOP")
    return text or f"not known: {escape(disclosure.missing_compute(report))} would give it"


def _doubt(report: "AuditReport") -> str:
    flop = disclosure.compute(report)
    if flop is None:
        return "not known"
    return f"{interval(flop)} FLOP, {'90% interval' if flop.best is not None else 'bounds only'}"


def _hardware(report: "AuditReport") -> str:
    found, missing = disclosure.device_days(report)
    parts = [
        escape(text)
        for name, days in found.items()
        if (text := disclosure.rounded(days, 2, f"{name} days")) is not None
    ]
    if missing:
        parts.append(f"not known for {escape(', '.join(missing))}")
    return "; ".join(parts) or "not known"


def _time(report: "AuditReport") -> str:
    found = disclosure.total(report, disclosure.wall_clock)
    return disclosure.rounded(found.figure, 2, "days by the clock", per=DAY) or "not known"


def _energy(report: "AuditReport") -> str:
    text = disclosure.energy_words(report)
    if text is None:
        return "not known: no measurement covers every run"
    return f"{escape(text)}, measured at: {', '.join(disclosure.energy_boundaries(report))}"


def _verdict(report: "AuditReport") -> str:
    if report.claim is None:
        return "no claim was tested"
    return f"claimed {interval(report.claim.flop)} FLOP: {wording.heading(report)}"

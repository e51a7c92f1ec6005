"""Findings as a reader meets them: worst first, and what is said of many files said once.

JSON and CSV list findings one by one, as they were found.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flopledger.facts import Finding

_SEVERITIES = {"error": 0, "warning": 1, "info": 2}
#: Of equal severity: what decides about the claim comes first, what is about papers last.
_FIRST = frozenset({"exceeds-physical-limit", "claim-contradicted"})
_LAST = frozenset({"evidence-refused", "evidence-truncated", "evidence-unread"})
_NAMED = 20  #: files that a joint sentence names


def rank(severity: str, code: str) -> tuple[int, int]:
    """Give a finding's place; a severity that is not known comes last."""
    place = 0 if code in _FIRST else 2 if code in _LAST else 1
    return _SEVERITIES.get(severity, len(_SEVERITIES)), place


def worst_first(findings: "Iterable[Finding]") -> "list[Finding]":
    """Order findings, each once, with one for all the files that no reader recognises."""
    ordered = sorted(dict.fromkeys(findings), key=lambda one: rank(one.severity, one.code))
    unread = [one for one in ordered if _names_a_file(one)]
    if len(unread) < 2:
        return ordered
    joint, others = _joint(unread), set(unread[1:])
    return [joint if one == unread[0] else one for one in ordered if one not in others]


def _names_a_file(one: "Finding") -> bool:
    """Tell the finding of one unread file; a redacted one names none and stays as it is."""
    named = len(one.evidence) == 1 and one.message.startswith(f"{one.evidence[0]}: ")
    return one.code == "evidence-unread" and named and "no reader recognises" in one.message


def _joint(unread: "list[Finding]") -> "Finding":
    from flopledger.facts import Finding

    names = [one.evidence[0] for one in unread]
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return Finding(
        code="evidence-unread",
        severity=unread[0].severity,
        message=f"{len(names):,} files that no reader recognises did not enter the audit: "
        f"{', '.join(names[:_NAMED])}{more}",
    )

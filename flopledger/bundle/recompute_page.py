"""The page again: what of it was compared, and what a verifier with other libraries cannot compare.

A page is a function of the report and of the code that renders it, so it is compared byte for byte
where that code is the same: the tool's version and its tables. Python and numpy stand in its
provenance; it is rendered anew under the sealed names of them. The drawing library inside it is
somebody else's program and is a matter of its own: where it differs, the rest is compared, and what
the live drawings show stays the signer's word (the static ones and every table are compared).
"""

import base64
import hashlib
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from flopledger.bundle import leaks
from flopledger.bundle.statement import Tool

if TYPE_CHECKING:
    from flopledger.auditing import AuditReport

_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)
_NAME = re.compile(r"plotly\.js v([0-9][0-9a-z.-]{0,30})")


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """What came of comparing the page."""

    outcome: Literal["same", "differs", "partly", "not-compared"]
    why: str = ""  #: empty where it is the same
    sealed: str = ""  #: where it differs: the place, as sealed and as rendered anew
    rendered: str = ""
    place: int = 0  #: byte

    def to_dict(self) -> dict[str, str]:
        """Give it as plain values."""
        return {"outcome": self.outcome, "why": self.why}


def compare(old: bytes, report: "AuditReport", sealed: Tool, mine: Tool) -> Page:
    """Render the page of ``report`` again and hold it against ``old``."""
    from flopledger.reports import html

    if (sealed.version, sealed.data_digests) != (mine.version, mine.data_digests):
        why = f"sealed by flopledger {sealed.version}, this is {mine.version}"
        if sealed.version == mine.version:
            why = "sealed with other data tables"
        return Page(
            outcome="not-compared", why=f"{why}; the same version renders the page byte for byte"
        )
    told = {name: sealed.environment.get(name, own) for name, own in report.environment.items()}
    new = html.render(replace(report, environment=told)).encode()
    if new == old:
        return Page(outcome="same")
    text = old.decode("utf-8", "replace")
    (library, rest), (own_library, own_rest) = _apart(text), _apart(new.decode())
    others = _others(sealed, mine)
    if library != own_library:
        named = f"drawing library: sealed with {_named(library)}, this installation has {_named(own_library)}"
        if rest == own_rest:
            return Page(outcome="partly", why=f"{named}; everything else on the page is the same")
        others = [named, *others]
    at = next(
        (n for n, (a, b) in enumerate(zip(old, new, strict=False)) if a != b),
        min(len(old), len(new)),
    )
    shown = [one[max(at - 20, 0) : at + 60].decode("utf-8", "replace") for one in (old, new)]
    return Page(
        outcome="differs", why="; ".join(others), sealed=shown[0], rendered=shown[1], place=at
    )


def _others(sealed: Tool, mine: Tool) -> list[str]:
    names = sorted(set(sealed.environment) | set(mine.environment))
    pairs = [(name, sealed.environment.get(name), mine.environment.get(name)) for name in names]
    return [
        f"{name}: sealed with {old or 'none'}, this installation has {new or 'none'}"
        for name, old, new in pairs
        if old != new
    ]


def _apart(page: str) -> tuple[str, str]:
    """Split a page into its drawing library and the rest, the library's hash in the policy too."""
    library = next((one[1] for one in _SCRIPT.finditer(page) if len(one[1]) > leaks.LIBRARY), "")
    if not library:
        return "", page
    digest = base64.b64encode(hashlib.sha256(library.encode()).digest()).decode()
    return library, page.replace(library, "(library)", 1).replace(digest, "(its hash)")


def _named(library: str) -> str:
    if not library:
        return "none"
    found = _NAME.search(library[:2000])
    digest = hashlib.sha256(library.encode()).hexdigest()[:16]
    return f"plotly.js {found[1]} ({digest})" if found else f"one of SHA-256 {digest}"

"""What every verb that audits a case does alike: load, audit, and refuse an unusable target first."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flopledger.auditing import AuditReport


def audited(
    case: Path,
    *,
    seed: int | None,
    regime: list[str] | None,
    trace: bool,
    allow_outside: bool,
) -> "AuditReport":
    """Load the case and audit it, with the verbs' defaults. Raises ``FlopledgerError`` for bad input."""
    from flopledger.auditing import DEFAULT_SEED, audit
    from flopledger.cases.case import AuditCase
    from flopledger.commands._waiting import waiting

    with waiting(f"auditing {case}"):
        return audit(
            AuditCase.load(case, allow_outside=allow_outside),
            seed=DEFAULT_SEED if seed is None else seed,
            regime_ids=tuple(regime or ()),
            trace=trace,
        )


def check_target(
    path: Path | None, option: str = "--html", suffixes: tuple[str, ...] = (".html", ".htm")
) -> None:
    """Refuse an unusable target before the work, not after it."""
    from flopledger.errors import FlopledgerError

    if path is None:
        return
    if path.suffix.lower() not in suffixes:
        raise FlopledgerError(f"{option} {path}: expected a name that ends in {suffixes[0]}")
    if not path.parent.is_dir():
        raise FlopledgerError(f"{option} {path}: no such folder {path.parent}; create it first")
    if path.is_dir():
        raise FlopledgerError(f"{option} {path}: a folder; give the name of a file")
    if not os.access(path.parent, os.W_OK):
        raise FlopledgerError(f"{option} {path}: the folder {path.parent} cannot be written to")
    if path.suffix.lower() == ".pdf":
        require_typst()


def check_bundle(path: Path | None, option: str = "--out") -> None:
    """Refuse a bundle's name that no verb would take for a bundle afterwards."""
    check_target(path, option, (".zip",))


def require_typst() -> None:
    """Say before the work, not after it, that the PDF's typesetter is missing."""
    from importlib.util import find_spec

    from flopledger.errors import FlopledgerError

    if find_spec("typst") is None:
        raise FlopledgerError(
            "PDF reports need typst, which is not installed: pip install 'flopledger[pdf]'"
        )

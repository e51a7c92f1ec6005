"""Thresholds and scope rules as dated data, one file a regime."""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from flopledger.errors import FlopledgerError

Comparator = Literal[">", ">="]


@dataclass(frozen=True, kw_only=True, slots=True)
class Regime:
    """One threshold of one law, guideline or draft."""

    id: str
    name: str
    jurisdiction: str
    threshold_flop: float  #: where a rule makes it depend on the case: the fallback
    comparator: Comparator
    ledger: str  #: which sum of runs it looks at, see ``flopledger.scope``
    status: str  #: in force, enacted, revoked, draft ...
    in_force: str | None  #: YYYY-MM-DD; ``None`` if it never was
    ended: str | None  #: YYYY-MM-DD of revocation
    citation: str
    confidence: str  #: primary text, secondary source or unconfirmed
    as_of: str  #: when the entry was last checked
    conditions: str | None  #: what else must hold beside the compute
    note: str | None
    #: ``"one-third-of-original"``: the threshold depends on the model that was modified
    rule: str | None


@cache
def all_regimes() -> tuple[Regime, ...]:
    """List every regime on record, lowest threshold first."""
    folder = files("flopledger.regimes") / "data"
    entries = [
        _regime(tomllib.loads(entry.read_text("utf-8")), entry.name)
        for entry in folder.iterdir()
        if entry.name.endswith(".toml")
    ]
    return tuple(sorted(entries, key=lambda regime: (regime.threshold_flop, regime.id)))


def default_regimes() -> tuple[Regime, ...]:
    """List those an audit reports unasked: enacted and not ended."""
    return tuple(
        regime for regime in all_regimes() if regime.ended is None and regime.in_force is not None
    )


def by_id(identifier: str) -> Regime:
    """Find one regime, or raise with the known ids."""
    for regime in all_regimes():
        if regime.id == identifier:
            return regime
    known = ", ".join(regime.id for regime in all_regimes())
    raise FlopledgerError(f"no regime {identifier!r}; known: {known}")


def _regime(table: dict[str, Any], name: str) -> Regime:
    optional = {"ended", "conditions", "note", "in_force", "rule"}
    values = {key: table.pop(key, None) if key in optional else table.pop(key) for key in _FIELDS}
    assert not table, f"{name}: unknown keys {sorted(table)}"
    return Regime(**values)


_FIELDS = tuple(Regime.__dataclass_fields__)

"""Corrections to a case: appended with author, time and reason; nothing is ever overwritten.

Beside ``case.toml`` a ledger ``case.toml.amendments.jsonl`` holds one JSON line a correction, each
with the digest of the line before it; the first names the digest of the case as it was opened. So
an edited case file, and a changed, dropped or reordered correction, are found when the case is
loaded. A cut-off tail is found where the case was sealed: the seal holds the whole ledger's digest.

A correction is TOML, as it would stand in the case: ``claim.flop = 8.1e23`` or
``run.pre-training.tokens = 1.5e13`` (runs by name).
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from flopledger import foreign_toml, stamps
from flopledger.errors import CaseError

SCHEMA = "flopledger/amendments/1"
SUFFIX = ".amendments.jsonl"
MAX_BYTES = 4 << 20  #: corrections are written by hand
MAX_TEXT = 10_000
#: A table of these keys is a number of the case, replaced as a whole.
_NUMBER = frozenset({"value", "relative", "at_least", "at_most"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One key, before and after; ``None``: the key was (or is now) absent."""

    key: str  #: dotted, as in the case: "run.pre-training.tokens"
    old: Any
    new: Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Amendment:
    """One correction."""

    number: int  #: from 1
    author: str
    time: str  #: RFC 3339, UTC; as the author's machine gave it
    reason: str
    changes: tuple[Change, ...]  #: empty: a note
    text: str  #: the correction as typed, in TOML
    removed: tuple[str, ...]  #: keys that were taken out
    digest: str  #: SHA-256 of its line in the ledger


def ledger_of(case: Path) -> Path:
    """Give the ledger that belongs to a case file."""
    return case.with_name(case.name + SUFFIX)


def load(case: Path, *, name: str, sha256: str) -> tuple[Amendment, ...]:
    """Read the corrections of ``case`` (``name`` in messages), whose file digests to ``sha256``.

    Raises ``CaseError`` where the chain is broken or the case is not the one that was opened.
    """
    path = ledger_of(case)
    if not path.is_file():
        return ()
    if path.stat().st_size > MAX_BYTES:
        raise CaseError(f"{name}{SUFFIX}: larger than {MAX_BYTES:,} bytes; no corrections by hand")
    from profilers.ledger import Line, read_ledger

    found: list[Amendment] = []
    opened = False
    for line in read_ledger(path):
        where = f"{name}{SUFFIX}, line {line.number}"
        if not isinstance(line, Line):
            reason = getattr(line, "reason", "cut short")
            raise CaseError(f"{where}: {reason}; corrections are appended, never changed")
        if not opened:
            _check_opening(line.entry, where, name, sha256)
            opened = True
        else:
            found.append(_amendment(line.entry, line.digest, len(found) + 1, where))
    if not opened:
        raise CaseError(f"{name}{SUFFIX}: empty; remove it, or restore its lines")
    return tuple(found)


def apply(raw: dict[str, Any], amendments: Sequence[Amendment], *, name: str) -> dict[str, Any]:
    """Give the contents of a case with every correction in it, in order."""
    whole = deepcopy(raw)
    for one in amendments:
        where = f"{name}{SUFFIX}: amendment {one.number}"
        _merge(whole, _parsed(one.text, where), where, "", [])
        for key in one.removed:
            _remove(whole, key, where)
    return whole


def claim_text(amendments: Sequence[Amendment], text: str | None) -> str | None:
    """Give the claimed figure as it was last typed, which keeps its digits."""
    for one in amendments:
        flop = foreign_toml.loads(one.text, parse_float=str).get("claim", {}).get("flop", text)
        text = str(flop) if isinstance(flop, str | int) else None
    return text


def append(
    case: Path,
    *,
    author: str,
    reason: str,
    text: str = "",
    removed: Sequence[str] = (),
    time: str | None = None,
) -> Amendment:
    """Append one correction to the ledger of ``case``, after trying it: a bad one changes nothing.

    Raises ``CaseError`` for an empty author or reason, and where the corrected case would be
    refused.
    """
    from flopledger.cases.case import AuditCase, checked
    from profilers.errors import ProfilersError
    from profilers.ledger import Ledger

    for what, words in (("author", author), ("reason", reason)):
        if not words.strip() or len(words) > MAX_TEXT or not words.replace("\n", " ").isprintable():
            raise CaseError(f"--{what}: found {words[:60]!r}; say it in printable words")
    now = AuditCase.load(case)
    stamp = _stamp(time)
    earlier = apply(foreign_toml.loads(case.read_text("utf-8")), now.amendments, name=now.name)
    changes = _changes(earlier, text, removed, f"{now.name}: this amendment")
    draft = Amendment(
        number=len(now.amendments) + 1, author=author, time=stamp, reason=reason,
        changes=changes, text=text, removed=tuple(removed), digest="",
    )  # fmt: skip
    checked(apply(earlier, [draft], name=now.name), name=f"{now.name} (amended)")
    try:
        ledger = Ledger.open(ledger_of(case))
        try:
            if not now.amendments and not ledger.earlier:
                ledger.append({"kind": "opened", "schema": SCHEMA, "case_sha256": now.sha256})
            ledger.append(_entry(draft))
            ledger.sync()
        finally:
            ledger.close()
    except ProfilersError as error:
        raise CaseError(str(error)) from None
    return AuditCase.load(case).amendments[-1]


def _entry(one: Amendment) -> dict[str, Any]:
    return {
        "kind": "amendment",
        "author": one.author,
        "time": one.time,
        "reason": one.reason,
        "set": one.text,
        "remove": list(one.removed),
        # Dates of a release become text, as a ledger of JSON lines holds them.
        "changes": msgspec.to_builtins(
            [{"key": c.key, "old": c.old, "new": c.new} for c in one.changes]
        ),
    }


def _check_opening(entry: Mapping[str, Any], where: str, name: str, sha256: str) -> None:
    if entry.get("kind") != "opened" or entry.get("schema") != SCHEMA:
        raise CaseError(f'{where}: expected the opening line of "{SCHEMA}"')
    if entry.get("case_sha256") != sha256:
        raise CaseError(
            f"{name}: SHA-256 {sha256}, but it was opened as {entry.get('case_sha256')}: the file "
            "was changed after its first amendment; restore it and amend it instead"
        )


def _amendment(entry: Mapping[str, Any], digest: str, number: int, where: str) -> Amendment:
    words = {key: entry.get(key) for key in ("author", "time", "reason", "set")}
    removed, changes = entry.get("remove"), entry.get("changes")
    whole = entry.get("kind") == "amendment" and all(isinstance(w, str) for w in words.values())
    if not (whole and isinstance(removed, list) and isinstance(changes, list)):
        raise CaseError(f"{where}: expected an amendment with author, time, reason, set, remove")
    if not all(isinstance(key, str) for key in removed):
        raise CaseError(f"{where}: remove: expected keys")
    if not all(isinstance(c, dict) and isinstance(c.get("key"), str) for c in changes):
        raise CaseError(f"{where}: changes: expected key, old and new")
    _parsed(str(words["set"]), where)
    return Amendment(
        number=number,
        author=str(words["author"]),
        time=str(words["time"]),
        reason=str(words["reason"]),
        changes=tuple(Change(key=c["key"], old=c.get("old"), new=c.get("new")) for c in changes),
        text=str(words["set"]),
        removed=tuple(removed),
        digest=digest,
    )


def _changes(
    earlier: dict[str, Any], text: str, removed: Sequence[str], where: str
) -> tuple[Change, ...]:
    found: list[Change] = []
    whole = deepcopy(earlier)
    _merge(whole, _parsed(text, where), where, "", found)
    found += [Change(key=key, old=_remove(whole, key, where), new=None) for key in removed]
    return tuple(found)


def _parsed(text: str, where: str) -> dict[str, Any]:
    try:
        return foreign_toml.loads(text)
    except ValueError as error:
        raise CaseError(f"{where}: not valid TOML: {error}; write KEY = VALUE") from None


def _merge(
    into: dict[str, Any], change: dict[str, Any], where: str, prefix: str, told: list[Change]
) -> None:
    for key, value in change.items():
        place = f"{prefix}{key}"
        if place in {"schema", "run"} and not isinstance(value, dict):
            raise CaseError(f"{where}: {place} is no single figure; name the key to correct")
        inner = _table(into, key, place, where) if _is_table(value) else None
        if inner is None:
            told.append(Change(key=place, old=deepcopy(into.get(key)), new=value))
            into[key] = deepcopy(value)
        else:
            _merge(inner, value, where, f"{place}.", told)


def _is_table(value: Any) -> bool:
    return isinstance(value, dict) and not (value and set(value) <= _NUMBER)


def _table(into: dict[str, Any], key: str, place: str, where: str) -> dict[str, Any]:
    """Find (or make) the table that ``key`` names; the list of runs is keyed by their names."""
    current = into.get(key)
    if place == "run":
        if not isinstance(current, list):
            raise CaseError(f"{where}: the case has no [[run]]")
        return {run["name"]: run for run in current if isinstance(run, dict) and "name" in run}
    if isinstance(current, dict):
        return current
    if place.startswith("run.") and place.count(".") == 1:
        raise CaseError(f"{where}: no run {key!r}; known: {', '.join(into) or 'none'}")
    if current is not None:
        raise CaseError(f"{where}: {place} is a single value, not a table")
    into[key] = {}
    return into[key]  # type: ignore[no-any-return]


def _remove(whole: dict[str, Any], key: str, where: str) -> Any:
    """Take a key out and return what it was. The key is written as in TOML."""
    node: Any = _parsed(f"{key} = 0", where)
    parts: list[str] = []
    while isinstance(node, dict) and len(node) == 1:
        ((part, node),) = node.items()
        parts.append(part)
    table: Any = whole
    for depth, part in enumerate(parts[:-1]):
        table = table.get(part) if isinstance(table, dict) else None
        if depth == 0 and part == "run" and isinstance(table, list):
            table = {run["name"]: run for run in table if isinstance(run, dict) and "name" in run}
    if not isinstance(table, dict) or parts[-1] not in table or len(parts) == 1:
        raise CaseError(f"{where}: {key} is not in the case, so it cannot be taken out")
    return table.pop(parts[-1])


def _stamp(time: str | None) -> str:
    if time is None:
        return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    return stamps.stated(time, "--time", CaseError)

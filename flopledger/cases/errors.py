"""A decoder's complaint, turned into file, key, what was found, and what to do."""

import difflib
import re
from typing import Any, get_args

from flopledger.cases import spec
from flopledger.cases.spec import Attention, Basis, Kind, Precision, Recompute


def explain(name: str, raw: dict[str, Any], message: str) -> str:
    """Write one message about ``raw``, the parsed file, from what the decoder said of it."""
    reason, _, path = message.partition(" - at `$")
    key = path.rstrip("`").lstrip(".").replace("[...]", "")
    found = _look_up(raw, key)
    for decoder_word, toml_word in _TOML_WORDS:
        reason = reason.replace(decoder_word, toml_word)
    shown = "" if found is None or isinstance(found, dict | list) else f" (found {found!r})"
    hint = _hint(reason, key, found)
    return f"{name}: {key or 'top level'}: {reason[0].lower()}{reason[1:]}{shown}{hint}"


#: A decoder speaks JSON; the user wrote TOML.
_TOML_WORDS = (
    ("`float | object | array | null`", "a number"),
    ("`float | object | array`", "a number"),
    ("`object | null`", "a table"),
    ("`date | null`", "a date"),
    ("`object`", "a table"),
    ("`array`", "a list"),
    ("`str | null`", "text"),
    ("`str`", "text"),
    ("`int | null`", "a whole number"),
    ("`float`", "a decimal number"),
    ("`bool`", "true or false"),
    ("Invalid RFC3339 encoded date", "Not a date"),
    ("Object contains", "the table contains"),
    ("Object missing required field", "the table lacks the key"),
)


def _hint(reason: str, key: str, found: Any) -> str:
    if "unknown field" in reason:
        return _meant(reason, key)
    if "lacks the key `schema`" in reason:
        return (
            '; a case begins with: schema = "flopledger/case/1" (`flopledger case new` writes one)'
        )
    if "a number" in reason and isinstance(found, str):
        return "; a number carries no unit or suffix: the unit is in the key's name (15.0e12)"
    if "date" in reason:
        return "; a date is written 2026-01-31"
    if "enum" in reason:
        field = key.rpartition(".")[2]
        choices = get_args(_CHOICES[field]) if field in _CHOICES else ()
        return f"; choose from {', '.join(choices)}" if choices else ""
    if key == "run":
        return "; a run is written under [[run]], with double brackets"
    return ""


#: The tables of a case by their keys, indices left out; ``""`` is the top level.
_TABLES: dict[str, type[spec.Table]] = {
    "": spec.CaseSpec,
    "claim": spec.ClaimSpec,
    "model": spec.ModelSpec,
    "run": spec.RunSpec,
    "base_model": spec.BaseModelSpec,
    "release": spec.ReleaseSpec,
}


def _meant(reason: str, key: str) -> str:
    """Name the key that was probably meant; else say where they all stand."""
    written = re.search(r"unknown field `([^`]*)`", reason)
    table = _TABLES.get(re.split(r"[.\[]", key)[0])
    if written is not None and table is not None:
        near = difflib.get_close_matches(written[1], table.__struct_fields__, n=1)
        if near:
            return f"; did you mean `{near[0]}`?"
    return "; check the spelling, or see docs/case-file.md for the keys of this table"


_CHOICES = {
    "basis": Basis,
    "kind": Kind,
    "precision": Precision,
    "recompute": Recompute,
    "attention": Attention,
}


def _look_up(raw: Any, key: str) -> Any:
    """Find the offending value again by its path, ``None`` where the path leads nowhere."""
    for part in key.replace("[", ".").replace("]", "").split("."):
        try:
            raw = raw[int(part)] if isinstance(raw, list) else raw[part]
        except (KeyError, IndexError, ValueError, TypeError):
            return None
    return raw

"""JSON Schema of what is signed, made from the types that read it."""

from typing import Any

import msgspec

from flopledger.bundle.statement import PREDICATE_TYPE, Predicate
from flopledger.bundle.summary import SiteSummary

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def predicate() -> dict[str, Any]:
    """Give the schema of the predicate, docs/reference/training-compute-audit-1.schema.json."""
    return {"$schema": _DIALECT, "$id": PREDICATE_TYPE} | msgspec.json.schema(Predicate)


def site_summary() -> dict[str, Any]:
    """Give the schema of summary.json, docs/reference/site-summary-1.schema.json."""
    return {"$schema": _DIALECT} | msgspec.json.schema(SiteSummary)


def _write(folder: str) -> None:
    import json
    from pathlib import Path

    made = {"training-compute-audit-1": predicate(), "site-summary-1": site_summary()}
    for name, content in made.items():
        path = Path(folder) / f"{name}.schema.json"
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    import sys

    _write(sys.argv[1])

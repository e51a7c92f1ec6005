"""JSON that others wrote, of which a damaged or hostile piece reads as nothing.

For what may be passed over: a line of a log, a torn last row, a cell. Where a file has to be JSON, its
reader says what is wrong with it instead.
"""

import json
from typing import Any


def decoded(text: str | bytes) -> Any:
    """Decode a text; ``None`` where it is no JSON, or nested too deep."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def table(text: str | bytes) -> dict[str, Any] | None:
    """Decode a text that should be an object; ``None`` for anything else."""
    found = decoded(text)
    return found if isinstance(found, dict) else None


def tables_of(value: object) -> list[dict[str, Any]]:
    """Pick the objects of a decoded list; none where it is no list."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []

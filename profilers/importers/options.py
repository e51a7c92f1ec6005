"""What a user may state about a recording that the recording does not say itself."""

from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """Statements about recordings. None: not stated, and nothing is assumed in its place."""

    zone: tzinfo | None = None
    """Zone of local stamps that carry none."""
    node: str | None = None
    """Host that the recordings are from, where they do not name it."""
    period_ns: int | None = None
    """Spacing of rows that carry no stamp at all (``nvidia-smi dmon`` without ``-o T``)."""
    started_ns: int | None = None
    """Stamp of the first of such rows."""
    mapping: Path | None = None
    """Mapping file for CSV files of one's own."""
    bulk: bool = True
    """Use the fast path where a format has one; the strict path alone otherwise."""

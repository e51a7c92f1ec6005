"""One view of a count as CSV."""

import csv
import io
from typing import TYPE_CHECKING

from flopledger.reports.count_json import rows

if TYPE_CHECKING:
    from flopcount.counted_model import CountedModel


def count_csv(model: "CountedModel", view: str, depth: int) -> str:
    """Return lines of name, FLOP and share; only the head where the input size is unknown."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([view, "flop", "share"])
    for name, flop, share in rows(model, view, depth):
        writer.writerow([_plain(name) or "(model)", flop, f"{share:.6f}"])
    return text.getvalue()


def _plain(name: str) -> str:
    """Keep a spreadsheet from reading a module's name as a formula."""
    return f"'{name}" if name[:1] in ("=", "+", "-", "@") else name

"""One view of a count as CSV."""

import csv
import io
from typing import TYPE_CHECKING

from flopledger.reports.count_json import rows
from flopledger.reports.csv_report import cell

if TYPE_CHECKING:
    from flopcount.model_files.counted_model import CountedModel


def count_csv(model: "CountedModel", view: str, depth: int) -> str:
    """Return lines of name, FLOP and share; only the head where the input size is unknown."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([view, "flop", "share"])
    for name, flop, share in rows(model, view, depth):
        writer.writerow([cell(name) or "(model)", flop, f"{share:.6f}"])
    return text.getvalue()

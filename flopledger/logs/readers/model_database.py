"""A row of Epoch AI's data on models: what a third party gathered about a training run.

Every figure is a statement, read as a text's labels are: used where no document of the run speaks of the
same thing. The size of the data set is left out, since it is no amount trained, and of words as often as
of tokens; the FLOP are a claim, which this data derives from hours or tokens itself.
"""

import csv
import io
import re

from flopledger.facts import Grade
from flopledger.logs import limits
from flopledger.logs.document import Document
from flopledger.logs.evidence import EvidenceError
from flopledger.logs.notes import Notes
from flopledger.logs.numbers import is_placeholder, parse_positive
from flopledger.logs.reader import Reader

_COMPUTE = "Training compute (FLOP)"
#: Column -> name, factor, unit.
_FIGURES = {
    _COMPUTE: ("claimed_flop", 1.0, "FLOP"),
    "Parameters": ("parameters", 1.0, "parameters"),
    "Training time (hours)": ("wall_seconds", 3600.0, "s"),
    "Training chip-hours": ("accelerator_seconds", 3600.0, "s"),
    "Hardware quantity": ("accelerator_count", 1.0, "devices"),
    "Hardware utilization": ("claimed_mfu", 1.0, "1"),
    "Hardware utilization (MFU)": ("claimed_mfu", 1.0, "1"),
    "Hardware utilization (HFU)": ("claimed_hfu", 1.0, "1"),
}
_EXPERTS = re.compile(
    r"mixture[- ]of[- ]experts|\bMoE\b|\bactive param|activated param|sparse", re.I
)
_SIZES = (
    "Training dataset size (gradients)",
    "Training dataset size (datapoints)",
    "Training dataset size (total)",
)


def sniff(head: bytes, _name: str) -> bool:
    """Recognise the header by its column of training compute beside a model's name."""
    first = head.split(b"\n", 1)[0].decode("utf-8-sig", "replace")
    return _COMPUTE in first and ("Model" in first or "System" in first)


def read(document: Document, notes: Notes) -> None:
    """Write down the one row's figures; of several models none is taken."""
    try:
        table = list(csv.DictReader(io.StringIO(document.text(limits.SMALL_BYTES)), strict=True))
    except csv.Error as error:
        raise EvidenceError(f"{document.name}: not a readable table ({error})") from None
    longer = [count for count, row in enumerate(table, start=2) if None in row]
    if longer:
        raise EvidenceError(f"{document.name}: row {longer[0]} has more cells than the header")
    rows = [row for row in table if any((cell or "").strip() for cell in row.values())]
    if len(rows) != 1:
        notes.finding(
            "several-runs",
            "warning",
            f"the table holds {len(rows)} models: nothing is taken from it; hand in the header with the "
            "row of this one",
            "the table",
        )
        return
    _note_row(rows[0], notes)


def _note_row(row: dict[str, str], notes: Notes) -> None:
    place = "row 2, column {}, label"
    experts = any(_EXPERTS.search(cell or "") for cell in row.values())
    for column, (name, factor, unit) in _FIGURES.items():
        if experts and name == "parameters":
            continue  # of a mixture: all of them, and a token meets some
        value = parse_positive(row.get(column))
        if value is not None:
            figure = value * factor
            if name in ("claimed_mfu", "claimed_hfu") and figure > 1.5:
                figure /= 100
            notes.fact(
                f"said_{name}", figure, place.format(column), unit=unit, grade=Grade.STATEMENT
            )
    part = row.get("Training hardware")
    if part and not is_placeholder(part) and "," not in part:
        notes.fact(
            "said_accelerator", part, place.format("Training hardware"), grade=Grade.STATEMENT
        )
    model = row.get("Model") or row.get("System")
    notes.fact("model", model, place.format("Model"), grade=Grade.STATEMENT)
    notes.fact(
        "base_model", row.get("Base model"), place.format("Base model"), grade=Grade.STATEMENT
    )
    size = next((row[one] for one in _SIZES if parse_positive(row.get(one)) is not None), None)
    if size is not None:
        notes.finding(
            "dataset-size-not-trained",
            "info",
            f"the table gives {size} data points as the size of the data set: words or tokens, of one pass; "
            "they are not used as the amount trained",
            "row 2",
        )


READER = Reader(format="model-database", sniff=sniff, read=read)

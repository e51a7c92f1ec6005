"""Lightning's CSVLogger: ``metrics.csv``. It holds steps and scalars, no time and no hardware."""

import csv

from flopledger.logs.document import Document
from flopledger.logs.evidence import EvidenceError
from flopledger.logs.notes import Notes
from flopledger.logs.numbers import parse_number
from flopledger.logs.reader import Reader
from flopledger.logs.stamps import short_lines


def sniff(head: bytes, _name: str) -> bool:
    """Recognise a header that names epoch and step among its columns."""
    header = head.split(b"\n", 1)[0].strip().split(b",")
    return {b"epoch", b"step"} <= set(header) and len(header) > 2 and len(header) < 500


def read(document: Document, notes: Notes) -> None:
    """Write down how far the run came; cells are blank where a row logs something else."""
    rows = csv.reader(text for _, text in short_lines(document))
    try:
        header = next(rows)
        steps, epochs, count = -1, -1.0, 0
        at_step, at_epoch = header.index("step"), header.index("epoch")
        for count, row in enumerate(rows, start=1):
            if len(row) > len(header):
                raise EvidenceError(
                    f"{document.name}: row {count} has {len(row)} cells, the header {len(header)}"
                )
            step = parse_number(row[at_step]) if at_step < len(row) else None
            epoch = parse_number(row[at_epoch]) if at_epoch < len(row) else None
            steps = max(steps, int(step)) if step is not None else steps
            epochs = max(epochs, float(epoch)) if epoch is not None else epochs
    except (csv.Error, StopIteration, ValueError) as error:
        raise EvidenceError(f"{document.name}: not a readable table ({error})") from None
    if steps >= 0:
        # Steps are numbered from 0.
        notes.fact("steps", steps + 1, f"row {count}, column step")
    if epochs >= 0:
        notes.fact("epochs", epochs + 1, f"row {count}, column epoch")
    notes.finding(
        "not-evidence-alone",
        "info",
        "a metrics.csv holds steps and losses: neither time nor hardware nor the amount of data",
        "the file",
    )


READER = Reader(format="lightning-csv", sniff=sniff, read=read)

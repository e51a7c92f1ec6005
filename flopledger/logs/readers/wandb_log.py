"""``run-<id>.wandb``: the append log of W&B, which survives a kill."""

from flopledger.logs.document import Document
from flopledger.logs.notes import Notes
from flopledger.logs.reader import Reader


def sniff(head: bytes, _name: str) -> bool:
    """Recognise the file header: ``:W&B``, a magic number and a version."""
    return head[:4] == b":W&B"


def read(document: Document, notes: Notes) -> None:
    """Write down what the records say."""
    # The framing is the telemetry pillar's, which loads pyarrow: only where such a file lies.
    from flopledger.logs.readers import wandb_records

    wandb_records.read(document, notes)


READER = Reader(format="wandb-log", sniff=sniff, read=read)

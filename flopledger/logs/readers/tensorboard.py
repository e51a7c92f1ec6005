"""TensorBoard event files, ``events.out.tfevents.*``."""

from flopledger.logs.document import Document
from flopledger.logs.notes import Notes
from flopledger.logs.reader import Reader


def sniff(head: bytes, _name: str) -> bool:
    """Recognise the first record, which names the file's version."""
    return b"brain.Event:" in head[:64]


def read(document: Document, notes: Notes) -> None:
    """Write down what the events say."""
    # Protocol buffers are walked by the telemetry pillar, which loads pyarrow: only if needed.
    from flopledger.logs.readers import tensorboard_events

    tensorboard_events.read(document, notes)


READER = Reader(format="tensorboard-events", sniff=sniff, read=read)

"""MLPerf system descriptions: JSON that says which machine ran. Numbers are written as words."""

import re

from flopledger.facts import Grade
from flopledger.logs.document import Document
from flopledger.logs.evidence import EvidenceError
from flopledger.logs.notes import Notes
from flopledger.logs.numbers import is_placeholder, parse_count
from flopledger.logs.reader import Reader


def sniff(head: bytes, _name: str) -> bool:
    """Recognise the keys."""
    return (
        head.lstrip()[:1] == b"{"
        and re.search(rb'"number[ _]of[ _]nodes"', head) is not None
        and re.search(rb'"accelerator[ _]model[ _]name"', head) is not None
    )


def read(document: Document, notes: Notes) -> None:
    """Write down the part, the count and the notes on power."""
    system = document.json()
    if not isinstance(system, dict):
        raise EvidenceError(f"{document.name}: not a system description")
    # Round 0.7 has descriptions that spell "number of nodes".
    system = {key.strip().replace(" ", "_"): value for key, value in system.items()}
    words = {
        "accelerator_model_name": "accelerator",
        "system_name": "system",
        "submitter": "organisation",
        "framework": "framework",
        "hw_notes": "hardware_notes",
        "accelerator_memory_capacity": "accelerator_memory",
    }
    for key, name in words.items():
        notes.fact(name, system.get(key), f"$.{key}", grade=Grade.STATEMENT)
    if is_placeholder(system.get("accelerator_model_name")):
        notes.finding(
            "unknown-accelerator",
            "warning",
            f"accelerator_model_name is {str(system.get('accelerator_model_name'))[:40]!r}: "
            "the part is not named",
            "$.accelerator_model_name",
        )
    _note_count(system, notes)


def _note_count(system: dict[str, object], notes: Notes) -> None:
    nodes = parse_count(system.get("number_of_nodes"))
    each = parse_count(system.get("accelerators_per_node"))
    notes.fact("nodes", nodes, "$.number_of_nodes", grade=Grade.STATEMENT)
    notes.fact("accelerators_per_node", each, "$.accelerators_per_node", grade=Grade.STATEMENT)
    if nodes is None or each is None:
        found = (system.get("number_of_nodes"), system.get("accelerators_per_node"))
        notes.finding(
            "device-count-missing",
            "warning",
            f"nodes and accelerators a node are {found[0]!s:.40} and {found[1]!s:.40}: the number "
            "of devices is not known",
            "$.number_of_nodes",
            "$.accelerators_per_node",
        )
        return
    notes.fact(
        "accelerator_count",
        nodes * each,
        "$.number_of_nodes x $.accelerators_per_node",
        grade=Grade.STATEMENT,
    )


READER = Reader(format="mlperf-system", sniff=sniff, read=read)

"""llm.c console logs: a table of settings, then a line a step.

``total batch size`` counts tokens. The printed MFU is of one process's share at the part's own peak
where llm.c knows the part, and -100% where it does not.
"""

import re

from flopledger.facts import Grade
from flopledger.logs.document import Document
from flopledger.logs.evidence import EvidenceError
from flopledger.logs.notes import Notes, line
from flopledger.logs.numbers import parse_count, parse_positive
from flopledger.logs.reader import Reader
from flopledger.logs.stamps import short_lines
from flopledger.logs.stepping import Step, StepLog

_STEP = re.compile(
    r"\bstep\s{1,8}(\d{1,9})/(\d{1,9})\s{0,3}[|:]\s{0,3}(?:train )?loss ([\d.naif-]{1,20}).{0,160}?"
    r"(?<![\w.,+-])([\d.]{1,14}) ms\s{0,3}[|,]?.{0,60}?([\d.]{1,14}) tok/s"
)
_MFU = re.compile(r"(?<![\w.,+-])([\d.]{1,8})% bf16 MFU")
_SETTING = re.compile(r"^\| ([A-Za-z_ ()]{3,40}?)\s{0,24}\| (\S.{0,80}?)\s{1,60}\|\s*$")
#: Setting -> canonical name of a whole number.
_COUNTS = {
    "sequence length T": "sequence_length",
    "num_processes": "world_size",
    "num_parameters": "parameters",
    "num_layers L": "architecture.layers",
    "channels C": "architecture.hidden",
    "padded_vocab_size Vp": "architecture.vocabulary",
}
_PRECISIONS = {"BF16": "bf16", "FP16": "fp16", "FP32": "fp32"}


def sniff(head: bytes, _name: str) -> bool:
    """Recognise a step line with its rate, or the table's own words."""
    return (
        re.search(rb"\bstep\s{1,8}\d+/\d+\s{0,3}[|:].{0,300}? tok/s", head) is not None
        and b"tok/sec" not in head
    )


def read(document: Document, notes: Notes) -> None:
    """Write down steps, time, tokens, the shape and the part."""
    log, settings = StepLog(), dict[str, tuple[str, int]]()
    planned: tuple[int, int] | None = None
    utilisation: tuple[float, int] | None = None
    for number, text in short_lines(document):
        if match := _STEP.search(text):
            planned = (int(match[2]), number)
            milliseconds = parse_positive(match[4])
            log.add(
                Step(
                    step=int(match[1]),
                    line=number,
                    printed=hash(text),
                    mark=match[3],
                    seconds=milliseconds / 1000 if milliseconds is not None else None,
                )
            )
            if share := _MFU.search(text):
                utilisation = (round(float(share[1]) / 100, 6), number)
        elif match := _SETTING.match(text):
            settings.setdefault(match[1].strip(), (match[2], number))
    if not log.steps or planned is None:
        raise EvidenceError(f"{document.name}: llm.c's marks but no step")
    log.note(notes)
    notes.fact("planned_steps", planned[0], line(planned[1]))
    if utilisation is not None and utilisation[0] > 0:
        notes.fact("claimed_mfu", utilisation[0], line(utilisation[1]), grade=Grade.CLAIM)
    _note_settings(settings, notes)
    _note_tokens(log, settings, notes)


def _note_settings(settings: dict[str, tuple[str, int]], notes: Notes) -> None:
    for key, name in _COUNTS.items():
        value, number = settings.get(key, ("", 0))
        notes.count(name, value, line(number))
    device, number = settings.get("device", ("", 0))
    notes.fact("accelerator", device or None, line(number))
    precision, number = settings.get("precision", ("", 0))
    notes.fact("precision", _PRECISIONS.get(precision), line(number))
    heads, number = settings.get("num_heads NH", ("", 0))
    if (count := parse_count(heads)) is not None:
        for name in ("heads", "kv_heads"):
            notes.fact(f"architecture.{name}", count, line(number))
        # GPT-2's shape: two matrices of 4 h, the head shares the embedding.
        notes.fact("architecture.kind", "decoder", line(number))
        notes.fact("architecture.ffn_matrices", 2, line(number))
        tied = True
        notes.fact("architecture.tied_embeddings", tied, line(number))
        hidden = parse_count(settings.get("channels C", ("", 0))[0])
        notes.fact("architecture.ffn", 4 * hidden if hidden else None, line(number))


def _note_tokens(log: StepLog, settings: dict[str, tuple[str, int]], notes: Notes) -> None:
    value, number = settings.get("total batch size", ("", 0))
    batch = parse_count(value)
    if batch is None:
        return
    place = f"{line(number)} x steps up to line {log.steps[-1].line}"
    notes.fact("tokens", batch * log.covered_steps, place)
    length = parse_count(settings.get("sequence length T", ("", 0))[0])
    if length is not None and batch % length == 0:
        notes.fact("global_batch", batch // length, line(number))


READER = Reader(format="llm-c-log", sniff=sniff, read=read)

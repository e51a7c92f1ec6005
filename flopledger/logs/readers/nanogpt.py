"""nanoGPT and nanochat console logs.

nanoGPT divides one GPU's share by the BF16 peak of an A100 (312 TFLOP/s, a constant in its source),
whatever the GPU, and prints -100 % until it has measured.
"""

import re

from flopledger.facts import Grade
from flopledger.logs.document import Document
from flopledger.logs.evidence import EvidenceError
from flopledger.logs.notes import Notes, line
from flopledger.logs.numbers import parse_count, parse_positive
from flopledger.logs.reader import Reader
from flopledger.logs.stepping import Step, StepLog, median, short_lines

#: The constant in nanoGPT's ``estimate_mfu``, FLOP/s.
NANOGPT_PEAK = 312e12

_ITER = re.compile(
    r"\biter (\d{1,10}): loss ([\d.naif]{1,20}), time ([\d.]{1,20})ms(?:, mfu (-?[\d.]{1,12})%)?"
)
_CHAT = re.compile(
    r"\bstep (\d{1,10})(?:/(\d{1,10}))?[^|]{0,40}\|.{0,60}?loss: ([\d.naif]{1,20}) .{0,120}?"
    r"dt: ([\d.]{1,20})ms \| tok/sec: ([\d,.]{1,20})(?: \| (?:bf16_)?mfu: (-?[\d.]{1,12}))?"
)
_PARAMETERS = re.compile(r"number of parameters: ([\d.]{1,20})M\b", re.IGNORECASE)

#: Start of a line -> (canonical name, unit): whole numbers with separators.
_LINES = {
    "tokens per iteration will be:": "tokens_per_step",
    "Total number of training tokens:": "planned_tokens",
    "Number of parameters:": "parameters",
    "Vocab size:": "architecture.vocabulary",
    "num_layers:": "architecture.layers",
    "model_dim:": "architecture.hidden",
    "num_heads:": "architecture.heads",
    "num_kv_heads:": "architecture.kv_heads",
    "Total batch size": "tokens_per_step",
}
_VALUE = re.compile(r"\s{0,4}:?\s{0,4}([\d,]{1,24})\b")


def sniff_gpt(head: bytes, _name: str) -> bool:
    """Recognise an iteration of nanoGPT."""
    return re.search(rb"\biter \d{1,10}: loss [\d.]{1,20}, time [\d.]{1,20}ms", head) is not None


def sniff_chat(head: bytes, _name: str) -> bool:
    """Recognise a step of nanochat."""
    return re.search(rb"\bstep \d{1,10}.{0,200}dt: [\d.]{1,20}ms \| tok/sec:", head) is not None


def read_gpt(document: Document, notes: Notes) -> None:
    """Write down iterations, their time, and what the printed MFU stands for."""
    log, utilisation = StepLog(), []
    for number, text in short_lines(document):
        match = _ITER.search(text)
        if match is None:
            _note_line(text, number, notes)
            continue
        seconds = parse_positive(match[3])
        step = Step(
            step=int(match[1]),
            line=number,
            mark=f"{match[2]} {match[3]}",
            seconds=seconds / 1000 if seconds else None,
        )
        if log.add(step) and (share := parse_positive(match[4])):
            utilisation.append(share / 100)
    if not log.steps:
        raise EvidenceError(f"{document.name}: nanoGPT marks but no iteration")
    log.note(notes, zero_based=True)
    _note_tokens(log, notes, zero_based=True)
    middle = median(utilisation)
    if middle is None:
        return
    place = f"lines {log.steps[0].line} to {log.steps[-1].line}: median"
    notes.fact("claimed_mfu", middle, place, grade=Grade.CLAIM)
    notes.fact(
        "implied_peak_flop_per_second", NANOGPT_PEAK, "constant of the program", grade=Grade.CLAIM
    )
    notes.fact(
        "claimed_flop_per_second_per_accelerator", middle * NANOGPT_PEAK, place, grade=Grade.CLAIM
    )
    notes.finding(
        "assumed-peak",
        "info",
        "the printed MFU is of 312 TFLOP/s (A100, BF16) whatever the GPU, and of one GPU's share",
        place,
    )


def read_chat(document: Document, notes: Notes) -> None:
    """Write down steps, their time and the throughput of all ranks."""
    log, rates, utilisation, planned = StepLog(), [], [], None
    for number, text in short_lines(document):
        match = _CHAT.search(text)
        if match is None:
            _note_line(text, number, notes)
            continue
        seconds, rate = parse_positive(match[4]), parse_positive(match[5])
        step = Step(
            step=int(match[1]),
            line=number,
            mark=f"{match[3]} {match[4]}",
            seconds=seconds / 1000 if seconds else None,
        )
        planned = parse_count(match[2])
        if log.add(step):
            rates += [float(rate)] if rate else []
            share = parse_positive(match[6])
            utilisation += [share / 100] if share else []
    if not log.steps:
        raise EvidenceError(f"{document.name}: nanochat marks but no step")
    log.note(notes, zero_based=True)
    _note_tokens(log, notes, zero_based=True)
    notes.fact("planned_steps", planned, line(log.steps[-1].line))
    place = f"lines {log.steps[0].line} to {log.steps[-1].line}: median"
    notes.fact("tokens_per_second", median(rates), place, unit="tokens/s")
    notes.fact("claimed_mfu", median(utilisation), place, grade=Grade.CLAIM)


def _note_line(text: str, number: int, notes: Notes) -> None:
    for start, name in _LINES.items():
        if text.startswith(start):
            match = _VALUE.match(text[len(start) :])
            unit = {"tokens_per_step": "tokens", "planned_tokens": "tokens"}.get(name)
            if match:
                notes.fact(name, parse_count(match[1]), line(number), unit=unit)
            return
    if match := _PARAMETERS.search(text):
        millions = parse_positive(match[1])
        if millions is not None:
            # nanoGPT leaves the position embeddings out.
            notes.fact("parameters", round(millions * 1e6), line(number))


def _note_tokens(log: StepLog, notes: Notes, *, zero_based: bool) -> None:
    each = next((fact for fact in notes.facts if fact.name == "tokens_per_step"), None)
    steps = log.covered_steps + (1 if zero_based else 0)
    if each is not None and isinstance(each.value, int) and steps > 0:
        notes.fact("tokens", each.value * steps, f"{each.locator} x {steps:,} steps")


GPT = Reader(format="nanogpt-log", sniff=sniff_gpt, read=read_gpt)
CHAT = Reader(format="nanochat-log", sniff=sniff_chat, read=read_chat)

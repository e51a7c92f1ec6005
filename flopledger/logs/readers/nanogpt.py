"""nanoGPT and nanochat console logs.

nanoGPT divides one GPU's share by the BF16 peak of an A100 (312 TFLOP/s, a constant in its source),
whatever the GPU, and prints -100% until it has measured.
"""

import math
import re

from flopledger.facts import Grade
from flopledger.logs import stages
from flopledger.logs.document import Document
from flopledger.logs.evidence import EvidenceError
from flopledger.logs.notes import Notes, line
from flopledger.logs.numbers import parse_count, parse_number, parse_positive, printed
from flopledger.logs.reader import Reader
from flopledger.logs.source_text import SourceText
from flopledger.logs.stamps import short_lines
from flopledger.logs.stepping import Step, StepLog, median

#: The constant in nanoGPT's ``estimate_mfu``, FLOP/s.
NANOGPT_PEAK = 312e12
#: The constant of nanochat's first versions, which print ``mfu`` and not ``bf16_mfu``.
NANOCHAT_PEAK = 989e12

_ITER = re.compile(
    r"\biter (\d{1,10}): loss ([\d.naif]{1,20})(?: [A-Za-z]{1,12})?, time ([\d.]{1,20})ms"
    r"(?:, mfu (-?[\d.]{1,12})%)?"
)
#: An evaluation runs inside the iteration that is printed next.
_EVALUATION = re.compile(r"\bstep (\d{1,10}): train loss [\d.naif]{1,20}")
_CHAT = re.compile(
    r"\bstep\s{1,9}(\d{1,10})(?:/(\d{1,10}))?[^|]{0,40}\|.{0,60}?loss: ([\d.naif]{1,20}) .{0,120}?"
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
    "total desired batch size:": "tokens_per_step",
}
_VALUE = re.compile(r"\s{0,4}:?\s{0,4}([\d,]{1,24})\b")


def sniff_gpt(head: bytes, _name: str) -> bool:
    """Recognise an iteration of nanoGPT."""
    return (
        re.search(
            rb"\biter \d{1,10}: loss [\d.]{1,20}(?: [A-Za-z]{1,12})?, time [\d.]{1,20}ms", head
        )
        is not None
    )


def sniff_chat(head: bytes, _name: str) -> bool:
    """Recognise a step of nanochat."""
    return (
        re.search(rb"\bstep\s{1,9}\d{1,10}.{0,200}dt: [\d.]{1,20}ms \| tok/sec:", head) is not None
    )


def read_gpt(document: Document, notes: Notes) -> None:
    """Write down iterations, their time, and what the printed MFU stands for."""
    log, utilisation, source = StepLog(), [], SourceText()
    evaluated = None
    for number, text in short_lines(document):
        match = _ITER.search(text) if "iter " in text else None
        if match is None:
            if "train loss" in text and (evaluation := _EVALUATION.search(text)):
                evaluated = int(evaluation[1])
            _note_line(text, number, notes)
            if not log.steps:
                source.take(number, text)
            continue
        seconds = parse_positive(match[3])
        if seconds is not None and evaluated == int(match[1]):
            seconds = _spread(seconds, evaluated, log)
        step = Step(
            step=int(match[1]),
            line=number,
            printed=hash(text),
            mark=f"{match[2]} {match[3]}",
            seconds=seconds / 1000 if seconds else None,
        )
        if log.add(step) and (share := parse_positive(match[4])):
            utilisation.append(share / 100)
    if not log.steps:
        raise EvidenceError(f"{document.name}: nanoGPT marks but no iteration")
    _note_configuration(source, notes)
    log.note(notes, zero_based=True)
    _note_tokens(log, notes)
    stages.of_log(log, notes)
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


def _spread(milliseconds: float, step: int, log: StepLog) -> float:
    """Give the mean time of the iterations since the last print, where this one held an evaluation.

    The time printed is of one iteration. It stands for those before it too, but an evaluation of
    seconds was not in each of them: they took what the iteration printed before took.
    """
    before = log.steps[-1] if log.steps else None
    if before is None or before.seconds is None or step - before.step < 2:
        return milliseconds
    span = step - before.step
    return (milliseconds + (span - 1) * before.seconds * 1000) / span


def _note_configuration(source: SourceText, notes: Notes) -> None:
    """Read the settings that a log carries: the program prints the file that overrides them.

    Without the program's own line the tokens of an iteration are batch x block x accumulation; the
    first versions multiply that by the processes, later ones do not.
    """
    names = {
        "architecture.layers": "n_layer",
        "architecture.hidden": "n_embd",
        "architecture.heads": "n_head",
        "architecture.vocabulary": "vocab_size",
        "sequence_length": "block_size",
    }
    for name, word in names.items():
        found = source.number(word)
        if found is not None:
            notes.fact(name, found.value, line(found.line))
    layers, hidden = source.number("n_layer"), source.number("n_embd")
    if layers is not None and hidden is not None:
        place = line(layers.line)
        heads = source.number("n_head")
        if heads is not None:
            notes.fact("architecture.kv_heads", heads.value, line(heads.line))
        notes.fact("architecture.kind", "decoder", place)
        notes.fact("architecture.ffn", 4 * hidden.value, f"{line(hidden.line)}: 4 x n_embd")
        notes.fact("architecture.ffn_matrices", 2, place)
        tied = True  # the program ties the output to the embedding
        notes.fact("architecture.tied_embeddings", tied, place)
        if source.number("vocab_size") is None:
            # The program rounds GPT-2's 50,257 up where nothing else is said.
            notes.fact("architecture.vocabulary", 50304, f"{place}: the program's default")
    parts = [source.number(word) for word in ("batch_size", "block_size")]
    if None in parts or any(fact.name == "tokens_per_step" for fact in notes.facts):
        return
    accumulation = source.number("gradient_accumulation_steps")
    known = [part for part in (*parts, accumulation) if part is not None]
    tokens = math.prod(part.value for part in known)
    places = ", ".join(line(part.line) for part in known)
    notes.fact("tokens_per_step", tokens, places, unit="tokens")
    notes.finding(
        "unit-ambiguity",
        "info",
        f"{tokens:,} tokens an iteration by the settings: of all processes in recent versions of the "
        "program, of one process in its first ones",
        places,
    )


def read_chat(document: Document, notes: Notes) -> None:
    """Write down steps, their time and the throughput of all ranks."""
    log, rates, utilisation, planned = StepLog(), [], [], None
    batches: list[float] = []
    has_own_peak = False
    for number, text in short_lines(document):
        match = _CHAT.search(text)
        if match is None:
            _note_line(text, number, notes)
            continue
        done = parse_number(notes.taken(match, 1, f"line {number}, step"))
        if not isinstance(done, int):
            continue
        planned = parse_count(printed(match, 2))
        seconds = parse_positive(match[4])
        rate = parse_positive(notes.taken(match, 5, f"line {number}, tok/sec"))
        step = Step(
            step=done,
            line=number,
            printed=hash(text),
            mark=f"{match[3]} {match[4]}",
            seconds=seconds / 1000 if seconds else None,
            planned=planned,
        )
        has_own_peak = has_own_peak or "bf16_mfu:" in text
        if log.add(step):
            rates += [float(rate)] if rate else []
            batches += [float(rate) * seconds / 1000] if rate and seconds else []
            share = parse_positive(notes.taken(match, 6, f"line {number}, mfu"))
            utilisation += [share / 100] if share else []
    if not log.steps:
        raise EvidenceError(f"{document.name}: nanochat marks but no step")
    place = f"lines {log.steps[0].line} to {log.steps[-1].line}: median"
    _note_batch_by_rates(batches, place, notes)
    log.note(notes, zero_based=True)
    _note_tokens(log, notes)
    stages.of_log(log, notes)
    notes.fact("planned_steps", planned, line(log.steps[-1].line))
    notes.fact("tokens_per_second", median(rates), place, unit="tokens/s")
    notes.fact("claimed_mfu", median(utilisation), place, grade=Grade.CLAIM)
    if utilisation and not has_own_peak:
        notes.fact(
            "implied_peak_flop_per_second",
            NANOCHAT_PEAK,
            "constant of the program",
            grade=Grade.CLAIM,
        )
        notes.finding(
            "assumed-peak",
            "info",
            "the printed MFU is of 989 TFLOP/s (H100, BF16) whatever the GPU",
            place,
        )


def _note_batch_by_rates(batches: list[float], place: str, notes: Notes) -> None:
    """Multiply time and throughput of a step, where the program's own line is missing."""
    if any(fact.name == "tokens_per_step" for fact in notes.facts):
        return
    middle = median(batches)
    if middle is None or middle < 1:
        return
    # Rates are printed as whole numbers: a power of two within their rounding is meant.
    power = 2.0 ** round(math.log2(middle))
    tokens = power if abs(middle / power - 1) < 0.003 else middle
    notes.fact("tokens_per_step", round(tokens), f"{place} of dt x tok/sec", unit="tokens")


def _note_line(text: str, number: int, notes: Notes) -> None:
    for start, name in _LINES.items():
        if text.startswith(start):
            match = _VALUE.match(text[len(start) :])
            unit = {"tokens_per_step": "tokens", "planned_tokens": "tokens"}.get(name)
            if match:
                notes.count(name, match[1], line(number), unit=unit)
            return
    if match := _PARAMETERS.search(text):
        millions = parse_positive(match[1])
        if millions is not None:
            # nanoGPT leaves the position embeddings out.
            notes.fact("parameters", round(millions * 1e6), line(number))


def _note_tokens(log: StepLog, notes: Notes) -> None:
    each = next((fact for fact in notes.facts if fact.name == "tokens_per_step"), None)
    steps = log.covered_steps + 1  # step 0 is the first one done
    if each is not None and isinstance(each.value, int) and steps > 0:
        notes.fact("tokens", each.value * steps, f"{each.locator} x {steps:,} steps")


GPT = Reader(format="nanogpt-log", sniff=sniff_gpt, read=read_gpt)
CHAT = Reader(format="nanochat-log", sniff=sniff_chat, read=read_chat)

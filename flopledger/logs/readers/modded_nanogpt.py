"""modded-nanoGPT records: the program's source, an ``nvidia-smi`` table, then step lines.

The shape and the batch stand only in the source, which is read as text. The clock starts again
after ten warm-up steps: tokens are of all steps, time is of those after the reset.
"""

import re

from flopledger.logs.document import Document
from flopledger.logs.evidence import EvidenceError
from flopledger.logs.notes import Notes, line
from flopledger.logs.numbers import parse_positive
from flopledger.logs.reader import Reader
from flopledger.logs.readers.printed_settings import PrintedSettings
from flopledger.logs.smi_table import SmiTable
from flopledger.logs.source_text import SourceText
from flopledger.logs.stamps import short_lines

_STEP = re.compile(
    r"^(?:step:)?(\d{1,10})/(\d{1,10}) .{0,80}?train_time:\s?([\d.]{1,20})(ms|s|m)\b"
)
#: A later program prints its time in tenths of minutes, and whole where it stops.
_STOP = re.compile(r"\btrain_time:\s?([\d.]{1,20})(ms|s)\b.{0,20}?\bstep:\s?(\d{1,10})/(\d{1,10})")
_SECONDS = {"ms": 1e-3, "s": 1.0, "m": 60.0}


def sniff(head: bytes, _name: str) -> bool:
    """Recognise the step lines."""
    return (
        re.search(
            rb"(?m)^(?:step:)?\d{1,10}/\d{1,10} .{0,80}?train_time:\s?[\d.]{1,20}(?:ms|s|m)\b", head
        )
        is not None
    )


class _Clock:
    """The printed training time, which may start again."""

    def __init__(self) -> None:
        self.seconds: float | None = None
        self.line = 0
        self.reset: tuple[int, int] | None = None  #: step before the reset, line after it
        self.step = 0
        self.planned = 0

    def take(self, number: int, step: int, planned: int, clock: tuple[str, str]) -> None:
        seconds = parse_positive(clock[0])
        if seconds is not None:
            seconds = round(seconds * _SECONDS[clock[1]], 6)
            if self.seconds is not None and seconds < self.seconds and step >= self.step:
                self.reset = (self.step, number)
            self.seconds = seconds
        self.step, self.planned, self.line = max(step, self.step), planned, number


def read(document: Document, notes: Notes) -> None:
    """Write down steps, time, GPUs, shape, batch and precision."""
    source, table, clock, settings = SourceText(), SmiTable(), _Clock(), PrintedSettings()
    for number, text in short_lines(document):
        if match := _STEP.match(text):
            clock.take(number, int(match[1]), int(match[2]), (match[3], match[4]))
            continue
        if clock.line and (match := _STOP.search(text)):
            clock.take(number, int(match[3]), int(match[4]), (match[1], match[2]))
            continue
        table.take(number, text)
        if clock.line == 0:
            source.take(number, text)
            settings.take(number, text)
    if clock.line == 0:
        raise EvidenceError(f"{document.name}: no step line")
    table.note(notes)
    place = line(clock.line)
    notes.fact("steps", clock.step or None, place)
    notes.fact("planned_steps", clock.planned or None, place)
    notes.fact("timed_seconds", clock.seconds, place)
    if clock.reset is not None:
        step, after = clock.reset
        notes.fact("untimed_steps", step, line(after), unit="steps")
        notes.finding(
            "coverage-gap",
            "info",
            f"the clock starts again after step {step}: the time is of {clock.step - step:,} of "
            f"{clock.step:,} steps, and leaves validation out",
            line(after),
        )
    settings.note(notes)
    # Settings that were printed outrank the source, whose defaults the environment may overrule.
    each = settings.value("tokens_per_step")
    if each is not None and clock.step:
        place = f"{settings.place('tokens_per_step')} x {clock.step:,} steps"
        notes.fact("tokens", each * clock.step, place)
    has_source = source.has("import torch", "nn.Module") is not None
    if has_source or each is None:
        _note_shape(source, notes)
        _note_precision(source, notes)
    if each is None:
        _note_batch(source, len(table.devices) or None, clock.step, notes)


def _note_shape(source: SourceText, notes: Notes) -> None:
    made = source.call(r"GPTConfig\(") or source.call(r"(?<![\w.])GPT\(")
    keywords, number = made if made is not None else ({}, 0)

    def pick(*names: str) -> tuple[int, str] | None:
        for name in names:
            if name in keywords:
                return keywords[name], line(number)
        default = source.number(*names)
        return (default.value, line(default.line)) if default else None

    found = {
        "layers": pick("n_layer", "num_layers"),
        "hidden": pick("n_embd", "model_dim"),
        "heads": pick("n_head", "num_heads"),
        "vocabulary": pick("vocab_size"),
    }
    if any(value is None or value[0] < 1 for value in found.values()):
        notes.finding(
            "architecture-not-countable", "warning", "the source does not give all dimensions"
        )
        return
    sizes = {name: value for name, value in found.items() if value is not None}
    for name, (value, place) in sizes.items():
        notes.fact(f"architecture.{name}", value, place)
    hidden, heads = sizes["hidden"][0], sizes["heads"][0]
    head_dim = pick("head_dim")
    width = head_dim[0] if head_dim else hidden // heads
    notes.fact("architecture.head_dim", width, head_dim[1] if head_dim else sizes["heads"][1])
    notes.fact("architecture.kv_heads", heads, sizes["heads"][1])
    notes.fact("architecture.kind", "decoder", sizes["layers"][1])
    expansion = source.has("4 * config.n_embd", "4 * dim", "4*dim", "4 * model_dim")
    if expansion is not None:
        notes.fact("architecture.ffn", 4 * hidden, line(expansion))
        gated = source.has("swiglu", "SwiGLU", "F.silu")
        notes.fact("architecture.ffn_matrices", 3 if gated else 2, line(gated or expansion))
    tied = source.has("wte.weight = self.lm_head.weight", "lm_head.weight = self.transformer.wte")
    notes.fact("architecture.tied_embeddings", tied is not None, line(tied or number or 1))
    masked = source.has("flex_attention(", "flash_attn_varlen", "window_size")
    if masked is not None:
        notes.fact("attention_mask", "blocks", line(masked))
        notes.finding(
            "attention-upper-bound",
            "info",
            "attention is masked by blocks or windows that change as the run goes: full attention "
            "over the sequence is an upper bound",
            line(masked),
        )


def _note_batch(source: SourceText, devices: int | None, steps: int, notes: Notes) -> None:
    """Give tokens a step by the several ways in which the program's versions say it."""
    scheduled = source.has("bs_schedule", "TrainingStage(", "batch_size_schedule")
    if scheduled is not None:
        notes.finding(
            "tokens-missing",
            "warning",
            "the batch changes by a schedule in the source: tokens are not a plain product",
            line(scheduled),
        )
        return
    batch = source.number("batch_size")
    length = source.number("sequence_length", "train_seq_len", "seq_len")
    in_tokens = source.number("train_batch_size")
    if in_tokens is None and batch is not None and "in tokens" in batch.comment:
        in_tokens = batch
    if length is not None and in_tokens is None:
        notes.fact("sequence_length", length.value, line(length.line))
    if in_tokens is not None:
        tokens, place = in_tokens.value, line(in_tokens.line)
    elif batch is not None and length is not None:
        notes.fact("global_batch", batch.value, line(batch.line))
        tokens, place = batch.value * length.value, f"lines {batch.line} and {length.line}"
    elif length is not None and devices and source.has("world_size * args."):
        # One sequence a GPU and step.
        notes.fact("global_batch", devices, line(length.line))
        tokens, place = devices * length.value, f"line {length.line} x {devices} GPUs"
    else:
        notes.finding("tokens-missing", "warning", "the source does not give the batch")
        return
    notes.fact("tokens_per_step", tokens, place, unit="tokens")
    if steps > 0:
        notes.fact("tokens", tokens * steps, f"{place} x {steps:,} steps")


def _note_precision(source: SourceText, notes: Notes) -> None:
    half = source.has(".bfloat16()", "torch.bfloat16")
    if half is not None:
        notes.fact("precision", "bf16", line(half))
    eighth = source.has("float8_e4m3")
    if eighth is not None:
        notes.fact("precision_also", "fp8", line(eighth))
        notes.finding(
            "mixed-precision", "info", "some products run in FP8 as well as in BF16", line(eighth)
        )


READER = Reader(format="modded-nanogpt-log", sniff=sniff, read=read)

"""DeepSpeed console logs: step timers, the configuration dump, and one profile of one step."""

import re

from flopledger.facts import Grade
from flopledger.logs.document import Document
from flopledger.logs.notes import Notes, line
from flopledger.logs.numbers import parse_count, parse_positive
from flopledger.logs.reader import Reader
from flopledger.logs.stamps import short_lines, stamp_seconds
from flopledger.logs.stepping import Step, StepLog, median

_TIMER = re.compile(
    r"(?:global_step=|timer\.py:\d{1,6}:stop\] \d{1,10}/)(\d{1,10}), "
    r"RunningAvgSamplesPerSec=([\d.eE+]{1,30}), CurrSamplesPerSec=([\d.eE+]{1,30})"
)
#: Before 0.7: one rate, of all steps so far; the count before it may be of micro-steps.
_OLD_TIMER = re.compile(
    r"timer\.py:\d{1,6}:stop\] \d{1,10}/\d{1,10}, SamplesPerSec=([\d.eE+]{1,30})"
)
_CONFIG = re.compile(r"\s{1,6}([a-z_0-9]{3,60}) (?:\.{2,80}| ) ?(\S.{0,80}?)\s*$")
_MICRO_STEP = re.compile(r"\bmicro_step=(\d{1,10})/global_step=(\d{1,10}),")
_PARAMETERS = re.compile(r"\b[Tt]otal number of model parameters: (\d[\d,]{2,18}\d)")
_SKIPPED = re.compile(r"\bstep=(\d{1,10}), skipped=(\d{1,10})\b")
_PROFILE = re.compile(
    r"^\s{0,4}([A-Za-z][^:]{3,100}):\s{1,60}([\d.,]{1,20})\s{0,3}([KMGTP]?(?:FLOPS|ms|us|s)?)\s*$"
)
#: Settings as DeepSpeed prints them -> canonical names.
SETTINGS = {
    "train_batch_size": "global_batch",
    "train_micro_batch_size_per_gpu": "per_process_batch",
    "gradient_accumulation_steps": "gradient_accumulation",
    "world_size": "world_size",
}
_FACTORS = {"": 1.0, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}


def sniff(head: bytes, _name: str) -> bool:
    """Recognise a timer line or the profiler's banner."""
    return (
        b"RunningAvgSamplesPerSec=" in head
        or b"DeepSpeed Flops Profiler" in head
        or (b", SamplesPerSec=" in head and b":log_dist]" in head)
    )


def read(document: Document, notes: Notes) -> None:
    """Write down steps, samples, rates and what the profile of one step says."""
    log, rates = StepLog(), []
    skipped: tuple[int, int] | None = None
    passes: set[float] = set()
    spoken: list[Step] = []  #: of the optimiser, where no timer counts them
    for number, text in short_lines(document):
        if match := _TIMER.search(text):
            rate = parse_positive(match[2])
            step = Step(
                step=int(match[1]),
                line=number,
                mark=match[3],
                stamp=stamp_seconds(text),
                printed=hash(text),
            )
            if log.add(step) and rate is not None:
                rates.append(float(rate))
            if (both := _MICRO_STEP.search(text)) and int(both[2]):
                passes.add(int(both[1]) / int(both[2]))
        elif match := _SKIPPED.search(text):
            skipped = (int(match[2]), number)
            if not log.steps:
                spoken.append(_step(match, number, text))
        elif match := _OLD_TIMER.search(text):
            if (rate := parse_positive(match[1])) is not None:
                rates.append(float(rate))
        elif match := _CONFIG.search(text):
            _note_setting(match[1], match[2], line(number), notes)
        elif match := _PARAMETERS.search(text):
            notes.count("parameters", match[1], line(number))
        elif match := _PROFILE.match(text):
            _note_profile(match, line(number), notes)
    for step in () if log.steps else spoken:
        log.add(step)
    log.note(notes)
    printed = {fact.name for fact in notes.facts}
    if len(passes) == 1 and "gradient_accumulation" not in printed:
        place = f"line {log.steps[-1].line}, micro_step / global_step"
        notes.fact("gradient_accumulation", parse_count(passes.pop()), place)
    if skipped is not None and skipped[0]:
        notes.fact("skipped_steps", skipped[0], line(skipped[1]))
    if rates and log.steps:
        place = f"lines {log.steps[0].line} to {log.steps[-1].line}: median"
        notes.fact("samples_per_second", median(rates), place, unit="samples/s")


def _step(match: re.Match[str], number: int, text: str) -> Step:
    return Step(
        step=int(match[1]),
        line=number,
        mark=text[match.start() :],
        stamp=stamp_seconds(text),
        printed=hash(text),
    )


def _note_setting(key: str, value: str, place: str, notes: Notes) -> None:
    if key in SETTINGS:
        notes.count(SETTINGS[key], value, place)
    elif key in ("bfloat16_enabled", "fp16_enabled") and value == "True":
        notes.fact("precision", "bf16" if key.startswith("b") else "fp16", place)


def _note_profile(match: re.Match[str], place: str, notes: Notes) -> None:
    """Read the profiler's summary; its rates are of one step and one GPU."""
    label, value, unit = match[1].strip().lower(), parse_positive(match[2]), match[3]
    if value is None:
        return
    factor = _FACTORS.get(unit[:1] if unit not in ("ms", "us", "s") else "")
    if label == "world size":
        notes.count("world_size", match[2], place)
    elif label.startswith("batch size per gpu"):
        notes.count("per_process_batch", match[2], place)
    elif label.startswith("params of model") and factor:
        notes.fact("parameters", round(value * factor), place)
    elif label.startswith("fwd+bwd flops per gpu") and unit.endswith("FLOPS") and factor:
        notes.fact(
            "claimed_flop_per_second_per_accelerator", value * factor, place, grade=Grade.CLAIM
        )


READER = Reader(format="deepspeed-log", sniff=sniff, read=read)

"""Megatron-LM console logs, old forks included.

The unit of the iteration time stands in its label, (ms) or (s). ``throughput per GPU
(TFLOP/s/GPU)`` counts model FLOP; the older ``TFLOPs:`` counts recomputation too.
"""

import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field

from flopledger.facts import Grade
from flopledger.logs.document import Document
from flopledger.logs.evidence import EvidenceError
from flopledger.logs.notes import Notes, line
from flopledger.logs.numbers import parse_count, parse_positive, printed
from flopledger.logs.reader import Reader
from flopledger.logs.readers.megatron_arguments import Arguments
from flopledger.logs.readers.megatron_stages import Launches
from flopledger.logs.stamps import short_lines, stamp_seconds
from flopledger.logs.stepping import Step, StepLog, median

_ITERATION = re.compile(r"\biteration\s{1,12}(\d{1,10})/\s{0,12}(\d{1,10})\s{0,4}\|")
#: A fork writes ``consumed_samples= 768`` for ``consumed samples: 768``.
_EQUALS = re.compile(r"\biteration=\s{0,12}\d{1,10}/\s{0,12}\d{1,10}\s{0,4}\|")
_NUMBER = re.compile(r"[-+]?[\d.,]{1,80}(?:[eE][-+]?\d{1,4})?|nan")
#: Labels that are remembered; a log that has more of them is none of Megatron's.
_KNOWN_LABELS = 1_000
_RATES = ("throughput", "tflops", "tokens", "approx flops")
#: What is read of an iteration; a line holds as much again.
_LABELS = (
    "consumed samples",
    "consumed tokens",
    "actual seqlen",
    "elapsed time per iteration",
    "time per iteration",
    "global batch size",
    "lm loss",
    "number of skipped iterations",
    "energy per gpu (j/iter/gpu)",
    "throughput per gpu (tflop",
    "tflops",
    "tokens per gpu",
    "tokens/sec/gpu",
    "approx flops per gpu",
)
#: GPT-NeoX begins its line with the rate: the whole batch divided by the same time.
_RATE_BEFORE = re.compile(r"\bsamples/sec: (\d{1,9}\.\d{1,6}) \|")
_NEOX_UNITS = re.compile(r"(?<![\w.,+-])([\d.]{1,12})\s?(G|T|P)FLOPS", re.IGNORECASE)
_POWERS = {"G": 1e9, "T": 1e12, "P": 1e15}
_MOMENT = re.compile(r"\[(before the start of training step|after training is done)\] datetime: ")
#: Copies break long lines; the pieces of one iteration are at most so many.
_PIECES = 8
#: Forks before the batch was printed: DeepSpeed's settings, and its steps, stand in the same log.
_DEEPSPEED_BATCH = re.compile(r"\btrain_batch_size \.{2,80} (\d{1,9})\s*$")
_BILLIONS = re.compile(r"Total number of parameters in billions: ([\d.]{1,12})")


def _doubles() -> "array[float]":
    return array("d")


def sniff(head: bytes, _name: str) -> bool:
    """Recognise an iteration line, or the dump of arguments."""
    return (
        re.search(rb"\biteration(?:\s|=)\s{0,12}\d{1,10}/\s{0,12}\d{1,10}\s{0,4}\|", head)
        is not None
        or b"------------------------ arguments ------------------------" in head
    )


def read(document: Document, notes: Notes) -> None:
    """Write down iterations, samples, time, stated rates and the arguments."""
    log, arguments = StepLog(), Arguments()
    rows, launches = _Rows(), Launches(arguments)
    rates: list[tuple[float, float]] = []
    labels: dict[str, str | None] = {}
    planned = None
    for number, text in _iterations(document, arguments, notes):
        match = _ITERATION.search(text)
        assert match is not None
        fields = _fields(text[match.end() :], labels)
        step = Step(
            step=int(match[1]),
            line=number,
            printed=hash(text),
            mark=fields.get("lm loss", text),
            seconds=_seconds(fields),
            stamp=stamp_seconds(text),
            planned=int(match[2]),
        )
        planned = (int(match[2]), number)
        if step.seconds is None:
            _tell_time(fields, number, notes)
        if log.add(step):
            rows.add(number, fields)
            launches.add(step, fields)
            if (
                "samples/sec" in text
                and (rate := _RATE_BEFORE.search(text[: match.start()]))
                and step.seconds
            ):
                rates.append((float(rate[1]), step.seconds))
    arguments.note(notes)
    if not log.steps:
        if not arguments:
            raise EvidenceError(f"{document.name}: Megatron marks but no iteration")
        return
    log.note(notes)
    if planned is not None:
        notes.fact("planned_steps", planned[0], line(planned[1]))
    _note_samples(log, rows, notes)
    _note_rates(rows, notes)
    _note_energy(log, rows, notes)
    _note_batch_by_rate(log, rates, notes)
    launches.note(log, notes)


@dataclass(slots=True)
class _Rows:
    """What the iteration lines said; a log may have a million of them, so their texts are not kept."""

    first: tuple[int, dict[str, str]] = (0, {})
    last: tuple[int, dict[str, str]] = (0, {})
    #: Batches that were printed: the first, the last with its line, and whether they differ.
    first_batch: int | None = None
    last_batch: tuple[int, int] | None = None
    batch_varies: bool = False
    lengths: set[str | None] = field(default_factory=set)
    skipped: int = 0
    model: "array[float]" = field(default_factory=_doubles)
    hardware: "array[float]" = field(default_factory=_doubles)
    tokens: "array[float]" = field(default_factory=_doubles)
    #: Joules an iteration and device, line by line; shorter than the lines where one lacks it.
    energy: "array[float]" = field(default_factory=_doubles)

    def add(self, number: int, fields: dict[str, str]) -> None:
        """Take the fields of one line in."""
        if not self.first[0]:
            self.first = (number, fields)
        self.last = (number, fields)
        batch = parse_count(fields.get("global batch size"))
        if batch is not None:
            self.first_batch = self.first_batch or batch
            self.batch_varies |= batch != self.first_batch
            self.last_batch = (number, batch)
        if len(self.lengths) < 2:
            self.lengths.add(fields.get("actual seqlen"))
        for label, value in fields.items():
            if label == "number of skipped iterations":
                self.skipped += parse_count(value) or 0
            elif label.startswith(_RATES) and (rate := parse_positive(value)) is not None:
                self._add_rate(label, rate)
        if (energy := parse_positive(fields.get("energy per gpu (j/iter/gpu)"))) is not None:
            self.energy.append(energy)

    def _add_rate(self, label: str, rate: float) -> None:
        if label.startswith("throughput per gpu (tflop"):
            self.model.append(rate * 1e12)
        elif label == "tflops":
            self.hardware.append(rate * 1e12)
        elif label == "approx flops per gpu":
            self.hardware.append(rate)
        elif label.startswith(("tokens per gpu", "tokens/sec/gpu")):
            self.tokens.append(rate)


def _fields(text: str, labels: dict[str, str | None]) -> dict[str, str]:
    """Split ``label: value |`` cells; of "now/mean", as some forks print, the first is taken.

    ``labels`` remembers what a label is called in lower case, ``None`` for one that is not read: the same
    labels stand in every line.
    """
    found = {}
    for cell in text.split("|"):
        spelled, _, value = cell.rpartition(":")
        if spelled in labels:
            label = labels[spelled]
        else:
            known = spelled.strip().lower()
            label = known if known.startswith(_LABELS) else None
            if len(labels) < _KNOWN_LABELS:
                labels[spelled] = label
        if label is None:
            continue
        if label == "approx flops per gpu" and (rate := _NEOX_UNITS.search(value)) is not None:
            found[label] = repr(float(rate[1]) * _POWERS[rate[2].upper()])
        elif (match := _NUMBER.match(value.strip())) is not None:
            found[label] = printed(match, 0)
    return found


def _iterations(
    document: Document, arguments: Arguments, notes: Notes
) -> Iterator[tuple[int, str]]:
    """Give the iteration lines, put together again where a copy broke them."""
    begun: tuple[int, str] | None = None
    pieces = 0
    batch_said = False
    moments: dict[str, tuple[float, int]] = {}  #: of "before" the first, of "after" the last
    for number, text in short_lines(document):
        if "iteration=" in text and _EQUALS.search(text):
            text = _spelled(text)
        if "iteration" in text and _ITERATION.search(text):
            arguments.has_begun = True
            if begun is not None:
                yield begun
            begun, pieces = (number, text), 1
        elif begun is not None and pieces < _PIECES and _is_piece(begun[1], text):
            begun, pieces = (begun[0], f"{begun[1].rstrip()} {text.strip()}"), pieces + 1
        else:
            arguments.take(number, text)
            if (
                "datetime: " in text
                and (moment := _MOMENT.search(text))
                and (stamp := stamp_seconds(text)) is not None
            ):
                moments.setdefault(moment[1][0], (stamp, number))
                if moment[1][0] == "a":
                    moments["a"] = (stamp, number)
            if (
                not batch_said
                and "train_batch_size" in text
                and (match := _DEEPSPEED_BATCH.search(text)) is not None
            ):
                batch_said = True
                notes.fact("global_batch", int(match[1]), line(number))
            if "in billions" in text and (match := _BILLIONS.search(text)):
                billions = parse_positive(match[1])
                if billions is not None:
                    notes.fact("parameters", round(billions * 1e9), line(number))
    if begun is not None:
        yield begun
    if len(moments) == 2 and moments["a"][0] > moments["b"][0]:
        place = f"lines {moments['b'][1]} to {moments['a'][1]}, before and after training"
        notes.fact("wall_seconds", moments["a"][0] - moments["b"][0], place)


def _spelled(text: str) -> str:
    """Spell a fork's ``key_with_unit=value`` as Megatron itself does."""
    text = text.replace("iteration=", "iteration ", 1).replace(
        "_iteration_ms=", " iteration (ms): "
    )
    return text.replace("_", " ").replace("=", ": ")


def _is_piece(begun: str, text: str) -> bool:
    """Say whether ``text`` goes on with an iteration line that is not complete yet."""
    complete = "elapsed time per iteration" in begun and "number of nan iterations" in begun
    return not complete and "|" in text and ":" in text and not text.lstrip().startswith("[")


def _seconds(fields: dict[str, str]) -> float | None:
    """Read the iteration time by the unit in its label."""
    for label, value in fields.items():
        if label.startswith(("elapsed time per iteration", "time per iteration")):
            number = parse_positive(value)
            if number is None:
                return None
            if "(ms)" in label:
                return number / 1000
            return float(number) if "(s)" in label else None
    return None


def _tell_time(fields: dict[str, str], number: int, notes: Notes) -> None:
    """Name a printed iteration time that gave none: spelt with a comma, or without a known unit."""
    for label, value in fields.items():
        if label.startswith(("elapsed time per iteration", "time per iteration")):
            notes.misfit(None, value, f"line {number}, {label}")


def _note_samples(log: StepLog, rows: _Rows, notes: Notes) -> None:
    if rows.last_batch is not None and rows.batch_varies:
        # A batch that grows is no factor of the whole run; the consumed samples are its amount.
        notes.facts[:] = [fact for fact in notes.facts if fact.name != "global_batch"]
        notes.fact(
            "final_global_batch", rows.last_batch[1], line(rows.last_batch[0]), unit="samples"
        )
    elif rows.last_batch is not None:
        notes.fact("global_batch", rows.last_batch[1], line(rows.last_batch[0]))
    number, fields = rows.last
    last = parse_count(fields.get("consumed samples"))
    tokens = parse_count(fields.get("consumed tokens"))
    notes.misfit(last, fields.get("consumed samples"), f"line {number}, consumed samples")
    notes.misfit(tokens, fields.get("consumed tokens"), f"line {number}, consumed tokens")
    if tokens is not None and log.first_step == 0:
        notes.fact("tokens", tokens, line(number))
    if last is None:
        return
    length = parse_count(fields.get("actual seqlen")) if len(rows.lengths) == 1 else None
    if tokens is not None and length is not None and length * last == tokens:
        # Lengths that grow as training goes on would not give the sum.
        notes.fact("sequence_length", length, line(number))
    before = 0
    if log.first_step:
        first_number, first_fields = rows.first
        first = parse_count(first_fields.get("consumed samples"))
        if first is None or rows.first_batch is None:
            return
        before = first - rows.first_batch * log.interval
        notes.fact("samples_before", before, line(first_number), unit="samples")
    if last > before:
        notes.fact("samples", last - before, line(number))


def _note_rates(rows: _Rows, notes: Notes) -> None:
    place = f"lines {rows.first[0]} to {rows.last[0]}: median"
    name = "claimed_flop_per_second_per_accelerator"
    notes.fact(name, median(rows.model or rows.hardware), place, grade=Grade.CLAIM)
    notes.fact("tokens_per_second_per_accelerator", median(rows.tokens), place)
    number, fields = rows.last
    for label, value in fields.items():
        if label.startswith((*_RATES, "global batch size")):
            notes.misfit(parse_positive(value), value, f"line {number}, {label}")
    if rows.hardware and not rows.model:
        notes.finding(
            "hardware-flop-claimed-as-model",
            "info",
            "the rate is printed as TFLOPs or approx flops, which in older versions counts "
            "recomputation: test a factor of 4/3 before calling it model FLOP",
            f"line {rows.first[0]}",
        )
    if rows.skipped:
        notes.fact("skipped_steps", rows.skipped, place.replace("median", "sum"))


def _note_batch_by_rate(log: StepLog, rates: list[tuple[float, float]], notes: Notes) -> None:
    """Give the batch by rate x time, where nothing printed it and every line agrees."""
    if not rates or any(fact.name == "global_batch" for fact in notes.facts):
        return
    batches = [rate * seconds for rate, seconds in rates]
    whole = round(batches[-1])
    if whole > 0 and all(abs(batch - whole) < max(0.2, 0.002 * whole) for batch in batches):
        place = f"lines {log.steps[0].line} to {log.steps[-1].line}: samples/sec x seconds"
        notes.fact("global_batch", whole, place)


def _note_energy(log: StepLog, rows: _Rows, notes: Notes) -> None:
    """Add up the energy of all devices, which is printed as a mean of iterations and devices."""
    world = next((fact.value for fact in notes.facts if fact.name == "world_size"), None)
    if len(rows.energy) != len(log.steps) or not isinstance(world, int):
        return
    total, before = 0.0, log.first_step
    for step, each in zip(log.steps, rows.energy, strict=True):
        total += each * world * (step.step - before if step.step > before else log.interval)
        before = step.step
    place = f"lines {rows.first[0]} to {rows.last[0]}"
    notes.fact("energy_joules", round(total, 3), place, grade=Grade.GAUGE)
    notes.fact("energy_boundary", "device", place)


READER = Reader(format="megatron-log", sniff=sniff, read=read)

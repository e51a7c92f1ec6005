"""Console logs of the Hugging Face Trainer: what a job printed, whoever launched it.

The Trainer prints its plan (``***** Running training *****`` and the batch arithmetic), rows of
losses, a progress bar, and at its end ``{'train_runtime': ...}``. Every rank may print all of it. The
rates of the last row divide what was planned by the time; the plan and the steps done are taken.
"""

import re
from dataclasses import dataclass, field

from flopledger.facts import Grade
from flopledger.logs.document import Document
from flopledger.logs.evidence import EvidenceError
from flopledger.logs.notes import Notes, line
from flopledger.logs.numbers import parse_count, parse_duration, parse_number, parse_positive
from flopledger.logs.reader import Reader
from flopledger.logs.readers.deepspeed import SETTINGS
from flopledger.logs.readers.hf_console_config import Configs
from flopledger.logs.stamps import short_lines

_SECTION = re.compile(r"\*{5} Running (\w{2,20}) \*{5}")
_PLAN = re.compile(
    r"\b(Num examples|Num Epochs|Instantaneous batch size per (?:device|GPU)|"
    r"Total train batch size \(w\. parallel, distributed & accumulation\)|"
    r"Gradient Accumulation steps|Total optimization steps|Number of trainable parameters)"
    r"\s{0,3}[=:]\s{0,3}(\d[\d,]{0,20})\b"
)
_NAMES = {
    "Num examples": "dataset_samples",
    "Num Epochs": "planned_epochs",
    "Instantaneous batch size per device": "per_process_batch",
    "Instantaneous batch size per GPU": "per_process_batch",
    "Total train batch size (w. parallel, distributed & accumulation)": "global_batch",
    "Gradient Accumulation steps": "gradient_accumulation",
    "Total optimization steps": "planned_steps",
    "Number of trainable parameters": "trainable_parameters",
}
#: kohya's scripts say the same in English and Japanese: ``num epochs / epoch数: 150``.
_KOHYA = re.compile(
    r"^\s{0,4}(num train images \* repeats|num reg images|num batches per epoch|num epochs|"
    r"batch size per device|gradient accumulation steps|total optimization steps)\b[^:=\d]{0,3}/"
    r"[^:=]{1,40}[:=]\s{0,3}([\d, ]{1,60}?)\s*$"
)
_KOHYA_NAMES = {
    "num train images * repeats": "dataset_samples",
    "num epochs": "planned_epochs",
    "batch size per device": "per_process_batch",
    "gradient accumulation steps": "gradient_accumulation",
    "total optimization steps": "planned_steps",
}
#: Unsloth prints a plan of its own beside its picture, several cells a line.
_UNSLOTH = re.compile(
    r"\b(Num examples|Num Epochs|Total steps|Batch size per device|Gradient [Aa]ccumulation steps|"
    r"Total batch size(?: \([\d x]{1,40}\))?|Num GPUs(?: used)?|Data Parallel GPUs|"
    r"Number of trainable parameters|"
    r"Trainable parameters) = (\d[\d,]{0,20})\b"
)
#: Lines of the picture that holds the plan.
_PICTURE_LINES = 5
_UNSLOTH_NAMES = {
    "Num examples": "dataset_samples",
    "Num Epochs": "planned_epochs",
    "Total steps": "planned_steps",
    "Batch size per device": "per_process_batch",
    "Gradient accumulation steps": "gradient_accumulation",
    "Total batch size": "global_batch",
    "Num GPUs": "world_size",
    "Data Parallel GPUs": "replicas",
    "Number of trainable parameters": "trainable_parameters",
    "Trainable parameters": "trainable_parameters",
}
#: A row of a dictionary as Python prints it; newer versions print the numbers as words.
_CELL = re.compile(r"'([a-z_]{2,40})': '?([-+\d.eE]{1,30}|nan)'?")
_COUNTERS = ("epoch", "num_tokens", "num_input_tokens_seen", "train_runtime")
_END = re.compile(r"\{'train_runtime': '?\d")
_MARKS = rb"Num examples\s{0,3}=|Total optimization steps\s{0,3}=|\{'loss': |Instantaneous batch size per "
_ROW = re.compile(r"\{'loss': '?[\d.naif]{1,20}'?, .{0,200}'epoch': ")
_METRIC = re.compile(r"\b(train_runtime|train_samples|total_flos)\s{0,30}=\s{1,12}(\S.{0,40}?)\s*$")
_BAR = re.compile(r"(\d{1,9})/(\d{1,9}) \[((?:\d{1,4}:)?\d{1,3}:\d\d)<")
#: DeepSpeed prints its own plan; where the Trainer's is not in the log, this one stands for it.
_DEEPSPEED = re.compile(
    r"\s(train_batch_size|train_micro_batch_size_per_gpu|gradient_accumulation_steps|world_size|"
    r"(?:fp16|bfloat16)_enabled) \.{2,80} (\d{1,9}|True)\s*$"
)
_RESUMED = re.compile(r"Continuing training from global step (\d{1,9})")
_PRECISION = re.compile(r"\b(bf16|fp16)=True\b")
_CHECKPOINTING = re.compile(r"\bgradient_checkpointing=true\b", re.IGNORECASE)
#: Samples a step and passes over the data are printed whole; this much may be a short last batch.
_ROUNDING = 0.02


@dataclass(slots=True)
class _Training:
    """One training of the log: a plan, how far it came, and its end."""

    line: int
    plan: dict[str, tuple[int, int]] = field(default_factory=dict)  #: name -> (value, line)
    begun: int = 0  #: where a resumed one went on
    bar: tuple[int, int, float] | None = None  #: step, line, seconds
    other_bar: tuple[int, int, float, int] | None = None  #: the last one seen, and its length
    epoch: tuple[float, int] | None = None
    tokens: tuple[int, int] | None = None
    runtime: tuple[float, int] | None = None
    claim: tuple[float, int] | None = None

    @property
    def is_under_way(self) -> bool:
        """Say whether work was seen: a further plan is another training then, not another rank."""
        return self.runtime is not None or self.epoch is not None or self.bar is not None


def sniff(head: bytes, _name: str) -> bool:
    """Recognise the plan or the last row."""
    if head.lstrip()[:2] == b'{"':
        return False  # a document of JSON
    if re.search(rb"\{'train_runtime': '?\d|\{'loss': '?[\d.]{1,20}'?, .{0,200}'epoch': ", head):
        return True
    # DeepSpeed-Chat and others print the banner, and not the Trainer's plan below it.
    if b"running training /" in head and b"total optimization steps /" in head:
        return True  # kohya's
    if b"Unsloth - " in head and b"| Num GPUs" in head and b"Batch size per device = " in head:
        return True
    return b"***** Running training *****" in head and (
        re.search(_MARKS, head) is not None or b"train_runtime" in head
    )


def read(document: Document, notes: Notes) -> None:
    """Write down the plan, the steps done, the time and what the program says of itself."""
    trainings: list[_Training] = []
    section, picture, configs = "", 0, Configs()
    words: dict[str, tuple[str, int]] = {}
    for number, text in short_lines(document):
        configs.take(number, text)
        if match := _PRECISION.search(text):
            words.setdefault("precision", (match[1], number))
        if _CHECKPOINTING.search(text):
            words.setdefault("recompute", ("full", number))
        if match := _SECTION.search(text):
            section = match[1].lower()
            if section == "training" and (not trainings or trainings[-1].is_under_way):
                trainings.append(_Training(line=number))
            continue
        launched = _DEEPSPEED.search(text)
        if launched is not None and launched[2] == "True":
            words.setdefault("precision", ("fp16" if "fp16" in launched[1] else "bf16", number))
            continue
        if (launched and (not trainings or trainings[-1].is_under_way)) or (
            not trainings and (_END.search(text) or _ROW.search(text) or _KOHYA.search(text))
        ):
            trainings.append(_Training(line=number))  # the plan was not printed
        if "Unsloth - " in text:
            picture = _PICTURE_LINES
            if not trainings or trainings[-1].is_under_way:
                trainings.append(_Training(line=number))
        if not trainings:
            continue
        if picture:
            picture -= 1
            _take_unsloth(trainings[-1], number, text)
            continue
        if launched is not None:
            trainings[-1].plan[SETTINGS[launched[1]]] = (int(launched[2]), number)
            continue
        _take(trainings[-1], section, number, text, notes)
    if not trainings:
        raise EvidenceError(f"{document.name}: the Trainer's marks but no training")
    if len(trainings) > 1:
        notes.finding(
            "several-runs",
            "warning",
            f"the log holds {len(trainings)} trainings; the last one is read, the others are "
            "compute spent as well",
            *(line(one.line) for one in trainings[:20]),
        )
    for name, (word, number) in words.items():
        notes.fact(name, word, line(number))
    configs.note(notes)
    _note(trainings[-1], notes)


def _take(one: _Training, section: str, number: int, text: str, notes: Notes) -> None:
    if (match := _KOHYA.search(text)) is not None and match[1] in _KOHYA_NAMES:
        value = parse_count(match[2].split(",")[0])  # batches of several data sets are a list
        if value is not None and "," not in match[2]:
            one.plan[_KOHYA_NAMES[match[1]]] = (value, number)
    elif section in ("training", "") and (match := _PLAN.search(text)) is not None:
        value = parse_count(notes.taken(match, 2, f"line {number}, {match[1]}"))
        if value is not None and not one.is_under_way:
            one.plan[_NAMES[match[1]]] = (value, number)  # an attempt that did no step is none
    elif match := _RESUMED.search(text):
        one.begun = int(match[1])
    elif match := _METRIC.search(text):
        _take_metric(one, match[1], match[2], number)
    elif "{'" in text:
        _take_row(one, text, number, notes)
    planned = one.plan.get("planned_steps", (0, 0))[0]
    for match in _BAR.finditer(text):
        seconds = parse_duration(match[3])
        # Evaluations draw bars of their own, of other lengths.
        if int(match[2]) == planned and seconds is not None and int(match[1]):
            one.bar = (int(match[1]), number, seconds)
        elif seconds is not None:
            one.other_bar = (int(match[1]), number, seconds, int(match[2]))
    if not planned and one.other_bar is not None and _ROW.search(text):
        # Without a plan, the bar that rows of losses stand beside is the training's.
        one.bar = one.other_bar[:3]
        one.plan["planned_steps"] = (one.other_bar[3], one.other_bar[1])


def _take_row(one: _Training, text: str, number: int, notes: Notes) -> None:
    found = {match[1]: match for match in _CELL.finditer(text)}
    if not {"loss", "train_runtime", "train_loss"} & set(found):
        return
    cells = {
        name: notes.taken(match, 2, f"line {number}, {name}")
        for name, match in found.items()
        if name in _COUNTERS
    }
    epoch = parse_positive(cells.get("epoch"))
    if epoch is not None and (one.epoch is None or epoch >= one.epoch[0]):
        one.epoch = (float(epoch), number)
    tokens = parse_count(cells.get("num_tokens")) or parse_count(cells.get("num_input_tokens_seen"))
    if tokens is not None:
        one.tokens = (tokens, number)
    runtime = parse_positive(cells.get("train_runtime"))
    if runtime is not None and (one.runtime is None or runtime > one.runtime[0]):
        one.runtime = (
            float(runtime),
            number,
        )  # every rank prints its own; the longest held the job


def _take_unsloth(one: _Training, number: int, text: str) -> None:
    for match in _UNSLOTH.finditer(text):
        value = parse_count(match[2])
        word = (
            match[1]
            .partition(" (")[0]
            .removesuffix(" used")
            .replace("Accumulation", "accumulation")
        )
        if value is not None and not one.is_under_way:
            one.plan[_UNSLOTH_NAMES[word]] = (value, number)
    if "replicas" in one.plan:  # of a model that may lie on several devices
        replicas, place = one.plan.pop("replicas")
        each, _ = one.plan.get("world_size", (1, place))
        one.plan["world_size"] = (each * replicas, place)


def _take_metric(one: _Training, name: str, text: str, number: int) -> None:
    if name == "train_runtime" and one.runtime is None:
        if seconds := parse_duration(text):
            one.runtime = (seconds, number)
    elif name == "train_samples" and (count := parse_count(text)):
        one.plan.setdefault("dataset_samples", (count, number))
    elif name == "total_flos" and text.endswith("GF"):
        number_of = parse_number(text[:-2])
        if number_of:
            one.claim = (float(number_of) * 1e9, number)


def _note(one: _Training, notes: Notes) -> None:
    for name, (value, number) in one.plan.items():
        notes.fact(name, value, line(number), unit="epochs" if name == "planned_epochs" else None)
    if one.runtime is not None:
        notes.fact("timed_seconds", one.runtime[0], line(one.runtime[1]))
    elif one.bar is not None:
        notes.fact("seen_seconds", one.bar[2], f"line {one.bar[1]}, by the progress bar")
    if one.epoch is not None:
        notes.fact("epochs", one.epoch[0], line(one.epoch[1]))
    if one.tokens is not None:
        notes.fact("tokens", one.tokens[0], line(one.tokens[1]))
    if one.claim is not None:
        notes.fact("claimed_flop", one.claim[0], line(one.claim[1]), grade=Grade.CLAIM)
    _note_steps(one, notes)


def _note_steps(one: _Training, notes: Notes) -> None:
    planned, place = one.plan.get("planned_steps", (0, 0))
    done, how = _done(one, planned, place)
    if not done:
        return
    if one.begun and one.begun < done:
        notes.fact("first_step", one.begun, how)
        notes.finding(
            "resumed-run",
            "info",
            f"the training went on at step {one.begun:,}: what came before is not in this log",
            how,
        )
        done -= one.begun
    notes.fact("steps", done, how)
    if one.runtime is None:
        notes.finding(
            "aborted-run",
            "warning",
            f"the log ends at step {done + one.begun:,} of {planned:,} without train_runtime: the "
            "job was stopped or the log was cut; its compute was spent all the same",
            how,
        )
    elif done + one.begun < planned:
        notes.finding(
            "stopped-early",
            "info",
            f"{done + one.begun:,} of {planned:,} steps were done; the Trainer's rates divide the "
            "planned samples and steps by the time, and so overstate",
            how,
        )


def _done(one: _Training, planned: int, place: int) -> tuple[int, str]:
    """Give the last step done: by the progress bar, else by the share of the epochs."""
    epochs = one.plan.get("planned_epochs", (0, 0))[0]
    share = one.epoch[0] / epochs if one.epoch is not None and epochs else None
    by_bar = one.bar[0] if one.bar is not None else 0
    if share is not None and planned and share < 1 - _ROUNDING:
        # A limit of steps may end inside the first epochs planned; the bar tells it then.
        if one.runtime is not None and by_bar == planned:
            return planned, line(place)
        if by_bar:
            return by_bar, f"line {one.bar[1] if one.bar else 0}, by the progress bar"
        if one.runtime is None or epochs > 1:
            assert one.epoch is not None
            return round(planned * share), f"line {one.epoch[1]}: epochs done x steps an epoch"
    if one.runtime is None:
        return by_bar, f"line {one.bar[1] if one.bar else 0}, by the progress bar"
    return planned, line(place)


READER = Reader(format="hf-console-log", sniff=sniff, read=read)

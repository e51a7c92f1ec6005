"""Settings that a program prints before it trains: ``world_size:8 train_seq_len:1024``.

Only whole numbers under names that say what they are. The first print counts, as ranks repeat it.
"""

import re

from flopledger.facts import Grade
from flopledger.logs.notes import Notes, line
from flopledger.logs.numbers import parse_count

#: Name as programs print it -> canonical name. A plain ``batch_size`` says neither of what nor of whom.
_NAMES = {
    "world_size": "world_size",
    "num_gpus": "world_size",
    "n_gpus": "world_size",
    "grad_accum_steps": "gradient_accumulation",
    "gradient_accumulation_steps": "gradient_accumulation",
    "train_batch_tokens": "tokens_per_step",
    "tokens_per_step": "tokens_per_step",
    "tokens_per_batch": "tokens_per_step",
    "train_seq_len": "sequence_length",
    "seq_len": "sequence_length",
    "seq_length": "sequence_length",
    "sequence_length": "sequence_length",
    "block_size": "sequence_limit",
    "max_seq_len": "sequence_limit",
    "max_seq_length": "sequence_limit",
    "max_sequence_length": "sequence_limit",
    "sequence_len": "sequence_limit",
    "cutoff_len": "sequence_limit",
    "iterations": "planned_steps",
    "max_iters": "planned_steps",
    "max_steps": "planned_steps",
    "train_iters": "planned_steps",
    "model_params": "parameters",
    "num_params": "parameters",
    "n_params": "parameters",
    "n_parameters": "parameters",
    "num_parameters": "parameters",
    "total_params": "parameters",
    "trainable_params": "trainable_parameters",
    "global_batch_size": "global_batch",
    "global_train_batch_size": "global_batch",
    "total_train_batch_size": "global_batch",
    "global_batch_size_in_sequences": "global_batch",
    "micro_batch_size": "per_process_batch",
    "device_train_microbatch_size": "per_process_batch",
    "per_device_train_batch_size": "per_process_batch",
    "train_micro_batch_size_per_gpu": "per_process_batch",
    "batch_size_per_gpu": "per_process_batch",
}
_SETTING = re.compile(
    rf"(?<![\w./-])['\"]?({'|'.join(_NAMES)})['\"]?\s{{0,3}}(?:[:=]|\.{{2,60}})\s{{0,3}}"
    # Neither a time, a date nor a product, of which the first figure is no value.
    r"(\d[\d,_]{0,20}\d|\d)(?![\w.]|[:/-]\d|\s{0,3}(?:\*|//|<<))"
)
_SENTENCES = (
    (re.compile(r"\b[Tt]raining on (\d{1,7}) devices \(GPUs/TPUs\)"), "world_size"),
    (
        re.compile(
            r"\b(?:[Tt]otal|[Nn]umber of|num\. ?model) (?:model )?param(?:eter)?s:? (\d[\d,]{3,20})"
        ),
        "parameters",
    ),
    (re.compile(r"\bparam count: ?(\d[\d,]{3,20})"), "parameters"),
    (
        re.compile(r"\b[Nn]umber of trainable param(?:eter)?s:? (\d[\d,]{3,20})"),
        "trainable_parameters",
    ),
    (
        re.compile(
            r"\btokens(?:/| per )(?:iter(?:ation)?|step|update)(?: will be)?\s{0,3}[:=]\s{0,3}"
            r"(\d[\d,]{2,20})(?![\w.])"
        ),
        "tokens_per_step",
    ),
    (re.compile(r"\bTotal optimization steps = (\d{1,12})"), "planned_steps"),
    (re.compile(r"\bInstantaneous batch size per device = (\d{1,9})"), "per_process_batch"),
    (re.compile(r"\bTotal train batch size \([^()]{1,60}\) = (\d{1,9})"), "global_batch"),
    (re.compile(r"\bGradient Accumulation steps = (\d{1,9})"), "gradient_accumulation"),
    (re.compile(r"\(num\. trained: (\d[\d,]{3,20})\)"), "trainable_parameters"),
)
_UNITS = {"tokens_per_step": "tokens"}
#: Layers that run more than once a pass cost more than their weights say.
_LOOPED = re.compile(
    r"(?<![\w./-])(?:(num_loops|recurrence_steps)\s{0,3}[:=]\s{0,3}([2-9]|\d\d)\b|"
    r"(recur_layers|loop_layers)\s{0,3}[:=]\s{0,3}(\d[\d,]{0,40}))"
)


class PrintedSettings:
    """Collects them from the lines of a log."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, int]] = {}
        self._looped: int | None = None

    def __contains__(self, name: str) -> bool:
        return name in self._found

    def take(self, number: int, text: str) -> None:
        """Look at one line."""
        if len(text) > 2_000:
            return
        for match in _SETTING.finditer(text):
            self._keep(_NAMES[match[1]], match[2], number)
        for pattern, name in _SENTENCES:
            if found := pattern.search(text):
                self._keep(name, found[1], number)
        if self._looped is None and _LOOPED.search(text):
            self._looped = number

    def take_constant(self, *lines: tuple[int, str]) -> None:
        """Look at lines that repeat their settings: what they say alike is one."""
        looked = [PrintedSettings() for _ in lines]
        for one, (number, text) in zip(looked, lines, strict=True):
            one.take(number, text)
        first = looked[0]
        for name, (value, number) in first._found.items():
            if all(one.value(name) == value for one in looked[1:]):
                self._keep(name, str(value), number)

    def _keep(self, name: str, word: str, number: int) -> None:
        value = parse_count(word.replace("_", ""))
        if value is not None:
            self._found.setdefault(name, (value, number))

    def __len__(self) -> int:
        return len(self._found)

    def value(self, name: str) -> int | None:
        """Give one of them."""
        return self._found[name][0] if name in self._found else None

    def place(self, name: str) -> str:
        """Give the line of one of them."""
        return line(self._found[name][1])

    def note(self, notes: Notes, grade: Grade = Grade.LOG) -> None:
        """Write them down, but what a better line of the log gave already."""
        given = {fact.name for fact in notes.facts}
        for name, (value, number) in self._found.items():
            if name not in given:
                notes.fact(name, value, line(number), unit=_UNITS.get(name), grade=grade)
        if self._looped is not None:
            notes.finding(
                "layers-run-again",
                "warning",
                "settings let layers run more than once a pass: the cost by parameters is a lower bound",
                line(self._looped),
            )

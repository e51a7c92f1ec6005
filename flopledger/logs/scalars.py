"""Names under which trackers (W&B, MLflow, TensorBoard) keep what a trainer reports.

Tags are free text; only those that well-known trainers write are understood. A tracker's value is
the last one, never a sum.
"""

from flopledger.facts import Grade
from flopledger.logs.notes import Notes
from flopledger.logs.numbers import parse_count, parse_number, parse_positive

#: Tag without its ``train/`` or ``Train/`` prefix -> (canonical name, grade).
_METRICS: dict[str, tuple[str, Grade]] = {
    "total_flos": ("claimed_flop", Grade.CLAIM),
    "train_runtime": ("timed_seconds", Grade.LOG),
    "global_step": ("steps", Grade.LOG),
    "update_step": ("steps", Grade.LOG),
    "optimizer_step": ("steps", Grade.LOG),
    "optim_step": ("steps", Grade.LOG),
    "num_input_tokens_seen": ("tokens", Grade.CLAIM),
    "num_tokens": ("tokens", Grade.LOG),
    "tokens_seen": ("tokens", Grade.LOG),
    "consumed_tokens": ("tokens", Grade.LOG),
    "time/token": ("tokens", Grade.LOG),
    "total_tokens": ("tokens", Grade.LOG),
    "total_tokens_seen": ("tokens", Grade.LOG),
    "n_tokens_seen": ("tokens", Grade.LOG),
    "num_tokens_seen": ("tokens", Grade.LOG),
    "num_tokens_trained": ("tokens", Grade.LOG),
    "tokens_trained": ("tokens", Grade.LOG),
    "tokens_processed": ("tokens", Grade.LOG),
    "consumed_train_tokens": ("tokens", Grade.LOG),
    "consumed-train-tokens": ("tokens", Grade.LOG),
    "throughput/total_tokens": ("tokens", Grade.LOG),
    "throughput/total tokens": ("tokens", Grade.LOG),
    "throughput/device/tokens_per_sec": ("tokens_per_second_per_accelerator", Grade.LOG),
    "throughput/device/tokens_per_second": ("tokens_per_second_per_accelerator", Grade.LOG),
    "throughput/device/TPS": ("tokens_per_second_per_accelerator", Grade.LOG),
    "throughput(tps)": ("tokens_per_second_per_accelerator", Grade.LOG),
    "throughput/device/flops_per_sec": ("claimed_flop_per_second_per_accelerator", Grade.CLAIM),
    "runtime/flops_per_sec_per_gpu": ("claimed_flop_per_second_per_accelerator", Grade.CLAIM),
    "TFLOPS_per_GPU": ("claimed_flop_per_second_per_accelerator", Grade.CLAIM),
    "mfu(%)": ("claimed_mfu", Grade.CLAIM),
    "batch-size": ("global_batch", Grade.LOG),
    "world-size": ("world_size", Grade.LOG),
    "consumed_samples": ("samples", Grade.LOG),
    "consumed-train-samples": ("samples", Grade.LOG),
    "consumed_train_samples": ("samples", Grade.LOG),
    "mfu": ("claimed_mfu", Grade.CLAIM),
    "throughput/device/mfu": ("claimed_mfu", Grade.CLAIM),
    "throughput/mfu": ("claimed_mfu", Grade.CLAIM),  # Levanter's
    "train_samples_per_second": ("planned_train_samples_per_second", Grade.CLAIM),
    "train_steps_per_second": ("planned_train_steps_per_second", Grade.CLAIM),
}
_UNITS = {
    "planned_train_samples_per_second": "samples/s",
    "planned_train_steps_per_second": "1/s",
}
_WHOLE = frozenset({"steps", "tokens", "samples", "global_batch", "world_size"})
#: Tags in another unit than the canonical name's.
_FACTORS = {"TFLOPS_per_GPU": 1e12, "mfu(%)": 0.01, "throughput/mfu": 0.01}

#: Trainer argument -> canonical name of a whole number.
_SETTINGS = {
    "per_device_train_batch_size": "per_process_batch",
    "gradient_accumulation_steps": "gradient_accumulation",
    "micro_batch_size": "per_process_batch",
    "grad_accum_steps": "gradient_accumulation",
    "gradient_accumulation": "gradient_accumulation",
    "accumulate_grad_batches": "gradient_accumulation",
    # A loop of one's own: of one process where it is accumulated, and perhaps of all where it is not.
    "batch_size": "loop_batch",
    "max_steps": "planned_steps",
    "global_train_batch_size": "global_batch",
    "global_batch_size": "global_batch",
    "max_seq_len": "sequence_limit",
    "max_seq_length": "sequence_limit",
    "seq_length": "sequence_length",
    "block_size": "sequence_limit",
    "max_iters": "planned_steps",
    "world_size": "world_size",
}


#: Counts of optimizer steps that a tracker keeps of one training.
_STEP_COUNTS = frozenset(tag for tag, (name, _) in _METRICS.items() if name == "steps")
#: A count that falls below this share of what it was has begun again.
_BEGUN_AGAIN = 0.5
#: What is of one training, where a tracker's run holds several; its own clock runs through all of them.
_OF_ONE_TRAINING = (
    "steps", "samples", "tokens", "timed_seconds", "claimed_flop", "planned_train_samples_per_second",
    "planned_train_steps_per_second",
)  # fmt: skip
#: Our own sinks write it. It is of one process, perhaps of many, so it is no figure of the run.
_OWN_TOTAL = "flopledger/total_model_flop"


def is_understood(tag: str) -> bool:
    """Say whether a tag says anything here."""
    return tag == _OWN_TOTAL or _plain(tag) in _METRICS


def counts_tokens(tag: str) -> bool:
    """Say whether a tag is a known name of all the tokens so far."""
    return _METRICS.get(_plain(tag), ("", None))[0] == "tokens"


class StepCounts:
    """Watches a tracker's counts of steps: a count that begins again is of another training."""

    def __init__(self) -> None:
        self._highest: dict[str, float] = {}
        self._again: list[str] = []  #: places where a count began again

    def take(self, tag: str, value: object, locator: str) -> None:
        """Look at one logged value, in the order of logging."""
        if _plain(tag) not in _STEP_COUNTS or (count := parse_number(value)) is None:
            return
        highest = self._highest.get(tag, count)
        if count < _BEGUN_AGAIN * highest:
            self._again.append(locator)
            highest = count
        self._highest[tag] = max(highest, count)

    def note(self, notes: Notes) -> None:
        """Withhold what is of one training, where there are several: before the last values are noted."""
        if not self._again:
            return
        notes.withheld.update(_OF_ONE_TRAINING)
        notes.finding(
            "several-runs",
            "warning",
            "the count of steps begins again: the tracker's run holds several trainings, or one that was "
            "started again, and its last values are some of one and some of another; steps, amounts and "
            "times of training are not taken, the run's own clock is",
            *self._again[:20],
        )


def note_metric(tag: str, value: object, locator: str, notes: Notes) -> None:
    """Write the last value of a metric down, if its tag is understood. 0 means "not tracked"."""
    if tag == _OWN_TOTAL:
        notes.finding(
            "record-elsewhere",
            "info",
            "figures of flopledger's sinks are here; they are of the first process alone and were not "
            "used: hand in the run's record itself (the folder of flopledger.record or `flopledger run`)",
            locator,
        )
        return
    if _plain(tag) not in _METRICS:
        return
    name, grade = _METRICS[_plain(tag)]
    number = stated = parse_number(value)
    if number == 0 and name in ("claimed_flop", "tokens"):
        notes.finding(
            "counter-zero", "info", f"{tag} is 0: the counter was not switched on", locator
        )
        return
    number = parse_count(number) if name in _WHOLE else parse_positive(number)
    notes.misfit(number, value if stated is None else stated, locator)
    if number is None:
        return
    if (factor := _FACTORS.get(_plain(tag))) is not None:
        number = number * factor
    elif name == "claimed_mfu" and number > 1.5:
        number = number / 100  # a percentage
    notes.fact(name, number, locator, grade=grade, unit=_UNITS.get(name))


def note_setting(key: str, value: object, locator: str, notes: Notes) -> None:
    """Write a trainer's argument down, if it is understood."""
    plain = key.rsplit("/", 1)[-1]
    if plain in _SETTINGS:
        notes.count(_SETTINGS[plain], value, locator)
    elif plain in ("bf16", "fp16", "fp8") and str(value).strip().lower() in ("true", "1", "1.0"):
        notes.fact("precision", plain, locator)


def _plain(tag: str) -> str:
    for prefix in ("train/", "Train/", "trainer/"):
        tag = tag.removeprefix(prefix)
    return tag

"""How much an MLPerf run trained, in the right unit.

The same key means other things by benchmark, round and submitter. Three rules settle it:

- a ``train_samples`` written before ``run_start`` is the size of the data set, one written later is
  what was done;
- counters of the run itself (``samples_count``, ``step``, ``epoch_num``) outrank it;
- the unit is the benchmark's, checked against the optimizer steps that it implies: tokens read as
  samples would need thousands of steps a second.
"""

import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from flopledger.logs.benchmarks import Benchmark, Unit, benchmark
from flopledger.logs.notes import Notes, line
from flopledger.logs.numbers import parse_count, parse_positive
from flopledger.logs.readers.mlperf import misfits
from flopledger.logs.readers.mlperf.events import Event

#: No optimizer step over many devices is shorter than this.
_SHORTEST_STEP_SECONDS = 0.005
#: Counters called "epoch" below this are epochs; above, they count samples or tokens.
_EPOCHS_AT_MOST = 1000
#: Printed step times and a counter's steps may differ by evaluation and warm-up, not by this.
_STEP_SLACK = 30


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """The timed part of a log."""

    start: Event
    stop: Event | None
    end_ms: float  #: of ``run_stop``, or of the last event where it is missing
    everything: list[Event]
    inside: list[Event]  #: by time stamp, ends included

    @property
    def seconds(self) -> float:
        """Length of the window."""
        return (self.end_ms - self.start.time_ms) / 1000

    def setting(self, key: str) -> int | None:
        """Give the last whole number above 0 that was logged under ``key``."""
        values = [parse_count(event.value) for event in self.everything if event.key == key]
        return next((value for value in reversed(values) if value is not None), None)


@dataclass(frozen=True, slots=True)
class Counter:
    """A reading of how far the run came."""

    value: int
    locator: str
    what: str  #: the key, for messages


def note_amount(window: Window, notes: Notes) -> None:
    """Write down what was trained and what was evaluated inside the window."""
    name = next(
        (event.value for event in window.everything if event.key == "submission_benchmark"), None
    )
    rules = benchmark(name) if isinstance(name, str) else None
    if rules is None:
        notes.finding(
            "unknown-benchmark",
            "warning",
            f"benchmark {str(name)[:40]!r} is not in the table: units are guessed",
        )
    misfits.tell(window.everything, notes)
    unit: Unit = rules.unit if rules else "samples"
    if unit == "epochs":
        _note_epochs(window, rules, notes)
    else:
        _note_counter(window, rules, unit, notes)
    _note_evaluation(window, rules, notes)


def _note_counter(window: Window, rules: Benchmark | None, unit: Unit, notes: Notes) -> None:
    counter = next(_counters(window), None)
    dataset = _dataset(window)
    if counter is None:
        if rules is None:
            _note_epochs(window, rules, notes)
        else:
            notes.finding("tokens-missing", "warning", "the log does not say how much was trained")
        return
    if dataset is not None and dataset.value != counter.value:
        _note_dataset(dataset, counter.value, notes)
    true_unit = _unit(window, rules, unit, counter)
    if true_unit != unit:
        notes.finding(
            "unit-ambiguity",
            "warning",
            f"{counter.what} {counter.value:,} counts {true_unit}, though this benchmark counts "
            f"{unit}: {_arithmetic(window, rules, counter, true_unit)}",
            counter.locator,
        )
    elif unit == "tokens" and "samples" in counter.what:
        notes.finding(
            "unit-ambiguity",
            "info",
            f"{counter.what} {counter.value:,} counts tokens, not sequences: "
            f"{_arithmetic(window, rules, counter, unit)}",
            counter.locator,
        )
    notes.fact(true_unit, counter.value, counter.locator)
    if rules and rules.padded:
        notes.finding(
            "padding-upper-bound",
            "info",
            f"sequences are padded to {rules.tokens_per_sample}: the tokens that carried text are "
            "fewer, and submissions that pack or unpad computed less",
            counter.locator,
        )


def _counters(window: Window) -> Iterator[Counter]:
    """Give the readings of progress, most trustworthy first."""
    batch = window.setting("global_batch_size")
    stop = window.stop
    if stop is not None and (count := stop.count("samples_count")):
        yield Counter(count, line(stop.line), "run_stop samples_count")
    if stop is not None and batch and (steps := stop.count("step_num") or stop.count("step")):
        yield Counter(steps * batch, line(stop.line), "steps x global_batch_size")
    announced = _announced(window)
    progress = _furthest(window, "epoch_num", above=_EPOCHS_AT_MOST)
    if (
        progress is not None
        and batch
        and announced
        and progress.value * 20 < announced.value
        and progress.value * batch <= announced.value * 1.1
    ):
        # A counter called epoch that is far below the samples announced counts steps, as long as
        # so many steps do not exceed what was announced.
        progress = Counter(progress.value * batch, progress.locator, "steps x global_batch_size")
    done = _done(window, ("trained_samples", "train_samples"))
    if done is not None and (progress is None or progress.value >= done.value):
        yield done
    # Under samples_count some evaluations count what was evaluated, which is far less.
    seen = [counter for counter in (_furthest(window, "samples_count"), progress) if counter]
    if seen:
        yield max(seen, key=lambda counter: counter.value)
    if batch and (steps_done := _blocks(window)) is not None:
        yield Counter(
            steps_done.value * batch, steps_done.locator, "steps of blocks x global_batch_size"
        )
    steps_seen = _furthest(window, "step_num") or _furthest(window, "step")
    if batch and steps_seen:
        if _is_amount(window, steps_seen.value):
            yield steps_seen
        yield Counter(steps_seen.value * batch, steps_seen.locator, "steps x global_batch_size")


def _is_amount(window: Window, steps: int) -> bool:
    """Say whether a counter called "step" counts tokens: so many steps would not fit the time."""
    timing = _step_seconds(window) or _SHORTEST_STEP_SECONDS
    return steps * timing > _STEP_SLACK * max(window.seconds, timing)


def _done(window: Window, keys: tuple[str, ...]) -> Counter | None:
    """Give the amount that was written down after the run had begun, thus the amount done."""
    for key in keys:
        for event in reversed(window.everything):
            begun = event.time_ms >= window.start.time_ms and event.line > window.start.line
            if event.key == key and begun and (count := parse_count(event.value)):
                return Counter(count, line(event.line), key)
    return None


def _blocks(window: Window) -> Counter | None:
    """Give the optimizer steps of finished blocks, where blocks are counted in steps."""
    best: Counter | None = None
    length = 0
    for event in window.inside:
        if event.key == "block_start":
            length = event.count("epoch_count") or 0
        elif event.key == "block_stop" and length:
            steps = (event.count("first_epoch_num") or 0) + length
            if steps > _EPOCHS_AT_MOST and (best is None or steps > best.value):
                best = Counter(steps, line(event.line), "block_stop")
    return best


def _furthest(window: Window, name: str, above: int = 0) -> Counter | None:
    """Give the largest reading of a counter inside the window."""
    best: Counter | None = None
    for event in window.inside:
        if event.key in ("block_start", "epoch_start", "run_start"):
            continue  # these announce what is to come
        # Validation statistics count validation samples under the same name.
        if event.key == "tracked_stats" and not (name == "step" and _is_training(event)):
            continue
        count = event.count(name)
        if count is not None and count > above and (best is None or count > best.value):
            best = Counter(count, line(event.line), f"{event.key} {name}")
    return best


def _is_training(event: Event) -> bool:
    return isinstance(event.value, dict) and any(
        key.startswith(("train_step", "reduced_train_loss", "throughput")) for key in event.value
    )


def _unit(window: Window, rules: Benchmark | None, unit: Unit, counter: Counter) -> Unit:
    """Decide between tokens and samples by the optimizer steps that each implies."""
    sequence = _sequence(window, rules)
    batch = window.setting("global_batch_size")
    if sequence is None or batch is None or window.seconds <= 0:
        return unit
    other: Unit = "samples" if unit == "tokens" else "tokens"
    timing = _step_seconds(window)
    for candidate in (unit, other):
        steps = counter.value / batch / (sequence if candidate == "tokens" else 1)
        if steps < 0.5 or window.seconds / steps < _SHORTEST_STEP_SECONDS:
            continue
        if timing is not None and not (
            1 / _STEP_SLACK < steps * timing / window.seconds < _STEP_SLACK
        ):
            continue
        return candidate
    return unit


def _step_seconds(window: Window) -> float | None:
    times = [
        float(seconds)
        for event in window.inside
        if event.key == "tracked_stats" and isinstance(event.value, dict)
        for key in ("train_step_timing", "train_step_time")
        if (seconds := parse_positive(event.value.get(key))) is not None
    ]
    return statistics.median(times) if times else None


def _arithmetic(window: Window, rules: Benchmark | None, counter: Counter, unit: Unit) -> str:
    batch = window.setting("global_batch_size")
    sequence = _sequence(window, rules)
    if batch is None or sequence is None:
        return "the batch is not logged"
    factor = sequence if unit == "tokens" else 1
    per_step = f"{batch:,} x {sequence:,}" if unit == "tokens" else f"{batch:,}"
    return f"{counter.value / batch / factor:,.6g} steps of {per_step}"


def _sequence(window: Window, rules: Benchmark | None) -> int | None:
    return window.setting("max_sequence_length") or (rules.tokens_per_sample if rules else None)


def _announced(window: Window) -> Counter | None:
    """Give the first ``train_samples``, wherever it stands."""
    for event in window.everything:
        if event.key == "train_samples" and (count := parse_count(event.value)):
            return Counter(count, line(event.line), "train_samples")
    return None


def _dataset(window: Window) -> Counter | None:
    """Give the size of the data set: what was announced before the run began."""
    announced = _announced(window)
    done = _done(window, ("train_samples",))
    return announced if announced is not None and announced != done else None


def _note_dataset(dataset: Counter, trained: int, notes: Notes) -> None:
    notes.fact("dataset_samples", dataset.value, dataset.locator)
    notes.finding(
        "dataset-size-not-trained",
        "info",
        f"train_samples {dataset.value:,} is the size of the data set; the run trained on "
        f"{trained:,}",
        dataset.locator,
    )


def _note_epochs(window: Window, rules: Benchmark | None, notes: Notes) -> None:
    """Write samples down as epochs times the size of the data set."""
    limit = rules.epochs_at_most if rules else _EPOCHS_AT_MOST
    done = _done(window, ("trained_samples", "train_samples"))
    epochs = _epochs(window, limit)
    announced = _announced(window)
    if epochs is None:
        # DLRM counts its one epoch from 1 on and writes the samples done at the end.
        counter = done or _furthest(window, "epoch_num", above=limit)
        if counter is not None and (rules is None or counter.value not in rules.dataset_samples):
            notes.fact("samples", counter.value, counter.locator)
        else:
            notes.finding("tokens-missing", "warning", "the log does not say how much was trained")
        return
    notes.fact("epochs", epochs[0], epochs[1])
    size = _size(window, rules, announced, notes)
    if size is None:
        notes.finding(
            "tokens-missing",
            "warning",
            f"{epochs[0]} epochs of a data set whose size is not logged",
            epochs[1],
        )
        return
    trained = round(epochs[0] * size)
    if announced is not None and announced.value == size != trained:
        _note_dataset(announced, trained, notes)
    place = f"{epochs[1]} x {announced.locator}" if announced else epochs[1]
    notes.fact("samples", trained, place)


def _size(
    window: Window, rules: Benchmark | None, announced: Counter | None, notes: Notes
) -> int | None:
    """Give the size of the data set; some logs write batches an epoch, or planned steps."""
    known = rules.dataset_samples if rules else ()
    if announced is None:
        return known[0] if len(known) == 1 else None
    if not known or any(abs(announced.value / size - 1) < 0.05 for size in known):
        return announced.value
    batch = window.setting("global_batch_size")
    meant = [size for size in known if batch and abs(announced.value * batch / size - 1) < 0.05]
    size = meant[0] if meant else known[0] if len(known) == 1 else None
    what = "batches an epoch" if meant else "neither the data set nor its batches"
    notes.finding(
        "unit-ambiguity",
        "warning",
        f"train_samples {announced.value:,} is {what}; the benchmark's data set has "
        + " or ".join(f"{each:,}" for each in known)
        + " samples",
        announced.locator,
    )
    return size


def _epochs(window: Window, limit: int) -> tuple[int | float, str] | None:
    """Give the last epoch done; evaluations name it, blocks only where they began."""
    best: tuple[int | float, str] | None = None
    for event in window.inside:
        if event.key in ("eval_accuracy", "eval_stop", "epoch_stop", "run_stop"):
            count = parse_positive(event.metadata.get("epoch_num"))
        elif event.key == "block_stop":
            first, length = event.count("first_epoch_num"), event.count("epoch_count")
            count = first + length - 1 if first and length else None
        else:
            continue
        if count and count <= limit and (best is None or count > best[0]):
            best = (int(count) if count == int(count) else count, line(event.line))
    if best is not None and best[0] == int(best[0]) and _evaluates_epoch_zero(window):
        return int(best[0]) + 1, best[1]
    return best


def _evaluates_epoch_zero(window: Window) -> bool:
    """Say whether the evaluation after the first epoch is numbered 0, so that epoch n is one of n + 1.

    Most programs number the epoch that starts from 0 and what was evaluated by the epochs done.
    """
    begun = False
    for event in window.inside:
        if event.metadata.get("epoch_num") != 0:
            continue
        if event.key == "eval_accuracy" and begun:
            return True
        begun = begun or event.key == "epoch_start"
    return False


def _note_evaluation(window: Window, rules: Benchmark | None, notes: Notes) -> None:
    """Write down the forward-only work inside the window."""
    size = window.setting("eval_samples")
    passes, last = _evaluations(window)
    if size is None or passes == 0 or last is None:
        return
    places = f"{passes} evaluations up to line {last}"
    notes.fact("evaluations", passes, places, unit="evaluations")
    tokens = rules.evaluation_tokens.get(size) if rules else None
    if tokens is not None:
        notes.fact("evaluation_tokens", passes * tokens, places)
    elif rules is not None and rules.unit == "tokens" and size > 1_000_000:
        notes.fact("evaluation_tokens", passes * size, places)
    else:
        notes.fact("evaluation_samples", passes * size, places)


def _evaluations(window: Window) -> tuple[int, int | None]:
    """Count evaluations; ranks may print start and stop many times, so count the turns."""
    passes, last, open_ = 0, None, False
    for event in window.inside:
        if event.key == "eval_start":
            open_ = True
        elif event.key == "eval_stop" and open_:
            passes, last, open_ = passes + 1, event.line, False
    if passes == 0:
        scores = {event.line for event in window.inside if event.key == "eval_accuracy"}
        return len(scores), max(scores, default=None)
    return passes, last

"""What the JSON rows of each program say (``step_rows``)."""

import re
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

from flopledger.logs import scalars
from flopledger.logs.notes import Notes, line
from flopledger.logs.numbers import parse_number, parse_positive
from flopledger.logs.process_clocks import Tick, note_processes, note_several
from flopledger.logs.readers.step_lines import note_gpus
from flopledger.logs.stepping import Step, StepLog

_Table = dict[str, Any]
_SWIFT = "global_step/max_steps"
_OF = re.compile(r"\s{0,3}(\d{1,12})\s{0,3}/\s{0,3}(\d{1,12})\s{0,3}")
#: ``1d 2h 3m 4s``, as ms-swift spells a time.
_SPELLED = re.compile(r"(?:(\d{1,5})d ?)?(?:(\d{1,5})h ?)?(?:(\d{1,5})m ?)?(?:(\d{1,7})s)?")
#: ``PeftModel: 8212.5588M Params (21.8235M Trainable [0.2657%])``
_MODEL = re.compile(r": ([\d.]{1,14})M Params \(([\d.]{1,14})M Trainable")
_STEPS = ("step", "global_step", "iteration", "iter", "train/global_step", "train/step")
_LOSSES = ("loss", "train_loss", "train/loss", "total_loss", "lm_loss", "training_loss")
#: Keys that say their unit -> seconds in it; of one step, and since the start.
_OF_A_STEP = {
    "step_time_s": 1.0, "step_time_sec": 1.0, "step_seconds": 1.0, "step_time_ms": 1e-3, "step_ms": 1e-3,
    "iter_time_ms": 1e-3, "iter_time_s": 1.0, "dt_ms": 1e-3, "dt_s": 1.0, "ms_per_step": 1e-3,
    "ms_per_iter": 1e-3, "sec_per_step": 1.0, "seconds_per_step": 1.0, "s_per_step": 1.0,
}  # fmt: skip
_SO_FAR = {
    "elapsed_s": 1.0, "elapsed_sec": 1.0, "elapsed_secs": 1.0, "elapsed_seconds": 1.0, "elapsed_ms": 1e-3,
    "time_elapsed_s": 1.0, "wall_time_s": 1.0, "train_time_ms": 1e-3, "train_time_s": 1.0,
    "elapsed_time_s": 1.0, "elapsed_hours": 3600.0, "elapsed_min": 60.0, "elapsed_minutes": 60.0,
}  # fmt: skip
_KEPT = frozenset({_SWIFT, "elapsed_time", "train_runtime", "model_parameter_info", "epoch", "time", "mode",
    "n_parameters", "time_total_s", *_STEPS, *_LOSSES, *_OF_A_STEP, *_SO_FAR})  # fmt: skip


class Row(NamedTuple):
    """One line's table."""

    line: int
    table: _Table
    printed: int = 0  #: hash of the whole line; the same line again is a copy


def kept(table: _Table) -> _Table:
    """Keep what is read of a row: a long log has many keys a line."""
    return {key: value for key, value in table.items() if _is_read(key)}


@lru_cache(maxsize=4096)
def _is_read(key: str) -> bool:
    return key in _KEPT or scalars.is_understood(key)


def _whole(value: object) -> int | None:
    number = parse_number(value)
    return (
        int(number)
        if number is not None and 0 <= number <= 10**12 and number == int(number)
        else None
    )


def _of(table: _Table, names: tuple[str, ...]) -> int | None:
    return next((found for name in names if (found := _whole(table.get(name))) is not None), None)


def _has_loss(table: _Table) -> bool:
    return any(name in table for name in _LOSSES)


def note_environment(row: Row, notes: Notes) -> None:
    """Read the environment that OpenMMLab writes before its rows."""
    text = row.table.get("env_info")
    for piece in text.splitlines()[:400] if isinstance(text, str) else ():
        note_gpus(piece, row.line, notes)


def is_swift(table: _Table) -> bool:
    """Recognise a row of ms-swift's ``logging.jsonl``."""
    return isinstance(table.get(_SWIFT), str) or (
        "model_parameter_info" in table and "log_history" in table
    )


def note_swift(rows: list[Row], _name: str, notes: Notes) -> None:
    """Write down steps, plan, epochs, and the time of each process."""
    ticks = []
    for number, table, _ in rows:
        if (model := _MODEL.search(str(table.get("model_parameter_info", ""))[:500])) is not None:
            for text, name in ((model[1], "parameters"), (model[2], "trainable_parameters")):
                millions = parse_positive(text)
                count = round(millions * 1e6) if millions is not None else None
                notes.fact(name, count, f"{line(number)}, in four decimals of a million")
        if (runtime := parse_positive(table.get("train_runtime"))) is not None:
            notes.fact("timed_seconds", float(runtime), line(number))
        at = _OF.fullmatch(str(table.get(_SWIFT, ""))[:40])
        # A row of an evaluation has the step before it once more.
        if at is not None and ("loss" in table or "train_runtime" in table):
            ticks.append(Tick(number, int(at[1]), _spelled(table.get("elapsed_time")), int(at[2])))
    if not ticks or note_several(ticks, notes):
        return
    note_processes(ticks, notes)
    epoch = max(
        (one for _, table, _ in rows if (one := parse_number(table.get("epoch")))), default=None
    )
    notes.fact("epochs", epoch, line(ticks[-1].line))


def _spelled(text: object) -> float | None:
    match = (
        _SPELLED.fullmatch(text.strip()[:40]) if isinstance(text, str) and text.strip() else None
    )
    if match is None:
        return None
    days, hours, minutes, seconds = (int(one or 0) for one in match.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)


def is_ray(table: _Table) -> bool:
    """Recognise a report of Ray Tune or Train."""
    return "training_iteration" in table and "time_total_s" in table


def note_ray(rows: list[Row], _name: str, notes: Notes) -> None:
    """Write down how long a trial took so far; its reports are no optimizer steps."""
    last = max(
        rows, key=lambda row: parse_positive(row.table.get("time_total_s")) or 0, default=None
    )
    if last is not None:
        seconds = parse_positive(last.table.get("time_total_s"))
        notes.fact("seen_seconds", float(seconds) if seconds else None, line(last.line))
    notes.finding(
        "not-evidence-alone",
        "info",
        "Ray's reports count what the program reported, not its optimizer steps, and are of one trial: they "
        "tell the time of its training, neither its amount nor its devices",
        "the file",
    )


def is_detectron2(table: _Table) -> bool:
    """Recognise a row of Detectron2's ``metrics.json``."""
    return "iteration" in table and "total_loss" in table


def note_detectron2(rows: list[Row], _name: str, notes: Notes) -> None:
    """Write down steps, counted from 0, and the time: the middle of the last twenty."""
    log = StepLog()
    for row in rows:
        index = _whole(row.table.get("iteration"))
        if index is not None:
            _add(log, row, index + 1, parse_positive(row.table.get("time")))
    log.note(notes)


def is_mmengine(table: _Table) -> bool:
    """Recognise a training row of MMEngine's ``scalars.json``; one of an evaluation has no rate."""
    return {"step", "loss", "lr", "time", "data_time"} <= table.keys()


def note_mmengine(rows: list[Row], _name: str, notes: Notes) -> None:
    """Write down steps and their mean time since the row before."""
    log = StepLog()
    for row in rows:
        step = _whole(row.table.get("step"))
        if step is not None:
            _add(log, row, step, parse_positive(row.table.get("time")))
    log.note(notes)


def is_mmcv(table: _Table) -> bool:
    """Recognise a training row of MMCV's ``.log.json``."""
    return table.get("mode") == "train" and "epoch" in table and "iter" in table


def note_mmcv(rows: list[Row], _name: str, notes: Notes) -> None:
    """Write down steps, where they go on over epochs; else epochs alone, and a lower bound of the time."""
    at = [
        (number, int(epoch), step, table)
        for number, table, _ in rows
        if (step := _whole(table.get("iter"))) is not None
        and (epoch := _whole(table.get("epoch"))) is not None
    ]
    if not at:
        return
    if (
        not any(b[1] == a[1] + 1 and b[2] <= a[2] for a, b in pairwise(at))
        and max(one[1] for one in at) > 1
    ):
        note_detectron2(
            [Row(n, table | {"iteration": step - 1}, n) for n, _, step, table in at], "", notes
        )
        return
    seconds, before = 0.0, (0, 0)
    for _, epoch, step, table in at:
        done = step - before[1] if before[0] == epoch else step
        seconds += max(done, 0) * float(parse_positive(table.get("time")) or 0)
        before = (epoch, step)
    notes.fact("epochs", max(one[1] for one in at), f"{line(at[-1][0])}, the epoch begun last")
    notes.fact("seen_seconds", round(seconds, 3) or None, f"lines {at[0][0]} to {at[-1][0]}")
    notes.finding(
        "unit-ambiguity",
        "warning",
        "the step starts again in each epoch and the steps of an epoch are not printed: the steps are not "
        "taken",
        line(at[0][0]),
    )


def is_epoch(table: _Table) -> bool:
    """Recognise a row an epoch, as DeiT, MAE and DETR write their ``log.txt``."""
    return "epoch" in table and "train_loss" in table and not any(name in table for name in _STEPS)


def note_epochs(rows: list[Row], _name: str, notes: Notes) -> None:
    """Write down epochs, and the trained parameters where they are told."""
    at = [
        (one, number)
        for number, table, _ in rows
        if (one := _whole(table.get("epoch"))) is not None
    ]
    if at:
        numbers = [epoch for epoch, _ in at]
        notes.fact("epochs", max(numbers) + (1 if min(numbers) == 0 else 0), line(at[-1][1]))
        if min(numbers) > 1:
            notes.fact("first_epoch", min(numbers), line(at[0][1]), unit="epochs")
        again = [
            number
            for before, (epoch, number) in zip(numbers, at[1:], strict=False)
            if epoch <= before
        ]
        if again:
            notes.finding(
                "repeated-steps",
                "warning",
                f"{len(numbers) - len(set(numbers)):,} epochs stand in the log once more: done again after a "
                "restart, or another run's; their compute was spent",
                *(line(number) for number in again[:5]),
            )
    counts = {one for _, table, _ in rows if (one := _whole(table.get("n_parameters")))}
    if len(counts) == 1:
        notes.fact("trainable_parameters", counts.pop(), line(rows[0].line))
    notes.finding(
        "not-evidence-alone",
        "info",
        "a row an epoch holds losses: neither time nor hardware nor the amount of data",
        "the file",
    )


def is_step(table: _Table) -> bool:
    """Recognise a row of a program of one's own: a step and a loss."""
    return _of(table, _STEPS) is not None and _has_loss(table)


def note_steps(rows: list[Row], _name: str, notes: Notes) -> None:
    """Write down steps, times whose key says the unit, and the last counters that are understood."""
    log, last = StepLog(), {}
    clocks: list[Tick] = []
    for row in rows:
        number, table, _ = row
        step = _of(table, _STEPS)
        if step is None:
            continue
        _add(log, row, step, _in_seconds(table, _OF_A_STEP))
        if (clock := _in_seconds(table, _SO_FAR)) is not None:
            clocks.append(Tick(number, step, clock))
        for key, value in table.items():
            last[key] = (value, number)
    place = f"lines {rows[0].line} to {rows[-1].line}"
    notes.finding(
        "program-unknown",
        "info",
        "the program that wrote these rows is not known: steps, times whose key says the unit, and counters "
        "of known names were read; nothing else was",
        place,
    )
    log.distrust_samples(notes)
    log.note(notes, zero_based=bool(log.steps) and log.steps[0].step == 0)
    if clocks and "several-runs" not in {one.code for one in notes.findings}:
        spans = [b.seconds < a.seconds for a, b in pairwise(clocks) if a.seconds and b.seconds]
        ends = [a for a, falls in zip(clocks, spans, strict=False) if falls] + [clocks[-1]]
        notes.fact("seen_seconds", round(sum(one.seconds or 0 for one in ends), 3), place)
    for key, (value, number) in sorted(last.items()):
        if key not in _STEPS:
            scalars.note_metric(key, value, f"{line(number)}: {key}", notes)


def _in_seconds(table: _Table, names: dict[str, float]) -> float | None:
    for name, factor in names.items():
        if (value := parse_positive(table.get(name))) is not None:
            return float(value) * factor
    return None


def _add(log: StepLog, row: Row, step: int, seconds: float | None) -> None:
    loss = next((row.table[name] for name in _LOSSES if name in row.table), "")
    log.add(
        Step(
            step=step,
            line=row.line,
            mark=str(loss),
            seconds=float(seconds) if seconds is not None else None,
            # A run that was started again may print the very same losses; its times differ.
            printed=row.printed if seconds is not None else 0,
        )
    )

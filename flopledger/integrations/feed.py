"""From a recording's ledger to sinks, without touching the loop.

A recording writes blocks of steps into its ledger as it goes. A feed follows that file from a
thread of its own, adds each step up with the costs that the ledger gives, and hands it to the
sinks. The loop is never asked for anything; what it has not written yet arrives with the next block.
"""

import json
import logging
import os
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flopledger.integrations.devices import Devices
from flopledger.integrations.sinks.delivery import Delivered, Sink, Sinks
from flopledger.integrations.sinks.metrics import StepMetrics
from flopledger.recording.continuing import goes_on
from flopledger.recording.utilisation import identified, peak_of
from profilers.steps.record.ledger import STEPS, ProcessSteps, read_process, unrolled

if TYPE_CHECKING:
    from hardware_db import Accelerator

LEDGER = "ledger.jsonl"
FIRST = f"rank={0:05d}-"
"""How the folder of a run's first process is called."""
POLL_SECONDS = 1.0
CLOSE_SECONDS = 30.0
"""How long the end of a training waits for sinks: a tracker may have to make its database first."""
_LOG = logging.getLogger("flopledger.feed")


@dataclass(frozen=True, slots=True)
class _Cost:
    """This rank's part of one kind of call; ``None`` where nobody knows."""

    model: Fraction | None
    hardware: Fraction | None
    by_dtype: Mapping[str, Fraction]


@dataclass(slots=True)
class _Total:
    """A sum that is unknown from the first unknown part on."""

    value: Fraction | None = field(default_factory=Fraction)

    def add(self, part: Fraction | int | None) -> None:
        self.value = None if self.value is None or part is None else self.value + part


@dataclass(slots=True)
class Totals:
    """What stands so far."""

    model_flop: _Total = field(default_factory=_Total)
    hardware_flop: _Total = field(default_factory=_Total)
    tokens: _Total = field(default_factory=_Total)
    samples: _Total = field(default_factory=_Total)


class Following:
    """Turns the lines of one ledger, as they come, into metrics of its steps."""

    def __init__(self, totals: Totals | None = None) -> None:
        self._totals = totals or Totals()
        self._costs: dict[int, _Cost] = {}
        self._wall = 0.0
        self._parts: list[Accelerator | None] = []
        """Of the devices that the process named."""

    def take(self, entry: Mapping[str, Any]) -> Iterator[StepMetrics]:
        """Read one line; give the steps that it completes."""
        match entry.get("kind"):
            case "header":
                clock = entry["clock"]
                self._wall = (clock["wall_ns"] - clock["monotonic_ns"]) / 1e9
            case "device":
                if entry["type"] != "cpu":
                    self._parts.append(_part(entry))
            case "cost":
                self._costs[entry["id"]] = _cost(entry)
            case "steps":
                yield from self._steps(entry)

    def _steps(self, entry: Mapping[str, Any]) -> Iterator[StepMetrics]:
        columns = zip(
            entry["end_us"],
            entry["duration_us"],
            entry["wait_us"],
            unrolled(entry["tokens"]),
            unrolled(entry["samples"]),
            unrolled(entry["calls"]),
            strict=True,
        )
        for place, (end, duration, wait, tokens, samples, calls) in enumerate(columns):
            costs = [(self._costs[number], times) for number, times in calls]
            model, hardware = _Total(), _Total()
            for cost, times in costs:
                model.add(None if cost.model is None else cost.model * times)
                hardware.add(None if cost.hardware is None else cost.hardware * times)
            totals = self._totals
            totals.model_flop.add(model.value)
            totals.hardware_flop.add(hardware.value)
            totals.tokens.add(tokens)
            totals.samples.add(samples)
            mfu, hfu = self._utilisation(costs, model.value, hardware.value)
            seconds = (duration + wait) / 1e6 or None
            yield StepMetrics(
                step=entry["first"] + place,
                unix_seconds=self._wall + end / 1e6,
                duration_seconds=duration / 1e6,
                wait_seconds=wait / 1e6,
                tokens=tokens,
                samples=samples,
                model_flop=_whole(model.value),
                hardware_flop=_whole(hardware.value),
                total_tokens=_whole(totals.tokens.value),
                total_samples=_whole(totals.samples.value),
                total_model_flop=_whole(totals.model_flop.value),
                total_hardware_flop=_whole(totals.hardware_flop.value),
                mfu=_over(mfu, seconds),
                hfu=_over(hfu, seconds),
            )

    def _utilisation(
        self, costs: list[tuple[_Cost, int]], model: Fraction | None, hardware: Fraction | None
    ) -> tuple[float | None, float | None]:
        """Give FLOP over what the devices' peak allows a second, as the run's summary does."""
        by_dtype: Counter[str] = Counter()
        for cost, times in costs:
            for dtype, flop in cost.by_dtype.items():
                by_dtype[dtype] += times * float(flop)  # type: ignore[assignment]
        part = self._parts[0] if self._parts else None
        if not by_dtype or part is None or any(each != part for each in self._parts):
            return None, None
        one = peak_of(part, by_dtype.most_common(1)[0][0])
        if one is None or model is None:
            return None, None
        peak = one * len(self._parts)
        return float(model) / peak, None if hardware is None else float(hardware) / peak


class Feed:
    """Follows one recording and hands its steps to sinks, from a thread of its own."""

    def __init__(
        self,
        run_dir: Path,
        *sinks: Sink,
        since_ns: int,
        poll_seconds: float = POLL_SECONDS,
        first_only: bool = False,
    ) -> None:
        """Follow the ledger that this process begins in ``run_dir`` at ``since_ns`` or later.

        ``first_only``: hand over nothing where this process is not the run's first, which only its
        ledger may tell.
        """
        self.latest: StepMetrics | None = None
        """The last step that was read; ``None`` before the first."""
        self._run_dir, self._since_ns = run_dir, since_ns
        self._first_only = first_only
        self._folder: Path | None = None
        self._devices = Devices(run_dir)
        self._sinks = Sinks(*sinks)
        self._poll_seconds = poll_seconds
        self._stop = threading.Event()
        self._offset = 0
        self._following: Following | None = None
        self._pending = b""
        self._thread = threading.Thread(target=self._work, name="flopledger-feed", daemon=True)
        self._thread.start()

    def close(self) -> tuple[Delivered, ...]:
        """Read what the ledger holds by now, hand it over, and say what arrived.

        Call it after the recording's ``stop``, which writes the last block.
        """
        self._stop.set()
        self._thread.join(CLOSE_SECONDS)
        return self._sinks.close(CLOSE_SECONDS)

    def _work(self) -> None:
        while True:
            last = self._stop.wait(self._poll_seconds)
            try:
                for metrics in self._read():
                    self.latest = replace(metrics, devices=self._devices.now())
                    self._sinks.emit(self.latest)
            except Exception:  # noqa: BLE001 - figures for a screen must not end a run
                _LOG.warning(
                    "%s: cannot be followed; sinks get nothing more, the record is whole",
                    self._folder or self._run_dir,
                    exc_info=True,
                )
                return
            if last:
                return

    def _read(self) -> Iterator[StepMetrics]:
        self._folder = self._folder or own_folder(self._run_dir, since_ns=self._since_ns)
        if self._folder is None or not (self._folder / LEDGER).exists():
            return  # a recording begins its ledger with the first call that it sees
        if self._first_only and not self._folder.name.startswith(FIRST):
            return
        if (self._folder / LEDGER).stat().st_size < self._offset:  # removed, and begun anew
            self._offset, self._pending, self._following = 0, b"", None
        if self._following is None:
            self._following = Following(totals_before(self._folder))
        with (self._folder / LEDGER).open("rb") as file:
            file.seek(self._offset)
            for raw in file:
                self._pending += raw
                self._offset += len(raw)
                if raw.endswith(b"\n"):
                    line, self._pending = self._pending, b""
                    yield from self._following.take(json.loads(line))


def totals_before(folder: Path) -> Totals:
    """Add up what earlier attempts of the same rank left that this process did not do again.

    Where nothing says that this process goes on nothing is continued; where it goes on, and nobody
    can tell after which step, no total is known.
    """
    mine = read_process(folder)
    if mine is None or not (mine.resumes or mine.loaded):
        return Totals()
    others = (
        read_process(path)
        for path in sorted(folder.parent.glob(f"rank={mine.rank:05d}-*"))
        if path != folder
    )
    earlier = [one for one in others if one is not None and one.wall_ns < mine.wall_ns]
    after, before = goes_on(mine, earlier)
    if after is None:
        return Totals(*(_Total(None) for _ in fields(Totals)))
    return _standing(before, after) if after else Totals()


def _standing(before: Iterable[ProcessSteps], after: int) -> Totals:
    """Add up what was done, and of the steps up to ``after`` each as it was done last."""
    totals = Totals()
    standing: dict[int, tuple[ProcessSteps, Any]] = {}
    for process in before:
        for step in process.steps():
            parts = [_times(process.costs[c].hardware_flop, n) for c, n in step.calls]
            totals.hardware_flop.add(_sum(parts))
            if step.number <= after:
                standing[step.number] = (process, step)
    for process, step in standing.values():
        totals.model_flop.add(_sum([_times(process.costs[c].model_flop, n) for c, n in step.calls]))
        totals.tokens.add(step.tokens)
        totals.samples.add(step.samples)
    return totals


def own_folder(run_dir: Path, *, since_ns: int) -> Path | None:
    """Find the ledger that this process began at ``since_ns`` (Unix) or later, if there is one."""
    begun = {
        int(path.name.rsplit("-", 1)[1], 16): path
        for path in (run_dir / STEPS).glob(f"rank=*-{os.getpid()}-*")
    }
    return min((item for item in begun.items() if item[0] >= since_ns), default=(0, None))[1]


def _part(entry: Mapping[str, Any]) -> "Accelerator | None":
    if entry.get("name") is None:
        return None
    memory = entry.get("memory_bytes")
    part = identified(entry["name"], None if memory is None else memory / 1e9)
    return None if isinstance(part, str) else part


def _over(work: float | None, seconds: float | None) -> float | None:
    return None if work is None or seconds is None else work / seconds


def _cost(entry: Mapping[str, Any]) -> _Cost:
    flop, share = entry["flop"], Fraction(*entry["share"])
    if flop is None or flop.get("forward") is None or flop.get("backward") is None:
        return _Cost(None, None, {})
    model = share * (flop["forward"] + flop["backward"])
    again = flop.get("recompute")
    return _Cost(
        model,
        None if again is None else model + share * again,
        {dtype: share * value for dtype, value in entry["by_dtype"].items()},
    )


def _times(flop: Fraction | None, times: int) -> Fraction | None:
    return None if flop is None else flop * times


def _sum(parts: list[Fraction | None]) -> Fraction | None:
    total = _Total()
    for part in parts:
        total.add(part)
    return total.value


def _whole(value: Fraction | None) -> int | None:
    """Round a share of a call to whole FLOP; the ledger keeps the fraction."""
    return None if value is None else round(value)

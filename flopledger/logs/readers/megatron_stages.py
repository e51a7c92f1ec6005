"""Launches appended to one Megatron log: a restart may change the devices and the sequence length."""

from bisect import bisect_left
from dataclasses import dataclass

from flopledger.logs import stages
from flopledger.logs.notes import Notes, line
from flopledger.logs.numbers import parse_count
from flopledger.logs.readers.megatron_arguments import OF_A_STAGE, Arguments
from flopledger.logs.stages import Stage
from flopledger.logs.stepping import Step, StepLog


@dataclass(slots=True)
class _Launch:
    """The iterations between two prints of other settings."""

    first: Step
    last: Step
    batch: int | None  #: samples of the first iteration
    first_consumed: int | None
    last_consumed: int | None
    seconds: float | None = 0.0


class Launches:
    """Collects the iterations of each launch; most logs have one, and nothing is made of it."""

    def __init__(self, arguments: Arguments) -> None:
        self._arguments = arguments
        self._launches: dict[int, _Launch] = {}

    def _index(self, number: int) -> int:
        """Count the settings that were printed above a line."""
        return bisect_left(self._arguments.changed_lines, number)

    def add(self, step: Step, fields: dict[str, str]) -> None:
        """Take in an iteration that counts."""
        consumed = parse_count(fields.get("consumed samples"))
        launch = self._launches.get(index := self._index(step.line))
        if launch is None:
            batch = parse_count(fields.get("global batch size"))
            self._launches[index] = _Launch(step, step, batch, consumed, consumed)
        else:
            launch.last, launch.last_consumed = step, consumed

    def note(self, log: StepLog, notes: Notes) -> None:
        """Write down what the launches come to, where their settings differ."""
        if len(self._launches) < 2 or log.other_runs:
            return
        for step, span in log.spans():
            launch = self._launches[self._index(step.line)]
            known = launch.seconds is not None and step.seconds is not None
            launch.seconds = launch.seconds + step.seconds * span if known else None  # type: ignore[operator]
        stages.note([self._stage(index, log) for index in sorted(self._launches)], notes)

    def _stage(self, index: int, log: StepLog) -> Stage:
        launch = self._launches[index]
        begin = max(launch.first.step - log.interval, log.first_step)
        samples = None
        if launch.batch and launch.first_consumed and launch.last_consumed:
            before = launch.first_consumed - launch.batch * (launch.first.step - begin)
            samples = launch.last_consumed - before
        world, length = (self._in_force(name, index) for name in OF_A_STAGE)
        return Stage(
            place=line(launch.first.line),
            begin=begin,
            end=launch.last.step,
            seconds=launch.seconds,
            devices=world,
            length=length,
            samples=samples if samples and samples > 0 else None,
        )

    def _in_force(self, argument: str, index: int) -> int | None:
        """Give the value that was printed last above a launch."""
        above = self._arguments.changes[:index]
        return next((value for _, name, value in reversed(above) if name == argument), None)

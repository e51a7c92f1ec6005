"""Step lines of a console log: repeated by ranks, done again after restarts, averaged."""

import hashlib
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from flopledger.logs import limits
from flopledger.logs.evidence import EvidenceError
from flopledger.logs.notes import Notes, line

#: Ranks print one step within this time; a restart needs longer.
_RANKS_WITHIN_SECONDS = 5.0
#: Programs print every step, every ten or every hundred.
_USUAL_INTERVAL = 100
#: So far apart, two or three prints are pieces of a log and not its rhythm.
_LONGEST_INTERVAL = 1_000
#: A gap of so many intervals is a piece of the log that is not there.
_HOLE_INTERVALS = 10
#: Longer than so many prints usually are apart, and than so many seconds, nothing was done.
_PAUSE_INTERVALS, _PAUSE_SECONDS = 20, 3_600.0
#: Stamps and summed step times may differ by this before it is worth a word.
_CLOCK_SLACK = 0.1
#: Single steps and means of an interval may differ by this share before it is asked which was printed.
_CERTAIN = 0.1
#: So many steps tell one log from another.
_OPENING = 5
#: A run that comes so near to its planned steps has done them.
ENDED = 0.99
#: What nobody may add up or choose from where a log holds several runs.
_OF_ONE_RUN = ("steps", "samples", "tokens", "timed_seconds", "seen_seconds", "wall_seconds")


class LinesOutOfOrder(Exception):  # noqa: N818 - no error: the lines are asked for again, by their stamps
    """A log whose steps fall back while its stamps fall back too: its lines may stand in another order."""

    def __init__(self, lost_steps: int) -> None:
        super().__init__(f"{lost_steps} steps seem to be done again")
        self.lost_steps = lost_steps


class Step(NamedTuple):
    """One printed step."""

    step: int
    line: int
    mark: str  #: what tells a repeated print from repeated work: the loss as printed
    seconds: float | None = None  #: of one step, averaged over the steps since the last print
    stamp: float | None = None
    printed: int = 0  #: hash of the whole line; the same line again is a copy, not work done again
    planned: int | None = None  #: steps that the run means to do, where its lines say so


class StepLog:
    """Collects printed steps and tells ranks from restarts."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self._fallbacks: list[tuple[int, int]] = []  #: last step before, first step after
        self._is_set_back = False  #: whether stamps go back where steps do
        self.repeated: list[int] = []  #: lines that another rank had printed
        self.restarts: list[int] = []  #: lines where the count fell back
        self.other_runs: list[int] = []  #: lines where another run begins
        self._seen: dict[int, Step] = {}
        self._prints: set[tuple[int, int]] = set()  #: steps done again, with earlier lines' hashes
        self._gaps: Counter[int] = Counter()  #: steps between two prints; asked for at every line

    def add(self, step: Step) -> bool:
        """Take a printed step in; ``False`` for one that another rank printed already."""
        if len(self.steps) >= limits.STEPS:
            raise EvidenceError(
                f"more than {limits.STEPS:,} printed steps; hand in an extract, and say so"
            )
        if self._is_repeated(step):
            self.repeated.append(step.line)
            return False
        if self.steps and step.step <= self.steps[-1].step:
            self._fallbacks.append((self.steps[-1].step, step.step))
            self._is_set_back |= _goes_back(self.steps[-1], step)
            self.restarts.append(step.line)
            if self._is_another_run(self.steps[-1], step):
                self.other_runs.append(step.line)
        elif self.steps:
            self._gaps[step.step - self.steps[-1].step] += 1
        if step.printed and step.step in self._seen:
            self._prints.add((step.step, self._seen[step.step].printed))
        self._seen[step.step] = step
        self.steps.append(step)
        return True

    def _is_repeated(self, step: Step) -> bool:
        """Tell another rank's print from work done again, which may give the very same loss."""
        before = self._seen.get(step.step)
        if before is None:
            return False
        if step.printed and (
            step.printed == before.printed or (step.step, step.printed) in self._prints
        ):
            return True
        if step.stamp is not None and before.stamp is not None:
            return abs(step.stamp - before.stamp) <= _RANKS_WITHIN_SECONDS
        last = self.steps[-1].step
        # Behind the last print it may be a rank that lags; ahead of it, after a fall-back, it is done again.
        near = 0 <= last - step.step <= 2 * self.interval
        return last == step.step or (near and before.mark == step.mark)

    def _is_another_run(self, before: Step, step: Step) -> bool:
        """Tell another run in the same file from a run that was started again from its beginning.

        A run that had done what it planned has nothing to do again, and one that plans another number
        of steps from the start is another.
        """
        if before.planned is None or step.step > max(self.interval, 1):
            return False
        return before.step >= ENDED * before.planned or step.planned != before.planned

    def _opening(self) -> str:
        """Digest losses and times of the first steps: copies of one log begin with the same."""
        seen = [(step.step, step.mark, step.seconds) for step in self.steps[:_OPENING]]
        return hashlib.sha256(repr(seen).encode()).hexdigest()[:16]

    @property
    def lost_steps(self) -> int:
        """Steps that were done again: a print covers the interval before it."""
        return sum(last - first + self.interval for last, first in self._fallbacks)

    @property
    def interval(self) -> int:
        """Steps between two prints, as most prints have it."""
        gaps = self._gaps.total()
        usual = _median_low(self._gaps)
        if usual and not (gaps < 3 and usual > _LONGEST_INTERVAL):
            return usual
        if gaps:
            return 1
        # A lone print of a low step covers the steps up to it, as the first print of a log does.
        return self.steps[0].step if 0 < self.steps[0].step <= _USUAL_INTERVAL else 1

    @property
    def first_step(self) -> int:
        """Steps that were done before the first one that this log covers."""
        first = self.steps[0].step
        # The first print averages the steps before it, at most one interval of them.
        return 0 if first <= self.interval else first - self.interval

    @property
    def covered_steps(self) -> int:
        """Steps kept that this log covers."""
        return self.steps[-1].step - self.first_step

    @property
    def holes(self) -> list[tuple[Step, Step]]:
        """Pairs of prints between which a piece of the log is missing."""
        widest = max(_HOLE_INTERVALS * self.interval, _USUAL_INTERVAL)
        return [
            (before, after)
            for before, after in pairwise(self.steps)
            if after.step - before.step > widest
        ]

    def seconds(self) -> float | None:
        """Sum the step times, work done again included; ``None`` where a time is missing.

        Where a piece of the log is missing, one interval stands for it: no print says how long it took.
        """
        total = 0.0
        for step, span in self.spans():
            if step.seconds is None:
                return None
            total += step.seconds * span
        return total or None

    def spans(self) -> Iterator[tuple[Step, int]]:
        """Give each print with the number of steps that it speaks for, steps done again included."""
        before = self.first_step
        missing = {after.line for _, after in self.holes}
        for step in self.steps:
            is_known = step.step > before and step.line not in missing
            # A print of step 0 is of that step alone, and it is the slow one that compiles.
            alone = 1 if step.step == 0 else self.interval
            yield step, step.step - before if is_known else alone
            before = step.step

    def stamped_seconds(self) -> float | None:
        """Give the time between the first and the last stamp."""
        stamps = [step.stamp for step in self.steps if step.stamp is not None]
        if len(stamps) < 2 or stamps[-1] <= stamps[0]:
            return None
        return stamps[-1] - stamps[0]

    def busy_seconds(self) -> float | None:
        """Give the time between stamps without the pauses in which nothing was printed for long.

        Between two launches that were appended to one log the devices were others', perhaps for days.
        """
        stamps = [step.stamp for step in self.steps if step.stamp is not None]
        gaps = [after - before for before, after in pairwise(stamps)]
        usual = median([gap for gap in gaps if gap > 0])
        if usual is None:
            return None
        longest = max(_PAUSE_INTERVALS * usual, _PAUSE_SECONDS)
        return sum(gap for gap in gaps if 0 < gap <= longest) or None

    def distrust_samples(self, notes: Notes) -> None:
        """Take no sum of times of an unknown program that prints single steps, evaluations inside.

        Where it prints one step in hundreds, a row may stand where it evaluates; where it prints one in ten,
        a few of them do. Whether a time is of one step or the mean of ten nobody says: what is certain is the
        least of both.
        """
        if any(step.seconds is None for step in self.steps) or not self.steps:
            return
        usual = statistics.median(float(step.seconds or 0) for step in self.steps)
        summed = least = 0.0
        for step, span in self.spans():
            seconds = float(step.seconds or 0)
            summed += seconds * span
            least += seconds + (span - 1) * min(seconds, usual)
        is_sparse = self.interval > _USUAL_INTERVAL
        if not is_sparse and least >= (1 - _CERTAIN) * summed:
            return
        first, last = self.steps[0], self.steps[-1]
        self.steps = [step._replace(seconds=None) for step in self.steps]
        if not is_sparse and self.stamped_seconds() is None:
            notes.fact("seen_seconds", round(least, 3), f"lines {first.line} to {last.line}")
        notes.finding(
            "coverage-gap",
            "info",
            f"one step in {self.interval:,} is printed with its time, and some times hold an evaluation as "
            "well: they are not summed",
            line(first.line),
        )

    def note(
        self, notes: Notes, *, zero_based: bool = False, passes: int = 1, timed: bool = True
    ) -> None:
        """Write down steps, restarts and time.

        ``zero_based``: step 0 is the first one done. ``passes``: what was printed are forward passes,
        so many an optimizer step. ``timed``: no better word on the time stands elsewhere in the log.
        """
        if not self.steps:
            return
        if self._is_set_back and notes.order == "unknown":
            raise LinesOutOfOrder(self.lost_steps)
        if notes.order == "by stamps" and self.lost_steps >= notes.lost_as_printed:
            raise LinesOutOfOrder(self.lost_steps)  # a clock that was set back, and a restart
        first, last = self.steps[0], self.steps[-1]
        if first.stamp is not None:
            notes.fact("stamps_begin", first.stamp, line(first.line))
        elif len(self.steps) >= _OPENING:
            notes.fact("log_opening", self._opening(), line(first.line))
        if self.other_runs:
            note_several_runs(notes, [first.line, *self.other_runs])
            return
        done = self.covered_steps + (1 if zero_based else 0)
        if done > 0:
            notes.fact("steps", done // passes or None, line(last.line))
        if self.first_step >= passes:
            notes.fact("first_step", self.first_step // passes, line(first.line))
            notes.finding(
                "resumed-run",
                "info",
                f"the log begins at step {first.step:,}: what came before is not in it",
                line(first.line),
            )
        if self.repeated:
            notes.finding(
                "duplicate-lines",
                "info",
                f"{len(self.repeated)} step lines repeat a step, as when several ranks print; each "
                "step was counted once",
                *(line(number) for number in self.repeated[:5]),
            )
        if self.lost_steps:
            notes.fact("lost_steps", self.lost_steps // passes or None, line(self.restarts[-1]))
            notes.finding(
                "repeated-steps",
                "warning",
                f"{self.lost_steps:,} steps were done again after {len(self.restarts)} fall-backs: "
                "compute spent that is not in the model",
                *(line(number) for number in self.restarts[:5]),
            )
        if timed:
            self._note_time(notes)

    def _note_time(self, notes: Notes) -> None:
        summed, stamped = self.seconds(), self.stamped_seconds()
        places = f"lines {self.steps[0].line} to {self.steps[-1].line}"
        holes = self.holes
        if summed is not None and holes:
            # Unless stamps say more, the time of what is printed is a lower bound.
            notes.fact("seen_seconds", round(max(summed, stamped or 0.0), 3), places)
            before, after = holes[0]
            notes.finding(
                "coverage-gap",
                "warning",
                f"between steps {before.step:,} and {after.step:,} the log is missing: its steps are "
                "counted, their time is not known, and the time is a lower bound",
                line(before.line),
                line(after.line),
            )
        elif summed is not None:
            notes.fact("timed_seconds", round(summed, 3), places)
        if stamped is not None:
            notes.fact("wall_seconds", round(stamped, 3), f"{places}, by their stamps")
        if summed is None and stamped is not None:
            # The first print has no beginning, so the stamps give a lower bound.
            busy = self.busy_seconds() or stamped
            how = "by their stamps" if busy == stamped else "by their stamps, pauses left out"
            notes.fact("seen_seconds", round(busy, 3), f"{places}, {how}")
        self._note_untimed(notes)
        if summed is not None and stamped is not None and stamped > summed * (1 + _CLOCK_SLACK):
            notes.finding(
                "coverage-gap",
                "info",
                f"stamps span {stamped:,.0f} s, step times sum to {summed:,.0f} s: evaluation, "
                "checkpoints or stops are not in the step times",
                places,
            )

    def _note_untimed(self, notes: Notes) -> None:
        """Name the prints whose time cannot be read, where others have one: no sum is made without them."""
        untimed = [step for step in self.steps if step.seconds is None]
        if not untimed or len(untimed) == len(self.steps):
            return
        notes.finding(
            "coverage-gap",
            "info",
            f"{len(untimed):,} of {len(self.steps):,} step lines give no time that can be read (missing, not "
            "a number, negative): step times are not summed, and stamps, where there are any, leave a lower "
            "bound",
            *(line(step.line) for step in untimed[:5]),
        )


def note_several_runs(notes: Notes, begins: Sequence[int]) -> None:
    """Take no amount and no time of a log that holds several runs; ``begins``: the line of each."""
    notes.withheld.update(_OF_ONE_RUN)
    notes.finding(
        "several-runs",
        "error",
        f"the log holds {len(begins)} runs: the count of steps begins again after the end, or with "
        "another plan; no amount and no time is taken from it: cut it, and give each run its own "
        "[[run]], since all of them are compute spent",
        *(line(number) for number in begins[:21]),
    )


def _goes_back(before: Step, step: Step) -> bool:
    """Work that is done again is done later: where stamps go back with the steps, lines were moved."""
    if before.stamp is None or step.stamp is None:
        return False
    return before.stamp - step.stamp > _RANKS_WITHIN_SECONDS


def _median_low(counted: "Counter[int]") -> int:
    """Give the lower middle of counted values, 0 for none: a long log has few different ones."""
    left = (counted.total() - 1) // 2
    for value in sorted(counted):
        left -= counted[value]
        if left < 0:
            return value
    return 0


def median(values: Sequence[float]) -> float | None:
    """Give the middle of what was printed, or ``None``."""
    return statistics.median(values) if values else None

"""A run's totals from its step ledgers: what was trained, what was executed, what is unknown.

Every figure is a sum over calls of exact whole numbers; the shares of ranks that work on one call
add up to one, so the whole model is counted once. What an attempt did again is hardware FLOP only.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flopledger.recording.work import Bounds, Work
from profilers.steps.record.ledger import StepDevice, read_run


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFinding:
    """Something that a reader of the totals must know."""

    code: str
    severity: str
    """``info``, ``warning`` or ``error``."""
    message: str
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class RankTotals:
    """One process's part of one attempt."""

    rank: int
    world_size: int
    node: str
    pid: int
    folder: str
    """Name of its ledger's folder below ``steps/``."""
    training: int
    """Which training it belongs to, from 0."""
    attempt: int
    """Which attempt of that training, from 0."""
    start_ns: int
    """Unix nanoseconds of its start."""
    last_ns: int
    """Unix nanoseconds at which its last step or span ended."""
    steps: int
    """Steps that it did, those that were done again included."""
    redone_steps: int
    """Of these, how many were done again later."""
    counted: Work
    """Of the steps that stand."""
    redone: Work
    """Of the steps that were done again later."""
    dearest_step: int
    """Model FLOP of the step that took most, as far as costs are known."""
    cheapest_step: int
    """Of the one that took least; 0 where one is not known."""
    spans: Mapping[str, Work]
    """By name: evaluation and whatever else is not training."""
    step_seconds: float
    """In steps that stand, from a step's first call to its end."""
    redone_seconds: float
    """In steps that were done again later, and waiting for them."""
    span_seconds: Mapping[str, float]
    """Between steps, by the span's name: evaluation, checkpoint, data, the user's words."""
    recorder_seconds: float
    """Between steps, in which the recorder itself started and counted."""
    wait_seconds: float
    """Everything else between its start and its last end: loading data, start-up, logging."""
    sealed: str | None
    """Why its recording ended; None after a kill."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptTotals:
    """One launch of a training."""

    training: int
    attempt: int
    world_size: int
    ranks: tuple[int, ...]
    """The ranks that left a ledger."""
    start_ns: int
    last_ns: int
    first_step: int | None
    last_step: int | None
    resumed_after: int | None
    """Number of the step after which it went on; None where it began at the beginning."""
    steps: int
    """Optimizer steps that it did; those of all its ranks count once."""
    redone_steps: int
    """Of these, how many a later attempt did again."""
    model_flop: int
    """Known model FLOP of the steps that stand."""
    redone_flop: int
    """Known hardware FLOP of the steps that were done again."""
    sealed: bool
    """Whether all its ranks closed their ledgers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunTotals:
    """What the step ledgers of one run add up to.

    ``model_flop`` is what the mathematics of the steps that stand needed; ``hardware_flop`` adds
    recomputation and the steps that a later attempt did again. Both are None where something is
    unknown: a cost, a rank without a ledger, steps that the disk refused, or any step at all. The
    bounds then say what is certain; an open end is None. Evaluation and other spans are
    in neither figure, but in ``span_flop``.
    """

    steps: int
    """Optimizer steps that stand; those of all ranks of one job count once."""
    steps_at_most: int
    """The same, and more only where nobody can say after which step an attempt goes on: then
    ``steps`` is the least, and what stands beside it is as if it went on as early as it may."""
    steps_unwritten: int
    """So many more at most that processes did which were cut off, and that no ledger has. As all of them they
    are in the bounds, and in no figure."""
    flop_unwritten: int
    """What the upper ends hold for those among them that nothing shows (no other rank, and no checkpoint):
    for each the hardware FLOP of the dearest step."""
    redone_steps: int
    """Steps that were done and then done again by a later attempt."""
    tokens: int | None
    """Of the steps that stand, over all ranks; None where a step's tokens are unknown."""
    samples: int | None
    """Likewise."""
    model_flop: int | None
    hardware_flop: int | None
    model_bounds: Bounds
    hardware_bounds: Bounds
    phases: Mapping[str, int]
    """Known FLOP: ``forward``, ``backward``, ``recompute`` of the steps that stand; ``redone``."""
    span_flop: Mapping[str, int]
    """Known FLOP outside training by the span's name, e.g. ``evaluation``."""
    by_dtype: Mapping[str, int]
    """Known model FLOP by what the matrix units were fed with."""
    hardware_by_dtype: Mapping[str, int]
    """Known hardware FLOP likewise, steps that were done again included."""
    attempts: tuple[AttemptTotals, ...]
    ranks: tuple[RankTotals, ...]
    trainings: int
    """Separate trainings in this run; their figures are added up."""
    windows: tuple[tuple[int, int], ...]
    """Unix nanoseconds in which some process trained: disjoint, in order."""
    pause_seconds: float
    """Between a training's attempts, when nobody trained it."""
    devices: tuple[StepDevice, ...]
    """What the processes computed on, each device once, as far as they said so."""
    device_seconds: float
    """For how long these were held, added up over them; one that processes share counts once."""
    on_processor: int
    """Processes that did steps on the processor and on nothing else."""
    findings: tuple[RunFinding, ...]

    @property
    def duration_seconds(self) -> float:
        """Seconds in which some process trained; pauses between attempts are not in it."""
        return sum(end - start for start, end in self.windows) / 1e9


def read_totals(
    run_dir: Path | str, *beside: Path, whole: frozenset[str] = frozenset()
) -> RunTotals | None:
    """Return the totals of a run; None where it has no step ledgers.

    This is what an audit, the summary and the report stand on. Damaged ledgers count up to their
    damage, and a finding says so.

    Args:
        run_dir: The run's folder, which holds ``steps/``.
        beside: Folders of the same run, as nodes write them that share no disk.
        whole: Names of ledgers' folders whose processes run and have just written everything.

    Returns:
        Steps, tokens, samples; model and hardware FLOP, by phase and dtype, with bounds; each
        attempt, each rank, the time windows and what a reader must know.

    Raises:
        profilers.steps.record.ledger.StepsError: when the folder holds more than can be one run.

    """
    from flopledger.recording.adding import totals

    found = [read_run(folder) for folder in (Path(run_dir), *beside)]
    processes = [one for several, _ in found for one in several]
    unread = [one for _, several in found for one in several]
    return totals(processes, unread, whole) if processes or unread else None

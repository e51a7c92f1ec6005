"""What one training process wrote down about its steps, as values. No torch, no counting."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

Mode = Literal["train", "forward", "backward", "again", "optimizer"]
WENT_BACK = "went-back"
MAYBE_BACK = "perhaps-back"
MODES: tuple[Mode, ...] = ("train", "forward", "backward", "again", "optimizer")
"""``train``: forward and backward; ``forward``: no backward followed; ``backward``: a backward on
its own, of a call that an earlier step made; ``again``: a call inside a running backward, whose
forward is recomputation; ``optimizer``: products of an optimizer's own step, which are no model FLOP
(``recompute`` holds them)."""

Calls = tuple[tuple[int, int], ...]
"""Cost id and how often, for one step or span."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StepCost:
    """What one kind of call costs: the whole model's FLOP, never a shard's."""

    id: int
    model: str
    """Class name of the called module."""
    mode: Mode
    inputs: tuple[str, ...]
    """Shapes and dtypes as text, e.g. ``int64[8, 128]``."""
    forward: int | None
    """Model FLOP of the forward; None where the cost could not be found."""
    backward: int | None
    recompute: int | None
    """FLOP that are done a second time, outside model FLOP."""
    by_dtype: Mapping[str, int]
    """Model FLOP by what the matrix units were fed with."""
    recompute_by_dtype: Mapping[str, int]
    share: tuple[int, int]
    """This rank's part of the call: 1/1, or 1/n where n ranks work on the same call."""
    how: str
    """``meta``, ``fake``, ``cpu``, ``polynomial``, ``stated`` ...; ``unknown`` without a figure."""
    bounds: tuple[int, int | None] | None
    """Least and greatest hardware FLOP where the figure is not exact; the end None is open."""
    uncounted: tuple[str, ...]
    """Names of the operations that no rule covers."""
    reason: str | None
    """Why there is no figure, or why it has bounds."""

    @property
    def known(self) -> bool:
        """Whether there is a figure."""
        return self.forward is not None

    @property
    def model_flop(self) -> Fraction | None:
        """This rank's share of forward and backward (FLOP)."""
        if self.forward is None or self.backward is None:
            return None
        return Fraction(self.share[0], self.share[1]) * (self.forward + self.backward)

    @property
    def hardware_flop(self) -> Fraction | None:
        """This rank's share of everything executed for the model (FLOP)."""
        model = self.model_flop
        if model is None or self.recompute is None:
            return None
        return model + Fraction(self.share[0], self.share[1]) * self.recompute


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One optimizer step. Times are microseconds on the process's monotonic clock."""

    number: int
    end_us: int
    duration_us: int
    """From the step's first call to its end."""
    wait_us: int
    """From the end of the step before (or the start) to the step's first call."""
    optimizer: str | None
    """Names of the optimizers that stepped, joined by ``+``; None for a step that was only said."""
    tokens: int | None
    tokens_from: str | None
    """``inputs`` (seen in the model's input) or ``explicit``; None without tokens."""
    samples: int | None
    calls: Calls


@dataclass(frozen=True, kw_only=True, slots=True)
class StepBlock:
    """Consecutive steps, as columns of equal length or as runs of equal values."""

    first: int
    """Number of the first step."""
    end_us: tuple[int, ...]
    duration_us: tuple[int, ...]
    wait_us: tuple[int, ...]
    optimizer: tuple[tuple[int, str | None], ...]
    """Runs: how many steps, and their value."""
    tokens: tuple[tuple[int, int | None], ...]
    tokens_from: tuple[tuple[int, str | None], ...]
    samples: tuple[tuple[int, int | None], ...]
    calls: tuple[tuple[int, Calls], ...]

    def __len__(self) -> int:
        return len(self.end_us)

    def halves(self, length: int) -> "tuple[StepBlock, StepBlock]":
        """Split it behind so many steps."""
        runs: dict[str, Any] = {}
        rest: dict[str, Any] = {}
        for name in ("optimizer", "tokens", "tokens_from", "samples", "calls"):
            runs[name], rest[name] = _cut(getattr(self, name), length)
        for name in ("end_us", "duration_us", "wait_us"):
            runs[name], rest[name] = getattr(self, name)[:length], getattr(self, name)[length:]
        return StepBlock(first=self.first, **runs), StepBlock(first=self.first + length, **rest)

    def steps(self) -> Iterator[Step]:
        """Walk over the steps one by one."""
        runs = zip(
            unrolled(self.optimizer),
            unrolled(self.tokens),
            unrolled(self.tokens_from),
            unrolled(self.samples),
            unrolled(self.calls),
            strict=True,
        )
        for place, (optimizer, tokens, source, samples, calls) in enumerate(runs):
            yield Step(
                number=self.first + place,
                end_us=self.end_us[place],
                duration_us=self.duration_us[place],
                wait_us=self.wait_us[place],
                optimizer=optimizer,
                tokens=tokens,
                tokens_from=source,
                samples=samples,
                calls=calls,
            )


def _cut(
    runs: Iterable[tuple[int, Any]], length: int
) -> tuple[tuple[tuple[int, Any], ...], tuple[tuple[int, Any], ...]]:
    """Split a column that comes as runs."""
    before: list[tuple[int, Any]] = []
    after: list[tuple[int, Any]] = []
    for many, value in runs:
        mine = min(many, length)
        length -= mine
        before += [(mine, value)] if mine else []
        after += [(many - mine, value)] if many > mine else []
    return tuple(before), tuple(after)


def unrolled(runs: Iterable[Sequence[Any]]) -> Iterator[Any]:
    """Yield each value of a column that comes as runs: how many, and the value."""
    for length, value in runs:
        for _ in range(length):
            yield value


@dataclass(frozen=True, kw_only=True, slots=True)
class StepSpan:
    """A stretch of time with its own name: evaluation, checkpoint, data, or the user's word."""

    what: str
    start_us: int
    end_us: int
    calls: Calls
    """Calls inside it; they belong to no step."""
    source: str
    """``explicit`` (the program said so) or ``seen`` (evaluation noticed by the recorder)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StepLosses:
    """Losses that the program told, as columns of equal length. A claim: nothing is counted from it."""

    at_us: tuple[int, ...]
    """When it was told, in microseconds on the process's monotonic clock."""
    value: tuple[float | None, ...]
    """None where the program told something that is not finite."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StepNote:
    """Something that a reader of the record must know."""

    code: str
    severity: str
    """``info``, ``warning`` or ``error``."""
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class StepResume:
    """The process goes on after a step of an earlier one."""

    step: int
    """Number of the last step that is already done."""
    source: str
    """``explicit``, ``optimizer-state``, ``removed`` (the ledger before this one was), ``continued`` (it
    could not become longer), ``went-back`` (in the middle of the process), ``perhaps-back`` (there, or it
    goes on as it was), or, worked out by a reader, ``saved-state``."""
    at: int | None = None
    """Number of the first step after that, of ``perhaps-back``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StepSaved:
    """An optimizer's state was saved that does not say after which step."""

    step: int
    """Number of the last step that its process had done."""
    optimizer: str
    layout: str
    """Digest of the state's settings and sizes; one that is loaded is recognised by it."""
    values: str | None
    """Digest of some of its numbers; None where they lay on a device."""
    source: str
    """``state-dict``, or ``end``: nobody saved it, it is what a recording left behind."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StepLoaded:
    """The process goes on with an optimizer's state that does not say after which step."""

    optimizer: str
    layout: str
    values: str | None
    source: str
    """``seen``; ``own``: it is like the one that the optimizer had itself, perhaps handed back to it;
    ``stateless``: perhaps it goes on with nothing, and begins at the beginning."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StepWeights:
    """What an optimizer's parameters looked like at the beginning of a process, or when they were saved."""

    what: str
    """``begin`` or ``saved``."""
    step: int
    """Number of the last step that was done; 0 at the beginning."""
    layout: str
    """Digest of the parameters' sizes."""
    values: str | None
    """Digest of some of their numbers; None where they lay on a device."""
    loaded: str | None
    """Digest of what was loaded into the model before its first step, ``unread`` where that could not
    be read; None where nothing was."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StepDevice:
    """A device that this process computes on."""

    type: str
    """``cuda``, ``cpu`` ..."""
    name: str | None
    """What the driver calls it; None where nobody said."""
    uuid: str | None
    memory_bytes: int | None
    index: int | None = None
    """Which of the process's devices of its type; None where nobody said."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessSteps:
    """One process's ledger, read up to its first damage."""

    folder: Path
    rank: int
    local_rank: int
    world_size: int
    node: str
    boot_id: str | None
    pid: int
    monotonic_ns: int
    """Both clocks at the start (``wall_ns`` as ``profilers.steps.record.clocks`` lays it): a stamp ``t`` in
    microseconds is ``wall_ns + 1000 t - monotonic_ns`` in Unix nanoseconds."""
    wall_ns: int
    mesh: Mapping[str, int] | None
    """Size by name of the mesh's dimensions, where there is one."""
    versions: Mapping[str, str]
    resumes: tuple[StepResume, ...]
    devices: tuple[StepDevice, ...]
    costs: Mapping[int, StepCost]
    blocks: tuple[StepBlock, ...]
    spans: tuple[StepSpan, ...]
    losses: tuple[StepLosses, ...]
    notes: tuple[StepNote, ...]
    sealed: str | None
    """Why the recording ended; None after a kill."""
    problems: tuple[str, ...]
    """What is wrong with the file; everything before the first problem holds."""
    head: str
    """Digest of the last good line."""
    saved: tuple[StepSaved, ...] = ()
    loaded: tuple[StepLoaded, ...] = ()
    weights: tuple[StepWeights, ...] = ()
    pid_namespace: str | None = None
    """The kernel's name of what its process id is a number in; None where nobody said."""
    refused: str | None = None
    """Why the disk took nothing after the last line; None where it did, or nobody said."""

    def steps(self) -> Iterator[Step]:
        """Walk over all steps in the order in which they were done."""
        for block in self.blocks:
            yield from block.steps()

    def wall_at(self, time_us: int) -> int:
        """Return Unix nanoseconds of a stamp."""
        return self.wall_ns + 1000 * time_us - self.monotonic_ns

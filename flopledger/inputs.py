"""What a run is known to be: its figures, each with where it was read.

Case file and evidence both end here; the methods see only these values.
"""

from dataclasses import dataclass, replace

from flopledger import machine_names
from flopledger.cases.spec import ModelSpec, Number, NumberSpec, RunSpec
from flopledger.errors import CaseError
from flopledger.facts import Grade
from flopledger.quantity import (
    Interval,
    Quantity,
    Spread,
    at_least,
    at_most,
    between,
    exact,
    point,
    relative,
)

#: Kinds of run without a backward pass.
FORWARD_ONLY = frozenset({"synthetic-data", "evaluation"})
SEVERAL_EPOCHS = 1.2  #: below, the last epoch was cut short or the first begun anew


@dataclass(frozen=True, kw_only=True, slots=True)
class Input:
    """One figure: its value, its unit and its source."""

    name: str
    quantity: Quantity
    unit: str
    source: str  #: place of the figure, and the document that the case cites for it
    grade: Grade = Grade.STATEMENT
    #: False for sums of a recording that nothing shows to cover the run: they refute nobody
    is_whole_run: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFigures:
    """The figures of one run; ``None`` is "not known", never 0.

    ``device_seconds`` is the time of all devices together, ``mfu`` and ``hfu`` are fractions.
    """

    name: str
    kind: str
    place: str  #: where the run stands: "case.toml: run[0]"
    kind_stated: bool = False  #: whether the case names the kind; else it is the default
    model: str | None = None
    tokens: Input | None = None
    samples: Input | None = None
    tokens_per_sample: Input | None = None
    epochs: Input | None = None  #: passes over the data set; tokens and samples hold all of them
    passes: Input | None = (
        None  #: the same, as a text states it: it may tell what tokens leave open
    )
    sequence_length: int | None = None
    precision: str | None = None
    recompute: str | None = None
    #: causal, full, or blocks (evidence alone says that): thinned out by an unknown amount
    attention: str | None = None
    accelerator: str | None = None
    accelerator_place: str | None = None  #: where the evidence names it; ``None``: in the case
    device_count: Input | None = None
    device_seconds: Input | None = None
    wall_seconds: Input | None = None
    timed_seconds: Input | None = None  #: the part of the job that counts, where a log says
    mfu: Input | None = None
    hfu: Input | None = None
    device_rate: Input | None = None  #: FLOP/s a device, as stated
    device_throughput: Input | None = None  #: tokens/s a device
    energy_joules: Input | None = None
    energy_boundary: str | None = None  #: device, node, rack or facility
    pue: Input | None = None
    cost_usd: Input | None = None
    recorded_flop: Input | None = None  #: model FLOP that this tool's recorder counted
    recorded_hardware_flop: Input | None = None
    claimed_flop: Input | None = None  #: stated for this run alone
    trainable_parameters: Input | None = None
    synthetic_public: bool | None = None
    rollout_tokens: Input | None = None
    reference_model: str | None = None
    reward_model: str | None = None
    teacher_model: str | None = None
    value_model: str | None = None
    status: str | None = None  #: the log's own word

    @property
    def several_passes(self) -> tuple[float, ...]:
        """How often the data were passed over, as a document's key or a text has it, where more than once."""
        stated = [one.quantity.best for one in (self.epochs, self.passes) if one is not None]
        return tuple(sorted({one for one in stated if one is not None and one > SEVERAL_EPOCHS}))


def quantity(number: Number) -> Quantity:
    """Turn a number of the case file into a quantity."""
    if isinstance(number, NumberSpec):
        if number.at_least is not None:
            return at_least(number.at_least)
        if number.at_most is not None:
            return at_most(number.at_most)
        assert number.value is not None
        assert number.relative is not None
        return relative(number.value, number.relative)
    return between(*number) if isinstance(number, tuple) else exact(number)


def scaled(source: Input, factor: float, *, name: str, unit: str) -> Input:
    """Convert a figure to another unit."""
    interval = source.quantity.interval * point(factor)
    return Input(
        name=name,
        quantity=Quantity(interval=interval, spread=source.quantity.spread),
        unit=unit,
        source=source.source,
        grade=source.grade,
    )


def of_run(run: RunSpec, *, place: str) -> RunFigures:
    """Read the figures that the case states for one run."""

    def stated(key: str, unit: str) -> Input | None:
        number: Number | None = getattr(run, key)
        return None if number is None else _stated(key, number, unit, place, run.sources)

    hours = stated("accelerator_hours", "h")
    wall = stated("wall_clock_hours", "h")
    energy = stated("energy_mwh", "MWh")
    count = stated("accelerator_count", "devices") or _by_name(run.accelerator, place)
    tokens, rollouts = stated("tokens", "tokens"), stated("rollout_tokens", "tokens")
    if run.kind in FORWARD_ONLY and rollouts is not None:
        if tokens is not None:
            raise CaseError(
                f"{place}: tokens and rollout_tokens of a run of kind '{run.kind}' both name what its "
                "forward passes went over; they would be counted twice\n  give one of them"
            )
        tokens, rollouts = rollouts, None
    wall_seconds = scaled(wall, 3600, name="wall_seconds", unit="s") if wall else None
    return RunFigures(
        name=run.name,
        kind=run.kind or "pretraining",
        kind_stated=run.kind is not None,
        place=place,
        model=run.model,
        tokens=tokens,
        samples=stated("samples", "samples"),
        tokens_per_sample=stated("tokens_per_sample", "tokens"),
        epochs=stated("epochs", "epochs"),
        sequence_length=run.sequence_length or _whole(run.tokens_per_sample),
        precision=run.precision,
        recompute=run.recompute,
        attention=run.attention,
        accelerator=run.accelerator,
        device_count=count,
        device_seconds=_device_seconds(hours, wall_seconds, count),
        wall_seconds=wall_seconds,
        mfu=stated("mfu", "1"),
        hfu=stated("hfu", "1"),
        device_rate=stated("flop_per_second_per_accelerator", "FLOP/s"),
        device_throughput=stated("tokens_per_second_per_accelerator", "tokens/s"),
        energy_joules=scaled(energy, 3.6e9, name="energy_joules", unit="J") if energy else None,
        energy_boundary=run.energy_boundary,
        pue=stated("pue", "1"),
        cost_usd=stated("cost_usd", "USD"),
        claimed_flop=stated("claimed_flop", "FLOP"),
        trainable_parameters=stated("trainable_parameters", "parameters"),
        synthetic_public=run.synthetic_public,
        rollout_tokens=rollouts,
        reference_model=run.reference_model,
        reward_model=run.reward_model,
        teacher_model=run.teacher_model,
        value_model=run.value_model,
    )


def _whole(number: Number | None) -> int | None:
    """Take the tokens of a sample for the sequence length, where they are one whole number."""
    return (
        int(number) if isinstance(number, float) and number >= 1 and number.is_integer() else None
    )


def parameters(model: ModelSpec, key: str, *, place: str) -> Input | None:
    """Read ``parameters`` or ``active_parameters`` of a model."""
    number: Number | None = getattr(model, key)
    return None if number is None else _stated(key, number, "parameters", place, model.sources)


def product(name: str, unit: str, left: Input, right: Input) -> Input:
    """Multiply two figures; the result keeps both sources and the wider kind of spread."""
    interval = left.quantity.interval * right.quantity.interval
    return Input(
        name=name,
        quantity=Quantity(interval=interval, spread=_joint_spread(left, right, interval)),
        unit=unit,
        source=f"{left.source} x {right.source}",
        grade=left.grade,
        is_whole_run=left.is_whole_run and right.is_whole_run,
    )


#: Kinds of run whose sequences are filled to their length; others pad or cut samples of any length.
_FILLED = frozenset({"pretraining", "continued", "parent"})


def with_tokens(run: RunFigures) -> RunFigures:
    """Multiply samples by the length that the case states, where no tokens are given.

    For models of which the parameters alone are known: a cost by dimensions is of a sample.
    """
    each = run.tokens_per_sample
    if each is None and run.sequence_length is not None:
        length = exact if run.kind in _FILLED else at_most
        each = Input(
            name="tokens_per_sample",
            quantity=length(run.sequence_length),
            unit="tokens",
            source=f"{run.place}.sequence_length",
        )
    if run.tokens is not None or run.samples is None or each is None:
        return run
    return replace(run, tokens=product("tokens", "tokens", run.samples, each))


def at_most_where_padded(run: RunFigures, samples: Input) -> Input:
    """Give samples as full ones where they are filled; else their tokens are at most so many."""
    high = samples.quantity.interval.high
    if run.kind in _FILLED or high is None:
        return samples
    return replace(samples, quantity=at_most(high))


def _joint_spread(left: Input, right: Input, interval: Interval) -> Spread:
    spreads = {left.quantity.spread, right.quantity.spread}
    if interval.best is None:
        return Spread.BOUND
    if spreads == {Spread.EXACT}:
        return Spread.EXACT
    return Spread.UNIFORM if Spread.UNIFORM in spreads else Spread.LOGNORMAL


def _stated(key: str, number: Number, unit: str, place: str, sources: dict[str, str]) -> Input:
    cited = f" ({sources[key]})" if key in sources else ""
    return Input(name=key, quantity=quantity(number), unit=unit, source=f"{place}.{key}{cited}")


def _by_name(accelerator: str | None, place: str) -> Input | None:
    """Count the devices that the accelerator's name speaks of: "8x H100", or the chips of a TPU slice."""
    count = machine_names.count_in(accelerator) if accelerator is not None else None
    if not count:
        return None
    return Input(
        name="accelerator_count",
        quantity=exact(float(count)),
        unit="devices",
        source=f"{place}.accelerator: devices of {accelerator!r}",
        grade=Grade.STATEMENT,
    )


def _device_seconds(hours: Input | None, wall: Input | None, count: Input | None) -> Input | None:
    if hours is not None:
        return scaled(hours, 3600, name="device_seconds", unit="s")
    if wall is not None and count is not None:
        return product("device_seconds", "s", wall, count)
    return None

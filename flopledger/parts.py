"""The accelerator of a run, as the hardware database knows it.

A name may leave several parts open ("H100": SXM, PCIe or NVL). Then nothing is chosen: every figure
becomes the range over the candidates, and a finding says which reading would settle it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import hardware_db
from flopledger.errors import CaseError
from flopledger.facts import Finding, Grade
from flopledger.inputs import Input
from flopledger.quantity import Interval, between
from flopledger.text import number

#: Precisions of matrix engines, widest first; a run with unknown precision used one of these.
TRAINING_PRECISIONS = ("fp32", "tf32", "bf16", "fp16", "fp8", "fp4")
#: No part has been measured this far above its rated peak; used where no maximum clock is known.
MARGIN_OVER_RATED = 1.2


@dataclass(frozen=True, kw_only=True, slots=True)
class Ceiling:
    """A rate that no device of this part can exceed, FLOP/s, and why."""

    value: float
    basis: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One accelerator by name, with every part that the name leaves open."""

    spelled: str
    candidates: tuple[hardware_db.Accelerator, ...]

    @property
    def id(self) -> str | None:
        """The part's id, ``None`` while several are open."""
        return self.candidates[0].id if len(self.candidates) == 1 else None

    @property
    def architecture(self) -> str | None:
        """The architecture key, ``None`` if the candidates differ in it."""
        keys = {candidate.architecture for candidate in self.candidates}
        return keys.pop() if len(keys) == 1 else None

    @property
    def computes_alike(self) -> bool:
        """Whether the open question (a memory size, say) leaves every dense peak the same."""
        rates = {
            tuple(_peak(candidate, name) for name in TRAINING_PRECISIONS)
            for candidate in self.candidates
        }
        return len(rates) == 1

    def peak(self, precision: str | None) -> Interval | None:
        """Dense rated peak, FLOP/s a device; a range where part, precision or unit is open."""
        ends = [
            figure / devices
            for name in self._considered(precision)
            for candidate in self.candidates
            if (figure := _peak(candidate, name)) is not None
            for devices in (1, candidate.devices_per_package)
        ]
        if not ends:
            return None
        best = ends[0] if min(ends) == max(ends) else None
        return Interval(low=min(ends), best=best, high=max(ends))

    def ceiling(self, precision: str | None) -> Ceiling | None:
        """The rate at maximum clock in the fastest precision that is not excluded."""
        names = self._considered(precision)
        found = [
            rate
            for name in names
            for candidate in self.candidates
            if (rate := _ceiling(candidate, name)) is not None
        ]
        return max(found, key=lambda ceiling: ceiling.value, default=None)

    @property
    def max_clock_hz(self) -> float | None:
        """The highest clock that any candidate can be set to; ``None`` if one is not on record."""
        clocks = [candidate.max_clock for candidate in self.candidates]
        known = [clock.mhz * 1e6 for clock in clocks if clock is not None]
        return max(known) if known and len(known) == len(clocks) else None

    def flop_per_cycle(
        self, precision: str | None, *, engine: str | None = None
    ) -> tuple[float, float] | None:
        """FLOP of a whole device in one clock cycle, lowest and highest of what is open.

        ``None`` if a candidate's rate is not public or capped: no clock then gives its FLOP.
        """
        found = []
        for candidate in self.candidates:
            rates = [
                rate
                for name in self._considered(precision)
                if (rate := _flop_per_cycle(candidate, name, engine)) is not None
            ]
            if not rates:
                return None
            found += rates
        return min(found), max(found)

    def precisions(self) -> tuple[str, ...]:
        """The precisions of the matrix engines that every candidate has a dense peak for."""
        return tuple(
            name
            for name in self._trained_in()
            if name != "fp32"
            and all(_peak(candidate, name) is not None for candidate in self.candidates)
        )

    def other_rates(self, precision: str) -> list[tuple[str, float]]:
        """List the rates of the part that get taken for its dense peak at ``precision``, by name."""
        chip = self.candidates[0]
        right = _peak(chip, precision)
        found = [
            (
                f"sparse {precision} peak",
                _or_none(lambda: chip.peak_flop_per_second(precision, sparse=True)),
            )
        ]
        others = (*self.precisions(), "fp32")
        found += [(f"{name} peak", _peak(chip, name)) for name in others if name != precision]
        found += [
            (
                f"{name} peak of the vector units",
                _or_none(lambda name=name: chip.peak_flop_per_second(name, engine="vector")),  # type: ignore[misc]
            )
            for name in ("fp16", "fp32")
        ]
        if right is not None and chip.devices_per_package > 1:
            each = right / chip.devices_per_package
            found.append((f"{precision} peak of one {chip.device_kind} of the part", each))
        rates = {name: rate for name, rate in found if rate is not None and rate != right}
        return list(rates.items())

    def as_input(self, precision: str | None) -> Input:
        """The peak as a figure with its source, for the table of inputs."""
        peak = self.peak(precision)
        assert peak is not None
        assert peak.low is not None
        assert peak.high is not None
        return Input(
            name=f"dense peak, {precision or 'precision open'}",
            quantity=between(peak.low, peak.high),
            unit="FLOP/s per device",
            source=f"hardware_db: {', '.join(candidate.id for candidate in self.candidates)}",
            grade=Grade.STATEMENT,
        )

    def describe_peak(self, precision: str | None) -> str:
        """Say which peak was used."""
        peak = self.peak(precision)
        assert peak is not None
        rate = (
            f"{number(peak.low, 4)}"
            if peak.best
            else f"{number(peak.low, 4)} to {number(peak.high, 4)}"
        )
        names = ", ".join(candidate.name for candidate in self.candidates)
        return f"rated dense peak {rate} FLOP/s ({precision or 'precision not given'}; {names})"

    def _considered(self, precision: str | None) -> tuple[str, ...]:
        """The precision in use, or all 16-bit and narrower ones where none is stated."""
        if precision is not None:
            return (precision,)
        return tuple(name for name in self._trained_in() if name not in {"fp32", "tf32"})

    def _trained_in(self) -> tuple[str, ...]:
        """The precisions that runs train in; INT8 on TPUs alone (MaxText's quantised training)."""
        is_tpu = all(candidate.vendor == "Google" for candidate in self.candidates)
        return (*TRAINING_PRECISIONS, "int8") if is_tpu else TRAINING_PRECISIONS


def resolve(name: str, *, place: str) -> tuple[Part, list[Finding]]:
    """Look ``name`` up. Unknown is a ``CaseError``; ambiguous is a part with all candidates."""
    try:
        part = Part(spelled=name, candidates=(hardware_db.identify(name),))
    except hardware_db.AmbiguousAccelerator as error:
        part = Part(spelled=name, candidates=tuple(error.candidates))
        finding = Finding(
            code="ambiguous-accelerator",
            severity="info" if part.computes_alike else "warning",
            message=str(error),
            evidence=(place,),
        )
        return part, [finding, *_unit_findings(part, place)]
    except hardware_db.UnknownAccelerator as error:
        raise CaseError(f"{place}.accelerator: {_as_instance(name) or error}") from None
    return part, _unit_findings(part, place)


def _as_instance(name: str) -> str | None:
    """Say which part a cloud instance holds, where its name stands for the part's."""
    try:
        found = hardware_db.instance(name)
    except hardware_db.HardwareError:
        return None
    return (
        f"{name!r} is a cloud instance with {found.count} x {found.accelerator.name}: name that part, and "
        "count parts and their hours, not instances"
    )


def resolve_from_evidence(name: str, *, place: str) -> tuple[Part | None, list[Finding]]:
    """Look up a name that a log gives: there, unknown is a finding and not bad input."""
    try:
        return resolve(name, place=place)
    except CaseError as error:
        finding = Finding(
            code="unknown-accelerator", severity="warning", message=str(error), evidence=(place,)
        )
        return None, [finding]


def same_part(one: str, two: str) -> bool | None:
    """Say whether two names can mean the same part; ``None`` if either is unknown."""
    sets = []
    for name in (one, two):
        part, _ = resolve_from_evidence(name, place="")
        if part is None:
            return None
        sets.append({candidate.id for candidate in part.candidates})
    return bool(sets[0] & sets[1])


def _unit_findings(part: Part, place: str) -> list[Finding]:
    """Say so where "one accelerator" may be a die or a package."""
    several = [candidate for candidate in part.candidates if candidate.devices_per_package > 1]
    if not several:
        return []
    chip = several[0]
    message = (
        f"{chip.name} is {chip.devices_per_package} devices ({chip.device_kind}), and hours may be "
        "counted in either: the peak runs from one device to the whole part until it is said which"
    )
    return [Finding(code="unit-ambiguity", severity="warning", message=message, evidence=(place,))]


def _peak(accelerator: hardware_db.Accelerator, precision: str) -> float | None:
    return _or_none(lambda: accelerator.peak_flop_per_second(precision))


def _ceiling(accelerator: hardware_db.Accelerator, precision: str) -> Ceiling | None:
    maximum = _or_none(lambda: accelerator.ceiling_flop_per_second(precision))
    if maximum is not None:
        return Ceiling(value=maximum, basis=f"{accelerator.name} {precision} at its maximum clock")
    # Whichever engine and accumulation the run used: a bound takes the highest.
    rated = [f.flop_per_second for f in accelerator.peaks if f.dtype == precision and not f.sparse]
    if not rated:
        return None
    basis = f"{accelerator.name} {precision} rated peak + 20% (its maximum clock is not on record)"
    return Ceiling(value=max(rated) * MARGIN_OVER_RATED, basis=basis)


def _flop_per_cycle(
    accelerator: hardware_db.Accelerator, precision: str, engine: str | None
) -> float | None:
    megahertz = _or_none(lambda: accelerator.peak_at(precision, clock_mhz=1.0, engine=engine))
    return None if megahertz is None else megahertz / 1e6


def _or_none(ask: Callable[[], float]) -> float | None:
    try:
        return ask()
    except hardware_db.HardwareError:
        return None

"""Set the routes of one run side by side: do they agree, and what would their difference mean?"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flopledger import scope
from flopledger import verdict as bands
from flopledger.checks import throughput
from flopledger.checks.cost import circular_figures, price_check
from flopledger.checks.of_a_pair import pair_check
from flopledger.checks.of_a_run import (
    Check,
    architecture_route,
    as_question,
    assumed_scope,
    band_check,
    missing_figures,
    plausible_precisions,
    unused_energy,
    utilisation_check,
)
from flopledger.checks.power import credible, power_check
from flopledger.checks.statements import counter_check, document_check, statement_check
from flopledger.combine import Combined, Pair, combine, pairs, speakers
from flopledger.estimate import ComputeEstimate, Draws
from flopledger.facts import Fact, Finding
from flopledger.inputs import RunFigures
from flopledger.methods import device_time, work
from flopledger.methods.passes import Pass
from flopledger.parts import Part
from flopledger.quantity import Interval
from flopledger.verdict import Verdict

if TYPE_CHECKING:
    from flopledger.profiling.telemetry_view import TelemetryView


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RunAudit:
    """Everything that is known and concluded about one run."""

    figures: RunFigures
    part: Part | None
    estimates: tuple[ComputeEstimate, ...]
    pairs: tuple[Pair, ...]
    combined: Combined | None
    #: the same without routes that rest on priors: what the run's own documents come to
    documented: Combined | None
    utilisation: dict[str, Interval]  #: implied, by precision: model FLOP / (seconds x dense peak)
    precision_supported: tuple[str, ...]  #: precisions at which it is plausible
    findings: tuple[Finding, ...]
    verdict: Verdict  #: of the routes against one another and the devices
    counter_verdict: Verdict  #: of the total that the run's own software states, if it states one
    #: forward passes inside the timed window, not in any total; "at most" of padded ones
    evaluation_flop: Interval | None = None
    #: total by convention that an honest claim may have used: name -> FLOP
    conventions: dict[str, float] = field(default_factory=dict)
    #: passes beside training (rollouts, rewards, ...), all of them in ``combined``
    passes: tuple[Pass, ...] = ()
    facts: tuple[Fact, ...] = ()  #: everything that its evidence says, conflicts included
    evidence_digests: dict[str, str] = field(default_factory=dict)  #: SHA-256 by file name
    #: digests of rows of losses that a log prints, by file name
    evidence_losses: dict[str, frozenset[bytes]] = field(default_factory=dict)
    telemetry: "TelemetryView | None" = None  #: its recordings, thinned for display

    @property
    def model_flop(self) -> Interval:
        """The combined figure, else what bounds leave; all ends ``None`` where nothing is known."""
        if self.combined is not None:
            return self.combined.flop
        firm = [one for one in self.estimates if one.draws is not None and not one.from_prior]
        if any(one.basis == "model" for one in firm):
            return Interval(low=None, best=None, high=None)  # contradicted, so not known at all
        bounds = [one.flop for one in self.estimates if one.is_firm_bound]
        low = max((bound.low for bound in bounds if bound.low is not None), default=None)
        high = min((bound.high for bound in bounds if bound.high is not None), default=None)
        if low is not None and high is not None and low > high:
            return Interval(low=None, best=None, high=None)
        return Interval(low=low, best=None, high=high)

    @property
    def may_be_of_a_sample(self) -> bool:
        """Whether its figure rests on recordings alone that nothing shows to cover the run."""
        routes = speakers(list(self.estimates))
        return bool(routes) and not any(route.is_whole_run for route in routes)

    def share(self, ledger: str) -> float:
        """Share of this run's compute that ``ledger`` holds: all of it, or less some passes."""
        if not self.passes or self.combined is None:
            return 1.0
        route = architecture_route(list(self.estimates))
        everything = route.flop.best if route is not None else None
        if everything is None:
            return 1.0
        left_out = sum(
            one.flop.best or 0.0 for one in self.passes if not scope.counts_pass(one.name, ledger)
        )
        return 1.0 - left_out / everything

    def least(self, ledger: str) -> float | None:
        """The least that ``ledger`` holds of a run without a figure; ``None`` where nothing is known.

        A lower end of the work holds all passes beside training; those that the ledger leaves out are
        taken off. Where the work itself is unknown, the passes that it counts are left.
        """
        ends = [(scope.counts_pass(one.name, ledger), one.flop) for one in self.passes]
        kept = sum(flop.low or 0.0 for counted, flop in ends if counted)
        left_out = sum(flop.low or 0.0 for counted, flop in ends if not counted)
        return max((self.model_flop.low or 0.0) - left_out, kept) or None

    @property
    def hardware_flop(self) -> Interval | None:
        """Model FLOP plus recomputation; ``None`` where it is not known whether there was any."""
        if self.figures.recorded_hardware_flop is not None:
            return self.figures.recorded_hardware_flop.quantity.interval
        if self.combined is None or self.figures.recompute is None:
            return None
        factor = device_time.recompute_factor(self.figures.recompute)
        return self.combined.flop * factor.interval

    @property
    def hfu(self) -> dict[str, Interval] | None:
        """As ``utilisation``, with recomputation; ``None`` where that is not known."""
        figures, recorded = self.figures, self.figures.recorded_hardware_flop
        if recorded is None and figures.recompute is not None:
            factor = device_time.recompute_factor(figures.recompute).interval
            return {name: value * factor for name, value in self.utilisation.items()}
        if recorded is None or self.part is None or figures.device_seconds is None:
            return None
        rate = recorded.quantity.interval / figures.device_seconds.quantity.interval
        peaks = {name: self.part.peak(name) for name in self.utilisation}
        return {name: rate / peak for name, peak in peaks.items() if peak is not None}


def reconcile(
    run: RunFigures,
    part: Part | None,
    estimates: list[ComputeEstimate],
    draws: Draws,
    *,
    findings: list[Finding],
    conventions: dict[str, float],
    passes: tuple[Pass, ...] = (),
    beside: tuple[Check, ...] = (),
) -> RunAudit:
    """Compare the estimates of one run and combine them; ``beside`` are tests made elsewhere."""
    compared = pairs(estimates)
    utilisation = implied_utilisation(run, part, estimates)
    kept = credible(run, part, estimates)
    combined = combine(kept, run.name, draws)
    documented = combine([one for one in kept if not one.from_prior], run.name, draws)
    counter = counter_check(run, part, combined, conventions)
    checks = [
        *_checks_by_time(run, part, estimates, utilisation, conventions),
        *beside,
        throughput.pace_check(run, part, estimates),
        price_check(run),
        statement_check(run, part),
        document_check(findings),
        # Time and energy share the utilisation; what sets them apart is power, tested above.
        *(
            throughput.without_circle(run, _pair_check(run, pair))
            for pair in compared
            if not _both_by_device(pair)
        ),
    ]
    found = [
        *findings,
        *circular_figures(run, part),
        *missing_figures(run, estimates),
        *unused_energy(run, part, estimates),
        *assumed_scope(run, passes),
        *counter.findings,
    ]
    for check in checks:
        found += check.findings
    return RunAudit(
        figures=run,
        part=part,
        estimates=tuple(estimates),
        pairs=tuple(compared),
        combined=combined,
        documented=documented or combined,
        utilisation=utilisation,
        precision_supported=plausible_precisions(utilisation),
        findings=tuple(found),
        verdict=bands.worst([check.verdict for check in checks]),
        counter_verdict=counter.verdict,
        conventions=conventions,
        passes=passes,
    )


def _checks_by_time(
    run: RunFigures,
    part: Part | None,
    estimates: list[ComputeEstimate],
    utilisation: dict[str, Interval],
    conventions: dict[str, float],
) -> list[Check]:
    """Hold the work against the time that it took; of a part of a run they only ask."""
    found = [
        utilisation_check(run, part, estimates, utilisation),
        band_check(run, part, utilisation, experts=work.ALL_EXPERTS in conventions),
        throughput.check(run),
        power_check(run, part, estimates),
    ]
    found = [throughput.without_circle(run, check) for check in found]
    if run.device_seconds is not None and not run.device_seconds.is_whole_run:
        return [as_question(check) for check in found]
    return found


def _pair_check(run: RunFigures, pair: Pair) -> Check:
    check = pair_check(run, pair)
    return check if pair.first.is_whole_run and pair.second.is_whole_run else as_question(check)


def _both_by_device(pair: Pair) -> bool:
    return {pair.first.method, pair.second.method} == {"device-time", "energy"}


def implied_utilisation(
    run: RunFigures, part: Part | None, estimates: list[ComputeEstimate]
) -> dict[str, Interval]:
    """Divide the work by what the devices could have done, for each precision of the part."""
    route = architecture_route(estimates)
    if route is None or part is None or run.device_seconds is None:
        return {}
    found = {}
    stated = (run.precision,) if run.precision is not None else ()
    for precision in dict.fromkeys((*part.precisions(), *stated)):
        peak = part.peak(precision)
        if peak is None:
            continue
        implied = route.flop / run.device_seconds.quantity.interval / peak
        # Of a sample's time: "at most nine thousand times the peak" says nothing.
        is_of_sample = run.device_seconds.quantity.interval.high is None
        if not is_of_sample or (implied.high is not None and implied.high <= 1):
            found[precision] = implied
    return found

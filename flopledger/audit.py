"""The whole: a case in, a report value out. Pure but for reading the case's own files."""

import math
from dataclasses import dataclass
from pathlib import Path

import hardware_db
from flopledger import (
    evidence,
    implied_peak,
    inputs,
    ledgers,
    parts,
    planning,
    regimes,
    sensitivity,
)
from flopledger import verdict as bands
from flopledger.case import AuditCase
from flopledger.claim import Claim, judge, stated
from flopledger.combine import Combined
from flopledger.estimate import ComputeEstimate, Draws
from flopledger.evidence import Completed
from flopledger.facts import Fact, Finding
from flopledger.inputs import RunFigures
from flopledger.ledgers import ONE_THIRD, Original, Standing
from flopledger.logs import RunFacts
from flopledger.methods import counted, device_time, models, tensor_activity, work
from flopledger.methods.models import Costed, Model
from flopledger.parts import Part
from flopledger.planning import Crossing
from flopledger.reconcile import RunAudit, reconcile
from flopledger.regimes import Regime
from flopledger.sensitivity import Share
from flopledger.text import interval, number, round_number
from flopledger.verdict import Verdict

DEFAULT_SEED = 20240801


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class AuditReport:
    """What an audit concluded, with everything that a reader needs to retrace it."""

    case: AuditCase
    verdict: Verdict
    claim: Claim | None
    claim_ratio: float | None  #: claim over estimate
    runs: tuple[RunAudit, ...]
    combined: Combined | None
    standings: tuple[Standing, ...]
    facts: tuple[Fact, ...]
    findings: tuple[Finding, ...]
    sensitivity: tuple[Share, ...]
    would_change: tuple[str, ...]
    crossings: tuple[Crossing, ...]
    seed: int
    data_digests: dict[str, str]

    @property
    def estimates(self) -> list[ComputeEstimate]:
        """Every estimate of every run."""
        return [one for run in self.runs for one in run.estimates]

    def save(self, path: str | Path) -> None:
        """Write the report as ``.html`` or ``.json``, by the path's suffix; whole or not at all."""
        from flopledger.reports import save

        save(self, Path(path))


def audit(
    case: AuditCase,
    *,
    seed: int = DEFAULT_SEED,
    regime_ids: tuple[str, ...] = (),
    trace: bool = True,
) -> AuditReport:
    """Audit ``case``.

    ``seed`` fixes every Monte Carlo draw; ``regime_ids`` limits the regimes that are reported;
    ``trace=False`` leaves out the traced count (and with it torch).
    Raises ``FlopledgerError`` (or a pillar's error) for input that cannot be used.
    """
    chosen = _regimes(regime_ids)
    draws = Draws(seed)
    loaded = _models(case)
    runs = [
        _audit_run(case, index, loaded, draws, trace=trace) for index in range(len(case.spec.run))
    ]
    original = _original(case)
    total = ledgers.total(runs, draws, "parameter_update")
    claim = stated(case)
    tests = [run.verdict for run in runs]
    findings = [finding for run in runs for finding in run.findings]
    ratio = None
    if claim is not None:
        judgement = judge(claim, runs, total)
        ratio = judgement.ratio
        findings += judgement.findings
        # The claim's own test must have been possible: routes that agree say nothing about it.
        tests = [judgement.verdict, *tests] if _decided(judgement.verdict, tests) else []
    else:
        # Without a claim in the case, what the run's own software states is the claim.
        tests += [run.counter_verdict for run in runs]
    placed = [
        ledgers.standing(regime, runs, draws, original=original, claim=claim) for regime in chosen
    ]
    standings = tuple(one for one in placed if one is not None)
    findings += _straddling(standings) + _modifier(standings)
    crossings = planning.crossings(standings, runs, original)
    verdict = bands.worst(tests) if claim is not None or total is not None else _bare(tests)
    return AuditReport(
        case=case,
        verdict=verdict,
        claim=claim,
        claim_ratio=ratio,
        runs=tuple(runs),
        combined=total,
        standings=standings,
        facts=tuple(fact for run in runs for fact in run.facts),
        findings=tuple(findings),
        sensitivity=sensitivity.shares(runs, total),
        would_change=(
            *sensitivity.would_change(verdict, runs, claim, total),
            *planning.sentences(crossings),
        ),
        crossings=crossings,
        seed=seed,
        data_digests=_digests(),
    )


def _decided(verdict: Verdict, tests: list[Verdict]) -> bool:
    return verdict is not Verdict.UNDETERMINED or Verdict.INCONSISTENT in tests


def _bare(tests: list[Verdict]) -> Verdict:
    """Without claim or figure only a contradiction can be stated."""
    return Verdict.INCONSISTENT if Verdict.INCONSISTENT in tests else Verdict.UNDETERMINED


def _models(case: AuditCase) -> dict[str, Model]:
    loaded = {}
    for key, spec in case.spec.model.items():
        place = f"{case.name}: model.{key}"
        config = None if spec.config is None else case.file(spec.config, key=f"model.{key}.config")
        loaded[key] = models.load(key, spec, config, place=place)
    return loaded


def _audit_run(
    case: AuditCase, index: int, loaded: dict[str, Model], draws: Draws, *, trace: bool
) -> RunAudit:
    stated = inputs.of_run(case.spec.run[index], place=f"{case.name}: run[{index}]")
    known = evidence.complete(case, index, stated)
    run = known.figures
    findings = list(known.findings)
    part = _part(run, findings)
    findings += implied_peak.check(run, known.found, part)
    estimates: list[ComputeEstimate] = []
    conventions: dict[str, float] = {}
    costs = _costs(case, index, known, loaded, findings, trace=trace)
    for method, model, costed in costs:
        one = work.estimate(
            method,
            run,
            costed.cost,
            draws,
            inputs=(*costed.inputs, *_parameters(model)),
            assumptions=costed.assumptions,
        )
        if one is not None:
            estimates.append(one)
            conventions |= work.conventions(method, run, costed)
    amount_known = any(not one.bound_only for one in estimates)
    estimates += tensor_activity.estimate(run, known.telemetry, part)
    by_time = device_time.estimate(run, part, draws, amount_known=amount_known)
    if by_time is not None:
        estimates.append(by_time)
    return reconcile(
        run,
        part,
        estimates,
        draws,
        findings=findings,
        conventions=conventions,
        facts=known.facts,
        evidence_digests=known.digests,
        evaluation_flop=_evaluation(known.found, costs),
    )


def _part(run: RunFigures, findings: list[Finding]) -> Part | None:
    """Look the accelerator up; a name in the case must be known, one in a log may not be."""
    if run.accelerator is None:
        return None
    if run.accelerator_place is None:
        part, found = parts.resolve(run.accelerator, place=run.place)
        findings += found
        return part
    read_out, found = parts.resolve_from_evidence(run.accelerator, place=run.accelerator_place)
    findings += found
    return read_out


_Costs = list[tuple[work.ArchitectureMethod, Model | None, Costed]]


def _costs(
    case: AuditCase,
    index: int,
    known: Completed,
    loaded: dict[str, Model],
    findings: list[Finding],
    *,
    trace: bool,
) -> _Costs:
    """Cost the run's model by every route that case and evidence allow."""
    run = known.figures
    model = loaded[run.model] if run.model is not None else _model_of(case, index, known)
    costs: _Costs = []
    if model is not None:
        if trace and model.config is not None:
            traced = counted.cost(model, run.sequence_length)
            findings += traced.findings
            if traced.costed is not None:
                costs.append(("counted", model, traced.costed))
        formula = models.closed_form_cost(model, run.sequence_length)
        if formula is not None:
            costs.append(("closed-form", model, formula))
            findings += models.compare_parameters(model, formula)
    if not costs:
        fixed = models.per_sample(known.found)
        if fixed is not None:
            costs.append(("closed-form", None, fixed))
    return costs


def _model_of(case: AuditCase, index: int, known: Completed) -> Model | None:
    """Take the model from the run's evidence, where the case names none."""
    name = known.found.config_file
    paths = dict(case.evidence(index))
    config = paths.get(name) if name is not None else None
    return models.of_evidence(known.found, config)


def _evaluation(found: RunFacts, costs: _Costs) -> float | None:
    """Cost the forward passes of the evaluations that a log reports; no ledger counts them."""
    if not costs:
        return None
    cost = costs[0][2].cost
    if found.evaluation_tokens is not None and cost.tokens_per_sample:
        return found.evaluation_tokens.number / cost.tokens_per_sample * cost.forward
    if found.evaluation_samples is not None:
        return found.evaluation_samples.number * cost.forward
    return None


def _parameters(model: Model | None) -> tuple[inputs.Input, ...]:
    if model is None:
        return ()
    return tuple(one for one in (model.total, model.active) if one is not None)


def _regimes(identifiers: tuple[str, ...]) -> tuple[Regime, ...]:
    if not identifiers:
        return regimes.default_regimes()
    return tuple(regimes.by_id(identifier) for identifier in identifiers)


def _original(case: AuditCase) -> Original | None:
    base = case.spec.base_model
    if base is None:
        return None
    flop = None if base.flop is None else inputs.quantity(base.flop)
    return Original(flop=flop, systemic_risk=base.systemic_risk)


def _modifier(standings: tuple[Standing, ...]) -> list[Finding]:
    """Say so when a modification is likely large enough to make its author a provider."""
    return [
        Finding(
            code="modifier-becomes-provider",
            severity="warning",
            message=f"the modification's {interval(one.flop)} FLOP exceed a third of the original's "
            f"({number(one.threshold_flop)}) with probability {one.probability_exceeded:.0%}",
        )
        for one in standings
        if one.regime.rule == ONE_THIRD
        and one.probability_exceeded is not None
        and one.probability_exceeded > 0.5
    ]


def _straddling(standings: tuple[Standing, ...]) -> list[Finding]:
    """Name each threshold that the 90 % interval does not clear."""
    return [
        Finding(
            code="straddles-threshold",
            severity="info",
            message=f"{one.regime.id}: {interval(one.flop)} FLOP lies on both sides of "
            f"{round_number(one.threshold_flop)} (P(exceeded) = {one.probability_exceeded:.0%})",
        )
        for one in standings
        if one.probability_exceeded is not None
        and one.flop.low is not None
        and one.flop.high is not None
        and one.flop.low <= one.threshold_flop < one.flop.high
        and not math.isclose(one.flop.low, one.flop.high)
    ]


def _digests() -> dict[str, str]:
    from flopledger import digests

    return {"hardware_db": hardware_db.database_digest(), **digests.of_own_tables()}

"""The whole: a case in, a report value out. Pure but for reading the case's own files."""

import math
from dataclasses import dataclass
from pathlib import Path

import hardware_db
from flopledger import inputs, ledgers, parts, regimes, sensitivity
from flopledger import verdict as bands
from flopledger.case import AuditCase
from flopledger.claim import Claim, judge, stated
from flopledger.combine import Combined
from flopledger.estimate import ComputeEstimate, Draws
from flopledger.facts import Fact, Finding
from flopledger.inputs import RunFigures
from flopledger.ledgers import Standing
from flopledger.methods import counted, device_time, models, work
from flopledger.methods.models import Costed, Model
from flopledger.quantity import Quantity
from flopledger.reconcile import RunAudit, reconcile
from flopledger.regimes import Regime
from flopledger.sensitivity import Share
from flopledger.text import interval, number
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
    base = _base(case)
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
    standings = tuple(
        ledgers.standing(regime, runs, draws, base=base, claim=claim) for regime in chosen
    )
    findings += _straddling(standings)
    verdict = bands.worst(tests) if claim is not None or total is not None else _bare(tests)
    return AuditReport(
        case=case,
        verdict=verdict,
        claim=claim,
        claim_ratio=ratio,
        runs=tuple(runs),
        combined=total,
        standings=standings,
        facts=(),
        findings=tuple(findings),
        sensitivity=sensitivity.shares(runs, total),
        would_change=sensitivity.would_change(verdict, runs, claim, total),
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
    run = inputs.of_run(case.spec.run[index], place=f"{case.name}: run[{index}]")
    findings: list[Finding] = _unread(case, index)
    part = None
    if run.accelerator is not None:
        part, found = parts.resolve(run.accelerator, place=run.place)
        findings += found
    costs = _costs(run, loaded, findings, trace=trace)
    estimates: list[ComputeEstimate] = []
    conventions: dict[str, float] = {}
    for method, model, costed in costs:
        known = (*costed.inputs, *_parameters(model))
        one = work.estimate(
            method, run, costed.cost, draws, inputs=known, assumptions=costed.assumptions
        )
        if one is not None:
            estimates.append(one)
            conventions |= work.conventions(method, run, costed)
    amount_known = any(not one.bound_only for one in estimates)
    by_time = device_time.estimate(run, part, draws, amount_known=amount_known)
    if by_time is not None:
        estimates.append(by_time)
    return reconcile(run, part, estimates, draws, findings=findings, conventions=conventions)


def _costs(
    run: RunFigures, loaded: dict[str, Model], findings: list[Finding], *, trace: bool
) -> list[tuple[work.ArchitectureMethod, Model, Costed]]:
    """Cost the run's model by every route that the case allows."""
    if run.model is None:
        return []
    model = loaded[run.model]
    costs: list[tuple[work.ArchitectureMethod, Model, Costed]] = []
    if trace and model.config is not None:
        traced = counted.cost(model, run.sequence_length)
        findings += traced.findings
        if traced.costed is not None:
            costs.append(("counted", model, traced.costed))
    formula = models.closed_form_cost(model, run.sequence_length)
    if formula is not None:
        costs.append(("closed-form", model, formula))
        findings += models.compare_parameters(model, formula)
    return costs


def _parameters(model: Model) -> tuple[inputs.Input, ...]:
    return tuple(one for one in (model.total, model.active) if one is not None)


def _unread(case: AuditCase, index: int) -> list[Finding]:
    return [
        Finding(
            code="evidence-unread",
            severity="warning",
            message=f"{name}: no reader for this file yet; it did not enter the audit",
            evidence=(name,),
        )
        for name, _ in case.evidence(index)
    ]


def _regimes(identifiers: tuple[str, ...]) -> tuple[Regime, ...]:
    if not identifiers:
        return regimes.default_regimes()
    return tuple(regimes.by_id(identifier) for identifier in identifiers)


def _base(case: AuditCase) -> Quantity | None:
    base = case.spec.base_model
    return None if base is None or base.flop is None else inputs.quantity(base.flop)


def _straddling(standings: tuple[Standing, ...]) -> list[Finding]:
    """Name each threshold that the 90 % interval does not clear."""
    return [
        Finding(
            code="straddles-threshold",
            severity="info",
            message=f"{one.regime.id}: {interval(one.flop)} FLOP lies on both sides of "
            f"{number(one.regime.threshold_flop, 1)} (P(exceeded) = {one.probability_exceeded:.0%})",
        )
        for one in standings
        if one.probability_exceeded is not None
        and one.flop.low is not None
        and one.flop.high is not None
        and one.flop.low <= one.regime.threshold_flop < one.flop.high
        and not math.isclose(one.flop.low, one.flop.high)
    ]


def _digests() -> dict[str, str]:
    from flopledger import digests

    return {"hardware_db": hardware_db.database_digest(), **digests.of_own_tables()}

"""The whole: a case in, a report value out. Pure but for reading the case's own files."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import hardware_db
from flopledger import (
    inputs,
    ledgers,
    planning,
    regimes,
    scope,
    sensitivity,
    shared_evidence,
)
from flopledger import verdict as bands
from flopledger.cases.case import AuditCase
from flopledger.checks import conventions
from flopledger.checks.statements import states_total
from flopledger.claims import readings
from flopledger.claims.claim import Claim, Judgement, stated
from flopledger.claims.misquoted import misquoted
from flopledger.claims.which_total import judge_by_ledgers
from flopledger.combine import Combined
from flopledger.estimate import ComputeEstimate, Draws
from flopledger.facts import Fact, Finding
from flopledger.ledgers import ONE_THIRD, Original, Standing
from flopledger.methods import models
from flopledger.methods.models import Model
from flopledger.planning import Crossing
from flopledger.reconcile import RunAudit
from flopledger.regimes import Regime
from flopledger.run_audit import audit_run
from flopledger.sensitivity import Share
from flopledger.text import chance, interval, number, round_number
from flopledger.verdict import Verdict

if TYPE_CHECKING:
    import pandas as pd

    from flopledger.bundle import Sealed
    from flopledger.cases.amendments import Amendment

DEFAULT_SEED = 20240801


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class AuditReport:
    """What an audit concluded, with everything that a reader needs to retrace it."""

    case: AuditCase
    verdict: Verdict
    claim: Claim | None
    claim_ratio: float | None  #: claim over estimate
    #: how the claim's figure was computed, where that was recognised and is not the exact count's way
    claim_convention: tuple[str, float | None] | None
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
    regime_ids: tuple[str, ...] = ()  #: those asked for; empty: all in force
    trace: bool = True  #: whether models were to be traced
    #: version of each program that a figure may depend on, beside this tool's own
    environment: dict[str, str] = field(default_factory=dict)
    #: the ledger's total that the claim was held against, where it is not that of the parameter updates
    claim_reading: tuple[str, Combined] | None = None

    @property
    def amendments(self) -> "tuple[Amendment, ...]":
        """The corrections that the case rests on, in the order in which they were appended."""
        return self.case.amendments

    @property
    def estimates(self) -> list[ComputeEstimate]:
        """Every estimate of every run."""
        return [one for run in self.runs for one in run.estimates]

    def save(self, path: str | Path) -> None:
        """Write the report, whole or not at all; the suffix says how.

        ``.html``, ``.pdf``, ``.md``, ``.csv`` or ``.json``; an existing folder takes one CSV file a
        table. Raises ``FlopledgerError`` for any other suffix.
        """
        from flopledger.reports import save

        save(self, Path(path))

    def seal(self, path: str | Path, *, key: str | Path) -> "Sealed":
        """Write a sealed bundle of case, evidence and report, signed with the private ``key``.

        Raises ``BundleError`` for a key that cannot sign, and where the evidence was changed since
        the audit read it.
        """
        from flopledger import bundle

        return bundle.seal_report(self, keys=[bundle.load_private(Path(key))], out=Path(path))

    def to_frame(self, table: str = "estimates") -> "pd.DataFrame":
        """Give one table of the report as a data frame (needs the extra ``frame``).

        ``table`` is one of estimates, runs, regimes, inputs, facts, findings, sensitivity. Missing is
        ``<NA>``, never 0. Raises ``FlopledgerError`` for another name, or without pandas.
        """
        from flopledger.reports.frame import to_frame

        return to_frame(self, table)


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
    regime_ids = tuple(dict.fromkeys(regime_ids))  # asked for twice, it counts once
    chosen = _regimes(regime_ids)
    draws = Draws(seed)
    loaded = load_models(case)
    runs = [
        audit_run(case, index, loaded, draws, trace=trace) for index in range(len(case.spec.run))
    ]
    original = _original(case, runs)
    total = ledgers.total(runs, draws, "parameter_update")
    claim = stated(case)
    tests = [run.verdict for run in runs]
    findings = [finding for run in runs for finding in run.findings]
    ratio, judgement = None, None
    if claim is not None:
        judgement = judge_by_ledgers(claim, runs, readings.of_case(runs, draws, original))
        ratio = judgement.ratio
        findings += judgement.findings
        # The claim's own test must have been possible: routes that agree say nothing about it.
        tests = [judgement.verdict, *tests] if _decided(judgement.verdict, tests) else []
        # What the case itself states of a run is a claim, too; a log's own total stays a remark.
        tests += [_of_statement(run) for run in runs if tests and states_total(run.figures)]
    else:
        # Without a claim in the case, what the run's own software states is the claim.
        tests += [run.counter_verdict for run in runs]
    placed = [
        ledgers.standing(
            regime,
            runs,
            draws,
            original=original,
            claim=claim,
            claimed_total=_claimed_total(judgement, total),
        )
        for regime in chosen
    ]
    standings = tuple(one for one in placed if one is not None)
    if regime_ids:
        findings += _silent(chosen, placed)
    sides = conventions.check(standings, runs, claim, judgement, has_original=original is not None)
    findings += sides.findings
    findings += _straddling(standings) + _modifier(standings) + _unstated_original(runs, original)
    crossings = planning.crossings(standings, runs, original)
    shared = shared_evidence.findings(runs)
    misread = misquoted(claim)
    findings += shared + misread
    if shared or misread:
        tests.append(Verdict.NEEDS_EXPLANATION)
    if tests:
        tests.append(sides.verdict)
    verdict = bands.worst(tests) if claim is not None or total is not None else _bare(tests)
    reading = None if judgement is None else judgement.reading
    return AuditReport(
        case=case,
        verdict=verdict,
        claim=claim,
        claim_ratio=ratio,
        claim_convention=_only_by_convention(judgement),
        runs=tuple(runs),
        combined=total,
        standings=standings,
        facts=tuple(fact for run in runs for fact in run.facts),
        findings=tuple(findings),
        sensitivity=sensitivity.shares(runs, total),
        would_change=(
            *sensitivity.would_change(
                verdict, runs, claim, total if reading is None else reading[1]
            ),
            *planning.sentences(crossings),
        ),
        crossings=crossings,
        seed=seed,
        data_digests=_digests(),
        regime_ids=regime_ids,
        trace=trace,
        environment=_environment(runs),
        claim_reading=reading,
    )


def _only_by_convention(judgement: Judgement | None) -> tuple[str, float | None] | None:
    """Give the convention of a claim that the exact count by itself would not have agreed with."""
    if judgement is None or judgement.convention is None or judgement.figure is None:
        return None
    told = any(one.code == "claim-convention" for one in judgement.findings)
    return (judgement.convention, judgement.figure) if told else None


def _claimed_total(judgement: Judgement | None, total: Combined | None) -> Combined | None:
    """Give the total that the claim was found to be of; ``None`` where it fits none."""
    if judgement is None or judgement.verdict not in (
        Verdict.CONSISTENT,
        Verdict.NEEDS_EXPLANATION,
    ):
        return None
    return total if judgement.reading is None else judgement.reading[1]


def _decided(verdict: Verdict, tests: list[Verdict]) -> bool:
    return verdict is not Verdict.UNDETERMINED or Verdict.INCONSISTENT in tests


def _of_statement(run: RunAudit) -> Verdict:
    """Test what case or document state of a run beside the claim: of a document's words it is asked."""
    stated = run.figures.claimed_flop
    assert stated is not None
    if stated.source.startswith(run.figures.place):
        return run.counter_verdict
    asked = run.counter_verdict is Verdict.INCONSISTENT
    return Verdict.NEEDS_EXPLANATION if asked else run.counter_verdict


def _bare(tests: list[Verdict]) -> Verdict:
    """Without claim or figure only a contradiction can be stated."""
    return Verdict.INCONSISTENT if Verdict.INCONSISTENT in tests else Verdict.UNDETERMINED


def load_models(case: AuditCase) -> dict[str, Model]:
    """Read every model of a case; raise ``FlopledgerError`` for dimensions that cannot be."""
    loaded = {}
    for key, spec in case.spec.model.items():
        place = f"{case.name}: model.{key}"
        config = None if spec.config is None else case.file(spec.config, key=f"model.{key}.config")
        loaded[key] = models.load(key, spec, config, place=place)
    return loaded


def _regimes(identifiers: tuple[str, ...]) -> tuple[Regime, ...]:
    if not identifiers:
        return regimes.default_regimes()
    return tuple(regimes.by_id(identifier) for identifier in identifiers)


def _silent(chosen: tuple[Regime, ...], placed: list[Standing | None]) -> list[Finding]:
    """Name the regimes that were asked for and do not speak of such a case."""
    return [
        Finding(
            code="regime-not-applicable",
            severity="info",
            message=f"{regime.id}: asked for, but it is about modified models and the case has no "
            "[base_model]",
        )
        for regime, standing in zip(chosen, placed, strict=True)
        if standing is None
    ]


def _original(case: AuditCase, runs: list[RunAudit]) -> Original | None:
    """Give what the model was made from: as the case states it, or unknown where only its runs tell of it."""
    base = case.spec.base_model
    if base is not None:
        flop = None if base.flop is None else inputs.quantity(base.flop)
        return Original(flop=flop, systemic_risk=base.systemic_risk)
    kinds = {run.figures.kind for run in runs}
    if kinds & scope.FURTHER and not kinds & scope.BEGINNINGS:
        return Original(flop=None, systemic_risk=False, is_stated=False)
    return None


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
        if one.regime.rule == ONE_THIRD and one.probability_exceeded is not None and _likely(one)
    ]


def _likely(one: Standing) -> bool:
    """Say whether the best figure, which no seed moves, is above the threshold; else ask the chance."""
    if one.flop.best is not None:
        return one.flop.best > one.threshold_flop
    return one.probability_exceeded is not None and one.probability_exceeded > 0.5


def _unstated_original(runs: list[RunAudit], original: Original | None) -> list[Finding]:
    """Say so where a model was trained further and nobody states what it began with."""
    if original is None or (original.flop is not None and original.flop.is_two_sided):
        return []
    further = [run.figures for run in runs if run.figures.kind in scope.FURTHER]
    names = ", ".join(figures.name for figures in further) or "the model"
    message = (
        f"{names}: trained further from a model whose own compute the case does not state: cumulative "
        "figures are lower bounds"
    )
    if original.flop is not None:
        message = (
            f"{names}: the original's compute is stated at one end only "
            f"({interval(original.flop.interval)}): cumulative figures are known at that end, and so is the "
            "third of it that a modification is held against"
        )
    if not original.is_stated:
        message += ", and whether it is more than a third of the original's is open"
    message += "; [base_model] flop states it"
    places = tuple(figures.place for figures in further)
    return [Finding(code="original-unstated", severity="info", message=message, evidence=places)]


def _straddling(standings: tuple[Standing, ...]) -> list[Finding]:
    """Name each threshold that the 90% interval does not clear."""
    return [
        Finding(
            code="straddles-threshold",
            severity="info",
            message=f"{one.regime.id}: {interval(one.flop)} FLOP lies on both sides of "
            f"{round_number(one.threshold_flop)} (P(exceeded) {chance(one.probability_exceeded)})",
        )
        for one in standings
        if one.probability_exceeded is not None
        and one.flop.low is not None
        and one.flop.high is not None
        and one.flop.low <= one.threshold_flop < one.flop.high
        and not math.isclose(one.flop.low, one.flop.high)
    ]


def _environment(runs: list[RunAudit]) -> dict[str, str]:
    """Name the programs that figures came from: numpy draws, torch and transformers trace."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    traced = any(one.method == "counted" for run in runs for one in run.estimates)
    found = {"python": platform.python_version()}
    for name in ("numpy", *(("torch", "transformers") if traced else ())):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # vendored without metadata: say nothing
            continue
    return found


def _digests() -> dict[str, str]:
    from flopledger import digests

    return {"hardware_db": hardware_db.database_digest(), **digests.of_own_tables()}

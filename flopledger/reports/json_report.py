"""``audit --json``: the whole report under the keys that scripts rely on.

The keys are pinned by ``tests/flopledger/test_contract.py``. Missing is null, never 0; a figure
is a plain number where it is exact, else ``{"low", "best", "high"}`` with null at an open end.
"""

import json
from typing import TYPE_CHECKING, Any

from flopledger import __version__
from flopledger.combine import at_levels
from flopledger.estimate import LEVEL
from flopledger.quantity import Interval
from flopledger.unseen import in_json

if TYPE_CHECKING:
    from flopledger.auditing import AuditReport
    from flopledger.cases.amendments import Amendment
    from flopledger.claims.claim import Claim
    from flopledger.estimate import ComputeEstimate
    from flopledger.facts import Fact, Finding
    from flopledger.inputs import Input
    from flopledger.ledgers import Standing
    from flopledger.reconcile import RunAudit

SCHEMA = "flopledger/audit/1"


def dumps(report: "AuditReport") -> str:
    """Render as JSON text; equal reports give equal bytes."""
    return in_json(json.dumps(to_dict(report), indent=2, ensure_ascii=False, allow_nan=False))


def to_dict(report: "AuditReport") -> dict[str, Any]:
    """Render as plain values."""
    return {
        "schema": SCHEMA,
        "title": report.case.spec.title,
        "tool": {
            "version": __version__,
            "data_digests": dict(report.data_digests),
            "seed": report.seed,
            "case_sha256": report.case.sha256,
        },
        "verdict": str(report.verdict),
        "claim": None if report.claim is None else _claim(report.claim, report.claim_ratio),
        "estimates": [_estimate(one) for one in report.estimates],
        "combined": None
        if report.combined is None
        else {
            "flop": _ends(report.combined.flop),
            "level": LEVEL,
            "rule": report.combined.rule,
            "intervals": {
                f"{level:g}": list(ends) for level, ends in at_levels(report.combined).items()
            },
        },
        "runs": [_run(run) for run in report.runs],
        "facts": [_fact(fact) for fact in report.facts],
        "findings": [_finding(finding) for finding in report.findings],
        "regimes": [_standing(standing) for standing in report.standings],
        "sensitivity": [
            {"input": share.input, "log_variance_share": share.log_variance_share}
            for share in report.sensitivity
        ],
        "would_change": list(report.would_change),
        "crossings": [
            {
                "regime": one.regime,
                "run": one.run,
                "tokens": one.tokens,
                "share_of_run": one.share_of_run,
                "wall_clock_hours": one.wall_clock_hours,
                "date": None if one.date is None else one.date.isoformat(),
            }
            for one in report.crossings
        ],
        "amendments": [_amendment(one) for one in report.amendments],
    }


def _amendment(one: "Amendment") -> dict[str, Any]:
    return {
        "number": one.number,
        "author": one.author,
        "time": one.time,
        "reason": one.reason,
        "changes": [{"key": c.key, "old": c.old, "new": c.new} for c in one.changes],
        "sha256": one.digest,
    }


def _claim(claim: "Claim", ratio: float | None) -> dict[str, Any]:
    return {
        "flop": _figure(claim.flop) if claim.flop.best is None else claim.flop.best,
        "basis": claim.basis,
        "implied_range": [claim.flop.low, claim.flop.high],
        "statement": claim.statement,
        "source": claim.source,
        "ratio_to_estimate": ratio,
    }


def _estimate(one: "ComputeEstimate") -> dict[str, Any]:
    return {
        "method": one.method,
        "detail": one.detail or None,
        "run": one.run,
        "basis": one.basis,
        "flop": _ends(one.flop),
        "level": LEVEL,
        "bound_only": one.bound_only,
        "inputs": [_input(known) for known in one.inputs],
        "assumptions": list(one.assumptions),
        "independence_group": one.independence_group,
    }


def _input(known: "Input") -> dict[str, Any]:
    return {
        "name": known.name,
        "value": _figure(known.quantity.interval),
        "unit": known.unit,
        "source": known.source,
        "grade": str(known.grade),
    }


def _run(run: "RunAudit") -> dict[str, Any]:
    figures = run.figures
    ends = run.model_flop
    flop = None if ends.low is None and ends.high is None else ends
    rate = None
    if flop is not None and figures.device_seconds is not None:
        rate = flop / figures.device_seconds.quantity.interval
    hardware = run.hardware_flop
    return {
        "name": figures.name,
        "kind": figures.kind,
        "tokens": _known(figures.tokens),
        "samples": _known(figures.samples),
        "epochs": _known(figures.epochs),
        "accelerator": None if run.part is None else run.part.id,
        "accelerator_candidates": [one.id for one in run.part.candidates] if run.part else [],
        "accelerator_count": _known(figures.device_count),
        "accelerator_seconds": _known(figures.device_seconds),
        "timed_seconds": _known(figures.timed_seconds or figures.wall_seconds),
        "energy_joules": _known(figures.energy_joules),
        "energy_boundary": figures.energy_boundary,
        "model_flop": None if flop is None else _figure(flop),
        "hardware_flop": None if hardware is None else _figure(hardware),
        "evaluation_forward_flop": _known_ends(run.evaluation_flop),
        "passes": [{"name": one.name, "flop": _figure(one.flop)} for one in run.passes],
        "achieved_flop_per_second_per_accelerator": None if rate is None else _figure(rate),
        "utilisation": {name: _figure(value) for name, value in run.utilisation.items()},
        "hfu": None if run.hfu is None else {k: _figure(v) for k, v in run.hfu.items()},
        "precision_supported": list(run.precision_supported),
        "status": figures.status,
        "evidence_sha256": dict(run.evidence_digests),
        "verdict": str(run.verdict),
    }


def _known_ends(interval: Interval | None) -> Any:
    return None if interval is None else _figure(interval)


def _known(known: "Input | None") -> Any:
    return None if known is None else _figure(known.quantity.interval)


def _fact(fact: "Fact") -> dict[str, Any]:
    return {
        "name": fact.name,
        "value": fact.value,
        "unit": fact.unit,
        "file": fact.file,
        "locator": fact.locator,
        "grade": str(fact.grade),
    }


def _finding(finding: "Finding") -> dict[str, Any]:
    return {
        "code": finding.code,
        "severity": finding.severity,
        "message": finding.message,
        "evidence": list(finding.evidence),
    }


def _standing(standing: "Standing") -> dict[str, Any]:
    regime = standing.regime
    return {
        "id": regime.id,
        "name": regime.name,
        "threshold_flop": standing.threshold_flop,
        "comparator": regime.comparator,
        "ledger": regime.ledger,
        "flop": _ends(standing.flop),
        "probability_exceeded": standing.probability_exceeded,
        "zone": standing.zone,
        "zone_of": standing.zone_of,
        "status": regime.status,
        "in_force": regime.in_force,
        "ended": regime.ended,
        "citation": regime.citation,
    }


def _figure(interval: Interval) -> Any:
    """Give a plain number where the interval is a point."""
    if interval.low is not None and interval.low == interval.high:
        return interval.low
    return _ends(interval)


def _ends(interval: Interval) -> dict[str, float | None]:
    return {"low": interval.low, "best": interval.best, "high": interval.high}

"""A report with what a policy withholds taken out, before anything is rendered.

Sentences that hold a figure are replaced wherever figures are withheld: most of them name inputs, and
a sentence cannot be rounded. Their finding codes stay, and docs/findings.md explains each.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from flopledger.bundle import leaks
from flopledger.bundle.redaction import Policy, Taken, matches
from flopledger.bundle.summary import Ends, Identities, SiteSummary
from flopledger.bundle.taking import OF_FACTS, is_hidden, locator, take
from flopledger.cases.amendments import Change
from flopledger.cases.spec import Table
from flopledger.facts import Fact, Finding
from flopledger.quantity import Interval
from flopledger.text import WITHHELD_SENTENCE

if TYPE_CHECKING:
    from flopledger.auditing import AuditReport
    from flopledger.cases.amendments import Amendment
    from flopledger.cases.case import AuditCase
    from flopledger.combine import Combined
    from flopledger.estimate import ComputeEstimate
    from flopledger.inputs import RunFigures
    from flopledger.ledgers import Standing
    from flopledger.reconcile import RunAudit

T = TypeVar("T", bound=Table)
WITHHELD = "withheld"
DIGITS = 2  #: to which derived figures are rounded outward
_FIGURE = re.compile(r"\d")


def redact(report: "AuditReport", policy: Policy) -> "tuple[AuditReport, Taken]":
    """Give the public report and what was taken out of it."""
    taken = take(report, policy)
    hides = policy.hides_figures
    coarse = hides and policy.derived == "round"
    runs = tuple(_run(run, taken, policy, coarse=coarse) for run in report.runs)
    claim = None if "claim.flop" in taken.keys else report.claim
    if claim is not None and hides:
        claim = replace(
            claim,
            statement=None if "claim.statement" in taken.keys else claim.statement,
            source=None if "claim.source" in taken.keys else claim.source,
        )
    findings = tuple(_finding(one) for one in report.findings) if hides else report.findings
    change = report.would_change
    public = replace(
        report,
        case=_case(report.case, taken) if policy.hides_case else report.case,
        claim=claim,
        claim_ratio=_coarse(report.claim_ratio)
        if coarse and claim
        else None
        if hides
        else report.claim_ratio,
        claim_convention=("another convention", None)
        if hides and report.claim_convention
        else report.claim_convention,
        claim_reading=_reading(report, coarse=coarse, hides=hides),
        runs=runs,
        combined=_combined(report.combined, coarse=coarse, hides=hides),
        standings=tuple(_standing(one, coarse=coarse) for one in report.standings),
        facts=tuple(_facts(report.facts, taken, policy)),
        findings=(_told(report, taken, policy, coarse=coarse), *findings),
        sensitivity=tuple(
            replace(one, log_variance_share=round(one.log_variance_share, 2)) if coarse else one
            for one in report.sensitivity
        ),
        would_change=tuple(text for text in change if not _FIGURE.search(text))
        if hides
        else change,
        crossings=() if hides else report.crossings,
    )
    return public, taken


def _reading(report: "AuditReport", *, coarse: bool, hides: bool) -> "tuple[str, Combined] | None":
    if report.claim_reading is None:
        return None
    name, held = report.claim_reading
    shown = _combined(held, coarse=coarse, hides=hides)
    return None if shown is None else (name, shown)


def _told(report: "AuditReport", taken: Taken, policy: Policy, *, coarse: bool) -> Finding:
    """Say on the report itself that it is not the whole, for whom it was made and what that changes."""
    named = [name for run in report.runs for name in run.evidence_digests]
    counts = (
        (len(taken.keys), "key of the case", "keys of the case"),
        (len(taken.facts), "fact", "facts"),
        (
            sum(matches(name, policy.files) for name in set(named)),
            "evidence file",
            "evidence files",
        ),
    )
    parts = ", ".join(
        f"{count} {one if count == 1 else many}" for count, one, many in counts if count
    )
    message = f"made for {policy.audience!r}: withheld here are {parts or 'no figures'}"
    if coarse:
        message += (
            "; results are rounded outward to two digits, and sentences that name figures left out"
        )
    elif policy.hides_figures:
        message += "; sentences that name figures are left out"
    return Finding(code="figures-withheld", severity="info", message=message)


def summary_of(told: SiteSummary, public: "AuditReport", identities: Identities) -> SiteSummary:
    """Take out of a site's summary what the public report does not say."""
    runs = []
    for run, shown in zip(told.runs, public.runs, strict=True):
        flop = None if shown.combined is None else shown.combined.flop
        runs.append(
            msgspec.structs.replace(
                run,
                accelerator=None if shown.part is None else shown.part.id,
                device_seconds=run.device_seconds if shown.figures.device_seconds else None,
                flop=run.flop
                if flop is None
                else Ends(low=flop.low, best=flop.best, high=flop.high),
                bound_only=run.bound_only,
                shared={name: round(share, 2) * (1 - 1e-9) for name, share in run.shared.items()}
                if sum(round(share, 2) for share in run.shared.values()) <= 1
                else {},
                devices=run.devices
                if identities.is_secret and shown.figures.device_seconds
                else [],
            )
        )
    return msgspec.structs.replace(told, runs=runs)


def _facts(facts: Iterable[Fact], taken: Taken, policy: Policy) -> Iterable[Fact]:
    if not policy.hides_figures:
        return facts
    everywhere = {name for mine in taken.fields.values() for name in mine}
    return (
        replace(fact, locator=locator(fact))
        for fact in facts
        if fact not in taken.equal and not is_hidden(fact, everywhere, policy)
    )


def _case(case: "AuditCase", taken: Taken) -> "AuditCase":
    spec = case.spec
    runs = [_without(run, taken.keys, f"run.{run.name}.") for run in spec.run]
    claim = spec.claim
    if claim is not None:
        claim = None if "claim.flop" in taken.keys else _without(claim, taken.keys, "claim.")
    models = {
        name: _without(model, taken.keys, f"model.{name}.") for name, model in spec.model.items()
    }
    base, release = spec.base_model, spec.release
    public = msgspec.structs.replace(
        spec,
        run=runs,
        claim=claim,
        model=models,
        base_model=None if base is None else _without(base, taken.keys, "base_model."),
        release=None if release is None else _without(release, taken.keys, "release."),
    )
    return replace(
        case,
        spec=public,
        sha256=WITHHELD,
        claim_text=None if claim is None else case.claim_text,
        amendments=tuple(_amendment(one, taken) for one in case.amendments),
    )


def _without(table: T, keys: dict[str, Any], prefix: str) -> T:
    gone = {key.removeprefix(prefix) for key in keys if key.startswith(prefix)}
    empty = {
        name: type(value)() if isinstance(value, list | dict) else None
        for name in table.__struct_fields__
        if name in gone
        for value in (getattr(table, name),)
    }
    return msgspec.structs.replace(table, **empty)


def _amendment(one: "Amendment", taken: Taken) -> "Amendment":
    """Keep who, when and which key; values and reasons only where they tell no figure."""
    return replace(
        one,
        reason=_sentence(one.reason),
        text="",
        digest=WITHHELD,
        changes=tuple(
            Change(key=change.key, old=WITHHELD, new=WITHHELD)
            if _touches(change.key, taken)
            else change
            for change in one.changes
        ),
    )


def _touches(key: str, taken: Taken) -> bool:
    return any(
        key == gone or gone.startswith(f"{key}.") or key.startswith(f"{gone}.")
        for gone in taken.keys
    )


def _run(run: "RunAudit", taken: Taken, policy: Policy, *, coarse: bool) -> "RunAudit":
    name = run.figures.name
    digests = {
        file: digest
        for file, digest in run.evidence_digests.items()
        if not matches(file, policy.files)
    }
    if not policy.hides_figures:
        view = run.telemetry
        shown = view is not None and not any(matches(file, policy.files) for file in view.files)
        return replace(run, evidence_digests=digests, telemetry=view if shown else None)
    gone = taken.fields[name]
    hides_part = "accelerator" in gone
    hides_use = "precision" in gone or hides_part or "device_seconds" in gone
    figures: RunFigures = replace(run.figures, **dict.fromkeys(gone & set(run.figures.__slots__)))  # type: ignore[arg-type]
    return replace(
        run,
        figures=figures,
        part=None if hides_part else run.part,
        estimates=tuple(_estimate(one, taken, coarse=coarse) for one in run.estimates),
        pairs=(),
        combined=_combined(run.combined, coarse=coarse, hides=True),
        utilisation={}
        if hides_use
        else {key: _outward(use) if coarse else use for key, use in run.utilisation.items()},
        precision_supported=() if hides_use else run.precision_supported,
        findings=tuple(_finding(one) for one in run.findings),
        evaluation_flop=_outward(run.evaluation_flop)
        if coarse and run.evaluation_flop is not None
        else run.evaluation_flop,
        telemetry=None,
        conventions={},
        facts=tuple(_facts(run.facts, taken, policy)),
        evidence_digests=digests,
    )


def _estimate(one: "ComputeEstimate", taken: Taken, *, coarse: bool) -> "ComputeEstimate":
    words, numbers = leaks.targets(taken.values)
    kept = tuple(
        known
        for known in one.inputs
        if known.name not in taken.fields[one.run]
        and OF_FACTS.get(known.name, known.name) not in taken.fields[one.run]
        and leaks.find(f"{known.quantity.interval} {known.source}", words, numbers) is None
    )
    draws = one.draws
    return replace(
        one,
        flop=_outward(one.flop) if coarse else one.flop,
        draws=_rounded(draws) if coarse and draws is not None else draws,
        inputs=tuple(replace(known, source=_sentence(known.source)) for known in kept),
        assumptions=tuple(_sentence(text) for text in one.assumptions),
    )


def _combined(combined: "Combined | None", *, coarse: bool, hides: bool) -> "Combined | None":
    if combined is None or not hides:
        return combined
    return replace(
        combined,
        flop=_outward(combined.flop) if coarse else combined.flop,
        rule=_sentence(combined.rule),
        draws=_rounded(combined.draws) if coarse else combined.draws,
        weights=(),
    )


def _standing(one: "Standing", *, coarse: bool) -> "Standing":
    if not coarse:
        return one
    own = one.threshold_flop == one.regime.threshold_flop
    chance = one.probability_exceeded
    return replace(
        one,
        threshold_flop=one.threshold_flop if own else _coarse(one.threshold_flop) or 0.0,
        flop=_outward(one.flop),
        probability_exceeded=None if chance is None else round(chance, 2),
    )


def _finding(one: Finding) -> Finding:
    return replace(
        one,
        message=_sentence(one.message),
        evidence=tuple(_sentence(text) for text in one.evidence),
    )


def _sentence(text: str) -> str:
    return WITHHELD_SENTENCE if _FIGURE.search(text) else text


def _outward(interval: Interval) -> Interval:
    """Widen to two digits; the best figure is rounded to two."""
    low, best, high = interval.low, interval.best, interval.high
    return Interval(
        low=None if low is None else _to_digits(low, math.floor),
        best=None if best is None else _coarse(best),
        high=None if high is None else _to_digits(high, math.ceil),
    )


def _coarse(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{DIGITS - 1}e}")


def _to_digits(value: float, towards: Any) -> float:
    if value == 0:
        return 0.0
    exponent = math.floor(math.log10(abs(value))) - DIGITS + 1
    # Through decimal text: 7.9e24 must be the same double as when somebody types it.
    rounded = float(f"{towards(value / 10.0**exponent)}e{exponent}")
    near = float(f"{value:.{DIGITS - 1}e}")
    return near if math.isclose(near, value, rel_tol=1e-12) else rounded


def _rounded(draws: Any) -> Any:
    """Round every draw to two digits, so that no quantile of them is exact."""
    import numpy as np

    exponent = np.floor(np.log10(draws)) - DIGITS + 1
    return np.round(draws / 10.0**exponent) * 10.0**exponent

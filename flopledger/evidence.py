"""A run as the case states it, completed and checked by its evidence.

What the case leaves out comes from the evidence. Where both speak, the evidence (a log of the run,
graded higher than somebody's word) is used if it is the better kind of source, and the case's figure where
the evidence is prose; the other value stays visible, and a disagreement of more than 2% is a finding.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from flopledger import disagreements
from flopledger.cases.case import AuditCase
from flopledger.facts import Fact, Finding, Grade
from flopledger.inputs import Input, RunFigures
from flopledger.logs import Evidence, EvidenceFile, Resolved, RunFacts
from flopledger.quantity import Interval, at_least, at_most, exact
from flopledger.text import number

if TYPE_CHECKING:
    from flopledger.coverage import Coverage
    from flopledger.telemetry import Telemetry

#: Figure of a run -> fact of the evidence, and the finding when they disagree.
_NUMBERS = {
    "tokens": ("tokens", "amount-mismatch"),
    "samples": ("samples", "amount-mismatch"),
    "device_count": ("accelerator_count", "device-count-mismatch"),
    "device_seconds": ("accelerator_seconds", "device-time-mismatch"),
    "timed_seconds": ("timed_seconds", "device-time-mismatch"),
    "wall_seconds": ("wall_seconds", "device-time-mismatch"),
    "epochs": ("epochs", "amount-mismatch"),
    "trainable_parameters": ("trainable_parameters", "amount-mismatch"),
    "device_throughput": ("tokens_per_second_per_accelerator", "amount-mismatch"),
    "energy_joules": ("energy_joules", "energy-disagreement"),
    "claimed_flop": ("claimed_flop", "claim-mismatch"),
    "recorded_flop": ("recorded_model_flop", "amount-mismatch"),
    "recorded_hardware_flop": ("recorded_hardware_flop", "amount-mismatch"),
}
#: What the audited software states is a claim: it is tested, and never enters an estimate.
_CLAIMS = frozenset({"claimed_flop"})
_WORDS = ("precision", "recompute", "status", "energy_boundary")


@dataclass(frozen=True, kw_only=True, slots=True)
class Completed:
    """A run with its evidence: figures, what the evidence knows of the model, facts, findings."""

    figures: RunFigures
    found: RunFacts
    telemetry: "Telemetry | None"  #: recordings among the evidence
    coverage: "Coverage | None" = None  #: how much of the run they saw
    facts: tuple[Fact, ...]
    findings: tuple[Finding, ...]
    digests: dict[str, str]  #: SHA-256 of each evidence file that was read
    #: digests of rows of losses that a log prints, by file
    losses: dict[str, frozenset[bytes]] = field(default_factory=dict)


def complete(case: AuditCase, index: int, run: RunFigures) -> Completed:
    """Read the evidence of run ``index`` and join it with what the case states."""
    zone = case.spec.run[index].telemetry_zone
    files = [EvidenceFile(path=path, name=name, zone=zone) for name, path in case.evidence(index)]
    if not files:
        return Completed(
            figures=run, found=RunFacts(), telemetry=None, facts=(), findings=(), digests={}
        )
    # A case without evidence need not wait for what reads it.
    from flopledger import coverage, job_width, recorded_figures, telemetry
    from flopledger.checks import log_parts
    from flopledger.logs import assemble, read

    evidence = read(files)
    found = assemble(evidence)
    recorded = telemetry.read(
        [one for one in evidence.telemetry if one.name not in found.repeated_recordings]
    )
    found = recorded_figures.of_ledgers(found, [file.name for file in files if file.path.is_dir()])
    launch = job_width.read(files, found.recorded.devices if found.recorded else 0)
    found = recorded_figures.of_the_job(found, evidence, launch)
    signs = coverage.Signs(
        launch=launch,
        from_idle_to_idle=telemetry.from_idle_to_idle(recorded),
        declared=case.spec.run[index].telemetry_covers,
    )
    found, partial = log_parts.judge(run, evidence, found)
    seen = log_parts.narrowed(coverage.judge(run, found, signs), is_part=bool(partial))
    found = recorded_figures.qualify(found, seen)
    figures, findings = join(run, found)
    told = any(one.code == "coverage-gap" for one in findings)
    return Completed(
        figures=figures,
        found=found,
        telemetry=recorded,
        coverage=seen,
        facts=(*evidence.facts, *_derived(found, evidence)),
        findings=(
            *_unread(evidence),
            *found.findings,
            *findings,
            *partial,
            *coverage.findings(run, found, seen, told=told),
        ),
        digests={
            name: source.sha256
            for name, source in evidence.sources.items()
            if source.sha256 is not None
        },
        losses={name: one.losses for name, one in evidence.sources.items() if one.losses},
    )


def _derived(found: RunFacts, evidence: Evidence) -> Iterable[Fact]:
    """List the figures that were computed from several facts, with their arithmetic."""
    for name in RunFacts.__dataclass_fields__:
        resolved = getattr(found, name)
        if not isinstance(resolved, Resolved):
            continue
        if any(fact.value == resolved.value for fact in evidence.named(name)):
            continue
        yield Fact(
            name=name,
            value=resolved.value,
            unit=resolved.unit,
            file=", ".join(dict.fromkeys(fact.file for fact in resolved.facts)),
            locator=f"computed: {resolved.derivation}",
            grade=resolved.facts[0].grade if resolved.facts else Grade.STATEMENT,
        )


def join(run: RunFigures, found: RunFacts) -> tuple[RunFigures, list[Finding]]:
    """Fill the gaps of ``run`` from ``found``; list what the two say differently."""
    changes: dict[str, object] = {}
    findings: list[Finding] = []
    for name, (fact, code) in _NUMBERS.items():
        resolved: Resolved | None = getattr(found, fact)
        stated: Input | None = getattr(run, name)
        if resolved is None or isinstance(resolved.value, str) or resolved.number <= 0:
            continue
        read_out = _input(name, resolved)
        if stated is None:
            changes[name] = read_out
        elif disagreements.is_one_host_of_several(stated, resolved):
            findings.append(disagreements.one_host(run, stated, resolved))
        elif disagreements.is_part(stated, read_out, resolved):
            findings.append(disagreements.partial(run, stated, read_out))
        elif not disagreements.agree(stated.quantity, read_out.quantity):
            used = name not in _CLAIMS and not disagreements.is_hearsay(resolved)
            if name == "samples" and disagreements.is_size(stated, found.dataset_samples):
                code = "dataset-size-not-trained"
            findings.append(disagreements.mismatch(code, run, stated, read_out, used=used))
            if used:
                changes[name] = read_out
    for name in _WORDS:
        resolved = getattr(found, name)
        if resolved is not None and getattr(run, name) is None:
            changes[name] = str(resolved.value)
    if run.attention is None and found.attention_mask is not None:
        changes["attention"] = str(found.attention_mask.value)
    if run.mfu is None and run.hfu is None:
        changes |= _disclosed_utilisation(found)
    if run.device_rate is None:
        changes |= _disclosed_rate(found)
    if "recorded_flop" not in changes and found.recorded_flop_at_least is not None:
        least = replace(found.recorded_flop_at_least, bound="at least")
        changes["recorded_flop"] = _input("recorded_flop", least)
    changes |= _sequence(run, found) | _kind(run, found)
    changes |= _passes_of_text(str(changes.get("kind", run.kind)), found)
    part, part_findings = _accelerator(run, found)
    changes |= part
    if "device_seconds" not in changes and run.device_seconds is None:
        changes |= _device_seconds(replace(run, **changes))  # type: ignore[arg-type]
    joined = replace(run, **changes)  # type: ignore[arg-type]
    findings += [*part_findings, *_passes_over(joined, found), *_frozen_after_all(joined, found)]
    return joined, findings


_TUNING = frozenset({"finetuning", "lora"})


def _passes_of_text(kind: str, found: RunFacts) -> dict[str, object]:
    """Take the passes over the data that a text states of work of this kind; a log's own count holds them."""
    counted = [one for one in (found.tokens, found.samples) if one is not None]
    if any(
        one.bound == "exact" and one.is_whole_run and not disagreements.is_hearsay(one)
        for one in counted
    ):
        return {}
    of_tuning = found.tuning_passes if kind in _TUNING else None
    stated = of_tuning or found.passes
    return {} if stated is None else {"passes": _input("passes", stated)}


def _input(name: str, resolved: Resolved) -> Input:
    make = {"exact": exact, "at least": at_least, "at most": at_most}[resolved.bound]
    quantity = make(resolved.number)
    if resolved.most is not None:
        ends = Interval(low=quantity.interval.low, best=None, high=resolved.most)
        quantity = replace(quantity, interval=ends)
    return Input(
        name=name,
        quantity=quantity,
        unit=resolved.unit or "1",
        source=resolved.derivation,
        grade=resolved.facts[0].grade if resolved.facts else Grade.STATEMENT,
        # Other parts of a log's figures are of the run; sums of a recording may be of a sample.
        is_whole_run=resolved.is_whole_run or resolved.bound == "at least",
    )


def _disclosed_utilisation(found: RunFacts) -> dict[str, object]:
    """Take a utilisation that somebody states; one that the run's software printed is a claim."""
    for name, resolved in (("mfu", found.claimed_mfu), ("hfu", found.claimed_hfu)):
        if resolved is not None and resolved.facts[0].grade is Grade.STATEMENT:
            return {name: _input(name, resolved)}
    return {}


def _disclosed_rate(found: RunFacts) -> dict[str, object]:
    """Take a rate of a device that somebody states, as a disclosed utilisation is taken."""
    rate = found.claimed_flop_per_second_per_accelerator
    if rate is None or rate.facts[0].grade is not Grade.STATEMENT:
        return {}
    return {"device_rate": _input("device_rate", rate)}


def _sequence(run: RunFigures, found: RunFacts) -> dict[str, object]:
    length = found.tokens_per_sample
    if run.sequence_length is not None or length is None or length.number < 1:
        return {}
    return {"sequence_length": math.ceil(length.number)}


def _kind(run: RunFigures, found: RunFacts) -> dict[str, object]:
    if run.kind_stated or found.kind is None:
        return {}
    return {"kind": str(found.kind.value)}


def _accelerator(run: RunFigures, found: RunFacts) -> tuple[dict[str, object], list[Finding]]:
    """Take the part from the evidence, unless the case names one; compare if both do."""
    if found.accelerator is None:
        return {}, []
    name = str(found.accelerator.value)
    place = found.accelerator.derivation
    if run.accelerator is None:
        return {"accelerator": name, "accelerator_place": place}, []
    from flopledger.parts import same_part

    if same_part(run.accelerator, name) is not False:
        return {}, []
    finding = Finding(
        code="accelerator-mismatch",
        severity="warning",
        message=f"run {run.name}: the case names {run.accelerator!r}, the evidence {name!r}",
        evidence=(run.place, place),
    )
    return {}, [finding]


def _frozen_after_all(run: RunFigures, found: RunFacts) -> list[Finding]:
    """Say so where the case trains all weights and the evidence holds an adapter."""
    if found.kind is None or str(found.kind.value) != "lora" or run.kind == "lora":
        return []
    message = (
        f"run {run.name}: the evidence is of an adapter ({found.kind.derivation}), and the case calls "
        f"the run {run.kind}: all weights are counted as trained, 6 FLOP a token instead of 4"
    )
    return [
        Finding(
            code="frozen-parameters",
            severity="warning",
            message=message,
            evidence=(run.place, found.kind.derivation),
        )
    ]


#: Epochs are printed rounded, and the last batch of each may be dropped.
_EPOCHS_TOLERANCE = 0.05


def _passes_over(run: RunFigures, found: RunFacts) -> list[Finding]:
    """Hold the samples against the data set's size and the passes over it."""
    size, samples, epochs = found.dataset_samples, run.samples, run.epochs
    if size is None or samples is None or epochs is None:
        return []
    done, passes = samples.quantity.best, epochs.quantity.best
    if not done or not passes or abs(math.log(done / (size.number * passes))) < _EPOCHS_TOLERANCE:
        return []
    once = abs(math.log(done / size.number)) < _EPOCHS_TOLERANCE and passes > 1.5
    message = (
        f"run {run.name}: the data set holds {number(size.number, 4)} samples and was passed over "
        f"{number(passes)} times, which is {number(size.number * passes, 4)}; "
        f"{number(done, 4)} are counted as trained on"
    )
    return [
        Finding(
            code="dataset-size-not-trained" if once else "amount-mismatch",
            severity="warning",
            message=message + (": the size of the data set, not the samples seen" if once else ""),
            evidence=(size.derivation, samples.source, epochs.source),
        )
    ]


def _device_seconds(run: RunFigures) -> dict[str, object]:
    """Multiply devices and time where one came from the case and the other from the evidence."""
    from flopledger.inputs import product

    time = run.timed_seconds or run.wall_seconds
    if time is None or run.device_count is None:
        return {}
    return {"device_seconds": product("device_seconds", "s", time, run.device_count)}


def _unread(evidence: Evidence) -> Iterable[Finding]:
    damaged = {
        place
        for finding in evidence.findings
        if finding.code in {"evidence-unreadable", "evidence-refused"}
        for place in finding.evidence
    }
    for name in evidence.unread:
        if any(place.startswith(name) for place in damaged):
            continue  # recognised, and its own finding says what is wrong with it
        yield Finding(
            code="evidence-unread",
            severity="warning",
            message=f"{name}: {evidence.hints.get(name, 'no reader recognises this file')}; it did not enter "
            "the audit",
            evidence=(name,),
        )

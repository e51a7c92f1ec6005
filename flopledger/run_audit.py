"""One run from case and evidence to its audit: figures, part, routes, comparison."""

from dataclasses import replace

from flopledger import evidence, inputs, machine_names, parts
from flopledger.cases.case import AuditCase
from flopledger.checks import clock, clock_hours, implied_peak, samples, throughput, which_model
from flopledger.checks.of_a_run import by_the_evidences_part, epochs_taken_in
from flopledger.estimate import ComputeEstimate, Draws
from flopledger.evidence import Completed
from flopledger.facts import Finding
from flopledger.inputs import RunFigures
from flopledger.logs import RunFacts
from flopledger.methods import (
    counted,
    device_time,
    energy,
    models,
    passes,
    sample_costs,
    sizes,
    tensor_activity,
    work,
)
from flopledger.methods.models import Model
from flopledger.methods.sample_costs import Costed
from flopledger.parts import Part
from flopledger.quantity import Interval, point
from flopledger.reconcile import RunAudit, reconcile

_Costs = list[tuple[work.ArchitectureMethod, Model | None, Costed]]


def audit_run(
    case: AuditCase, index: int, loaded: dict[str, Model], draws: Draws, *, trace: bool
) -> RunAudit:
    """Audit run ``index`` of ``case``; ``loaded`` holds the case's models by name."""
    stated = inputs.of_run(case.spec.run[index], place=f"{case.name}: run[{index}]")
    known = evidence.complete(case, index, stated)
    run, derived = throughput.fill(_counted_in_tokens(known.figures, loaded))
    findings = [*clock.beyond_the_clock(stated), *known.findings, *derived]
    findings += clock.of_a_text(stated, known.figures)
    findings += clock.less_than_a_sequence(run)
    if known.found.dataset_samples is None:
        findings += epochs_taken_in(run, known.found.dataset_tokens)
    part = _part(run, findings)
    findings += implied_peak.check(run, known.found, part)
    known = replace(known, figures=run)
    costs = _costs(case, index, known, loaded, findings, trace=trace)
    findings += _padded(run, costs)
    own = costs[0][2].cost if costs else None
    beside = passes.of_run(run, loaded, own, draws, trace=trace)
    estimates, conventions = _by_work(run, costs, beside, draws)
    again = clock_hours.read_again(run, part, estimates, draws)
    if again is not None:
        findings.append(again.finding)
        run = _paced_again(again.run, findings)
        known = replace(known, figures=run)
        beside = passes.of_run(run, loaded, own, draws, trace=trace)
        estimates, conventions = _by_work(run, costs, beside, draws)
    amount_known = any(not one.bound_only for one in estimates)
    seen = tensor_activity.estimate(run, known.telemetry, part, known.coverage)
    estimates += seen.estimates
    findings += seen.findings
    by_time = device_time.estimate(run, part, draws, amount_known=amount_known)
    if by_time is not None:
        estimates.append(by_time)
    by_energy = energy.estimate(run, part, draws, amount_known=amount_known)
    if by_energy is not None:
        estimates.append(by_energy)
    estimates = [
        one
        if all(figure.is_whole_run for figure in one.inputs)
        else replace(one, is_whole_run=False)
        for one in estimates
    ]
    if (seen_part := known.found.accelerator) is not None:
        findings += by_the_evidences_part(
            run, str(seen_part.value), seen_part.derivation, estimates
        )
    audited = reconcile(
        run,
        part,
        estimates,
        draws,
        findings=findings,
        conventions=conventions,
        passes=beside,
        beside=(
            samples.pace_check(run, estimates, seen.pace, known.coverage),
            samples.power_check(run, part, known.found.recorded, known.coverage),
        ),
    )
    audited = replace(
        audited,
        facts=known.facts,
        evidence_digests=known.digests,
        evidence_losses=known.losses,
        evaluation_flop=_evaluation(known.found, costs),
    )
    if known.telemetry is None:
        return audited
    from flopledger.profiling import telemetry_view

    return replace(audited, telemetry=telemetry_view.thin(known.telemetry))


def _padded(run: RunFigures, costs: _Costs) -> list[Finding]:
    """Say so where samples are an upper bound, since nothing says that they fill their length."""
    amounts = [work.amount(run, costed.cost) for _, _, costed in costs]
    least = [one.quantity.interval.low for one in amounts if one is not None]
    if run.tokens is not None or run.samples is None or run.sequence_length is None:
        return []
    if None not in least or run.samples.quantity.interval.low is None:
        return []
    message = (
        f"run {run.name}: samples of a run of kind {run.kind} may be shorter than the "
        f"{run.sequence_length:,} tokens of its sequence length: so many each are an upper bound; "
        "tokens_per_sample states that they are packed, and tokens what was seen"
    )
    return [
        Finding(code="padding-upper-bound", severity="info", message=message, evidence=(run.place,))
    ]


def _paced_again(run: RunFigures, findings: list[Finding]) -> RunFigures:
    """Derive tokens once more from the stated pace, where they came from hours that were read otherwise."""
    if run.tokens is None or run.tokens.name != throughput.DERIVED:
        return run
    findings[:] = [one for one in findings if one.code != "amount-by-throughput"]
    run, derived = throughput.fill(replace(run, tokens=None))
    findings += derived
    return run


def _by_work(
    run: RunFigures,
    costs: _Costs,
    beside: tuple[passes.Pass, ...],
    draws: Draws,
) -> tuple[list[ComputeEstimate], dict[str, float]]:
    """Estimate by what was counted; also give what other conventions make of the same work."""
    live = work.recorded(run, draws)
    estimates = [] if live is None else [live]
    conventions: dict[str, float] = {}
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
            estimates.append(work.with_passes(one, beside))
            conventions |= work.conventions(method, run, costed)
    return estimates, conventions


def _counted_in_tokens(run: RunFigures, loaded: dict[str, Model]) -> RunFigures:
    model = loaded.get(run.model) if run.model is not None else None
    by_parameters = model is not None and model.dimensions is None and model.config is None
    return inputs.with_tokens(run) if by_parameters else run


def _part(run: RunFigures, findings: list[Finding]) -> Part | None:
    """Look the accelerator up; a name in the case must be known, one in a log may not be."""
    if run.accelerator is None:
        return None
    if run.accelerator_place is None:
        part: Part | None
        part, found = parts.resolve(run.accelerator, place=run.place)
        count = run.device_count.quantity.best if run.device_count is not None else None
        found += machine_names.findings(run.accelerator, count, run.place)
    else:
        part, found = parts.resolve_from_evidence(run.accelerator, place=run.accelerator_place)
    findings += found
    if part is not None and run.precision is not None and part.peak(run.precision) is None:
        findings.append(_unsupported(run, part))
    return part


def _unsupported(run: RunFigures, part: Part) -> Finding:
    known = ", ".join(part.precisions()) or "none"
    message = (
        f"run {run.name}: {part.spelled} has no {run.precision} hardware on record (it has: {known}); "
        "its hours give no figure at that precision: the part or the precision is misstated"
    )
    return Finding(
        code="precision-unsupported", severity="warning", message=message, evidence=(run.place,)
    )


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
    if model is not None and known.found.experts is not None:
        model, open_size = sizes.of_all_experts(model, known.found.experts)
        findings += open_size
    if model is not None:
        findings += sizes.active_above_total(model)
        findings += sizes.trained_above_total(model, run.trainable_parameters)
        findings += sizes.input_left_out(model)
        sequence = models.sequence_of(model, run.sequence_length)
        if trace and model.config is not None:
            traced = counted.cost(model, sequence)
            findings += traced.findings
            if traced.costed is not None:
                costs.append(("counted", model, traced.costed))
        formula = sample_costs.closed_form_cost(model, sequence)
        if formula is not None:
            costs.append(("closed-form", model, formula))
            findings += _sizes_assumed(run, model, formula)
            findings += _attention_unknown(run, model, sequence)
            findings += sizes.compare_parameters(model, formula)
        elif model.dimensions is not None:
            findings.append(_length_unknown(run, model))
        if run.model is not None:
            costed = [one for _, _, one in costs]
            findings += which_model.of_another_model(run, model, costed, known.found)
    if not costs:
        fixed = sample_costs.per_sample(known.found)
        if fixed is not None:
            costs.append(("closed-form", None, fixed))
    return costs


def _length_unknown(run: RunFigures, model: Model) -> Finding:
    message = (
        f"run {run.name}: {model.place} hears recordings of a known length and writes text of an unknown "
        "one: a cost takes the tokens of a transcript, as sequence_length"
    )
    return Finding(
        code="tokens-missing", severity="warning", message=message, evidence=(run.place,)
    )


def _attention_unknown(run: RunFigures, model: Model, sequence: int | None) -> list[Finding]:
    """Say that 6ND leaves much out, where a long sequence meets parameters alone."""
    share = sample_costs.unknown_attention(model, sequence)
    if share is None:
        return []
    much = f"{share:.0%} of" if share < 1 else f"{share:.1f} times"
    message = (
        f"run {run.name}: {model.place} is known by its parameters alone, which do not tell what attention "
        f"costs at {sequence:,} tokens: by the shapes of common models up to {much} the rest, and the "
        "interval reaches there; a config or an architecture settles it, and a length that holds for a last "
        "stage only is a run of its own"
    )
    return [
        Finding(
            code="attention-unknown", severity="warning", message=message, evidence=(model.place,)
        )
    ]


def _sizes_assumed(run: RunFigures, model: Model, formula: Costed) -> list[Finding]:
    """Name the side of a patch that nobody stated: the cost goes with its square."""
    patch = sample_costs.assumed_patch(formula.assumptions)
    if patch is None:
        return []
    message = (
        f"run {run.name}: {model.place}: {patch}; the cost of an image goes with the square of its inverse "
        "(14 for 16 is 1.31 times as much, 32 a quarter), and the interval holds a factor of 1.31 either "
        "way; architecture.patch states it"
    )
    return [
        Finding(
            code="input-size-assumed", severity="info", message=message, evidence=(model.place,)
        )
    ]


def _model_of(case: AuditCase, index: int, known: Completed) -> Model | None:
    """Take the model from the run's evidence, where the case names none."""
    name = known.found.config_file
    paths = dict(case.evidence(index))
    config = paths.get(name) if name is not None else None
    return models.of_evidence(known.found, config)


def _evaluation(found: RunFacts, costs: _Costs) -> Interval | None:
    """Cost the forward passes of the evaluations that a log reports; no ledger counts them."""
    if found.evaluation_flop is not None:
        return point(found.evaluation_flop.number)
    if not costs:
        return None
    cost = costs[0][2].cost
    if found.evaluation_tokens is not None and cost.tokens_per_sample:
        flop = found.evaluation_tokens.number / cost.tokens_per_sample * cost.forward
        padded = found.evaluation_tokens.bound == "at most"
        return Interval(low=None, best=None, high=flop) if padded else point(flop)
    if found.evaluation_samples is not None:
        return point(found.evaluation_samples.number * cost.forward)
    return None


def _parameters(model: Model | None) -> tuple[inputs.Input, ...]:
    if model is None:
        return ()
    return tuple(one for one in (model.total, model.active) if one is not None)

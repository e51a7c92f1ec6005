"""One run's evidence to the figures that methods need.

A figure is chosen, never averaged: the stronger grade wins, then the earlier fact; those that say
otherwise stay beside it, and a disagreement that matters becomes a finding. What no fact gives is
computed from others where the arithmetic is exact (steps x batch), and says so.
"""

import math
from dataclasses import replace

from flopledger.facts import NAMES, Fact, Finding, Grade
from flopledger.logs import adapters, checks, series, statements, telemetry
from flopledger.logs.architecture import find_shape
from flopledger.logs.benchmarks import Benchmark, benchmark
from flopledger.logs.evidence import Evidence
from flopledger.logs.readers.weights import SHARD
from flopledger.logs.run_facts import Bound, Resolved, RunFacts

#: Strongest first, but what the audited software computed comes last.
_ORDER = {grade: rank for rank, grade in enumerate(Grade)}

#: Figures that are taken as they stand.
_PLAIN = (
    "status",
    "precision",
    "recompute",
    "wall_seconds",
    "parameters",
    "trainable_parameters",
    "claimed_flop",
    "claimed_flop_per_second_per_accelerator",
    "claimed_mfu",
    "claimed_hfu",
    "benchmark",
    "kind",
    "tokens_per_second_per_accelerator",
    "implied_peak_flop_per_second",
    "implied_flop_per_token",
    "implied_memory_bytes",
    "energy_joules",
    "energy_boundary",
    "attention_mask",
    "recorded_model_flop",
    "recorded_hardware_flop",
    "recorded_flop_at_least",
    "evaluation_flop",
    "epochs",
    "dataset_samples",
    "steps",
    "global_batch",
    "accelerator",
)


def assemble(evidence: Evidence) -> RunFacts:
    """Choose and compute the figures of the one run that ``evidence`` belongs to."""
    evidence, settled = series.settle(series.add_records(evidence))
    evidence, said = statements.promote(evidence)
    several = checks.several_runs(evidence)
    seen = telemetry.measure(evidence.telemetry, *_window(evidence))
    evidence = replace(evidence, facts=(*evidence.facts, *seen.names))
    figures = {name: choose(evidence, name) for name in _PLAIN}
    rules = _benchmark(figures["benchmark"])
    shape = find_shape(evidence, rules)
    figures["model"] = choose(evidence, "model")
    figures["parameters"] = figures["parameters"] or _of_shards(evidence)
    figures["trainable_parameters"] = figures["trainable_parameters"] or adapters.trainable(
        evidence, shape.architecture
    )
    figures["global_batch"] = figures["global_batch"] or _batch_by_rates(evidence)
    world = _world(evidence, figures["global_batch"])
    figures["accelerator_count"] = _accelerator_count(evidence, world)
    figures["tokens_per_sample"] = _tokens_per_sample(evidence, rules)
    figures["global_batch"] = figures["global_batch"] or _global_batch(
        evidence, figures["accelerator_count"]
    )
    if several is None:
        figures["timed_seconds"] = _timed_seconds(evidence) or _of_record(evidence)
        figures |= _amount(evidence, figures, rules)
    figures["wall_seconds"] = _whole_job(evidence, figures)
    figures["accelerator_seconds"] = _accelerator_seconds(evidence, figures) or seen.device_seconds
    figures["energy_joules"] = seen.energy_joules or figures["energy_joules"]
    figures["energy_boundary"] = seen.energy_boundary or figures["energy_boundary"]
    figures |= _evaluation(evidence, figures, rules)
    figures |= _from_benchmark(figures, rules)
    figures["implied_parameters"] = _implied_parameters(figures)
    findings = [*evidence.findings, *settled, *said]
    findings += [several] if several else []
    findings += seen.findings
    findings += checks.conflicts(figures)
    findings += checks.arithmetic(evidence, figures, shape)
    findings += checks.visible_devices(evidence, figures["accelerator_count"])
    return RunFacts(
        **figures,
        architecture=shape.architecture,
        architecture_source=shape.source,
        input=shape.input,
        forward_flop_per_sample=rules.forward_flop_per_sample if rules else None,
        config_file=shape.config_file,
        findings=unique(findings),
    )


def unique(findings: list[Finding]) -> tuple[Finding, ...]:
    """Join what several files say alike, order kept: one finding with all places."""
    joined: dict[tuple[str, str, str], Finding] = {}
    for one in findings:
        key = (one.code, one.severity, one.message)
        before = joined.get(key)
        places = (*(before.evidence if before else ()), *one.evidence)
        joined[key] = replace(one, evidence=tuple(dict.fromkeys(places)))
    return tuple(joined.values())


def choose(evidence: Evidence, name: str) -> Resolved | None:
    """Choose one fact of a name, with those that say otherwise beside it."""
    facts = sorted(evidence.named(name), key=lambda fact: _ORDER[fact.grade])
    if not facts:
        return None
    best = facts[0]
    others = tuple(fact for fact in facts[1:] if checks.differ(best.value, fact.value))
    return Resolved(
        value=best.value,
        unit=best.unit,
        facts=(best,),
        derivation=f"{best.grade} at {best.place}",
        alternatives=others,
    )


def _benchmark(figure: Resolved | None) -> Benchmark | None:
    return benchmark(str(figure.value)) if figure is not None else None


def _window(evidence: Evidence) -> tuple[float | None, float | None]:
    """Give the timed window in unix seconds, where one log gives it."""
    started, ended = evidence.named("started"), evidence.named("ended")
    if len(started) != 1 or len(ended) != 1:
        return None, None
    return float(started[0].value), float(ended[0].value)


def _timed_seconds(evidence: Evidence) -> Resolved | None:
    figure = choose(evidence, "timed_seconds")
    seen = choose(evidence, "seen_seconds")
    if figure is not None or seen is None:
        return figure
    return _computed(
        seen.number, "s", (seen.facts[0],), "to the last event of a log that breaks off", "at least"
    )


def _whole_job(evidence: Evidence, figures: dict[str, Resolved | None]) -> Resolved | None:
    """Take the job that can hold the timed part, where a folder has the times of several."""
    wall, timed = figures["wall_seconds"], figures.get("timed_seconds")
    if wall is None or timed is None or wall.number >= timed.number:
        return wall
    longer = [fact for fact in evidence.named("wall_seconds") if float(fact.value) >= timed.number]
    if not longer:
        return wall
    return _computed(
        float(longer[0].value), "s", (longer[0],), f"{longer[0].place}, which holds the timed part"
    )


def _of_record(evidence: Evidence) -> Resolved | None:
    """Take the time of the one watched command, where no log gives a timed part of it."""
    facts = [fact for fact in evidence.named("wall_seconds") if fact.grade is Grade.INSTRUMENT]
    if len(facts) != 1:
        return None
    return _computed(
        float(facts[0].value), "s", (facts[0],), f"the watched command, {facts[0].place}"
    )


def _accelerator_count(evidence: Evidence, world: Resolved | None) -> Resolved | None:
    """Prefer what a machine description or the run says to what a host inventory lists."""
    figure = choose(evidence, "accelerator_count") or choose(evidence, "world_size") or world
    listed = choose(evidence, "visible_accelerators")
    if figure is not None or listed is None or listed.number == 1:
        return figure or listed
    if listed.facts[0].locator.startswith("lines "):
        return listed  # the run itself printed the table that its devices stand in
    # A host's inventory says what a run could have used; which of them it did use is another matter.
    return replace(
        listed, bound="at most", derivation=f"{listed.derivation}, listed and perhaps idle"
    )


def _tokens_per_sample(evidence: Evidence, rules: Benchmark | None) -> Resolved | None:
    figure = choose(evidence, "tokens_per_sample") or choose(evidence, "sequence_length")
    if figure is not None:
        return figure
    limit = choose(evidence, "sequence_limit")
    if limit is not None and rules is None:
        return replace(limit, bound="at most", derivation=f"{limit.derivation}, a limit")
    if rules is None or rules.tokens_per_sample is None:
        return None
    return _computed(
        rules.tokens_per_sample, "tokens", (), f"the benchmark's rules ({rules.source})"
    )


def _each_process(evidence: Evidence) -> Resolved | None:
    """Give the samples of one process's pass; a loop's own word for it counts where it accumulates."""
    figure = choose(evidence, "per_process_batch")
    if figure is not None or choose(evidence, "gradient_accumulation") is None:
        return figure
    return choose(evidence, "loop_batch")


def _batch_by_rates(evidence: Evidence) -> Resolved | None:
    """Samples a step from the Trainer's rates: what was planned, divided by the same time."""
    rate = choose(evidence, "planned_train_samples_per_second")
    seconds, steps = choose(evidence, "timed_seconds"), choose(evidence, "planned_steps")
    pace = choose(evidence, "planned_train_steps_per_second")
    if rate is None:
        return None
    if seconds is not None and steps is not None:
        batch, facts = (
            rate.number * seconds.number / steps.number,
            (*rate.facts, *seconds.facts, *steps.facts),
        )
    elif pace is not None:
        batch, facts = rate.number / pace.number, (*rate.facts, *pace.facts)
    else:
        return None
    whole = _whole_passes(evidence, batch)
    if whole is None and (
        batch < 0.75 or abs(batch - round(batch)) > max(0.02, 0.01 * batch) or seconds is None
    ):
        return None
    return _computed(
        whole or round(batch),
        "samples",
        facts,
        "samples a second / steps a second, rounded to whole passes of the processes",
    )


#: The last batch of an epoch is smaller, so a mean batch may lie so far below a full one.
_SHORT_LAST_BATCH = 0.93


def _whole_passes(evidence: Evidence, batch: float) -> int | None:
    """Round a mean batch up to whole passes of whole processes, where the pass of one is known."""
    each = _each_process(evidence)
    if each is None:
        return None
    accumulation = choose(evidence, "gradient_accumulation")
    size = each.number * (accumulation.number if accumulation else 1)
    multiple = math.ceil(batch / size * (1 - 0.005))
    return round(multiple * size) if batch >= _SHORT_LAST_BATCH * multiple * size else None


def _world(evidence: Evidence, batch: Resolved | None) -> Resolved | None:
    """Processes that trained, by batch arithmetic: global batch / (a process's x accumulation)."""
    per_process = _each_process(evidence)
    if batch is None or per_process is None:
        return None
    accumulation = choose(evidence, "gradient_accumulation")
    if accumulation is None and not evidence.named("visible_accelerators"):
        return None  # without a word on accumulation, a quotient of 8 may be 8 passes of one GPU
    each = per_process.number * (accumulation.number if accumulation else 1)
    if batch.number % each:
        return None
    facts = (*batch.facts, *per_process.facts, *(accumulation.facts if accumulation else ()))
    return _computed(
        round(batch.number / each),
        "devices",
        facts,
        f"{batch.value:,} samples a step / {each:,.0f} a process, accumulation included",
    )


def _global_batch(evidence: Evidence, count: Resolved | None) -> Resolved | None:
    """Samples a step from the batch of one process, where the number of processes is known."""
    per_process = _each_process(evidence)
    world = choose(evidence, "world_size") or count
    if per_process is None or world is None:
        return None
    accumulation = choose(evidence, "gradient_accumulation")
    facts = (*per_process.facts, *world.facts, *(accumulation.facts if accumulation else ()))
    times = accumulation.number if accumulation else 1
    return _computed(
        per_process.number * world.number * times,
        "samples",
        facts,
        f"{per_process.value:,} a process x {world.value:,} processes x {times:,} accumulated",
        world.bound,
    )


def _amount(
    evidence: Evidence, figures: dict[str, Resolved | None], rules: Benchmark | None
) -> dict[str, Resolved | None]:
    """Tokens and samples, whichever was logged, and the other from the length of a sample."""
    tokens, samples = choose(evidence, "tokens"), choose(evidence, "samples")
    steps, batch = figures["steps"], figures["global_batch"]
    length = figures["tokens_per_sample"]
    if tokens is None and samples is None and steps is not None and batch is not None:
        samples = _product(steps, batch, "samples", "steps x global batch")
    if tokens is None and samples is None:
        samples = _samples_otherwise(evidence, figures)
    text = rules is None or rules.tokens_per_sample is not None
    if length is not None and text:
        bound: Bound = "at most" if rules is not None and rules.padded else length.bound
        opposed = samples is not None and _opposed(samples, length)
        if tokens is None and samples is not None and not opposed:
            tokens = _product(samples, length, "tokens", "samples x tokens a sample", bound)
        elif (
            samples is None
            and tokens is not None
            and length.bound == "exact"
            and tokens.number % length.number == 0
        ):
            samples = _computed(
                int(tokens.number // length.number),
                "samples",
                (*tokens.facts, *length.facts),
                "tokens / tokens a sample",
            )
    return {"tokens": tokens, "samples": samples}


def _samples_otherwise(evidence: Evidence, figures: dict[str, Resolved | None]) -> Resolved | None:
    """Samples where steps and batch do not tell them: passes over the data, else a bound."""
    epochs, size, steps = figures["epochs"], figures["dataset_samples"], figures["steps"]
    if epochs is not None and size is not None:
        found = _product(epochs, size, "samples", "epochs x size of the data set")
        return replace(found, value=round(found.number))
    rate, seconds = choose(evidence, "planned_train_samples_per_second"), figures["timed_seconds"]
    if rate is not None and seconds is not None and seconds.bound == "exact":
        how = "samples planned, by rate x seconds; fewer if the run stopped early"
        planned = _product(rate, seconds, "samples", how, "at most")
        return replace(planned, value=round(planned.number))
    each = _each_process(evidence)
    if steps is not None and each is not None:
        how = "steps x batch of one process, with as many processes and passes as there were"
        return _product(steps, each, "samples", how, "at least")
    return None


def _accelerator_seconds(
    evidence: Evidence, figures: dict[str, Resolved | None]
) -> Resolved | None:
    seconds, count = figures.get("timed_seconds"), figures["accelerator_count"]
    opposed = seconds is not None and count is not None and _opposed(seconds, count)
    if seconds is not None and count is not None and not opposed:
        return _product(seconds, count, "s", "timed seconds x accelerators")
    return choose(evidence, "accelerator_seconds")


def _evaluation(
    evidence: Evidence, figures: dict[str, Resolved | None], rules: Benchmark | None
) -> dict[str, Resolved | None]:
    tokens, samples = choose(evidence, "evaluation_tokens"), choose(evidence, "evaluation_samples")
    length = figures["tokens_per_sample"]
    if tokens is None and samples is not None and length is not None:
        bound: Bound = "at most" if rules is not None and rules.padded else length.bound
        tokens = _product(samples, length, "tokens", "evaluation samples x tokens a sample", bound)
    return {"evaluation_tokens": tokens, "evaluation_samples": samples}


def _from_benchmark(
    figures: dict[str, Resolved | None], rules: Benchmark | None
) -> dict[str, Resolved | None]:
    """Fill in what the benchmark's rules fix, where no evidence says it."""
    if rules is None:
        return {}
    fixed: dict[str, float | str | None] = {
        "parameters": rules.parameters,
        "trainable_parameters": rules.trainable_parameters,
        "kind": rules.kind,
    }
    return {
        name: _computed(value, _unit(name), (), f"the benchmark's rules ({rules.source})")
        for name, value in fixed.items()
        if value is not None and figures[name] is None
    }


def _of_shards(evidence: Evidence) -> Resolved | None:
    """Add up the parameters of a model's shards, if all of them are there."""
    shards = evidence.named("parameters_of_shard")
    marks = [SHARD.search(fact.file) for fact in shards]
    numbers = {(int(mark[1]), int(mark[2])) for mark in marks if mark is not None}
    wanted = {total for _, total in numbers}
    if len(wanted) != 1 or len(shards) != len(numbers) or len(numbers) != wanted.pop():
        return None
    total = sum(int(fact.value) for fact in shards)
    return _computed(total, "parameters", shards, f"the sum of {len(shards)} shards")


def _implied_parameters(figures: dict[str, Resolved | None]) -> Resolved | None:
    claim, tokens = figures["claimed_flop"], figures.get("tokens")
    if claim is None or tokens is None:
        return None
    return _computed(
        claim.number / (6 * tokens.number),
        "parameters",
        (*claim.facts, *tokens.facts),
        "claimed FLOP / (6 x tokens)",
    )


def _opposed(one: Resolved, other: Resolved) -> bool:
    """Say whether the product of two figures is bounded on neither side."""
    return {one.bound, other.bound} == {"at least", "at most"}


def _product(
    left: Resolved, right: Resolved, unit: str, derivation: str, bound: Bound = "exact"
) -> Resolved:
    if bound == "exact":
        bound = right.bound if left.bound == "exact" else left.bound
    facts = tuple(dict.fromkeys((*left.facts, *right.facts)))
    value = left.number * right.number
    return _computed(value, unit, facts, f"{derivation}: {left.value:,} x {right.value:,}", bound)


def _computed(
    value: float | str,
    unit: str | None,
    facts: tuple[Fact, ...],
    derivation: str,
    bound: Bound = "exact",
) -> Resolved:
    return Resolved(value=value, unit=unit, facts=facts, derivation=derivation, bound=bound)


def _unit(name: str) -> str | None:
    return NAMES[name][0] if name in NAMES else None

"""One run's evidence to the figures that methods need.

A figure is chosen, never averaged: the stronger grade wins, then the earlier fact; those that say
otherwise stay beside it, and a disagreement that matters becomes a finding. What no fact gives is
computed from others where the arithmetic is exact (steps x batch), and says so.
"""

from dataclasses import replace

from flopcount.model_files.weight_files import shard_of
from flopledger.facts import Finding, Grade
from flopledger.logs import accounts, adapters, batches, checks, series, statements, telemetry
from flopledger.logs.architecture import find_shape
from flopledger.logs.benchmarks import Benchmark, benchmark
from flopledger.logs.choosing import choose, computed, opposed, product, unit_of
from flopledger.logs.evidence import Evidence
from flopledger.logs.run_facts import Bound, Resolved, RunFacts

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
    "experts",
    "passes",
    "tuning_passes",
    "dataset_tokens",
    "dataset_samples",
    "steps",
    "first_step",
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
    figures["global_batch"] = figures["global_batch"] or batches.batch_by_rates(evidence)
    world = batches.world(evidence, figures["global_batch"])
    figures["accelerator_count"] = batches.accelerator_count(evidence, world)
    figures["tokens_per_sample"] = _tokens_per_sample(evidence, rules)
    figures["global_batch"] = figures["global_batch"] or batches.global_batch(
        evidence, figures["accelerator_count"]
    )
    if several is None:
        figures["timed_seconds"] = _timed_seconds(evidence) or _of_record(evidence)
        figures |= _amount(evidence, figures, rules)
    figures["wall_seconds"] = _whole_job(evidence, figures)
    figures["accelerator_seconds"] = _accelerator_seconds(evidence, figures) or seen.device_seconds
    figures["energy_joules"] = seen.energy_joules or figures["energy_joules"]
    figures["energy_boundary"] = seen.energy_boundary or figures["energy_boundary"]
    nodes = [int(fact.value) for fact in evidence.named("nodes")]
    recorded = seen.recorded
    if recorded is not None and nodes:
        recorded = replace(recorded, nodes_of_run=max(nodes))
    figures |= _evaluation(evidence, figures, rules)
    figures |= _from_benchmark(figures, rules)
    figures["implied_parameters"] = _implied_parameters(figures)
    findings = [*evidence.findings, *settled, *said]
    findings += [several] if several else []
    findings += seen.findings
    findings += checks.conflicts(figures)
    findings += accounts.compared(evidence)
    findings += accounts.held(evidence, figures["accelerator_seconds"])
    findings += checks.arithmetic(evidence, figures, shape)
    findings += checks.visible_devices(evidence, figures["accelerator_count"])
    return RunFacts(
        **figures,
        recorded=recorded,
        repeated_recordings=seen.repeats,
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
    return computed(
        seen.number, "s", (seen.facts[0],), "to the last event of what is at hand", "at least"
    )


def _whole_job(evidence: Evidence, figures: dict[str, Resolved | None]) -> Resolved | None:
    """Take the job that can hold the timed part, where a folder has the times of several."""
    wall, timed = figures["wall_seconds"], figures.get("timed_seconds")
    if wall is None or (timed is not None and wall.number >= timed.number):
        return wall
    if timed is None:
        # The jobs of one account, one after the other or at once: none of their times is the run's.
        return None if any(one.file == wall.facts[0].file for one in wall.alternatives) else wall
    longer = [fact for fact in evidence.named("wall_seconds") if float(fact.value) >= timed.number]
    if not longer:
        return wall
    return computed(
        float(longer[0].value), "s", (longer[0],), f"{longer[0].place}, which holds the timed part"
    )


def _of_record(evidence: Evidence) -> Resolved | None:
    """Take the time of the one watched command, where no log gives a timed part of it."""
    facts = [fact for fact in evidence.named("wall_seconds") if fact.grade is Grade.INSTRUMENT]
    if len(facts) != 1:
        return None
    return computed(
        float(facts[0].value), "s", (facts[0],), f"the watched command, {facts[0].place}"
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
    return computed(
        rules.tokens_per_sample, "tokens", (), f"the benchmark's rules ({rules.source})"
    )


def _amount(
    evidence: Evidence, figures: dict[str, Resolved | None], rules: Benchmark | None
) -> dict[str, Resolved | None]:
    """Tokens and samples, whichever was logged, and the other from the length of a sample."""
    tokens, samples = choose(evidence, "tokens"), choose(evidence, "samples")
    least = choose(evidence, "tokens_at_least")
    steps, batch = figures["steps"], figures["global_batch"]
    length = figures["tokens_per_sample"]
    if tokens is None and samples is None and steps is not None and batch is not None:
        samples = product(steps, batch, "samples", "steps x global batch")
    if tokens is None and samples is None:
        samples = _samples_otherwise(evidence, figures)
    if tokens is None and samples is None and least is not None:
        most = choose(evidence, "tokens_of_passes_at_most")
        tokens = replace(least, bound="at least", most=None if most is None else most.number)
    text = rules is None or rules.tokens_per_sample is not None
    if length is not None and text:
        bound: Bound = "at most" if rules is not None and rules.padded else length.bound
        if tokens is None and samples is not None and not opposed(samples, length):
            tokens = product(samples, length, "tokens", "samples x tokens a sample", bound)
        elif (
            samples is None
            and tokens is not None
            and length.bound == "exact"
            and tokens.number % length.number == 0
        ):
            samples = computed(
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
        found = product(epochs, size, "samples", "epochs x size of the data set")
        return replace(found, value=round(found.number))
    rate, seconds = choose(evidence, "planned_train_samples_per_second"), figures["timed_seconds"]
    if rate is not None and seconds is not None and seconds.bound == "exact":
        how = "samples planned, by rate x seconds; fewer if the run stopped early"
        planned = product(rate, seconds, "samples", how, "at most")
        return replace(planned, value=round(planned.number))
    each = batches.each_process(evidence)
    if steps is not None and each is not None:
        how = "steps x batch of one process, with as many processes and passes as there were"
        return product(steps, each, "samples", how, "at least")
    return None


def _accelerator_seconds(
    evidence: Evidence, figures: dict[str, Resolved | None]
) -> Resolved | None:
    staged = choose(evidence, "staged_accelerator_seconds")
    if staged is not None:
        return staged
    seconds, count = figures.get("timed_seconds"), figures["accelerator_count"]
    if seconds is not None and count is not None and not opposed(seconds, count):
        return product(seconds, count, "s", "timed seconds x accelerators")
    figure = choose(evidence, "accelerator_seconds")
    several = accounts.several(evidence)
    if figure is None:
        part = choose(evidence, "accelerator_seconds_at_least")
        told = "a part of what was held is listed"
        return part and replace(part, bound="at least", derivation=f"{part.derivation}, {told}")
    if several:
        total = sum(float(fact.value) for fact in several)
        told = "sum of accounts that may tell the same hours twice"
        figure = computed(total, "s", several, told, "at most")
    if any(_may_be_a_part(evidence, fact.file) for fact in figure.facts):
        figure = replace(figure, is_whole_run=False)
    return figure


#: Accounts of what is still there, or of what one contract paid for in a month: a run may have had more.
_OF_A_PART = frozenset({"aws-bill", "azure-bill", "google-bill", "kubernetes"})


def _may_be_a_part(evidence: Evidence, file: str) -> bool:
    source = evidence.sources.get(file)
    return source is not None and source.format in _OF_A_PART


def _evaluation(
    evidence: Evidence, figures: dict[str, Resolved | None], rules: Benchmark | None
) -> dict[str, Resolved | None]:
    tokens, samples = choose(evidence, "evaluation_tokens"), choose(evidence, "evaluation_samples")
    length = figures["tokens_per_sample"]
    if tokens is None and samples is not None and length is not None:
        bound: Bound = "at most" if rules is not None and rules.padded else length.bound
        tokens = product(samples, length, "tokens", "evaluation samples x tokens a sample", bound)
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
        name: computed(value, unit_of(name), (), f"the benchmark's rules ({rules.source})")
        for name, value in fixed.items()
        if value is not None and figures[name] is None
    }


def _of_shards(evidence: Evidence) -> Resolved | None:
    """Add up the parameters of a model's shards, if all of them are there."""
    shards = evidence.named("parameters_of_shard")
    numbers = {found for fact in shards if (found := shard_of(fact.file)) is not None}
    wanted = {total for _, total in numbers}
    if len(wanted) != 1 or len(shards) != len(numbers) or len(numbers) != wanted.pop():
        return None
    total = sum(int(fact.value) for fact in shards)
    return computed(total, "parameters", shards, f"the sum of {len(shards)} shards")


def _implied_parameters(figures: dict[str, Resolved | None]) -> Resolved | None:
    claim, tokens = figures["claimed_flop"], figures.get("tokens")
    if claim is None or tokens is None:
        return None
    return computed(
        claim.number / (6 * tokens.number),
        "parameters",
        (*claim.facts, *tokens.facts),
        "claimed FLOP / (6 x tokens)",
    )

"""What in one run's evidence does not fit together."""

import re
from collections.abc import Mapping

from flopledger.facts import Fact, Finding, Grade
from flopledger.logs.architecture import Shape
from flopledger.logs.evidence import Evidence
from flopledger.logs.run_facts import Resolved
from flopledger.text import number

#: Two numbers closer than this are one number, printed twice.
_SAME = 0.005


def differ(left: object, right: object) -> bool:
    """Say whether two values of one name disagree."""
    if isinstance(left, bool) or isinstance(right, bool) or not _numbers(left, right):
        return str(left).strip().lower() != str(right).strip().lower()
    assert isinstance(left, int | float)
    assert isinstance(right, int | float)
    return abs(left - right) > _SAME * max(abs(left), abs(right))


def _numbers(*values: object) -> bool:
    return all(isinstance(value, int | float) for value in values)


def several_runs(evidence: Evidence) -> Finding | None:
    """Say when the evidence holds more than one timed run, whose figures nobody may mix."""
    ends = {
        (fact.file): fact
        for fact in evidence.named("timed_seconds")
        if any(other.file == fact.file for other in evidence.named("started"))
    }
    if len(ends) < 2:
        return None
    listed = ", ".join(f"{fact.file} ({fact.value:,} s)" for fact in list(ends.values())[:5])
    return Finding(
        code="several-runs",
        severity="error",
        message=f"{len(ends)} logs of timed runs are handed in as one run: {listed}; give each its "
        "own [[run]], since all of them are compute spent",
        evidence=tuple(fact.place for fact in ends.values()),
    )


#: Figure -> (code, severity) of a finding when facts of it disagree.
_CONFLICTS: dict[str, str] = {
    "accelerator_count": "device-count-mismatch",
    "timed_seconds": "clock-disagreement",
    "tokens": "evidence-conflict",
    "samples": "evidence-conflict",
    "steps": "evidence-conflict",
    "global_batch": "evidence-conflict",
    "claimed_flop": "evidence-conflict",
    "precision": "evidence-conflict",
    "energy_joules": "energy-disagreement",
    "parameters": "evidence-conflict",
}


def conflicts(figures: Mapping[str, Resolved | None]) -> list[Finding]:
    """Turn facts of one name that disagree into findings."""
    found = []
    for name, code in _CONFLICTS.items():
        figure = figures.get(name)
        if figure is None or not figure.alternatives or not figure.facts:
            continue
        readings = (figure.facts[0], *figure.alternatives)
        words = "; ".join(f"{_spell(fact.value)} ({fact.place})" for fact in readings[:6])
        found.append(
            Finding(
                code="amount-mismatch" if _is_contradiction(name, figure) else code,
                severity="warning",
                message=f"{name.replace('_', ' ')}: {words}. The first is used",
                evidence=tuple(fact.place for fact in readings),
            )
        )
    return found


#: Amounts of one run that differ by more are not rounded, padded or read a step apart.
_SAME_AMOUNT = 0.05


def _is_contradiction(name: str, figure: Resolved) -> bool:
    """Say whether two logs of one run count amounts that cannot both be: that asks, whichever is used.

    What is of a weaker kind (computed by a program, said in a text) leaves a log's word standing.
    """
    best = figure.facts[0]
    return name in ("tokens", "samples") and any(
        fact.grade is best.grade is not Grade.STATEMENT
        and fact.file != best.file
        and isinstance(fact.value, int | float)
        and abs(fact.value - figure.number) > _SAME_AMOUNT * max(fact.value, figure.number)
        for fact in figure.alternatives
    )


def _spell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def arithmetic(
    evidence: Evidence, figures: Mapping[str, Resolved | None], shape: Shape
) -> list[Finding]:
    """Check counts against each other: devices, batches, claims."""
    return [
        *_devices(evidence, figures),
        *_parts(evidence, figures),
        *_names(evidence),
        *_claim_of_values(evidence, figures, shape),
        *_claim_too_low(figures, shape),
        *_evaluation_time(evidence, figures),
        *_batch(figures),
        *_unfinished(evidence, figures),
    ]


def _devices(evidence: Evidence, figures: Mapping[str, Resolved | None]) -> list[Finding]:
    """Compare the device count with the ranks that logged and with the platform's own words."""
    count = figures.get("accelerator_count")
    if count is None:
        return []
    nodes = {int(fact.value) for fact in evidence.named("nodes") if _numbers(fact.value)}
    # Where every rank logs its start, it is one line a device (or one a node).
    found = [
        _mismatch(count, fact, f"{fact.value} ranks logged their start")
        for fact in evidence.named("ranks_logged")
        if fact.value not in {*nodes, count.number}
    ]
    # Each rank drives a device: a scheduler that gave another number, or a log of another job.
    found += [
        _mismatch(count, fact, f"{fact.value:,} ranks trained")
        for fact in evidence.named("world_size")
        if fact not in count.facts
        and isinstance(fact.value, int)
        and count.bound == "exact"
        and differ(fact.value, count.value)
    ][:1]
    for fact in evidence.named("platform"):
        match = re.match(r"(\d{1,6})\s*x", str(fact.value))
        if match and int(match[1]) not in nodes | {count.number, 1}:
            found.append(_mismatch(count, fact, f"the platform is called {fact.value!r}"))
    return found


def visible_devices(evidence: Evidence, count: Resolved | None) -> list[Finding]:
    """Compare the devices that trained with what a host inventory lists."""
    if count is None:
        return []
    listed = [
        fact
        for fact in evidence.named("visible_accelerators")
        if fact not in count.facts and differ(fact.value, count.value)
    ]
    return [
        Finding(
            code="device-count-mismatch",
            severity="warning",
            message=f"{_spell(count.value)} devices trained ({count.derivation}), but the host "
            f"lists {_spell(fact.value)}: an inventory shows what is visible, not what was used",
            evidence=(*(item.place for item in count.facts), fact.place),
        )
        for fact in listed[:1]
        # A node's inventory beside a job of many such nodes is no contradiction.
        if not (isinstance(fact.value, int) and count.number % fact.value == 0)
        or count.number < float(fact.value)
    ]


def _mismatch(count: Resolved, fact: Fact, words: str) -> Finding:
    places = tuple(item.place for item in (*count.facts, fact))
    return Finding(
        code="device-count-mismatch",
        severity="warning",
        message=f"{count.value:,} devices are described, but {words}",
        evidence=places,
    )


#: Names that occur in server and system names as well are left out: a G492 is no GPU.
_PART = re.compile(
    r"(?<![A-Za-z0-9])(?:G?[BH]\d00|[AHV]100|A800|H800|H20|A[34]0|A10|A6000|P100|L40S?|L4|T4|"
    r"MI\d{3}[XA]?|Gaudi(?:\(R\))? ?\d|RTX[ -]?\w?\d{4}|TPU[ -]?v\d[ep]?)(?![a-z0-9])",
    re.IGNORECASE,
)


def part_words(text: str) -> set[str]:
    """Give the names of parts in a text, in one spelling."""
    words = {re.sub(r"\(R\)|[\s-]", "", match[0].upper()) for match in _PART.finditer(text)}
    # A superchip is named after its processor and its GPU: GB200 holds B200.
    return {word.removeprefix("G") if re.fullmatch(r"G[BH]\d+", word) else word for word in words}


def _parts(evidence: Evidence, figures: Mapping[str, Resolved | None]) -> list[Finding]:
    """Compare the names of the part in all documents."""
    chosen = figures.get("accelerator")
    if chosen is None or not chosen.facts:
        return []
    mine = part_words(str(chosen.value))
    found = []
    for name in ("accelerator", "platform", "system", "hardware_notes"):
        for fact in evidence.named(name):
            theirs = part_words(str(fact.value))
            if mine and theirs and not mine & theirs:
                found.append(
                    Finding(
                        code="accelerator-mismatch",
                        severity="warning",
                        message=f"the part is {chosen.value!r} in one place and {fact.value!r} in "
                        "another; each implies its own peak",
                        evidence=(chosen.facts[0].place, fact.place),
                    )
                )
    return found


def _names(evidence: Evidence) -> list[Finding]:
    """Compare the names that files give the base model."""
    names: dict[str, Fact] = {}
    for name in ("base_model", "model"):
        for fact in evidence.named(name):
            text = str(fact.value).rstrip("/").split("/")[-1].lower()
            if "/" in str(fact.value):
                names.setdefault(text, fact)
    if len(names) < 2:
        return []
    listed = list(names.values())
    return [
        Finding(
            code="config-name-mismatch",
            severity="info",
            message="the files name different models: "
            + ", ".join(str(fact.value) for fact in listed[:4])
            + "; names are claims about content",
            evidence=tuple(fact.place for fact in listed),
        )
    ]


def _claim_of_values(
    evidence: Evidence, figures: Mapping[str, Resolved | None], shape: Shape
) -> list[Finding]:
    """Find a ``total_flos`` that took every input value (mel bins, pixels) for a token."""
    claim, samples = figures.get("claimed_flop"), figures.get("samples")
    values, what = _input_values(evidence, shape)
    weights = _matrix_weights(shape)
    if claim is None or samples is None or values is None or weights is None:
        return []
    implied = claim.number / (6 * values * samples.number)
    # Embeddings are left out by the counter and biases by us, hence the slack.
    if not 0.7 < implied / weights < 1.4:
        return []
    return [
        Finding(
            code="counter-implausible",
            severity="error",
            message=f"the software's total of {number(claim.number)} FLOP is 6 x {number(implied)} "
            f"parameters x {samples.number:,.0f} samples x {values:,} {what}: the counter took every "
            "value of the input for a token, which is some hundred times too many",
            evidence=tuple(fact.place for fact in claim.facts),
        )
    ]


def _evaluation_time(evidence: Evidence, figures: Mapping[str, Resolved | None]) -> list[Finding]:
    """Find a time that evaluations alone exceed: it is of the last process of a resumed run."""
    timed = figures.get("timed_seconds")
    spent = next((fact for fact in evidence.named("evaluation_seconds")), None)
    if timed is None or spent is None or float(spent.value) <= timed.number:
        return []
    return [
        Finding(
            code="coverage-gap",
            severity="warning",
            message=f"evaluations alone took {float(spent.value):,.0f} s, but the run's time is "
            f"{timed.number:,.0f} s: it was resumed, and the time is of its last part",
            evidence=(*(fact.place for fact in timed.facts), spent.place),
        )
    ]


#: A training step below this is none: 32 tokens through a model of 16 million weights cost more.
_LEAST_STEP_FLOP = 3e9
#: Claimed FLOP a token over 6 x weights below this is a counter that missed most of the model.
_LEAST_SHARE = 0.2


def _claim_too_low(figures: Mapping[str, Resolved | None], shape: Shape) -> list[Finding]:
    """Find a total that misses most of the model, as counters do whose weights are partitioned."""
    claim, steps = figures.get("claimed_flop"), figures.get("steps")
    weights, implied = _matrix_weights(shape), figures.get("implied_parameters")
    if claim is None or figures.get("recorded_model_flop") is not None:
        return []  # a run that was counted step by step tells by itself how small its steps are
    if implied is not None and weights is not None and implied.number < _LEAST_SHARE * weights:
        seen = f"{implied.number:.3g} parameters by 6 x tokens, but the shape holds {weights:.3g}"
    elif steps is not None and claim.number < _LEAST_STEP_FLOP * steps.number:
        seen = f"{claim.number / steps.number:.3g} FLOP an optimizer step"
    else:
        return []
    return [
        Finding(
            code="counter-implausible",
            severity="warning",
            message=f"claimed {claim.number:.4g} FLOP is {seen}: far too few, as where parameters "
            "are partitioned while they are counted (ZeRO-3, FSDP)",
            evidence=tuple(fact.place for fact in claim.facts),
        )
    ]


def _input_values(evidence: Evidence, shape: Shape) -> tuple[int | None, str]:
    """Count the numbers of one input of an audio or image model."""

    def config(key: str) -> int | None:
        fact = next((fact for fact in evidence.named(f"config.{key}")), None)
        return int(fact.value) if fact is not None else None

    frames = (shape.input or {}).get("audio_frames")
    bins, side = config("num_mel_bins"), config("image_size")
    if bins is not None and isinstance(frames, int):
        return bins * frames, "mel values"
    if side is not None and shape.model_type in ("vit", "deit", "swin", "convnext", "beit"):
        return side * side * (config("num_channels") or 3), "pixel values"
    return None, ""


def _matrix_weights(shape: Shape) -> float | None:
    """Estimate the weights of the blocks: 4 h² an attention, so many h x ffn a feed-forward."""
    sizes = shape.architecture or {}
    hidden, ffn = sizes.get("hidden"), sizes.get("ffn")
    if not isinstance(hidden, int) or not isinstance(ffn, int):
        return None
    feed_forward = int(sizes.get("ffn_matrices", 2)) * hidden * ffn
    attention = 4 * hidden * hidden
    encoder = int(sizes.get("encoder_layers", sizes.get("layers", 0)))
    decoder = int(sizes.get("decoder_layers", 0))
    # A decoder layer beside an encoder attends twice: to itself and across.
    return float(encoder * (attention + feed_forward) + decoder * (2 * attention + feed_forward))


def _batch(figures: Mapping[str, Resolved | None]) -> list[Finding]:
    """Compare steps x batch with the samples that were counted apart."""
    steps, batch, samples = (
        figures.get("steps"),
        figures.get("global_batch"),
        figures.get("samples"),
    )
    if steps is None or batch is None or samples is None or steps.facts[0] in samples.facts:
        return []
    if not differ(steps.number * batch.number, samples.number):
        return []
    return [
        Finding(
            code="evidence-conflict",
            severity="warning",
            message=f"{steps.number:,.0f} steps x {batch.number:,.0f} samples is "
            f"{steps.number * batch.number:,.0f}, but {samples.number:,.0f} samples were counted",
            evidence=tuple(fact.place for fact in (*steps.facts, *batch.facts, *samples.facts)),
        )
    ]


#: The last print of a log may lie this share before the end.
_LAST_PRINT = 0.01
_SAID = frozenset({"stopped-early", "aborted-run"})


def _unfinished(evidence: Evidence, figures: Mapping[str, Resolved | None]) -> list[Finding]:
    """Say so where a log ends before the steps that it planned, and its reader did not."""
    steps, planned = figures.get("steps"), evidence.named("planned_steps")
    if steps is None or not planned or any(one.code in _SAID for one in evidence.findings):
        return []
    begun = max((float(fact.value) for fact in evidence.named("first_step")), default=0.0)
    last, goal = begun + steps.number, min(float(fact.value) for fact in planned)
    if last >= goal * (1 - _LAST_PRINT):
        return []
    return [
        Finding(
            code="stopped-early",
            severity="info",
            message=f"the log ends at step {last:,.0f} of {goal:,.0f}: the run was stopped, or this "
            "is a part of its log; what is counted is what the log shows",
            evidence=(*(fact.place for fact in steps.facts), planned[0].place),
        )
    ]

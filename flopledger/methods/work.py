"""What one run asks of its model: FLOP a sample, and how many samples.

The architecture routes (counted and closed-form) differ in where the cost of one sample comes from;
what they do with it is the same and stands here once.

    FLOP = samples x (matrix products + attention x mask)
    frozen weights (LoRA, partial training): no weight gradient, so 4 instead of 6 a weight and token

A causal mask leaves about half of the attention scores, a sliding window fewer. Kernels skip the
rest or do not, and claims count it or do not: where the case does not say, the interval runs from
masked to full and the best figure is the full one, the field's convention (`flopledger count`
prints the same).
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from flopledger.estimate import ComputeEstimate, Draws, log_variances, summarize
from flopledger.inputs import (
    FORWARD_ONLY,
    Input,
    RunFigures,
    at_most_where_padded,
    product,
    scaled,
)
from flopledger.quantity import Interval, Quantity, exact, lognormal
from flopledger.text import number

if TYPE_CHECKING:
    from flopledger.methods.passes import Pass
    from flopledger.methods.sample_costs import Costed
    from flopledger.quantity import Samples

EXACTLY_ONE = exact(1.0)
GROUP = "architecture x amount trained"
#: Totals that no convention supports, but that careless reports quote: for mixtures of experts, for
#: models whose tokens meet one of two halves, where weights were frozen, where nothing was trained.
ALL_EXPERTS = "6ND over all experts"
BOTH_HALVES = "6ND over encoder and decoder alike"
ALL_TRAINED = "every weight trained"
TRAPS = frozenset({ALL_EXPERTS, BOTH_HALVES, ALL_TRAINED})
ArchitectureMethod = Literal["counted", "closed-form"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleCost:
    """FLOP of one sample of ``tokens_per_sample`` tokens, attention in full.

    ``matrix_*`` are products with weights and convolutions, ``attention_*`` the products between
    activations that a mask thins out.
    """

    matrix_forward: float
    matrix_backward: float
    attention_forward: float
    attention_backward: float
    mask_share: float  #: share of the attention products that the model's own mask leaves
    tokens_per_sample: float | None  #: ``None`` where the model has no tokens
    sigma: float  #: of the logarithm: what this source of the cost leaves open
    sequence_known: bool = True
    #: what is open about the cost itself, as a factor: an uncertain parameter count, say
    scale: Quantity = EXACTLY_ONE

    @property
    def forward(self) -> float:
        """One forward pass."""
        return self.matrix_forward + self.attention_forward

    @property
    def total(self) -> float:
        """Forward and backward, every weight trained."""
        return self.forward + self.matrix_backward + self.attention_backward


def amount(run: RunFigures, cost: SampleCost) -> Input | None:
    """Give the number of samples of ``cost``'s size that ``run`` processed, if it is known."""
    if cost.tokens_per_sample is None:
        return run.samples
    tokens = run.tokens
    if tokens is None and run.samples is not None and run.tokens_per_sample is not None:
        tokens = product("tokens", "tokens", run.samples, run.tokens_per_sample)
    if tokens is not None:
        return scaled(tokens, 1 / cost.tokens_per_sample, name="tokens", unit="samples")
    # Samples alone are an amount only where the cost is of a sample of known length.
    if not (cost.sequence_known and cost.tokens_per_sample > 1) or run.samples is None:
        return None
    return at_most_where_padded(run, run.samples)


def estimate(
    method: ArchitectureMethod,
    run: RunFigures,
    cost: SampleCost,
    draws: Draws,
    *,
    inputs: tuple[Input, ...],
    assumptions: tuple[str, ...],
) -> ComputeEstimate | None:
    """Multiply cost and amount; ``None`` if the amount is unknown, a bound if it is one."""
    samples = amount(run, cost)
    if samples is None:
        return None
    shown = run.tokens if samples.name == "tokens" and run.tokens else samples
    per_sample, mask, notes = _per_sample(run, cost)
    flop = samples.quantity.interval * Interval(low=mask.low, best=mask.best, high=mask.high)
    flop = flop * per_sample * cost.scale.interval
    known = (*inputs, shown)
    if run.trainable_parameters is not None:
        known = (*known, run.trainable_parameters)
    notes = (*assumptions, *notes)
    detail = "the model traced" if method == "counted" else ""
    if not (samples.quantity.is_two_sided and cost.scale.is_two_sided and mask.best is not None):
        return ComputeEstimate(
            method=method,
            run=run.name,
            basis="model",
            flop=_one_sided(flop),
            bound_only=True,
            independence_group=GROUP,
            inputs=known,
            assumptions=notes,
            detail=detail,
        )
    parts: dict[str, Samples] = {
        shown.name: draws.of(f"{run.name}/amount", samples.quantity),
        "attention mask": _mask_draws(run, mask, draws),
        "architecture": draws.of(f"{run.name}/{method}", lognormal(1.0, cost.sigma)),
        "parameters": draws.of(f"{run.name}/{method}/scale", cost.scale),
    }
    sample = per_sample * parts["parameters"] * parts[shown.name]
    sample = sample * parts["attention mask"] * parts["architecture"]
    return ComputeEstimate(
        method=method,
        run=run.name,
        basis="model",
        flop=summarize(sample, flop.best),
        bound_only=False,
        independence_group=GROUP,
        inputs=known,
        assumptions=notes,
        draws=sample,
        log_variance=log_variances(parts),
        detail=detail,
    )


#: A count from the shapes of the calls themselves; what is open is the formulas' conventions.
_RECORDED_SIGMA = 0.01


def recorded(run: RunFigures, draws: Draws) -> ComputeEstimate | None:
    """Take the count that the recorder made while the run went; a bound where parts are unknown."""
    count = run.recorded_flop
    if count is None:
        return None
    exact_count = count.quantity.best
    sample = None
    if exact_count is not None:
        sample = exact_count * draws.of(f"{run.name}/recorded", lognormal(1.0, _RECORDED_SIGMA))
    return ComputeEstimate(
        method="counted",
        run=run.name,
        basis="model",
        flop=_one_sided(count.quantity.interval)
        if sample is None
        else summarize(sample, exact_count),
        bound_only=sample is None,
        independence_group=GROUP,
        inputs=(count,),
        assumptions=(
            "counted by the recorder from the shapes of the calls that the run made; steps done "
            "again are not in it",
        ),
        draws=sample,
        detail="steps as they ran",
        log_variance=() if sample is None else log_variances({"recorded count": sample}),
    )


def with_passes(one: ComputeEstimate, beside: "tuple[Pass, ...]") -> ComputeEstimate:
    """Add the passes that took place beside training; the hours hold all of them."""
    if not beside:
        return one
    flop = one.flop
    for each in beside:
        flop = flop + each.flop
    notes = (*one.assumptions, *(each.note for each in beside))
    if one.draws is None:
        return replace(one, flop=flop, assumptions=notes)
    sample = one.draws + sum(each.draws for each in beside)
    return replace(one, flop=summarize(sample, flop.best), draws=sample, assumptions=notes)


def _per_sample(run: RunFigures, cost: SampleCost) -> tuple[float, Interval, tuple[str, ...]]:
    """Give FLOP a sample with full attention, the share that the mask leaves, and notes."""
    if _is_partly_trained_of_unknown_size(run, cost):
        least = (cost.matrix_forward + cost.attention_forward * cost.mask_share) / cost.total
        note = (
            "a part of the weights was trained, and how many positions of a sample they meet is not "
            "known: from a forward pass alone to every weight trained"
        )
        return cost.total, Interval(low=least, best=None, high=1.0), (note,)
    matrix, attention, notes = _passes(run, cost)
    full = matrix + attention
    if not cost.sequence_known:
        notes = (*notes, "sequence length not given: attention between tokens is left out")
    if attention == 0:
        return full, Interval(low=1.0, best=1.0, high=1.0), notes
    masked = (matrix + attention * cost.mask_share) / full
    if run.attention == "blocks":
        note = "attention is masked by blocks or windows of unknown size: from none to all of it"
        return full, Interval(low=matrix / full, best=None, high=masked), (*notes, note)
    if run.attention == "causal":
        note = "only the attention that the mask leaves is counted, as the case says"
        return full, Interval(low=masked, best=masked, high=masked), (*notes, note)
    if run.attention == "full" or masked == 1:
        return full, Interval(low=1.0, best=1.0, high=1.0), (*notes, "attention counted in full")
    note = (
        "attention counted in full; counting only what the mask leaves lowers the figure by "
        f"{1 - masked:.1%} (low end)"
    )
    return full, Interval(low=masked, best=1.0, high=1.0), (*notes, note)


def _passes(run: RunFigures, cost: SampleCost) -> tuple[float, float, tuple[str, ...]]:
    """Give matrix and attention FLOP a sample for the passes that this kind of run makes."""
    if run.kind in FORWARD_ONLY:
        note = f"kind {run.kind}: forward passes only"
        return cost.matrix_forward, cost.attention_forward, (note,)
    attention = cost.attention_forward + cost.attention_backward
    trained = _trainable(run)
    if run.kind == "lora" and (trained is None or not cost.tokens_per_sample):
        note = (
            "frozen weights cost 4 FLOP a token, not 6; the adapters' own work is not known and "
            "left out (a few per cent at most)"
        )
        return 2 * cost.matrix_forward, attention, (note,)
    if trained is None or not cost.tokens_per_sample:
        return cost.matrix_forward + cost.matrix_backward, attention, ()
    tokens = cost.tokens_per_sample
    # Frozen: forward (2) and the gradient of the activations (2). Trained weights add their own
    # gradient (2); adapters are extra weights and so cost all 6.
    each = 6 if run.kind == "lora" else 2
    matrix = 2 * cost.matrix_forward + each * trained * tokens
    note = (
        f"frozen weights cost 4 FLOP a token, not 6; {number(trained)} trainable "
        f"parameters {'are adapters beside the base' if each == 6 else 'are part of the model'}"
    )
    return matrix, attention, (note,)


def _is_partly_trained_of_unknown_size(run: RunFigures, cost: SampleCost) -> bool:
    """Say whether weights were frozen in a model without tokens (images, say), adapters apart."""
    without = run.kind in {*FORWARD_ONLY, "lora"}
    return run.trainable_parameters is not None and not cost.tokens_per_sample and not without


def _trainable(run: RunFigures) -> float | None:
    """Give the trained parameters; of a bound, the end that is there."""
    if run.trainable_parameters is None:
        return None
    ends = run.trainable_parameters.quantity.interval
    return ends.best or ends.high or ends.low


def _mask_draws(run: RunFigures, mask: Interval, draws: Draws) -> "Samples":
    """Draw the mask's share, flat between its ends: nothing says which convention was meant."""
    assert mask.low is not None
    assert mask.high is not None
    generator = draws.generator(f"{run.name}/mask")
    return generator.uniform(mask.low, mask.high, draws.count)


def _one_sided(flop: Interval) -> Interval:
    """Keep only the side that a bound supports."""
    return Interval(low=flop.low, best=None, high=flop.high)


def conventions(method: ArchitectureMethod, run: RunFigures, costed: "Costed") -> dict[str, float]:
    """Give the totals that an honest publisher may quote for this run: name -> FLOP.

    Empty where the amount is unknown. Where the rules of thumb do not describe the run (frozen weights,
    forward passes only), and beside the conventions, the totals of ``TRAPS`` that a mistake would give.
    """
    samples = amount(run, costed.cost)
    if samples is None or samples.quantity.best is None:
        return {}
    count, cost = samples.quantity.best, costed.cost
    if run.trainable_parameters is not None or run.kind in {*FORWARD_ONLY, "lora"}:
        return {ALL_TRAINED: count * cost.total}
    attention = cost.attention_forward + cost.attention_backward
    totals = {
        f"{method}, attention in full": count * cost.total,
        f"{method}, attention as masked": count * (cost.total - attention * (1 - cost.mask_share)),
        f"{method}, no attention": count * (cost.total - attention),
    }
    tokens = run.tokens.quantity.best if run.tokens else None
    if tokens is None:
        return totals
    everything, active = costed.parameters_total, costed.parameters_active
    if active is not None and everything is not None and active < everything:
        totals["6ND over active parameters"] = 6 * active * tokens
        totals[ALL_EXPERTS] = 6 * everything * tokens
    elif everything is not None and costed.has_two_halves:
        totals[BOTH_HALVES] = 6 * everything * tokens
    elif everything is not None:
        totals["6ND"] = 6 * everything * tokens
    if costed.parameters_core is not None:
        totals["6ND without embeddings"] = 6 * costed.parameters_core * tokens
    return totals

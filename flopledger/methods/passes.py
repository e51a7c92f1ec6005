"""Passes beside the training ones: rollouts, references, rewards, teachers, value models.

    rollouts    forward of the policy over every token that it generated, discarded samples too
    reference   forward of the frozen reference over the tokens trained on (the KL term)
    reward      forward of the reward model over what was generated
    teacher     forward of the teacher over the tokens trained on (distillation)
    value       forward and backward of the value model over the tokens trained on

A forward pass over n tokens costs what the closed form gives for n tokens, with or without a cache of
keys and values: a cache saves repetition, and generation without one is counted as if it had one.
All of them took place in the run's hours. Which ledger holds them is in ``scope``.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flopledger.errors import CaseError
from flopledger.estimate import Draws, summarize
from flopledger.inputs import Input, RunFigures
from flopledger.methods import counted, sample_costs
from flopledger.methods.models import Model
from flopledger.methods.work import SampleCost
from flopledger.quantity import Interval, lognormal
from flopledger.text import number

if TYPE_CHECKING:
    from flopledger.quantity import Samples


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Pass:
    """One kind of pass: what it costs, and what was assumed."""

    name: str  #: rollouts, reference, reward, teacher, value
    flop: Interval
    draws: "Samples" = field(repr=False)
    note: str


def of_run(
    run: RunFigures, loaded: dict[str, Model], own: SampleCost | None, draws: Draws, *, trace: bool
) -> tuple[Pass, ...]:
    """List the passes that the case names for ``run``; ``own`` is the cost of its own model."""
    found = []
    for name, model, tokens, whole in _asked(run):
        cost = own if model is None else _cost(loaded[model], run, trace=trace)
        if cost is None or not cost.tokens_per_sample:
            raise CaseError(
                f"{run.place}.{name}: the cost of a token cannot be found; give the model a config, "
                "an architecture or parameters"
            )
        if tokens is None or not tokens.quantity.is_two_sided:
            raise CaseError(
                f"{run.place}: {name} passes need a number of tokens: give tokens"
                + (" or rollout_tokens" if name in ("rollouts", "reward") else "")
            )
        found.append(_pass(run, name, model, tokens, cost, draws, whole=whole))
    return tuple(found)


def _asked(run: RunFigures) -> list[tuple[str, str | None, Input | None, bool]]:
    """List (pass, model or the run's own, tokens, whether it is trained)."""
    asked: list[tuple[str, str | None, Input | None, bool]] = []
    if run.rollout_tokens is not None:
        asked.append(("rollouts", None, run.rollout_tokens, False))
    if run.reference_model is not None:
        asked.append(("reference", run.reference_model, run.tokens, False))
    if run.reward_model is not None:
        asked.append(("reward", run.reward_model, run.rollout_tokens or run.tokens, False))
    if run.teacher_model is not None:
        asked.append(("teacher", run.teacher_model, run.tokens, False))
    if run.value_model is not None:
        asked.append(("value", run.value_model, run.tokens, True))
    return asked


def _cost(model: Model, run: RunFigures, *, trace: bool) -> SampleCost | None:
    formula = sample_costs.closed_form_cost(model, run.sequence_length)
    if formula is not None:
        return formula.cost
    if trace and model.config is not None:
        traced = counted.cost(model, run.sequence_length).costed
        return None if traced is None else traced.cost
    return None


def _pass(
    run: RunFigures,
    name: str,
    model: str | None,
    tokens: Input,
    cost: SampleCost,
    draws: Draws,
    *,
    whole: bool,
) -> Pass:
    assert cost.tokens_per_sample
    each = (cost.total if whole else cost.forward) / cost.tokens_per_sample
    sample = each * draws.of(f"{run.name}/{name}/tokens", tokens.quantity)
    sample = sample * draws.of(f"{run.name}/{name}/cost", lognormal(1.0, cost.sigma))
    if not cost.scale.is_two_sided:
        raise CaseError(f"{run.place}.{name}: the model's parameters are known on one side only")
    sample = sample * draws.of(f"{run.name}/{name}/scale", cost.scale)
    best = tokens.quantity.best
    flop = summarize(sample, None if best is None else each * best)
    kind = "forward and backward" if whole else "forward"
    note = f"{name}: {kind} of {model or 'the trained model'} over {number(best)} tokens"
    return Pass(name=name, flop=flop, draws=sample, note=note)

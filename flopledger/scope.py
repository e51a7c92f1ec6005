"""Which run counts in which ledger.

One number cannot serve every rule: the EU's indicative criterion looks at compute that directly
updates parameters, its systemic-risk presumption at everything cumulative, the US states at the run
and the developer's own later modifications. Each regime names its ledger; this table says what the
ledger holds, with the place of the rule.

Sources: C(2025) 5045 final, annex A.1 (a) and (b); California BPC 22757.11(i).
"""

from typing import Literal

from flopledger.inputs import RunFigures

Ledger = Literal["parameter_update", "eu_cumulative", "us_state", "cumulative"]

_UPDATES = frozenset({"pretraining", "continued", "finetuning", "lora", "distillation", "rl"})

#: Kinds of run that go on from a model that was there before.
FURTHER = frozenset({"continued", "finetuning", "lora", "rl"})
#: Kinds of run that a model begins with: where a case has one, the others may go on from it.
BEGINNINGS = frozenset({"pretraining", "merged", "distillation"})

#: Kinds of run that each ledger counts.
_COUNTED: dict[str, frozenset[str]] = {
    "parameter_update": _UPDATES,
    "eu_cumulative": _UPDATES | {"synthetic-data", "merged"},
    "us_state": _UPDATES | {"merged"},
    "cumulative": _UPDATES | {"synthetic-data", "merged"},
}
#: No rule's ledger: all runs of a case, also those that none counts. Who counts too much says nothing false.
EVERYTHING = "everything"
#: Ledgers that begin with the compute of the model that was built upon.
_WITH_BASE = frozenset({"eu_cumulative", "us_state", "cumulative", EVERYTHING})


def counts(run: RunFigures, ledger: str) -> bool:
    """Say whether ``run`` belongs in ``ledger``.

    Publicly accessible synthetic data need not be counted; where the case does not say which it
    was, it is counted, which favours nobody's threshold claim.
    """
    if ledger == EVERYTHING:
        return True
    if run.kind == "synthetic-data" and run.synthetic_public:
        return False
    return run.kind in _COUNTED[ledger]


def counts_base(ledger: str) -> bool:
    """Say whether ``ledger`` begins with the compute of the original model."""
    return ledger in _WITH_BASE


#: Passes beside training that each ledger counts. The guidelines settle none of them but one:
#: auxiliary models' training need not be counted (annex A.1).
_COUNTED_PASSES: dict[str, frozenset[str]] = {
    "parameter_update": frozenset(),
    "eu_cumulative": frozenset({"rollouts", "reference", "reward", "teacher"}),
    "us_state": frozenset({"rollouts", "reference", "reward", "teacher"}),
    "cumulative": frozenset({"rollouts", "reference", "reward", "teacher"}),
}
_PASSES_OPEN = (
    "the guidelines (C(2025) 5045, annex A.1) do not settle whether rollouts, reward, reference and "
    "teacher passes count: here they are in the cumulative ledgers and not in the one of parameter "
    "updates"
)


def counts_pass(name: str, ledger: str) -> bool:
    """Say whether a pass beside training belongs in ``ledger``."""
    return ledger == EVERYTHING or name in _COUNTED_PASSES[ledger]


def unsettled_passes(names: set[str]) -> str | None:
    """Name the reading that the place of such passes rests on."""
    if names == {"value"}:
        return "training of auxiliary models need not be counted (annex A.1): it is in no ledger"
    if not names:
        return None
    extra = "; training of the value model is in no ledger (annex A.1)" if "value" in names else ""
    return _PASSES_OPEN + extra


#: How a kind of run is read: what the text leaves open and what would settle it, or why the run stands in
#: no ledger. A run that is left out without a word would be a total too small.
_READINGS = {
    "rl": "rollouts, reward and reference passes are not in this run's tokens; where they are not "
    "given (rollout_tokens, reward_model, reference_model), they are missing",
    "distillation": "the student's passes are counted; the teacher's logits computed for it are left "
    "open by the guidelines (teacher_model adds them), its training need not be counted",
    "merged": "the compute of merged or initialising weights counts in cumulative ledgers",
    "failed": "a failed run is listed but counted in no ledger: compute that only taught lessons "
    "need not be counted, restarted or repeated steps are left open",
    "parent": "the training of a parent or teacher model need not be counted (annex A.1): it is in no "
    "ledger; where this model goes on from its weights, it is a stage (pretraining) or the base_model",
    "auxiliary": "training of auxiliary models need not be counted (annex A.1): it is in no ledger",
    "evaluation": "purely diagnostic compute need not be counted (annex A.1): it is in no ledger",
}


def reading(run: RunFigures) -> str | None:
    """Name the reading that this run's place in the ledgers rests on, if it rests on one."""
    if run.kind == "synthetic-data" and run.synthetic_public is None:
        return (
            "whether the synthetic data are publicly accessible is not stated: they are counted, "
            "discarded samples included"
        )
    if run.kind == "synthetic-data" and run.synthetic_public:
        return (
            "the generation of publicly accessible synthetic data need not be counted (annex A.1): it "
            "is in no ledger"
        )
    return _READINGS.get(run.kind)

"""What was assumed, and which of it favours whom the figures come from.

"Favours the provider" means: another reading of the same text or evidence would give a higher total
or a harder verdict. An auditor must be able to point at each of them.
"""

from typing import TYPE_CHECKING

from flopledger import scope
from flopledger import verdict as bands
from flopledger.facts import Grade
from flopledger.reports.document import Block, Bullets, Paragraph, Section, Strong, Words

if TYPE_CHECKING:
    from flopledger.auditing import AuditReport
    from flopledger.reconcile import RunAudit

#: Kinds of run that the rules allow to leave out, and what that leaves out.
_LEFT_OUT = {
    "failed": "its compute was spent and is counted in no ledger",
    "evaluation": "diagnostic compute need not be counted, and is not",
    "auxiliary": "training of auxiliary models (reward, value) need not be counted, and is not",
    "parent": "training of a parent or teacher model need not be counted, and is not",
    "distillation": "the teacher's passes are not counted unless they are a run of their own",
    "rl": "rollouts and reference passes are not counted unless they are a run of their own",
}
_WORD = frozenset({Grade.STATEMENT, Grade.CLAIM})


def section(report: "AuditReport") -> Section:
    """List what favours the provider first, then every route's own assumptions."""
    favourable = favours_provider(report)
    blocks: list[Block] = [
        Paragraph(words=("In the provider's favour",), role="heading"),
        Bullets(items=tuple((line,) for line in favourable)),
    ]
    by_route = [_of_route(one.run, one.method, one.assumptions) for one in report.estimates]
    items = tuple(item for item in by_route if item is not None)
    if items:
        blocks += [Paragraph(words=("By route",), role="heading"), Bullets(items=items)]
    return Section(key="assumptions", title="Assumptions", blocks=tuple(blocks))


def _of_route(run: str, method: str, notes: tuple[str, ...]) -> Words | None:
    if not notes:
        return None
    return (Strong(f"{run}, {method}: "), f"{'; '.join(notes)}.")


def favours_provider(report: "AuditReport") -> tuple[str, ...]:
    """Name every reading of this audit that another auditor could have made to the provider's cost."""
    found: list[str] = []
    if report.claim is not None:
        found.append(
            "The claim is held against the estimate only after the estimate's own 90% doubt is taken off, "
            f"and then agrees within a factor of {bands.CLAIM_AGREES:g}."
        )
    found.append(
        "Recomputed activations and elementwise work are in no figure of model FLOP; the EU guidelines "
        "leave them out too."
    )
    for run in report.runs:
        found += [f"Run {run.figures.name}: {line}." for line in _of_run(run)]
    return tuple(found)


def _of_run(run: "RunAudit") -> list[str]:
    figures = run.figures
    found = []
    if figures.kind in _LEFT_OUT:
        found.append(f"kind {figures.kind}: {_LEFT_OUT[figures.kind]}")
    elif not scope.counts(figures, "eu_cumulative"):
        found.append("publicly accessible synthetic data are not counted")
    if figures.attention == "causal":
        found.append("attention is counted as the causal mask leaves it, about half of the scores")
    elif figures.attention is None and any(
        one.method in {"counted", "closed-form"} for one in run.estimates
    ):
        found.append("the interval's low end counts attention only as far as a mask leaves it")
    if run.evaluation_flop is not None:
        found.append("evaluation inside the timed window is in no total")
    if figures.tokens is not None and figures.tokens.quantity.interval.high is None:
        found.append("tokens are known from below only, and no more than that is counted")
    told = _on_their_word(run)
    if told:
        found.append(f"only the provider's word stands behind {', '.join(told)}")
    return found


def _on_their_word(run: "RunAudit") -> list[str]:
    """Name the figures for which nothing but a statement was seen."""
    known = {
        one.name.replace("_", " "): one.grade
        for estimate in run.estimates
        for one in estimate.inputs
        if not one.source.startswith("hardware_db")
    }
    return sorted(name for name, grade in known.items() if grade in _WORD)

"""A closed form as a count, where nothing can be traced: no torch, or a model that fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flopcount.count import Convention, Coverage, Entry, FlopCount
from flopcount.errors import ConventionError
from flopcount.model_files.parameters import ParameterCount

if TYPE_CHECKING:
    from flopcount.closed_form import ClosedForm, Term
    from flopcount.closed_form.sheet import Parameters


def formula_count(
    form: ClosedForm, *, backward: bool, convention: str, notes: tuple[str, ...] = ()
) -> FlopCount:
    """Return the closed form in the shape of a traced count; its terms stand for modules.

    Raises:
        ConventionError: a preset, which needs facts that only a trace knows.
    """
    refuse_rules(convention)
    entries = [_entry(term, "forward") for term in form.terms]
    if backward:
        entries += [_entry(term, "backward") for term in form.terms if term.backward]
    first = sum(entry.flop for entry in entries if entry.phase == "forward")
    second = sum(entry.flop for entry in entries if entry.phase == "backward")
    masked = sum(entry.masked for entry in entries)
    total = masked if convention == "masked" else first + second
    spare = sum(spare_flop(term, backward=backward) for term in form.terms)
    return FlopCount(
        forward=first,
        backward=second,
        recompute=0,
        total=total,
        attention_flop=sum(entry.attention for entry in entries),
        masked_total=masked,
        rescored=0,
        elementwise=None,
        entries=tuple(entries),
        uncounted=(),
        coverage=Coverage(counted_ops=len(form.terms), zero_by_rule=None, unknown=()),
        flop_bounds=(total - spare, total) if spare else None,
        convention=Convention(name=convention, source="closed form"),
        method="closed-form",
        notes=notes,
    )


def spare_flop(term: Term, *, backward: bool) -> int:
    """Return what data may leave out of a term: choices of experts that have no weights."""
    return term.spare * (1 + term.backward // term.forward if backward else 1)


def refuse_rules(convention: str) -> None:
    """Refuse what a closed form cannot state.

    Raises:
        ConventionError: a preset, which needs facts that only a trace knows.
    """
    if convention not in ("dense", "masked", "hardware"):
        msg = (
            f"the convention '{convention}' needs a traced model; the closed form knows dense and "
            "masked\n  choose one of them; where only torch is missing: pip install 'flopledger[trace]'"
        )
        raise ConventionError(msg)


def _entry(term: Term, phase: str) -> Entry:
    backward = phase == "backward"
    flop = term.backward if backward else term.forward
    return Entry(
        module=term.name,
        op="closed-form.attention" if term.is_attention_score else "closed-form.product",
        dtype="unknown",
        phase="backward" if backward else "forward",
        calls=1,
        flop=flop,
        attention=flop if term.is_attention_score else 0,
        masked=term.masked_backward if backward else term.masked_forward,
    )


def formula_parameters(parameters: Parameters) -> ParameterCount:
    """Return the parameters of a closed form, every one of them trainable."""
    return ParameterCount(
        total=parameters.total,
        trainable=parameters.total,
        active=parameters.active,
        total_without_embeddings=parameters.total_without_embeddings,
        active_without_embeddings=parameters.active_without_embeddings,
    )

"""Choosing a figure among facts, and computing one from others."""

from dataclasses import replace

from flopledger.facts import NAMES, Fact, Grade
from flopledger.logs.checks import differ
from flopledger.logs.evidence import Evidence
from flopledger.logs.run_facts import Bound, Resolved

#: Strongest first, but what the audited software computed comes last.
_ORDER = {grade: rank for rank, grade in enumerate(Grade)}


def choose(evidence: Evidence, name: str) -> Resolved | None:
    """Choose one fact of a name, with those that say otherwise beside it."""
    facts = sorted(evidence.named(name), key=lambda fact: _ORDER[fact.grade])
    if not facts:
        return None
    best = facts[0]
    others = tuple(fact for fact in facts[1:] if differ(best.value, fact.value))
    return Resolved(
        value=best.value,
        unit=best.unit,
        facts=(best,),
        derivation=f"{best.grade} at {best.place}",
        alternatives=others,
    )


def opposed(one: Resolved, other: Resolved) -> bool:
    """Say whether the product of two figures is bounded on neither side."""
    return {one.bound, other.bound} == {"at least", "at most"}


def product(
    left: Resolved, right: Resolved, unit: str, derivation: str, bound: Bound = "exact"
) -> Resolved:
    """Multiply two figures; the product is bounded as the one of them that is."""
    if bound == "exact":
        bound = right.bound if left.bound == "exact" else left.bound
    facts = tuple(dict.fromkeys((*left.facts, *right.facts)))
    value = left.number * right.number
    found = computed(value, unit, facts, f"{derivation}: {left.value:,} x {right.value:,}", bound)
    return replace(found, is_whole_run=left.is_whole_run and right.is_whole_run)


def computed(
    value: float | str,
    unit: str | None,
    facts: tuple[Fact, ...],
    derivation: str,
    bound: Bound = "exact",
) -> Resolved:
    """Give a figure that was computed from facts."""
    return Resolved(value=value, unit=unit, facts=facts, derivation=derivation, bound=bound)


def unit_of(name: str) -> str | None:
    """Give the unit of a canonical name; ``None`` for words."""
    return NAMES[name][0] if name in NAMES else None

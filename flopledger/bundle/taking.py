"""What a policy takes out of a report: keys, facts, and every figure that gives one of them away.

A figure has several names: the case's ``accelerator_hours``, the fact ``accelerator_seconds`` and the
run's device time are one thing, and a product of public figures is a name, too.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from flopledger.bundle import leaks
from flopledger.bundle.redaction import Policy, Taken, matches
from flopledger.facts import NAMES, Fact

if TYPE_CHECKING:
    from flopledger.auditing import AuditReport

#: Key of a run in the case -> figures of the run that it becomes.
_OF_KEYS: dict[str, tuple[str, ...]] = {
    "tokens": ("tokens",),
    "samples": ("samples",),
    "tokens_per_sample": ("tokens_per_sample",),
    "sequence_length": ("sequence_length",),
    "precision": ("precision",),
    "recompute": ("recompute",),
    "attention": ("attention",),
    "accelerator": ("accelerator", "accelerator_place"),
    "accelerator_count": ("device_count",),
    "accelerator_hours": ("device_seconds",),
    "wall_clock_hours": ("wall_seconds",),
    "mfu": ("mfu",),
    "hfu": ("hfu",),
    "tokens_per_second_per_accelerator": ("device_throughput",),
    "flop_per_second_per_accelerator": ("device_rate",),
    "claimed_flop": ("claimed_flop",),
    "energy_mwh": ("energy_joules",),
    "trainable_parameters": ("trainable_parameters",),
    "synthetic_public": ("synthetic_public",),
}
#: Facts whose name is not the figure's own.
OF_FACTS = {
    "accelerator_count": "device_count",
    "accelerator_seconds": "device_seconds",
    "tokens_per_second_per_accelerator": "device_throughput",
    "claimed_flop_per_second_per_accelerator": "device_rate",
    "claimed_mfu": "mfu",
    "claimed_hfu": "hfu",
}
#: Figures that give another one away by a plain product or quotient of public ones.
_TIED = {
    "device_seconds": ("timed_seconds", "wall_seconds", "device_throughput", "device_rate"),
    "timed_seconds": ("wall_seconds",),
    "tokens": ("samples", "device_throughput"),
    "samples": ("tokens",),
}


def take(report: "AuditReport", policy: Policy) -> Taken:
    """Find what the policy withholds, synonyms included."""
    spec = msgspec.to_builtins(report.case.spec)
    fields: dict[str, set[str]] = {run.figures.name: set() for run in report.runs}
    keys = {key: value for key, value in _keys(spec) if matches(key, policy.keys)}
    for key in keys:
        for owner, name in _run_key(key, fields):
            fields[owner].update(_OF_KEYS.get(name, ()))
    for run in report.runs:
        known = {*NAMES, *(fact.name for fact in run.facts)}
        names = {name for name in known if matches(name, policy.facts)}
        fields[run.figures.name].update(OF_FACTS.get(name, name) for name in names)
    for mine in fields.values():
        for name in tuple(mine):
            mine.update(_TIED.get(name, ()))
    for key, value in _keys(spec):
        for owner, name in _run_key(key, fields):
            if set(_OF_KEYS.get(name, ())) & fields[owner]:
                keys[key] = value
    hidden = {
        fact
        for run in report.runs
        for fact in run.facts
        if is_hidden(fact, fields[run.figures.name], policy)
    }
    figures = [
        getattr(run.figures, name)
        for run in report.runs
        for name in fields[run.figures.name]
        if name != "accelerator_place" and getattr(run.figures, name, None) is not None
    ]
    values = (*keys.values(), *(fact.value for fact in hidden), *_plain(figures))
    equal = _equal(report, values, fields)
    facts = {
        f"{run.figures.name}: {fact.name} [{number}]": (fact.value, _place(fact))
        for run in report.runs
        for number, fact in enumerate(run.facts)
        if fact in hidden or fact in equal
    }
    return Taken(
        keys=keys,
        facts=facts,
        fields={run: frozenset(mine) for run, mine in fields.items()},
        values=values,
        equal=equal,
    )


def _equal(
    report: "AuditReport", values: tuple[Any, ...], fields: dict[str, set[str]]
) -> frozenset[Fact]:
    """Find the same figure under other names: a world size of as many ranks as devices, say."""
    words, numbers = leaks.targets(values)
    for run in report.runs:
        for name in run.figures.__slots__:
            value = getattr(run.figures, name)
            if name in {"name", "kind", "place", "accelerator_place"} or value is None:
                continue
            if any(leaks.find(str(one), words, numbers) for one in _plain([value])):
                fields[run.figures.name].add(name)
    return frozenset(
        fact
        for run in report.runs
        for fact in run.facts
        if leaks.find(str(fact.value), words, numbers) is not None
    )


def _place(fact: Fact) -> str:
    """Give a fact's place, without the arithmetic of a computed one."""
    return f"{fact.file}: {locator(fact)}"


def locator(fact: Fact) -> str:
    """Give a fact's place, without the arithmetic of a computed one."""
    return "computed" if fact.locator.startswith("computed") else fact.locator


def _keys(spec: dict[str, Any]) -> Iterable[tuple[str, Any]]:
    """List the case's keys with values, runs by name."""
    for path, table in _tables(spec):
        for key, value in table.items():
            if value not in (None, [], {}):
                yield f"{path}.{key}", value


def _tables(spec: dict[str, Any]) -> Iterable[tuple[str, dict[str, Any]]]:
    """List the case's tables: of a run without what names it."""
    for name, value in spec.items():
        if name == "run":
            for run in value:
                own = {key: inner for key, inner in run.items() if key not in {"name", "kind"}}
                yield f"run.{run['name']}", own
        elif name == "model":
            yield from ((f"model.{model}", table) for model, table in value.items())
        elif isinstance(value, dict):
            yield name, value


def _run_key(key: str, runs: Iterable[str]) -> list[tuple[str, str]]:
    """Split "run.NAME.KEY"; names may hold dots."""
    return [(run, key.removeprefix(f"run.{run}.")) for run in runs if key.startswith(f"run.{run}.")]


def is_hidden(fact: Fact, fields: set[str] | frozenset[str], policy: Policy) -> bool:
    """Say whether a fact is withheld, under its own name or as a figure of the run."""
    return matches(fact.name, policy.facts) or OF_FACTS.get(fact.name, fact.name) in fields


def _plain(figures: Iterable[Any]) -> Iterable[Any]:
    for figure in figures:
        interval = figure.quantity.interval if hasattr(figure, "quantity") else None
        if interval is None:
            yield figure
        else:
            yield from (end for end in (interval.low, interval.best, interval.high) if end)

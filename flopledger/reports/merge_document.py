"""What the page of a merge says: one verdict over several sites, and who signed what of it.

Everything in it was checked before: it is made of a verified bundle. Names and sentences of sites
are strangers' words; the eight characters behind a site's name are of its statement's digest, which
nobody can choose.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from flopledger import __version__
from flopledger.reports import merge_sections, passed
from flopledger.reports.content.bounds import bounded
from flopledger.reports.content.routes import short
from flopledger.reports.document import (
    Document,
    Stat,
    sentence,
    visible,
)
from flopledger.text import interval, number, plural

if TYPE_CHECKING:
    from flopledger.bundle.verification import Verification


def document(found: "Verification") -> Document:
    """Decide the page of a verified merge."""
    result = found.merged
    assert result is not None
    assert found.statement is not None
    sections = (
        merge_sections.sites(result),
        merge_sections.findings(result),
        merge_sections.signatures(found, result),
        merge_sections.left_out(result),
        merge_sections.thresholds(result),
        merge_sections.errors(result),
        merge_sections.terms(),
        merge_sections.provenance(found),
    )
    made = Document(
        kind="Federated training compute audit",
        title=found.statement.predicate.title,
        verdict=str(result["verdict"]),
        mark=merge_sections.mark(result["verdict"]),
        lead=_lead(result),
        quote=None,
        cite=None,
        stats=_stats(result),
        sections=tuple(bounded(one) for one in sections if one is not None),
        footer=f"flopledger {__version__}. FLOP is a count; a multiply-add is 2 FLOP. Intervals hold "
        "90% of the probability unless they say otherwise. Raw data stayed with the sites.",
    )
    return cast("Document", visible(made))


def _lead(result: Mapping[str, Any]) -> str:
    total = merge_sections.total_of(result)
    sites = plural(len(result["sites"]), "site")
    said = "state together" if len(result["sites"]) != 1 else "states"
    known = "nothing that adds up to a figure" if total is None else f"{interval(total)} FLOP"
    parts = [f"{sites} {said} {known}.", *merge_sections.hard_verdicts(result)]
    if result["excluded"]:
        left = plural(len(result["excluded"]), "bundle")
        ending = (
            "was left out and adds" if len(result["excluded"]) == 1 else "were left out and add"
        )
        parts.append(f"{left} {ending} nothing.")
    worst = next(
        (one for one in merge_sections.worst_first(result) if one["severity"] != "info"), None
    )
    if worst is not None:
        parts.append(f"{sentence(str(worst['message']))}.")
    return " ".join(parts)


def _stats(result: Mapping[str, Any]) -> tuple[Stat, ...]:
    total, known = merge_sections.total_of(result), result["known"]
    runs = sum(len(site["runs"]) for site in result["sites"])
    if total is not None and total.best is not None:
        first = Stat(
            label="Total",
            value=number(total.best),
            note=f"90%: {number(total.low)} to {number(total.high)} FLOP that update parameters",
        )
    else:
        figure = merge_sections.ends_of(known["flop"])
        note = f"{plural(known['runs_without_figure'], 'run')} without a figure"
        if known["flop"] is not None:
            note += f"; the others: {interval(figure)} FLOP"
        value = "not known" if total is None else short(total)
        first = Stat(label="Total", value=value, note=note)
    left = len(result["excluded"])
    time = (
        None
        if result["device_seconds"] is None
        else merge_sections.ends_of(result["device_seconds"])
    )
    return (
        first,
        Stat(
            label="Sites",
            value=str(len(result["sites"])),
            note=f"{plural(runs, 'run')}; "
            f"{plural(left, 'bundle') if left else 'no bundle'} left out",
        ),
        Stat(
            label="Device time",
            value="not known" if time is None else merge_sections.hours(time),
            note="device-hours; time that several claim counts once in the low end and best figure",
        ),
        _highest(result),
    )


def _highest(result: Mapping[str, Any]) -> Stat:
    rows = [
        (one["id"], float(one["threshold_flop"]), one["probability_exceeded"])
        for one in result["regimes"]
    ]
    return passed.highest(rows, not_known="the sites' figures do not settle every regime")

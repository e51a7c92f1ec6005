"""What the page of a merge says: one verdict over several sites, and who signed what of it.

Everything in it was checked before: it is made of a verified bundle. Names and sentences of sites
are strangers' words; the eight characters behind a site's name are of its statement's digest, which
nobody can choose.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from flopledger import __version__
from flopledger.quantity import Interval
from flopledger.reports.charts import Chart, Line, Role, Rule, ends
from flopledger.reports.content.bounds import bounded
from flopledger.reports.content.ledgers import NAMES, kind
from flopledger.reports.content.routes import flop_axis, short
from flopledger.reports.document import (
    Block,
    Branch,
    Bullets,
    Card,
    Code,
    Document,
    Figure,
    Pairs,
    Paragraph,
    Section,
    Stat,
    Strong,
    Table,
    Tree,
    Words,
    columns,
    row,
    sentence,
    visible,
)
from flopledger.reports.explanations import explain
from flopledger.reports.wording import chance
from flopledger.text import interval, number, round_number

if TYPE_CHECKING:
    from flopledger.bundle.tree import Node
    from flopledger.bundle.verification import Verification

_ORDER = {"error": 0, "warning": 1, "info": 2}
_MARKS = {"needs-explanation": "needs explanation"}
_KEY = 16  #: hexadecimal digits of a key's or statement's id that are printed


def document(found: "Verification") -> Document:
    """Decide the page of a verified merge."""
    result = found.merged
    assert result is not None
    assert found.statement is not None
    sections = (
        _sites(result),
        _findings(result),
        _signatures(found, result),
        _left_out(result),
        _thresholds(result),
        _errors(result),
        _terms(),
        _provenance(found),
    )
    made = Document(
        kind="Federated training compute audit",
        title=found.statement.predicate.title,
        verdict=str(result["verdict"]),
        mark=_mark(result["verdict"]),
        lead=_lead(result),
        quote=None,
        cite=None,
        stats=_stats(result),
        sections=tuple(bounded(one) for one in sections if one is not None),
        footer=f"flopledger {__version__}. FLOP is a count; a multiply-add is 2 FLOP. Intervals hold "
        "90 % of the probability unless they say otherwise. Raw data stayed with the sites.",
    )
    return cast("Document", visible(made))


def _mark(verdict: str) -> str:
    return _MARKS.get(verdict, verdict)


def _span(told: Mapping[str, Any] | None) -> Interval:
    if told is None:
        return Interval(low=None, best=None, high=None)
    return Interval(low=told["low"], best=told["best"], high=told["high"])


def _total(result: Mapping[str, Any]) -> Interval | None:
    return None if result["combined"] is None else _span(result["combined"]["flop"])


def _plural(count: int, word: str) -> str:
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def _lead(result: Mapping[str, Any]) -> str:
    total = _total(result)
    sites = _plural(len(result["sites"]), "site")
    said = "state together" if len(result["sites"]) != 1 else "states"
    known = "nothing that adds up to a figure" if total is None else f"{interval(total)} FLOP"
    parts = [f"{sites} {said} {known}."]
    if result["excluded"]:
        left = _plural(len(result["excluded"]), "bundle")
        was = "was" if len(result["excluded"]) == 1 else "were"
        parts.append(
            f"{left} {was} left out and adds nothing."
            if was == "was"
            else f"{left} {was} left out and add nothing."
        )
    worst = next((one for one in _sorted(result) if one["severity"] != "info"), None)
    if worst is not None:
        parts.append(f"{sentence(str(worst['message']))}.")
    return " ".join(parts)


def _stats(result: Mapping[str, Any]) -> tuple[Stat, ...]:
    total, known = _total(result), result["known"]
    runs = sum(len(site["runs"]) for site in result["sites"])
    if total is not None and total.best is not None:
        first = Stat(
            label="Total",
            value=number(total.best),
            note=f"90 %: {number(total.low)} to {number(total.high)} FLOP that update parameters",
        )
    else:
        figure = _span(known["flop"])
        note = f"{_plural(known['runs_without_figure'], 'run')} without a figure"
        if known["flop"] is not None:
            note += f"; the others: {interval(figure)} FLOP"
        value = "not known" if total is None else short(total)
        first = Stat(label="Total", value=value, note=note)
    left = len(result["excluded"])
    time = None if result["device_seconds"] is None else _span(result["device_seconds"])
    return (
        first,
        Stat(
            label="Sites",
            value=str(len(result["sites"])),
            note=f"{_plural(runs, 'run')}; {_plural(left, 'bundle') if left else 'no bundle'} left out",
        ),
        Stat(
            label="Device time",
            value="not known" if time is None else _hours(time),
            note="device-hours; time that several claim counts once in the low end and best figure",
        ),
        _highest(result),
    )


def _hours(time: Interval) -> str:
    scaled = [None if end is None else end / 3600 for end in (time.low, time.best, time.high)]
    return short(Interval(low=scaled[0], best=scaled[1], high=scaled[2]))


def _highest(result: Mapping[str, Any]) -> Stat:
    label = "Highest threshold passed"
    chances = [one["probability_exceeded"] for one in result["regimes"]]
    passed = [one for one in result["regimes"] if (one["probability_exceeded"] or 0) > 0.5]
    if passed:
        top = max(passed, key=lambda one: float(one["threshold_flop"]))
        said = f"{top['id']}, P(exceeded) {chance(top['probability_exceeded'])}"
        return Stat(label=label, value=round_number(top["threshold_flop"]), note=said)
    if chances and None not in chances:
        return Stat(label=label, value="none", note="of the regimes below")
    return Stat(
        label=label, value="not known", note="the sites' figures do not settle every regime"
    )


def _site_name(site: Mapping[str, Any]) -> str:
    return f"{str(site['site'])[:60]} ({str(site['id'])[:12]})"


def _sites(result: Mapping[str, Any]) -> Section:
    lines, rows = [], []
    for site in result["sites"]:
        for run in site["runs"]:
            span = _span(run["flop"])
            role: Role = "route" if span.best is not None else "bound"
            name = f"{site['site']}: {run['name']}"
            words = f"{_site_name(site)}, {run['name']}: {interval(span)} FLOP, {_how(run)}"
            lines.append(Line(label=name, span=span, role=role, value=short(span), caption=words))
            time = None if run["device_seconds"] is None else _hours(_span(run["device_seconds"]))
            rows.append(
                row(
                    _site_name(site), str(run["name"]), interval(span), _how(run),
                    kind(run["kind"]), time or "not known",
                )
            )  # fmt: skip
    total = _total(result)
    if total is not None:
        rows.append(row("Total", "", interval(total), "", "", "", total=True))
        caption = f"total: {interval(total)} FLOP"
        lines.append(
            Line(label="total", span=total, role="combined", value=short(total), caption=caption)
        )
    note = (
        "The total is of runs that update the model's parameters. The verdict is the hardest of the "
        "sites' own, and asks for an explanation at least where a warning stands below. What a site says "
        "of itself cannot be checked from its summary beyond what no device can do: its own bundle holds "
        "the evidence."
    )
    table = Table(
        caption="Sites, their runs, and how each counts",
        columns=columns(
            "Site", "~Run", "#FLOP (90 % interval)", "~Counted", "Kind", "#Device-hours"
        ),
        rows=tuple(rows),
    )
    blocks: list[Block] = [table, Paragraph(words=(note,), role="note")]
    drawing = _chart(lines, result)
    if drawing is not None:
        text = (
            "90 % intervals as the sites state them, a dot at the best figure; a dashed line is a bound. "
            "Dotted lines are the legal thresholds nearby."
        )
        blocks.insert(0, Figure(key="sites", chart=drawing, caption=(text,)))
    return Section(key="sites", title="What each site adds", blocks=tuple(blocks))


def _how(run: Mapping[str, Any]) -> str:
    if run["duplicate_of"] is not None:
        return f"not again: the same evidence as {run['duplicate_of']}"
    if run["repeated"]:
        return (
            f"all but the {100 * run['repeated']:.3g} % of its device time that another run counts"
        )
    return "in full" if run["flop"] is not None else "has no figure"


def _chart(lines: Sequence[Line], result: Mapping[str, Any]) -> Chart | None:
    found = [end for line in lines for end in ends(line.span) if end > 0]
    if not found:
        return None
    low, high = min(found) / 10, max(found) * 10
    near = sorted({one["threshold_flop"] for one in result["regimes"]})
    near = [value for value in near if low <= value <= high]
    return Chart(
        title="Training compute by site and run, against thresholds",
        rows=tuple(lines),
        rules=tuple(Rule(at=value, label=f"{round_number(value)} threshold") for value in near),
        axis=flop_axis([*found, *near]),
    )


def _sorted(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return sorted(result["findings"], key=lambda one: _ORDER.get(one["severity"], 2))


def _findings(result: Mapping[str, Any]) -> Section:
    blocks: list[Block] = []
    explained: set[str] = set()
    for one in _sorted(result):
        text = None if one["code"] in explained else explain(one["code"])
        explained.add(one["code"])
        blocks.append(
            Card(
                severity=one["severity"],
                code=one["code"],
                message=sentence(str(one["message"])),
                places=(),
                meaning=() if text is None else text.meaning,
                resolves=() if text is None else text.resolves,
            )
        )
    if not blocks:
        text_none = (
            "None: no run is told twice, no device is claimed twice, every run has a figure."
        )
        blocks.append(Paragraph(words=(text_none,)))
    return Section(key="findings", title="Duplicates, overlaps and gaps", blocks=tuple(blocks))


def _signatures(found: "Verification", result: Mapping[str, Any]) -> Section:
    named = {str(site["id"]): site for site in result["sites"]}
    pinned = any(one.trusted for node in found.tree for one in (node, *node.leaves()))
    text = (
        "Every signature here was checked, and so was every digest that it covers. A signature shows that "
        "the owner of a key sealed this content and that nothing was changed since; it does not show that "
        "what was sealed is true. "
    )
    text += (
        "Keys marked as known were named by whoever made this page."
        if pinned
        else "Whose keys these are was not checked: whoever made this page named none."
    )
    return Section(
        key="signatures",
        title="Who signed what",
        blocks=(
            Paragraph(words=(text,), role="note"),
            Tree(
                caption="The merge, its members, and their signers",
                branches=tuple(_branch(node, named) for node in found.tree),
            ),
        ),
    )


def _branch(node: "Node", named: Mapping[str, Mapping[str, Any]]) -> Branch:
    site = named.get(node.id)
    title = node.title if node.site in {None, node.title} else f"{node.site}: {node.title}"
    verdict = node.verdict if site is None else site["verdict"]
    words: list[Any] = [Strong(title), f" ({_what(node.kind)}"]
    words.append(f", {_mark(str(verdict))}), statement " if verdict else "), statement ")
    words.append(Code(node.id[:_KEY]))
    if node.signers:
        words.append(", signed by ")
        for at, name in enumerate(node.signers):
            words += [", " if at else "", Code(name[:_KEY])]
        words.append(" (known)" if node.trusted else "")
    else:
        words.append(
            ", unsigned: its members' signatures stand for it" if node.members else ", unsigned"
        )
    return Branch(
        words=tuple(one for one in words if one != ""),
        branches=tuple(_branch(member, named) for member in node.members),
    )


def _what(word: str) -> str:
    return {"merged": "merge", "audit": "site", "record": "recorded run"}.get(word, word)


def _left_out(result: Mapping[str, Any]) -> Section | None:
    if not result["excluded"]:
        return None
    rows = tuple(
        row(str(one["file"]), str(one["reason"]), Code(str(one["sha256"])))
        for one in result["excluded"]
    )
    text = (
        "These files were handed in and add nothing to any figure here: not to the total, not to the "
        "findings, and they take nothing from the others."
    )
    return Section(
        key="left-out",
        title="Bundles left out",
        blocks=(
            Paragraph(words=(text,)),
            Table(
                caption="Bundles left out, with the reason",
                columns=columns("~File", "~Why", "~SHA-256"),
                rows=rows,
            ),
        ),
    )


def _thresholds(result: Mapping[str, Any]) -> Section | None:
    if not result["regimes"]:
        return None
    rows = tuple(
        row(
            str(one["id"]),
            round_number(one["threshold_flop"]),
            NAMES.get(one["ledger"], str(one["ledger"])),
            interval(_span(one["flop"]), 2),
            chance(one["probability_exceeded"]),
            one["zone"] or "not known",
        )
        for one in result["regimes"]
    )
    note = (
        "The probability is that of the regime's own ledger, over all sites, exceeding its threshold. The "
        "zone is a legal reading of the bare total under the 30 % margin of the EU guidelines "
        "(C(2025) 5045 final, annex A.2). `flopledger regimes show ID` cites each rule."
    )
    from flopledger.reports.document import words

    return Section(
        key="thresholds",
        title="Thresholds",
        blocks=(
            Table(
                caption="Thresholds",
                columns=columns(
                    "Regime", "#Threshold", "Ledger", "#FLOP of the ledger", "#P(exceeded)", "Zone"
                ),
                rows=rows,
            ),
            Paragraph(words=words(note), role="note"),
        ),
    )


def _errors(result: Mapping[str, Any]) -> Section:
    title = "How the sites' errors were added"
    told, total = result.get("errors"), _total(result)
    rule = (
        "An input that several sites may get wrong in the same way (a prior, a convention, the "
        "architecture, a part's peak) shifts all of them together: its half-widths add up. Errors of a "
        "run's own (its tokens, its device time) are independent: they add as the root of the sum of "
        "squares. Runs that claim the same device time, or are told in the same words, add end by end."
    )
    blocks: list[Block] = [Paragraph(words=(rule,))]
    if told is None or total is None or total.best is None:
        text = "Some run has only bounds or no figure, so all ends were added, which is never too narrow."
        return Section(key="errors", title=title, blocks=(*blocks, Paragraph(words=(text,))))
    rows = [
        row(name, f"− {number(part['down'])}", f"+ {number(part['up'])}")
        for name, part in _half_widths(told, total)
    ]
    compared = tuple(
        (
            Strong(f"{label}: "),
            f"{number(max(total.best - told[key]['down'], 0.0))} to "
            f"{number(total.best + told[key]['up'])} FLOP.",
        )
        for label, key in (
            ("If every error were each run's own", "independent"),
            ("If every error were the same mistake everywhere", "common"),
        )
    )
    blocks += [
        Table(
            caption="Half-widths of the total by input, in FLOP; what is below a thousandth is left out",
            columns=columns("Error", "#Downward, FLOP", "#Upward, FLOP"),
            rows=tuple(rows),
        ),
        Paragraph(words=(f"As it was added: {interval(total)} FLOP. For comparison:",)),
        Bullets(items=cast("tuple[Words, ...]", compared)),
    ]
    return Section(key="errors", title=title, blocks=tuple(blocks))


def _half_widths(
    told: Mapping[str, Any], total: Interval
) -> Iterator[tuple[str, Mapping[str, float]]]:
    """List what makes the interval, but for what is as good as nothing."""
    assert total.low is not None
    assert total.high is not None
    least = (total.high - total.low) / 1000
    named = {
        **{f"shared: {name}": part for name, part in told["shared"].items()},
        "own errors of the runs": told["own"],
        "added end by end": told["end_by_end"],
    }
    for name, part in named.items():
        if part["down"] + part["up"] > least:
            yield name, part


def _terms() -> Section:
    items: tuple[Words, ...] = (
        (Strong("FLOP: "), "one floating-point operation; a multiply-add is two. 1e24 is a 1 with 24 zeros."),
        (Strong("site: "), "somebody who audited their own part and sealed a summary of it; the twelve "
         "signs behind a site's name are of its sealed statement, and no site can choose them."),
        (Strong("statement: "), "what was sealed, named by its SHA-256."),
        (Strong("device-hours: "), "hours of one accelerator, summed over all of them."),
        (Strong("ledger: "), "a sum over those runs that one rule counts."),
    )  # fmt: skip
    return Section(key="terms", title="Words used here", blocks=(Bullets(items=items),))


def _provenance(found: "Verification") -> Section:
    assert found.statement is not None
    tool = found.statement.predicate.tool
    rows: list[tuple[str, Words]] = [
        ("Merged by", (f"flopledger {tool.version}",)),
        ("Page by", (f"flopledger {__version__}",)),
        ("Statement", (Code(str(found.id)),)),
        ("Sealed", (found.statement.predicate.sealed_at or "no time stated",)),
        ("Command", (Code("flopledger verify MERGED.zip --key SIGNER.pub"),)),
    ]
    rows += [(f"Table {name}", (Code(digest),)) for name, digest in tool.data_digests.items()]
    note = (
        "The seals of all members are in the merged bundle: the command checks each of them and repeats "
        "the sum, without the sites and without a network. The same sites give the same result in any order."
    )
    return Section(
        key="provenance",
        title="Provenance",
        blocks=(Pairs(rows=tuple(rows)), Paragraph(words=(note,), role="note")),
    )

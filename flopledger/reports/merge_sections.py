"""The sections of a merge's page, each from the merged result alone."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from flopledger import __version__
from flopledger.quantity import Interval
from flopledger.reports.charts import Chart, Line, Role, Rule, ends
from flopledger.reports.content.ledgers import NAMES, kind
from flopledger.reports.content.routes import flop_axis, short
from flopledger.reports.document import (
    Block,
    Branch,
    Bullets,
    Card,
    Code,
    Figure,
    Pairs,
    Paragraph,
    Section,
    Strong,
    Table,
    Tree,
    Words,
    columns,
    row,
    sentence,
)
from flopledger.reports.explanations import explain
from flopledger.reports.ordering import rank
from flopledger.reports.wording import chance
from flopledger.text import interval, number, round_number, share

if TYPE_CHECKING:
    from flopledger.bundle.tree import Node
    from flopledger.bundle.verification import Verification

_MARKS = {"needs-explanation": "needs explanation"}
_KEY = 16  #: hexadecimal digits of a key's or statement's id that are printed


def mark(verdict: str) -> str:
    """Say a verdict in words."""
    return _MARKS.get(verdict, verdict)


def ends_of(told: Mapping[str, Any] | None) -> Interval:
    """Read an interval of the result; ``None`` is one with both ends open."""
    if told is None:
        return Interval(low=None, best=None, high=None)
    return Interval(low=told["low"], best=told["best"], high=told["high"])


def total_of(result: Mapping[str, Any]) -> Interval | None:
    """Give the total; ``None`` where nothing is known."""
    return None if result["combined"] is None else ends_of(result["combined"]["flop"])


def hours(time: Interval) -> str:
    """Write device-seconds as hours."""
    scaled = [None if end is None else end / 3600 for end in (time.low, time.best, time.high)]
    return short(Interval(low=scaled[0], best=scaled[1], high=scaled[2]))


def worst_first(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Order the findings by severity."""
    return sorted(result["findings"], key=lambda one: rank(one["severity"], one["code"]))


def _site_name(site: Mapping[str, Any]) -> str:
    return f"{str(site['site'])[:60]} ({str(site['id'])[:12]})"


def hard_verdicts(result: Mapping[str, Any]) -> Iterator[str]:
    """Say which sites' own audits found what makes the verdict hard."""
    for verdict in ("inconsistent", "needs-explanation"):
        found = [_site_name(site) for site in result["sites"] if site["verdict"] == verdict]
        if found:
            named = ", ".join(found[:3]) + (f" and {len(found) - 3:,} more" if found[3:] else "")
            yield f"By its own audit {mark(verdict)}: {named}."


def sites(result: Mapping[str, Any]) -> Section:
    """Show every run of every site, and how it counts."""
    lines, rows = [], []
    for site in result["sites"]:
        for run in site["runs"]:
            span = ends_of(run["flop"])
            role: Role = "route" if span.best is not None else "bound"
            name = f"{site['site']}: {run['name']}"
            words = f"{_site_name(site)}, {run['name']}: {interval(span)} FLOP, {_how(run)}"
            lines.append(Line(label=name, span=span, role=role, value=short(span), caption=words))
            time = None if run["device_seconds"] is None else hours(ends_of(run["device_seconds"]))
            rows.append(
                row(
                    _site_name(site), str(run["name"]), interval(span), _how(run),
                    kind(run["kind"]), time or "not known",
                )
            )  # fmt: skip
    total = total_of(result)
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
            "Site", "~Run", "#FLOP (90% interval)", "~Counted", "Kind", "#Device-hours"
        ),
        rows=tuple(rows),
    )
    blocks: list[Block] = [table, Paragraph(words=(note,), role="note")]
    drawing = _chart(lines, result)
    if drawing is not None:
        text = (
            "90% intervals as the sites state them, a dot at the best figure; a dashed line is a bound. "
            "Dotted lines are the legal thresholds nearby."
        )
        blocks.insert(0, Figure(key="sites", chart=drawing, caption=(text,)))
    return Section(key="sites", title="What each site adds", blocks=tuple(blocks))


def _how(run: Mapping[str, Any]) -> str:
    if run["duplicate_of"] is not None:
        return f"not again: the same evidence as {run['duplicate_of']}"
    if run["repeated"]:
        return f"all but the {share(run['repeated'])} of its device time that another run counts"
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


def findings(result: Mapping[str, Any]) -> Section:
    """Show duplicates, overlaps and gaps, each code explained once."""
    blocks: list[Block] = []
    explained: set[str] = set()
    for one in worst_first(result):
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


def signatures(found: "Verification", result: Mapping[str, Any]) -> Section:
    """Show the tree of seals and who made them."""
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
    words.append(f", {mark(str(verdict))}), statement " if verdict else "), statement ")
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


def left_out(result: Mapping[str, Any]) -> Section | None:
    """List the bundles that add nothing, with the reason; ``None`` where there is none."""
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


def thresholds(result: Mapping[str, Any]) -> Section | None:
    """Hold the total against every regime."""
    if not result["regimes"]:
        return None
    rows = tuple(
        row(
            str(one["id"]),
            _limit(one),
            NAMES.get(one["ledger"], str(one["ledger"])),
            interval(ends_of(one["flop"]), 2),
            chance(one["probability_exceeded"]),
            one["zone"] or "not known",
        )
        for one in result["regimes"]
    )
    note = (
        "The probability is that of the regime's own ledger, over all sites, exceeding its threshold. The "
        "zone is a legal reading of the bare total under the 30% margin of the EU guidelines "
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


def _limit(one: Mapping[str, Any]) -> str:
    """Write a threshold as its regime compares with it; bundles of later versions may know others."""
    from flopledger.regimes import all_regimes

    signs = {regime.id: regime.comparator.replace(">=", "≥") for regime in all_regimes()}
    return f"{signs.get(one['id'], '')} {round_number(one['threshold_flop'])}".strip()


def errors(result: Mapping[str, Any]) -> Section:
    """Show what of the interval is shared between sites, and what that is worth."""
    title = "How the sites' errors were added"
    told, total = result.get("errors"), total_of(result)
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


def terms() -> Section:
    """Explain the words that a reader may not know."""
    items: tuple[Words, ...] = (
        (Strong("FLOP: "), "one floating-point operation; a multiply-add is two. 1e24 is a 1 with 24 zeros."),
        (Strong("site: "), "somebody who audited their own part and sealed a summary of it; the twelve "
         "signs behind a site's name are of its sealed statement, and no site can choose them."),
        (Strong("statement: "), "what was sealed, named by its SHA-256."),
        (Strong("device-hours: "), "hours of one accelerator, summed over all of them."),
        (Strong("ledger: "), "a sum over those runs that one rule counts."),
    )  # fmt: skip
    return Section(key="terms", title="Words used here", blocks=(Bullets(items=items),))


def provenance(found: "Verification") -> Section:
    """Say from what and by what the page was made."""
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

"""The EU's documents, as far as compute and energy go: drafts for the provider to complete.

Annex XI of Regulation (EU) 2024/1689, section 1, point 2 (d) and (e); the Model Documentation Form of
the Code of Practice for general-purpose AI (10 July 2025), whose fields bear the form's names; the
notification under Article 52(1), with section 2.3.2 of the guidelines C(2025) 5045 final. Digits are
those that the forms ask for.
"""

from typing import TYPE_CHECKING

from flopledger import __version__
from flopledger.exports import disclosure, release
from flopledger.exports.disclosure import DAY, Answer
from flopledger.reports import wording
from flopledger.reports.content.provenance import command
from flopledger.reports.document import (
    Block,
    Bullets,
    Code,
    Document,
    Pairs,
    Paragraph,
    Row,
    Section,
    Strong,
    Table,
    columns,
    row,
)
from flopledger.text import interval, number

if TYPE_CHECKING:
    from flopledger.auditing import AuditReport

NOT_KNOWN = "not known"
_PROVIDER = "to be stated by the provider"


def annex_xi(report: "AuditReport") -> Document:
    """Draft the compute and energy part of the technical documentation (Article 53(1)(a))."""
    rows = [
        (
            "1(a) Tasks that the model is intended to perform",
            release.answer(report, "intended_use"),
        ),
        ("1(b) Acceptable use policies", release.answer(report, "acceptable_use")),
        ("1(c) Date of release", release.answer(report, "date")),
        ("1(c) Methods of distribution", release.answer(report, "distribution")),
        ("1(d) Number of parameters", _parameters(report)),
        ("1(e) Modality of inputs", release.answer(report, "input_modalities")),
        ("1(e) Modality of outputs", release.answer(report, "output_modalities")),
        ("1(f) Licence", release.answer(report, "license")),
        ("2(d) Computational resources: floating-point operations", _updates(report, 2)),
        ("2(d) Cumulative training compute (Article 51(2))", _cumulative(report)),
        ("2(d) Training time, wall clock", _wall_clock(report)),
        ("2(d) Training time, hardware", _hardware(report)),
        ("2(e) Known or estimated energy consumption", _energy(report)),
    ]
    return _draft(
        kind="Annex XI technical documentation: compute fields",
        title=f"Technical documentation: {release.name(report)}",
        sections=(
            _answers("fields", "Annex XI, section 1", rows),
            _method(report),
            _basis(report),
        ),
    )


def code_of_practice(report: "AuditReport") -> Document:
    """Draft the compute and energy fields of the Model Documentation Form, for both readers."""
    flop = disclosure.updates(report)
    best = None if flop is None else flop.best
    magnitude = _known(
        None
        if best is None
        else f"{disclosure.order_of_magnitude(best)} floating-point operations",
        disclosure.missing_compute(report),
    )
    inference = Answer(
        text=None, needed="a benchmark of inference; this audit looks at training only"
    )
    general = [
        ("Legal name for the model provider", release.answer(report, "provider")),
        ("Model name", release.answer(report, "name")),
        ("Model authenticity: SHA-256 of the release", release.answer(report, "sha256")),
        ("Release date", release.answer(report, "date")),
        ("Union market release date", release.answer(report, "union_market_date")),
        ("Model dependencies", release.answer(report, "derived_from")),
    ]
    properties = [
        ("Input modalities", release.answer(report, "input_modalities")),
        ("Output modalities", release.answer(report, "output_modalities")),
        ("Total model size, parameters", _parameters(report)),
        ("Distribution channels", release.answer(report, "distribution")),
        ("License", release.answer(report, "license")),
        ("Acceptable use policy", release.answer(report, "acceptable_use")),
        ("Intended uses", release.answer(report, "intended_use")),
    ]
    time = [
        ("Training time, wall clock days (AI Office)", _wall_clock(report)),
        ("Training time, hardware days (AI Office)", _hardware(report)),
        ("Training time, range (national authorities)", _months(report)),
    ]
    compute = [
        ("Amount of computation, two significant figures (AI Office)", _updates(report, 2)),
        ("Amount of computation, order of magnitude (national authorities)", magnitude),
        ("Uncertainty", _uncertainty(report)),
    ]
    energy = [
        ("Amount of energy used for training, MWh, two significant figures", _energy(report)),
        ("Energy methodology", _energy_method(report)),
        ("Benchmarked computation used for inference", inference),
    ]
    return _draft(
        kind="Code of Practice, Model Documentation Form: compute and energy fields",
        title=f"Model documentation: {release.name(report)}",
        sections=(
            _answers("general", "General information", general),
            _answers("properties", "Properties, distribution and use", properties),
            _answers("time", "Training time", time),
            _answers("compute", "Amount of computation used for training", compute),
            _method(report),
            _answers("energy", "Energy", energy),
            _basis(report),
        ),
    )


def article_52(report: "AuditReport") -> Document:
    """Draft the notification to the Commission: FLOP to two significant figures, and the method."""
    standing = disclosure.cumulative(report)
    parties: list[tuple[str, Answer]] = [
        ("Provider", release.answer(report, "provider")),
        ("Provider's address", release.answer(report, "provider_address")),
        ("Provider's contact", release.answer(report, "provider_contact")),
        ("Model", release.answer(report, "name")),
        ("Version", release.answer(report, "version")),
        (
            "Date of placing on the market of the Union",
            release.answer(report, "union_market_date"),
        ),
        (
            "Date on which the condition was met, or became known to be met",
            Answer(
                text=None,
                needed=f"{_PROVIDER}; notice is due within two weeks of it (Article 52(1))",
            ),
        ),
    ]
    condition: list[tuple[str, Answer]] = [
        ("Cumulative training compute, two significant figures", _cumulative(report)),
        ("Uncertainty", _cumulative_uncertainty(report)),
        ("Threshold", Answer(text="more than 1e25 FLOP (Article 51(2))")),
        (
            "Probability that the threshold is exceeded, on the evidence of this case",
            _known(
                None if standing is None or standing.probability_exceeded is None
                else wording.probability(standing),
                "figures or bounds for every run that counts, or an audit that includes "
                f"{disclosure.SYSTEMIC_RISK}",
            ),
        ),
        ("When the threshold is crossed", _crossing(report)),
    ]  # fmt: skip
    arguments = Paragraph(
        words=(
            "Arguments that the model, exceptionally, presents no systemic risk (Article 52(2)) are the "
            "provider's own and no part of this draft.",
        )
    )
    return _draft(
        kind="Article 52(1) notification",
        title=f"Notification: {release.name(report)}",
        sections=(
            _answers("parties", "Who notifies, of what", parties),
            _answers("condition", "The condition of Article 51(1)(a)", condition),
            _ledger(report),
            _method(report),
            Section(key="arguments", title="Rebuttal", blocks=(arguments,)),
            _basis(report),
        ),
        lead=_position(report),
    )


def _draft(
    *,
    kind: str,
    title: str,
    sections: tuple[Section, ...],
    lead: str = "",
) -> Document:
    note = (
        "A draft made from an audit of training compute. What the audit does not know is left open, with "
        "what it would take; what only the provider can say is marked."
    )
    return Document(
        kind=kind,
        title=title,
        verdict=None,
        mark="draft",
        lead=f"{lead} {note}".strip(),
        quote=None,
        cite=None,
        stats=(),
        sections=sections,
        footer=f"flopledger {__version__}. No legal advice; the texts of the rules prevail.",
    )


def _answers(key: str, title: str, rows: list[tuple[str, Answer]]) -> Section:
    return Section(
        key=key,
        title=title,
        blocks=(
            Table(
                caption=title,
                columns=columns("~Field", "~Answer", "~What would complete it"),
                rows=tuple(_answer_row(field, answer) for field, answer in rows),
            ),
        ),
    )


def _answer_row(field: str, answer: Answer) -> Row:
    text: Strong | str = Strong(answer.text) if answer.text is not None else NOT_KNOWN
    return row(field, text, answer.needed)


def _known(text: str | None, needed: str) -> Answer:
    return Answer(text=text, needed="" if text is not None else needed)


def _updates(report: "AuditReport", digits: int) -> Answer:
    text = disclosure.rounded(disclosure.compute(report), digits, "FLOP")
    return _known(text, disclosure.missing_compute(report))


def _cumulative(report: "AuditReport") -> Answer:
    standing = disclosure.cumulative(report)
    if standing is None:
        return Answer(text=None, needed=f"an audit that includes {disclosure.SYSTEMIC_RISK}")
    text = disclosure.rounded(standing.flop, 2, "FLOP")
    return _known(text, disclosure.missing_compute(report))


def _uncertainty(report: "AuditReport") -> Answer:
    flop = disclosure.compute(report)
    text = None if flop is None else disclosure.uncertainty(flop)
    return _known(text, disclosure.missing_compute(report))


def _cumulative_uncertainty(report: "AuditReport") -> Answer:
    standing = disclosure.cumulative(report)
    known = standing is not None and (standing.flop.low or standing.flop.high) is not None
    text = disclosure.uncertainty(standing.flop) if standing is not None and known else None
    return _known(text, disclosure.missing_compute(report))


def _wall_clock(report: "AuditReport") -> Answer:
    found = disclosure.total(report, disclosure.wall_clock)
    text = disclosure.rounded(found.figure, 1, "days, runs one after another", per=DAY)
    return _known(text, f"wall-clock hours of {_names(found.missing)}")


def _months(report: "AuditReport") -> Answer:
    """Place the wall clock in the form's ranges."""
    figure = disclosure.total(report, disclosure.wall_clock)
    days = None if figure.figure is None else figure.figure.best
    if days is None:
        return Answer(text=None, needed=f"wall-clock hours of {_names(figure.missing)}")
    months = days / DAY / 30.44
    ranges = ((1, "less than 1 month"), (3, "1 to 3 months"), (6, "3 to 6 months"))
    return Answer(
        text=next((text for limit, text in ranges if months < limit), "more than 6 months")
    )


def _hardware(report: "AuditReport") -> Answer:
    found, missing = disclosure.device_days(report)
    parts = [
        text
        for name, days in found.items()
        if (text := disclosure.rounded(days, 1, f"{name} days")) is not None
    ]
    needed = f"device-hours and the part of {_names(missing)}" if missing or not parts else ""
    text = " and ".join(parts)
    if text and missing:
        text += f" (without {_names(missing)})"
    return Answer(text=text or None, needed=needed)


def _parameters(report: "AuditReport") -> Answer:
    found = [
        f"{interval(one.quantity.interval)} {one.name.replace('_', ' ')}"
        for one in disclosure.parameters(report)
    ]
    return _known(
        "; ".join(found) or None, "the parameter count; flopledger count gives it of dimensions"
    )


def _energy(report: "AuditReport") -> Answer:
    found = disclosure.energy(report)
    text = disclosure.energy_words(report, 2)
    needed = (
        f"measured energy of {_names(found.missing)}: a meter's or the devices' counters, with the "
        "boundary (device, node, facility). This tool derives no energy from compute"
    )
    return Answer(text=text, needed=needed if text is None or found.missing else "")


def _energy_method(report: "AuditReport") -> Answer:
    if disclosure.energy_words(report, 2) is None:
        return Answer(text=None, needed="the energy itself")
    sources = dict.fromkeys(
        run.figures.energy_joules.source
        for run in disclosure.counted(report)
        if run.figures.energy_joules is not None
    )
    where = ", ".join(disclosure.energy_boundaries(report))
    return Answer(text=f"as given in {'; '.join(sources)} (measured at: {where})")


def _names(runs: tuple[str, ...]) -> str:
    return f"run {', '.join(runs)}" if runs else "every run"


def _crossing(report: "AuditReport") -> Answer:
    found = [one for one in report.crossings if one.regime == disclosure.SYSTEMIC_RISK]
    if not found:
        return Answer(text=None, needed="tokens and pace of the run that crosses it, if any does")
    (one,) = found
    if one.share_of_run is None:
        return Answer(text=f"before run {one.run}, by what it builds on")
    when = [f"after {one.share_of_run:.0%} of run {one.run}"]
    if one.tokens is not None:
        when.append(f"at {number(one.tokens)} tokens")
    if one.wall_clock_hours is not None:
        when.append(f"after {number(one.wall_clock_hours)} hours at the mean pace")
    if one.date is not None:
        when.append(f"on {one.date}")
    later = "" if one.share_of_run <= 1 else " (only if the run went on beyond what is stated)"
    return Answer(text=f"{', '.join(when)}{later}")


def _position(report: "AuditReport") -> str:
    standing = disclosure.cumulative(report)
    if standing is None or standing.probability_exceeded is None:
        return "Whether the condition is met cannot be stated on the evidence of this case."
    chance = wording.probability(standing)
    if standing.probability_exceeded > 0.5:
        return f"On the evidence of this case the condition is met (probability {chance})."
    return f"On the evidence of this case the condition is not met (probability of it {chance})."


def _ledger(report: "AuditReport") -> Section:
    from flopledger import scope

    rows = []
    for run in report.runs:
        flop = None if run.combined is None else run.combined.flop
        counted = scope.counts(run.figures, "eu_cumulative")
        rows.append(
            row(
                run.figures.name,
                run.figures.kind,
                disclosure.rounded(flop, 2, "FLOP") or NOT_KNOWN,
                "counted" if counted else "not counted",
                scope.unsettled(run.figures) or "",
            )
        )
    table = Table(
        caption="Runs in the cumulative ledger",
        columns=columns("Run", "Kind", "#Model FLOP", "Cumulative ledger", "~Open question"),
        rows=tuple(rows),
    )
    return Section(key="ledger", title="What is counted (annex A.1 (b))", blocks=(table,))


def _method(report: "AuditReport") -> Section:
    items = tuple((f"{line}.",) for line in disclosure.methodology(report))
    return Section(
        key="method", title="Method, assumptions and approximations", blocks=(Bullets(items=items),)
    )


def _basis(report: "AuditReport") -> Section:
    files = [(name, digest) for run in report.runs for name, digest in run.evidence_digests.items()]
    blocks: list[Block] = [
        Pairs(
            rows=(
                ("Audit", (f"{wording.heading(report)}; flopledger {__version__}",)),
                ("Command", (Code(command(report)),)),
                ("Case", (Code(report.case.name), ", SHA-256 ", Code(report.case.sha256))),
            )
        )
    ]
    if files:
        rows = tuple(row(Code(name), Code(digest)) for name, digest in files)
        table = Table(caption="Evidence files", columns=columns("~File", "~SHA-256"), rows=rows)
        blocks.append(table)
    return Section(key="basis", title="Evidence and provenance", blocks=tuple(blocks))

"""The EU's documents, as far as compute and energy go: drafts for the provider to complete.

Annex XI of Regulation (EU) 2024/1689, section 1, point 2 (d) and (e); the Model Documentation Form of
the Code of Practice for general-purpose AI (10 July 2025), whose fields bear the form's names; the
notification under Article 52(1), with section 2.3.2 of the guidelines C(2025) 5045 final. Digits are
those that the forms ask for.
"""

from typing import TYPE_CHECKING

from flopledger import __version__
from flopledger.exports import disclosure, release
from flopledger.exports import european_answers as answers
from flopledger.exports.disclosure import Answer
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
from flopledger.reports.passed import PASSED

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
        ("1(d) Number of parameters", answers.parameters(report)),
        ("1(e) Modality of inputs", release.answer(report, "input_modalities")),
        ("1(e) Modality of outputs", release.answer(report, "output_modalities")),
        ("1(f) Licence", release.answer(report, "license")),
        ("2(d) Computational resources: floating-point operations", answers.updates(report)),
        ("2(d) Cumulative training compute (Article 51(2))", answers.cumulative(report)),
        ("2(d) Training time, wall clock", answers.wall_clock(report)),
        ("2(d) Training time, hardware", answers.hardware(report)),
        ("2(e) Known or estimated energy consumption", answers.energy(report)),
    ]
    return _draft(
        kind="Annex XI technical documentation: compute fields",
        title=f"Technical documentation: {release.name(report)}",
        sections=(
            _fields("fields", "Annex XI, section 1", rows),
            _method(report),
            _basis(report),
        ),
    )


def code_of_practice(report: "AuditReport") -> Document:
    """Draft the compute and energy fields of the Model Documentation Form, for both readers."""
    flop = disclosure.updates(report)
    best = None if flop is None else flop.best
    magnitude = answers.answered(
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
        ("Total model size, parameters", answers.parameters(report)),
        ("Distribution channels", release.answer(report, "distribution")),
        ("License", release.answer(report, "license")),
        ("Acceptable use policy", release.answer(report, "acceptable_use")),
        ("Intended uses", release.answer(report, "intended_use")),
    ]
    time = [
        ("Training time, wall clock days (AI Office)", answers.wall_clock(report)),
        ("Training time, hardware days (AI Office)", answers.hardware(report)),
        ("Training time, range (national authorities)", answers.months(report)),
    ]
    compute = [
        ("Amount of computation, two significant figures (AI Office)", answers.updates(report)),
        ("Amount of computation, order of magnitude (national authorities)", magnitude),
        ("Uncertainty", answers.uncertainty(report)),
    ]
    energy = [
        (
            "Amount of energy used for training, MWh, two significant figures",
            answers.energy(report),
        ),
        ("Energy methodology", answers.energy_method(report)),
        ("Benchmarked computation used for inference", inference),
    ]
    return _draft(
        kind="Code of Practice, Model Documentation Form: compute and energy fields",
        title=f"Model documentation: {release.name(report)}",
        sections=(
            _fields("general", "General information", general),
            _fields("properties", "Properties, distribution and use", properties),
            _fields("time", "Training time", time),
            _fields("compute", "Amount of computation used for training", compute),
            _method(report),
            _fields("energy", "Energy", energy),
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
        ("Cumulative training compute, two significant figures", answers.cumulative(report)),
        ("Uncertainty", answers.cumulative_uncertainty(report)),
        ("Threshold", Answer(text="more than 1e25 FLOP (Article 51(2))")),
        (
            "Probability that the threshold is exceeded, on the evidence of this case",
            answers.answered(
                None if standing is None or standing.probability_exceeded is None
                else wording.probability(standing),
                "figures or bounds for every run that counts, or an audit that includes "
                f"{disclosure.SYSTEMIC_RISK}",
            ),
        ),
        ("When the threshold is crossed", answers.crossing(report)),
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
            _fields("parties", "Who notifies, of what", parties),
            _fields("condition", "The condition of Article 51(1)(a)", condition),
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


def _fields(key: str, title: str, rows: list[tuple[str, Answer]]) -> Section:
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


def _position(report: "AuditReport") -> str:
    standing = disclosure.cumulative(report)
    if standing is None or standing.probability_exceeded is None:
        return "Whether the condition is met cannot be stated on the evidence of this case."
    chance = wording.probability(standing)
    if standing.probability_exceeded >= PASSED:
        return f"On the evidence of this case the condition is met (probability {chance})."
    if standing.probability_exceeded <= 1 - PASSED:
        return (
            f"On the evidence of this case the condition is not met (probability of it {chance})."
        )
    return f"The evidence of this case leaves open whether the condition is met (probability {chance})."


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
                scope.reading(run.figures) or "",
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

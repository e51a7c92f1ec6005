"""A document as Markdown (the GitHub dialect, whose tables most readers know)."""

import re

from flopledger.reports.charts import TimeChart
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
    Strong,
    Table,
    Tree,
    Words,
)

#: What Markdown, or HTML inside it, would read as anything but itself.
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~$])")


def render(document: Document) -> str:
    """Set ``document``; ends with a newline."""
    parts = [f"# {escape(document.title)}"]
    if document.mark:
        parts.append(f"**{escape(document.kind)}: {escape(document.mark)}**")
    if document.lead:
        parts.append(escape(document.lead))
    if document.quote or document.cite:
        parts.append(_quote(document))
    if document.stats:
        parts.append(
            "\n".join(
                f"- **{escape(one.label)}:** {escape(one.value)}"
                + (f" ({escape(one.note)})" if one.note else "")
                for one in document.stats
            )
        )
    for section in document.sections:
        parts.append(f"## {escape(section.title)}")
        parts += [_block(block) for block in section.blocks]
    if document.footer:
        parts += ["---", escape(document.footer)]
    return "\n\n".join(parts) + "\n"


def escape(text: str) -> str:
    """Take the meaning from every character that has one; a line break becomes a space."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split())).replace("&", "&amp;")


def _set(text: Words) -> str:
    return "".join(_inline(piece) for piece in text)


def _inline(piece: str | Code | Strong) -> str:
    if isinstance(piece, Code):
        return _code(piece.text)
    if isinstance(piece, Strong):
        inner = escape(piece.text)
        # The stars must touch a letter, or they are only stars.
        bare = inner.strip()
        return f"**{bare}**{' ' if inner != inner.rstrip() or piece.text[-1:] == ' ' else ''}"
    lead, tail = piece[:1].isspace(), len(piece) > 1 and piece[-1:].isspace()
    return f"{' ' if lead else ''}{escape(piece)}{' ' if tail else ''}"


def _code(text: str) -> str:
    """Fence with more backticks than the text holds; a bar would end a table's cell."""
    flat = " ".join(text.split())
    if not flat:
        return ""  # two bare backticks are no code, and would begin one
    longest = max((len(run) for run in re.findall(r"`+", flat)), default=0)
    fence = "`" * (longest + 1)
    space = " " if flat.startswith("`") or flat.endswith("`") else ""
    return f"{fence}{space}{flat}{space}{fence}".replace("|", "\\|")


def _quote(document: Document) -> str:
    lines = []
    if document.quote:
        lines.append(f"> “{escape(document.quote)}”")
    if document.cite:
        lines += [">", f"> {escape(document.cite)}"] if lines else [f"> {escape(document.cite)}"]
    return "\n".join(lines)


def _block(block: Block) -> str:
    match block:
        case Paragraph(role="heading"):
            return f"### {_set(block.words)}"
        case Paragraph():
            return _set(block.words)
        case Bullets():
            return "\n".join(f"- {_set(item)}" for item in block.items)
        case Tree():
            return "\n".join(_branches(block.branches, ""))
        case Table():
            return _table(block)
        case Pairs():
            return "\n".join(f"- **{escape(name)}:** {_set(value)}" for name, value in block.rows)
        case Card():
            return _card(block)
        case Figure():
            return _figure(block)


def _branches(branches: tuple[Branch, ...], indent: str) -> list[str]:
    lines = []
    for branch in branches:
        lines.append(f"{indent}- {_set(branch.words)}")
        lines += _branches(branch.branches, f"{indent}  ")
    return lines


def _table(table: Table) -> str:
    def line(cells: list[str]) -> str:
        return f"| {' | '.join(cells)} |"

    lines = [
        line([escape(column.title) for column in table.columns]),
        line(["---:" if column.kind == "figure" else "---" for column in table.columns]),
    ]
    for row in table.rows:
        cells = [_set(cell) for cell in row.cells]
        lines.append(line([f"**{cell}**" if row.total and cell else cell for cell in cells]))
    return "\n".join(lines)


def _card(card: Card) -> str:
    lines = [f"- **{card.severity}** {_code(card.code)}: {escape(card.message)}"]
    if card.meaning:
        lines.append(f"  - What it means: {_set(card.meaning)}.")
    if card.resolves:
        lines.append(f"  - What would resolve it: {_set(card.resolves)}.")
    if card.places:
        lines.append(f"  - Where: {escape('; '.join(card.places))}")
    return "\n".join(lines)


def _figure(figure: Figure) -> str:
    """Name the drawing; its figures stand in the table that follows, or are said here."""
    text = f"*Figure: {escape(figure.chart.title)}.* {_set(figure.caption)}"
    if isinstance(figure.chart, TimeChart):
        return f"{text}\n\n" + "\n".join(
            f"- {escape(panel.caption)}" for panel in figure.chart.panels
        )
    return text

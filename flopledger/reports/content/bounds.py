"""A report has room for what a person can read; what is cut is counted, and stands in JSON and CSV.

Evidence decides how many runs, facts, files and findings there are, and how long their words: without
these bounds one hostile log could make a page that no reader opens.
"""

from dataclasses import replace

from flopledger.reports.charts import Chart
from flopledger.reports.document import (
    Block,
    Branch,
    Bullets,
    Card,
    Figure,
    Paragraph,
    Section,
    Table,
    Tree,
)

MOST_ROWS, MOST_ITEMS, MOST_CARDS, MOST_LINES = 500, 300, 150, 40
_ELSEWHERE = "the JSON and CSV forms of this report hold all of them"


def bounded(section: Section, elsewhere: str = _ELSEWHERE) -> Section:
    """Cut what is too long, and say so where it was cut, and where all of it stands."""
    blocks: list[Block] = []
    cards = 0
    for block in section.blocks:
        if isinstance(block, Card):
            cards += 1
            if cards <= MOST_CARDS:
                blocks.append(block)
        elif isinstance(block, Table):
            blocks += _table(block, elsewhere)
        elif isinstance(block, Bullets):
            blocks += _bullets(block, elsewhere)
        elif isinstance(block, Tree):
            blocks += _tree(block, elsewhere)
        else:
            blocks.append(_figure(block) if isinstance(block, Figure) else block)
    if cards > MOST_CARDS:
        blocks.append(_note(cards - MOST_CARDS, "findings", elsewhere))
    return replace(section, blocks=tuple(blocks))


def _table(table: Table, elsewhere: str) -> list[Block]:
    more = len(table.rows) - MOST_ROWS
    if more <= 0:
        return [table]
    totals = tuple(row for row in table.rows[MOST_ROWS:] if row.total)
    return [replace(table, rows=(*table.rows[:MOST_ROWS], *totals)), _note(more, "rows", elsewhere)]


def _bullets(bullets: Bullets, elsewhere: str) -> list[Block]:
    more = len(bullets.items) - MOST_ITEMS
    if more <= 0:
        return [bullets]
    return [replace(bullets, items=bullets.items[:MOST_ITEMS]), _note(more, "entries", elsewhere)]


def _tree(tree: Tree, elsewhere: str) -> list[Block]:
    """Keep the first points in the order of reading; the depth is bounded where the tree is made."""
    left, lost = MOST_ITEMS, 0

    def kept(branches: tuple[Branch, ...]) -> tuple[Branch, ...]:
        nonlocal left, lost
        found = []
        for branch in branches:
            if left <= 0:
                lost += _size(branch)
                continue
            left -= 1
            found.append(replace(branch, branches=kept(branch.branches)))
        return tuple(found)

    cut = replace(tree, branches=kept(tree.branches))
    return [cut, _note(lost, "entries", elsewhere)] if lost else [tree]


def _size(branch: Branch) -> int:
    return 1 + sum(_size(one) for one in branch.branches)


def _figure(figure: Figure) -> Figure:
    chart = figure.chart
    if not isinstance(chart, Chart) or len(chart.rows) <= MOST_LINES:
        return figure
    # The last rows are the sums and the claim: they are what the others are held against.
    rows = (*chart.rows[: MOST_LINES - 2], *chart.rows[-2:])
    more = f" {len(chart.rows) - len(rows):,} more rows stand in the table."
    return replace(figure, chart=replace(chart, rows=rows), caption=(*figure.caption, more))


def _note(more: int, what: str, elsewhere: str) -> Paragraph:
    return Paragraph(words=(f"{more:,} more {what} are left out here; {elsewhere}.",), role="note")

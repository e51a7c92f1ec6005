"""The tables as CSV: one rectangular file for all of them, or one file each.

The single file has a first column ``table`` and the union of all columns, so that any reader takes
it: ``frame[frame.table == "facts"]``. Missing is an empty cell. A text cell that a spreadsheet would
run as a formula gets an apostrophe in front, the usual sign for "this is text".
"""

import csv
import io
from typing import TYPE_CHECKING

from flopledger.reports.tables import Record, Records, Value, all_tables
from flopledger.unseen import written

if TYPE_CHECKING:
    from flopledger.auditing import AuditReport

#: What starts a formula in one spreadsheet or another, full-width forms included.
_FORMULA = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")


def dumps(report: "AuditReport") -> str:
    """Write all tables as one."""
    tables = all_tables(report)
    columns = ["table", *dict.fromkeys(name for one in tables for name in one.columns)]
    rows: list[Record] = [{"table": one.name, **row} for one in tables for row in one.rows]
    return _csv(columns, rows)


def files(report: "AuditReport") -> dict[str, str]:
    """Write each table as a file of its own: name -> text."""
    return {f"{one.name}.csv": one_table(one) for one in all_tables(report)}


def one_table(records: Records) -> str:
    """Write one table."""
    return _csv(list(records.columns), list(records.rows))


def _csv(columns: list[str], rows: list[Record]) -> str:
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([cell(row.get(name)) for name in columns])
    return sink.getvalue()


def cell(value: Value) -> str:
    """Write one value: full precision for numbers, text that stays text and steers no terminal."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    # A lone carriage return ends a row for some readers, whatever the quotes say.
    harmless = written(value.replace("\r\n", "\n").replace("\r", "\n"))
    if harmless.lstrip(" \N{NO-BREAK SPACE}").startswith(_FORMULA):
        return f"'{harmless}"
    return harmless

"""A table of the report as a pandas data frame."""

from typing import TYPE_CHECKING

from flopledger.errors import FlopledgerError
from flopledger.reports.tables import NUMBERS, table

if TYPE_CHECKING:
    import pandas as pd

    from flopledger.auditing import AuditReport


def to_frame(report: "AuditReport", name: str) -> "pd.DataFrame":
    """Give one table with nullable types, so that missing is ``<NA>`` and never 0.

    Raises ``FlopledgerError`` for an unknown table, or where pandas is not installed.
    """
    records = table(report, name)
    try:
        import pandas as pd
    except ImportError:
        raise FlopledgerError(
            "data frames need pandas, which is not installed: pip install 'flopledger[frame]'"
        ) from None
    columns = {
        column: pd.Series([row[column] for row in records.rows], dtype=_type(column))
        for column in records.columns
    }
    return pd.DataFrame(columns, columns=list(records.columns))


def _type(column: str) -> str:
    """Name the nullable type of a column; facts hold numbers and words in one."""
    if column == "value":
        return "object"
    if column == "bound_only":
        return "boolean"
    return "Float64" if column in NUMBERS else "string"

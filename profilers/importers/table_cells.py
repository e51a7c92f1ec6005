"""A line into cells, and a cell into a reading."""

import csv
import re

from profilers.importers import units
from profilers.importers.errors import ImportFormatError
from profilers.importers.table import Column, Table
from profilers.reading import Reading


def split(text: str, delimiter: str, file: str, number: int) -> list[str]:
    """Split a line into cells; quotes are those of CSV."""
    if '"' not in text:
        return text.split(delimiter)
    try:
        return next(csv.reader([text], delimiter=delimiter, skipinitialspace=True, strict=True))
    except csv.Error as error:
        raise ImportFormatError(f"is no CSV row: {error}", file=file, line=number) from error


def table_reading(table: Table, column: Column, bare: str) -> Reading | None:
    """Read one trimmed cell, the format's own words for a missing figure included."""
    return table.missing[bare] if bare in table.missing else cell_reading(column, bare)


def cell_reading(column: Column, bare: str) -> Reading | None:
    """Read one trimmed cell; None where it does not fit the column."""
    if column.suffix and bare not in units.MISSING:
        if not bare.endswith(column.suffix):
            return None
        bare = bare[: -len(column.suffix)].rstrip()
        return (
            None if units.number(bare) is None else units.reading(column.signal, bare, column.unit)
        )
    if column.unit == "mask" and re.fullmatch(r"0x[0-9a-fA-F]{1,16}", bare):
        mask = int(bare, 16)
        return mask if mask < 2**63 else None
    return units.reading(column.signal, bare, column.unit)

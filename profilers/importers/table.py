"""What a checked header says of a table: the values on which every CSV-like format stands.

A format says what each column is (``Table``). ``table_rows`` reads the lines below it strictly;
``bulk`` reads the same ``Table`` fast and falls back on ``table_rows`` wherever it is not sure.
"""

import enum
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo

from profilers.reading import Unavailable


class Role(enum.StrEnum):
    """What a column is for."""

    STAMP = "stamp"
    INDEX = "index"
    UUID = "uuid"
    MIG = "mig"
    NAME = "name"
    NODE = "node"
    BUS = "bus"
    SIGNAL = "signal"
    FACT = "fact"
    SKIP = "skip"


IDENTITY = frozenset({Role.UUID, Role.MIG, Role.INDEX, Role.NODE, Role.BUS, Role.NAME})
"""Roles of the columns that tell devices apart."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """One column: what it is for and how its cells are written."""

    title: str
    """As the header has it, for messages."""
    role: Role
    signal: str = ""
    """The signal that its cells are readings of (role signal), or the device's field (fact)."""
    unit: str = ""
    """Unit of the figures."""
    suffix: str = ""
    """Unit as written behind each figure; empty where cells are bare figures."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A table's columns and how its stamps and devices are to be read."""

    columns: tuple[Column, ...]
    stamp: str = "civil"
    """``civil`` or an epoch unit (``unix-s`` ...)."""
    delimiter: str = ","
    zone: tzinfo | None = None
    """Zone of stamps that carry none; None: unknown."""
    zoned: bool = False
    """The stamps carry their zone; then each of them must."""
    node: str | None = None
    """Host, where no column names it."""
    mark: str = "recording"
    """Stands for the host where nobody names it."""
    vendor: str | None = "nvidia"
    only_device: str | None = None
    """The slot of the one device that a table without device columns is about."""
    is_header: Callable[[Sequence[str]], bool] = field(default=lambda _: False)
    """Recognises a repeated header among the rows."""
    message: re.Pattern[str] | None = None
    """Lines that the tool itself prints between the rows."""
    missing: Mapping[str, Unavailable] = field(default_factory=dict)
    """The format's own words for a missing figure, beside the usual ones."""

    @property
    def dated(self) -> bool:
        """True where civil stamps are moments: their zone is written or was stated."""
        return self.zoned or self.zone is not None

    def place(self, role: Role) -> int | None:
        """Return the position of the first column with a role."""
        return next((i for i, column in enumerate(self.columns) if column.role is role), None)

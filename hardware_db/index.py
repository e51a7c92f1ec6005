"""The shipped data in one file that loads in milliseconds.

The TOML files are the truth; ``python -m hardware_db.compile`` writes this file from them.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Any, Generic, TypeVar

from hardware_db.errors import DataError, HardwareError
from hardware_db.figures import Architecture, Figure, Measurement, Rate, Source
from hardware_db.instances import Family
from hardware_db.names import Names
from hardware_db.spec import Accelerator, Clock

_Made = TypeVar("_Made")
DATA = Path(__file__).parent / "data"
CLOCK_KEYS = ("matrix_clock", "vector_clock", "max_clock", "base_clock")
FIGURE_KEYS = tuple(f.name for f in fields(Figure) if f.name not in ("origin", "sparse"))
PART_KEYS = tuple(
    f.name for f in fields(Accelerator) if f.name not in (*CLOCK_KEYS, "peaks", "rates")
)
NAMES_KEYS = tuple(f.name for f in fields(Names))
SOURCE_KEYS = tuple(f.name for f in fields(Source))


class _Maker(Generic[_Made]):
    """Makes frozen values from rows, straight into their slots.

    What is in the index was checked when it was compiled; going through the constructors would
    cost three times the time, and loading is on the path of every command.
    """

    def __init__(self, kind: type[_Made], keys: tuple[str, ...]) -> None:
        assert {f.name for f in fields(kind)} == set(keys)  # type: ignore[arg-type]
        self._kind = kind
        self._setters = [getattr(kind, key).__set__ for key in keys]

    def make(self, values: list[Any]) -> _Made:
        """The value whose fields are these, in the order of the keys; lists become tuples."""
        made = object.__new__(self._kind)
        for put, value in zip(self._setters, values, strict=True):
            put(made, _frozen(value) if type(value) is list else value)
        return made


_FIGURE = _Maker(Figure, (*FIGURE_KEYS, "sparse", "origin"))
_PART = _Maker(Accelerator, (*PART_KEYS, *CLOCK_KEYS, "peaks", "rates"))
_NAMES = _Maker(Names, NAMES_KEYS)
_FLOP_PER_SECOND = FIGURE_KEYS.index("flop_per_second")


class Index:
    """The compiled data. Sources and architectures are made at once, parts on demand."""

    def __init__(self, content: bytes) -> None:
        try:
            raw = json.loads(content)
            self._parts: dict[str, list[Any]] = raw["parts"]
            self._figures: list[list[list[Any]]] = raw["figures"]
            self._rates: list[list[list[Any]]] = raw["rates"]
            self.sources = {
                s[0]: Source(**dict(zip(SOURCE_KEYS, s, strict=True))) for s in raw["sources"]
            }
            self.architectures = {a["key"]: _architecture(a) for a in raw["architectures"]}
            self._families: list[list[Any]] = raw["instances"]
            self._measurements: list[list[Any]] = raw["measurements"]
            self.names = {n[0]: _NAMES.make(n) for n in raw["names"]}
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{DATA / 'index.json'}: damaged ({error}); reinstall flopledger, or in a checkout "
                "run python -m hardware_db.compile"
            ) from None
        self._content = content

    @classmethod
    @lru_cache(maxsize=1)
    def shipped(cls) -> Index:
        """The index that lies beside the data."""
        return cls((DATA / "index.json").read_bytes())

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the compiled data, which is the same on every machine."""
        return hashlib.sha256(self._content).hexdigest()

    @property
    def measurements(self) -> tuple[Measurement, ...]:
        """What others measured, for the validation."""
        keys = [f.name for f in fields(Measurement)]
        return tuple(Measurement(**dict(zip(keys, m, strict=True))) for m in self._measurements)

    @property
    def instance_families(self) -> tuple[Family, ...]:
        """Cloud instance types by the part they carry."""
        keys = [f.name for f in fields(Family)]
        return tuple(Family(**dict(zip(keys, f, strict=True))) for f in self._families)

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of the shipped parts, sorted."""
        return tuple(self._parts)

    def part(self, part_id: str) -> Accelerator:
        """Make one part; raises HardwareError where there is no such id."""
        if part_id not in self._parts:
            raise HardwareError(f"no part has the id {part_id!r}; `flopledger hardware list`")
        values, clocks, figures, rates = self._parts[part_id]
        made = [clock and Clock(mhz=clock[0], basis=clock[1]) for clock in clocks]
        return _PART.make([*values, *made, self._peaks(figures), self._rates_of(rates)])

    # Parts that compute alike share one list in the file, and so one tuple in memory.
    @cache  # noqa: B019 - an index lives as long as the program
    def _peaks(self, number: int) -> tuple[Figure, ...]:
        made = []
        for source, sparse, *values in self._figures[number]:
            origin = self.sources[source]
            made.append(_FIGURE.make([*values, False, origin]))
            if sparse is not None:
                values[_FLOP_PER_SECOND] = sparse
                made.append(_FIGURE.make([*values, True, origin]))
        return tuple(made)

    @cache  # noqa: B019
    def _rates_of(self, number: int) -> tuple[Rate, ...]:
        return tuple(_rate(r) for r in self._rates[number])


def _rate(values: list[Any]) -> Rate:
    dtype, engine, accumulate, flop_per_clock = values
    return Rate(dtype=dtype, engine=engine, accumulate=accumulate, flop_per_clock=flop_per_clock)


def _architecture(plain: dict[str, Any]) -> Architecture:
    return Architecture(
        **plain
        | {
            "rates": tuple(_rate(r) for r in plain["rates"]),
            "sparse_dtypes": tuple(plain["sparse_dtypes"]),
        }
    )


def _frozen(values: list[Any]) -> tuple[Any, ...]:
    return tuple(tuple(v) if type(v) is list else v for v in values)

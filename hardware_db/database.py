"""The database: shipped parts, a user's own parts beside them, and the questions asked of both."""

from __future__ import annotations

import hashlib
import os
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from hardware_db import grammar
from hardware_db.errors import AmbiguousAccelerator, DataError
from hardware_db.explain import PeakCheck, explain_peak
from hardware_db.identify import Identifier
from hardware_db.index import Index
from hardware_db.instances import Instance, Instances

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hardware_db.reader import PartReader
    from hardware_db.spec import Accelerator

PATH_VARIABLE = "FLOPLEDGER_HARDWARE_PATH"
_MAX_FILES = 1000


class Database:
    """Shipped and own parts. Parts are made from the index when they are first asked for."""

    def __init__(
        self, index: Index, own: PartReader | None = None, *, own_digest: str = ""
    ) -> None:
        self._index = index
        self._parts: dict[str, Accelerator] = dict(own.parts) if own else {}
        self._own_ids = tuple(self._parts)
        names = {**index.names, **(own.names if own else {})}
        self._identifier = Identifier(names.values(), self.part)
        self._own_digest = own_digest

    @classmethod
    def load(cls, paths: Iterable[str | Path] = ()) -> Database:
        """The shipped database and the parts in these TOML files or folders of them."""
        index = Index.shipped()
        files = _own_files(paths)
        if not files:
            return cls(index)
        from hardware_db.reader import (
            PartReader,  # reading TOML costs start-up time, and few have own parts
        )

        reader = PartReader(dict(index.sources), dict(index.architectures))
        reader.parts = {i: index.part(i) for i in index.ids}
        reader.read_all(files)
        _refuse_stolen_names(reader, index, files)
        shipped = set(index.ids)
        reader.parts = {i: p for i, p in reader.parts.items() if i not in shipped}
        digest = hashlib.sha256()
        for file in files:
            digest.update(file.read_bytes())
        return cls(index, reader, own_digest=digest.hexdigest())

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of all parts, the shipped ones first."""
        return (*self._index.ids, *self._own_ids)

    def part(self, part_id: str) -> Accelerator:
        """The part with this id; raises HardwareError where there is none."""
        if part_id not in self._parts:
            self._parts[part_id] = self._index.part(part_id)
        return self._parts[part_id]

    def accelerators(self) -> tuple[Accelerator, ...]:
        """All parts, in the order of their ids, the shipped ones first."""
        return tuple(self.part(i) for i in self.ids)

    def identify(
        self, name: str, *, memory_gb: float | None = None, compute_units: int | None = None
    ) -> Accelerator:
        """The one part that a name means; see :meth:`Identifier.identify`."""
        return self._identifier.identify(name, memory_gb=memory_gb, compute_units=compute_units)

    def identify_compute(self, name: str) -> Accelerator:
        """As :meth:`identify`, but parts that compute alike need not be told apart."""
        try:
            return self.identify(name)
        except AmbiguousAccelerator as error:
            if error.common is None:
                raise
            return error.common

    def explain_peak(
        self, claimed_flop_per_second: float, device: Accelerator | str, dtype: str
    ) -> PeakCheck:
        """Why a claimed peak is not the sourced one, or that it is; see explain.explain_peak."""
        part = self.identify_compute(device) if isinstance(device, str) else device
        return explain_peak(claimed_flop_per_second, part, dtype, self.accelerators())

    def instance(self, name: str) -> Instance:
        """The accelerators in one cloud instance of this type; raises UnknownInstance."""
        return self.instances.find(name)

    @cached_property
    def instances(self) -> Instances:
        """All cloud instance types."""
        return Instances(self._index.instance_families, self.part, self._index.sources)

    @property
    def identifier(self) -> Identifier:
        """The reader of names."""
        return self._identifier

    @property
    def index(self) -> Index:
        """The shipped data."""
        return self._index

    def digest(self) -> str:
        """SHA-256 over all data, own parts included: two equal digests mean equal answers."""
        if not self._own_digest:
            return self._index.digest
        return hashlib.sha256((self._index.digest + self._own_digest).encode()).hexdigest()


def variable_paths() -> list[str]:
    """What the environment variable names."""
    return [p for p in os.environ.get(PATH_VARIABLE, "").split(os.pathsep) if p]


def default_database() -> Database:
    """The shipped database with the parts that FLOPLEDGER_HARDWARE_PATH names."""
    return _loaded(tuple(variable_paths()))


@lru_cache(maxsize=4)
def _loaded(paths: tuple[str, ...]) -> Database:
    return Database.load(paths)


def _own_files(paths: Iterable[str | Path]) -> list[Path]:
    files: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            files += sorted(p for p in path.glob("**/*.toml") if p.is_file())
        elif path.is_file():
            files.append(path)
        else:
            raise DataError(
                f"{path}: no such file or folder; {PATH_VARIABLE} and --hardware-path name TOML "
                "files or folders of them"
            )
    if len(files) > _MAX_FILES:
        raise DataError(f"{len(files)} hardware files; at most {_MAX_FILES} are read")
    return files


def _refuse_stolen_names(reader: PartReader, index: Index, files: list[Path]) -> None:
    """An own part may not take over a name that a shipped part already answers to."""
    taken = {_key(name): n.id for n in index.names.values() for name in (n.id, *n.exact)}
    where = {path.stem: path for path in files}
    for part_id, names in reader.names.items():
        for name in names.exact:
            owner = taken.get(_key(name))
            if owner is not None:
                raise DataError(
                    f"{where[part_id]}: identification.exact: {name!r} already means {owner}; "
                    "an own part needs a name of its own"
                )


def _key(name: str) -> str:
    """What the reader of names compares: spellings that it takes for one are one name here."""
    return grammar.clean(name) or name

"""Compile the TOML files into the index: ``python -m hardware_db.compile [--check]``.

A run without options writes ``data/index.json``; ``--check`` only compares and fails where the
two differ. A test runs the check, so the index cannot drift from the files.
"""

from __future__ import annotations

import json
import sys
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from hardware_db.catalogue import (
    read_architectures,
    read_instances,
    read_measurements,
    read_sources,
)
from hardware_db.index import CLOCK_KEYS, DATA, FIGURE_KEYS, NAMES_KEYS, PART_KEYS, SOURCE_KEYS
from hardware_db.reader import PartReader

if TYPE_CHECKING:
    from pathlib import Path

    from hardware_db.figures import Architecture, Rate
    from hardware_db.spec import Accelerator


def compile_index(data: Path = DATA) -> bytes:
    """Read all TOML files and write them down in a canonical form."""
    sources = read_sources(data / "sources.toml")
    architectures = read_architectures(data / "architectures.toml")
    reader = PartReader(sources, architectures)
    reader.read_all(list((data / "accelerators").glob("*/*.toml")))
    parts = [reader.parts[i] for i in sorted(reader.parts)]
    figures, rates = _Pool(), _Pool()
    content = {
        "sources": [[getattr(s, k) for k in SOURCE_KEYS] for s in sources.values()],
        "architectures": [_plain_architecture(a) for a in architectures.values()],
        "names": [[getattr(reader.names[p.id], k) for k in NAMES_KEYS] for p in parts],
        "parts": {p.id: _plain_part(p, figures, rates) for p in parts},
        "figures": figures.items,
        "rates": rates.items,
        "instances": [
            [f.provider, f.accelerator, f.source, f.locator, f.note, f.counts]
            for f in read_instances(data / "instances.toml")
        ],
        "measurements": [
            [m.part, m.dtype, m.flop_per_second, m.source]
            for m in read_measurements(data / "measured.toml")
        ],
    }
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), sort_keys=False)
    return (text + "\n").encode()


class _Pool:
    """Lists that many parts share, each written once."""

    def __init__(self) -> None:
        self.items: list[Any] = []
        self._places: dict[str, int] = {}

    def place(self, item: Any) -> int:
        """Number under which the item is written."""
        key = json.dumps(item)
        if key not in self._places:
            self._places[key] = len(self.items)
            self.items.append(item)
        return self._places[key]


def _plain_part(part: Accelerator, figures: _Pool, rates: _Pool) -> list[Any]:
    clocks = [getattr(part, k) for k in CLOCK_KEYS]
    return [
        [getattr(part, k) for k in PART_KEYS],
        [c and [c.mhz, c.basis] for c in clocks],
        figures.place(_plain_figures(part)),
        rates.place([_plain_rate(r) for r in part.rates]),
    ]


def _plain_figures(part: Accelerator) -> list[list[Any]]:
    """One row a dense figure, with the sparse value beside it."""
    sparse = {(f.dtype, f.engine, f.accumulate): f.flop_per_second for f in part.peaks if f.sparse}
    return [
        [
            f.origin.id,
            sparse.get((f.dtype, f.engine, f.accumulate)),
            *(getattr(f, k) for k in FIGURE_KEYS),
        ]
        for f in part.peaks
        if not f.sparse
    ]


def _plain_rate(rate: Rate) -> list[Any]:
    return [rate.dtype, rate.engine, rate.accumulate, rate.flop_per_clock]


def _plain_architecture(arch: Architecture) -> dict[str, Any]:
    plain = {f.name: getattr(arch, f.name) for f in fields(arch)}
    return plain | {"rates": [_plain_rate(r) for r in arch.rates]}


def main(arguments: list[str]) -> int:
    """Write the index, or with ``--check`` compare it; returns the exit code."""
    target = DATA / "index.json"
    fresh = compile_index()
    if "--check" not in arguments:
        target.write_bytes(fresh)
        sys.stdout.write(f"wrote {target}: {len(fresh)} bytes\n")
        return 0
    equal = target.is_file() and target.read_bytes() == fresh
    sys.stdout.write("equal\n" if equal else "differs: run python -m hardware_db.compile\n")
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

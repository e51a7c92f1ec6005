"""Reading what the parts refer to: publications and architectures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hardware_db.figures import DTYPES, Architecture, Measurement, Rate, Source, accumulate_default
from hardware_db.instances import Family
from hardware_db.toml_table import Table, read_toml

if TYPE_CHECKING:
    from pathlib import Path

TIERS = ("datasheet", "whitepaper", "documentation", "oem", "third-party", "measured")


def read_sources(path: Path) -> dict[str, Source]:
    """sources.toml: one table a publication, keyed by its id."""
    file = read_toml(path)
    found = {}
    for key in file.names():
        found[key] = source(key, file.table(key))
    return found


def source(key: str, entry: Table) -> Source:
    """One publication."""
    made = Source(
        id=key,
        title=entry.need_text("title"),
        publisher=entry.need_text("publisher"),
        edition=entry.text("edition"),
        date=entry.date("date"),
        tier=entry.choice("tier", TIERS),
        accessed=entry.need_text("accessed", pattern=r"recalled|\d{4}-\d\d-\d\d"),
        locator=entry.text("locator"),
        licence=entry.text("licence"),
    )
    entry.finish()
    return made


def read_architectures(path: Path) -> dict[str, Architecture]:
    """architectures.toml: one table an (architecture, tier)."""
    file = read_toml(path)
    found = {}
    for key in file.names():
        entry = file.table(key)
        sparsity = entry.table("sparsity")
        found[key] = Architecture(
            key=key,
            family=entry.need_text("family"),
            unit_name=entry.need_text("unit"),
            rates=tuple(_rate(rate) for rate in entry.tables("rates")),
            sparsity=sparsity.number("factor"),
            sparse_dtypes=sparsity.texts("dtypes"),
            origin=entry.need_text("source"),
            locator=entry.need_text("locator"),
        )
        sparsity.finish()
        entry.finish()
    return found


def _rate(entry: Table) -> Rate:
    dtype = entry.choice("dtype", DTYPES)
    rate = Rate(
        dtype=dtype,
        engine=entry.choice("engine", ("matrix", "vector")),
        accumulate=entry.text("accumulate") or accumulate_default(dtype),
        flop_per_clock=entry.need_number("flop_per_clock"),
    )
    entry.finish()
    return rate


def read_measurements(path: Path) -> tuple[Measurement, ...]:
    """measured.toml: what others reached."""
    file = read_toml(path)
    sources = file.table("sources")
    places = {}
    for key in sources.names():
        entry = sources.table(key)
        title, where = entry.need_text("title"), entry.need_text("locator")
        places[key] = f"{title}: {where}, {entry.need_text('accessed')}"
        entry.finish()
    found = []
    for entry in file.tables("measured"):
        found.append(
            Measurement(
                part=entry.need_text("part"),
                dtype=entry.choice("dtype", DTYPES),
                flop_per_second=entry.need_number("tflops") * 1e12,
                source=places[entry.choice("source", tuple(places))],
            )
        )
        entry.finish()
    file.finish()
    return tuple(found)


def read_instances(path: Path) -> tuple[Family, ...]:
    """instances.toml: groups of instance types that carry the same part."""
    file = read_toml(path)
    found = []
    for entry in file.tables("family"):
        counts = entry.table("counts")
        found.append(
            Family(
                provider=entry.need_text("provider"),
                accelerator=entry.need_text("accelerator"),
                source=entry.need_text("source"),
                locator=entry.need_text("locator"),
                note=entry.text("note"),
                counts=tuple((name, counts.count(name)) for name in counts.names()),
            )
        )
        entry.finish()
    file.finish()
    return tuple(found)

"""From a part's TOML file to values. The files are the truth; what is derived is derived here."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hardware_db.catalogue import source
from hardware_db.figures import DTYPES, Architecture, Figure, Source, accumulate_default
from hardware_db.names import Names
from hardware_db.spec import Accelerator, Clock
from hardware_db.toml_table import Table, read_toml

if TYPE_CHECKING:
    from pathlib import Path

BASES = ("datasheet", "derived", "back-solved", "measured-bound")
ID = r"[a-z0-9]+(-[a-z0-9.]+)+"


class PartReader:
    """Reads parts one after the other; a part may refer to the compute of one read before."""

    def __init__(self, sources: dict[str, Source], architectures: dict[str, Architecture]) -> None:
        self.sources = sources
        self.architectures = architectures
        self.parts: dict[str, Accelerator] = {}
        self.names: dict[str, Names] = {}

    def read_all(self, paths: list[Path]) -> None:
        """Read many files, those that refer to others last."""
        waiting = [(path, read_toml(path)) for path in sorted(paths)]
        waiting.sort(key=lambda entry: entry[1].has("same_compute_as"))
        for path, file in waiting:
            self.read(path, file)

    def read(self, path: Path, file: Table) -> Accelerator:
        """Read one part; raises DataError with file and key for anything that is not right."""
        own_sources = file.tables("sources")
        for entry in own_sources:
            self._own_source(entry)
        part_id = file.need_text("id", pattern=ID)
        if part_id in self.parts:
            raise file.error("id", f"{part_id!r} is already in the database; choose another id")
        if path.stem != part_id:
            raise file.error("id", f"{part_id!r} must be the file's name: {part_id}.toml")
        architecture = self._architecture(file)
        origin = self._source(file)
        part = self._part(part_id, file, architecture)
        part = self._with_peaks(part, file, architecture, origin)
        self.names[part_id] = _names(part, file.table("identification"))
        file.finish()
        self.parts[part_id] = part
        return part

    def _own_source(self, entry: Table) -> None:
        key = entry.need_text("id")
        if key in self.sources:
            raise entry.error("id", f"the source {key!r} exists already; refer to it instead")
        self.sources[key] = source(key, entry)

    def _source(self, file: Table) -> Source:
        name = file.need_text("source")
        if name not in self.sources:
            raise file.error("source", f"no source {name!r} in sources.toml; add it there")
        return self.sources[name]

    def _architecture(self, file: Table) -> Architecture | None:
        key = file.text("architecture")
        if key is None:
            return None
        if key not in self.architectures:
            raise file.error("architecture", f"no {key!r} in architectures.toml; add its rates")
        return self.architectures[key]

    def _part(self, part_id: str, file: Table, arch: Architecture | None) -> Accelerator:
        device, clocks = file.table("device"), file.table("clocks")
        memory, links = file.table("memory"), file.table("links")
        export = file.table("export_control")
        power = file.table("power")
        part = Accelerator(
            id=part_id,
            name=file.need_text("name"),
            vendor=file.need_text("vendor"),
            family=_family(file, arch),
            architecture=arch.key if arch else "unpublished",
            form_factor=file.need_text("form_factor"),
            status=file.choice("status", ("announced", "shipping", "eol")),
            released=file.date("released"),
            unit=device.need_text("sold_as"),
            unit_name=device.text("unit_name") or (arch.unit_name if arch else None),
            compute_units=device.integer("units"),
            dies_per_package=device.integer("dies") or 1,
            devices_per_package=device.integer("devices") or 1,
            device_kind=device.text("device_kind") or "GPU",
            matrix_clock=_clock(clocks, "matrix"),
            vector_clock=_clock(clocks, "vector"),
            max_clock=_clock(clocks, "max"),
            base_clock=_clock(clocks, "base"),
            rate_capped=export.flag("rate_capped"),
            memory_gb=memory.number("gb"),
            memory_kind=memory.text("kind"),
            memory_bus_bits=memory.integer("bus_bits"),
            memory_data_rate_gtps=memory.number("data_rate_gtps"),
            bandwidth_gb_per_s=memory.number("bandwidth_gb_per_s"),
            tdp_w=power.number("tdp_w"),
            interconnect=links.text("kind"),
            interconnect_gb_per_s=links.number("gb_per_s"),
            export_of=export.text("variant_of"),
            restriction=export.text("restriction"),
            same_compute_as=file.text("same_compute_as"),
            peaks=(),
            rates=arch.rates if arch else (),
            note=file.text("note"),
        )
        for table in (device, clocks, memory, links, export, power):
            table.finish()
        return part

    def _with_peaks(
        self, part: Accelerator, file: Table, arch: Architecture | None, origin: Source
    ) -> Accelerator:
        table = file.table("peaks")
        without = table.texts("without")
        default_locator = table.text("locator")
        figures: list[Figure] = []
        for entry in table.tables("figures"):
            figures += self._figures(entry, arch, origin, default_locator)
        prelaunch = tuple(_prelaunch(entry) for entry in table.tables("prelaunch"))
        table.finish()
        part = replace(part, prelaunch=prelaunch)
        if part.same_compute_as is not None:
            part, shared = self._shared(part, file, figures, without)
            figures = [*shared, *figures]
        if not figures:
            raise file.error("peaks", "a part needs at least one peak figure")
        seen = [_key(f) for f in figures]
        if len(set(seen)) != len(seen):
            raise file.error("peaks", "two figures for one dtype, engine, accumulate and sparsity")
        return replace(part, peaks=tuple(sorted(figures, key=_order)))

    def _shared(
        self, part: Accelerator, file: Table, own: list[Figure], without: tuple[str, ...]
    ) -> tuple[Accelerator, list[Figure]]:
        parent = self.parts.get(part.same_compute_as or "")
        if parent is None:
            raise file.error("same_compute_as", f"no part {part.same_compute_as!r} to refer to")
        taken = {(f.dtype, f.engine) for f in own} | {
            tuple(word.partition(" ")[::2]) for word in without
        }
        shared = [f for f in parent.peaks if (f.dtype, f.engine) not in taken]
        part = replace(
            part,
            family=parent.family,
            architecture=parent.architecture,
            unit_name=parent.unit_name,
            compute_units=parent.compute_units,
            dies_per_package=parent.dies_per_package,
            devices_per_package=parent.devices_per_package,
            device_kind=parent.device_kind,
            matrix_clock=parent.matrix_clock,
            vector_clock=parent.vector_clock,
            max_clock=parent.max_clock,
            base_clock=parent.base_clock,
            rates=tuple(r for r in parent.rates if (r.dtype, r.engine) not in taken),
        )
        return part, shared

    def _figures(
        self, entry: Table, arch: Architecture | None, origin: Source, locator: str | None
    ) -> list[Figure]:
        dtype = entry.choice("dtype", DTYPES)
        dense = entry.need_number("tflops") * 1e12
        sparse = entry.number("sparse_tflops")
        sparse = None if sparse is None else sparse * 1e12
        basis = entry.choice("basis", BASES, "datasheet")
        figure = Figure(
            dtype=dtype,
            engine=entry.choice("engine", ("matrix", "vector")),
            accumulate=entry.text("accumulate") or accumulate_default(dtype),
            sparse=False,
            flop_per_second=dense,
            printed=entry.text("printed"),
            printed_as=entry.text("printed_as"),
            basis=basis,
            clock=entry.text("clock", pattern="matrix|vector"),
            origin=self._source(entry) if entry.has("source") else origin,
            locator=entry.text("locator") or locator or _missing(entry, "locator"),
            waiver=entry.text("waiver"),
        )
        entry.finish()
        if sparse is None and arch and arch.sparsity and figure.engine == "matrix":
            sparse = dense * arch.sparsity if dtype in arch.sparse_dtypes else None
        if sparse is None:
            return [figure]
        return [figure, replace(figure, sparse=True, flop_per_second=sparse)]


def _prelaunch(entry: Table) -> tuple[str, float, str]:
    made = (
        entry.choice("dtype", DTYPES),
        entry.need_number("tflops") * 1e12,
        entry.need_text("note"),
    )
    entry.finish()
    return made


def _family(file: Table, arch: Architecture | None) -> str:
    family = file.text("family") or (arch.family if arch else None)
    if family is None and not file.has("same_compute_as"):
        raise file.error("family", "missing; a part without an architecture says its family")
    return family or ""


def _clock(clocks: Table, name: str) -> Clock | None:
    mhz = clocks.number(f"{name}_mhz")
    basis = clocks.choice(f"{name}_basis", ("published", "back-solved", "observed"), "published")
    return None if mhz is None else Clock(mhz=mhz, basis=basis)


def _names(part: Accelerator, entry: Table) -> Names:
    kinds = entry.texts("memory_kinds") or ((part.memory_kind,) if part.memory_kind else ())
    sizes = entry.texts("memory_sizes")
    names = Names(
        id=part.id,
        vendor=part.vendor,
        family=part.family,
        models=entry.texts("models"),
        brands=entry.texts("brands"),
        forms=_with_form_factor(entry.texts("forms"), part.form_factor),
        forms_beside=entry.texts("forms_beside"),
        memory_gb=((part.memory_gb,) if part.memory_gb else ()) + tuple(float(s) for s in sizes),
        memory_kinds=tuple(kind.lower() for kind in kinds),
        exact=entry.texts("exact"),
        exact_not=entry.texts("exact_not"),
        pci=entry.pairs("pci"),
        pci_not=entry.pairs("pci_not"),
    )
    entry.finish()
    if not names.models and not names.exact:
        raise entry.error("models", "a part needs a name: give models or exact")
    for model in (*names.models, *names.brands, *names.forms):
        if not _is_words(model):
            raise entry.error("models", f"{model!r} must be lower-case words and digits")
    return names


def _with_form_factor(forms: tuple[str, ...], form_factor: str) -> tuple[str, ...]:
    """The form factor itself is one of the words, unless it is no single word."""
    word = form_factor.lower()
    return forms if word in forms or not word.isalnum() else (*forms, word)


def _is_words(text: str) -> bool:
    return text == text.lower() and text.replace(" ", "").replace(".", "").isalnum()


def _missing(entry: Table, key: str) -> str:
    raise entry.error(key, "missing")


def _key(figure: Figure) -> tuple[str, str, str, bool]:
    return figure.dtype, figure.engine, figure.accumulate, figure.sparse


def _order(figure: Figure) -> tuple[int, str, str, bool]:
    return DTYPES.index(figure.dtype), figure.engine, figure.accumulate, figure.sparse

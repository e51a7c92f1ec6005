"""How ``flopledger hardware`` speaks to people."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from hardware_db import Accelerator, PeakCheck

#: Columns from which a terminal has room for more than peaks and memory.
_WIDE = 110


def print_check(check: PeakCheck, part: Accelerator, dtype: str) -> None:
    """The verdict on a claimed peak, with the arithmetic of each explanation."""
    claimed = f"{check.claimed_flop_per_second / 1e12:g} TFLOP/s"
    if check.rated is None:
        typer.echo(f"{part.name} has no hardware path for {dtype}: no peak, whatever the number")
    else:
        rated = check.rated
        typer.echo(
            f"{part.name}, {rated.dtype} dense, {rated.accumulate} accumulation: "
            f"{rated.flop_per_second / 1e12:g} TFLOP/s\n"
            f"  {rated.source}, {rated.locator} ({rated.tier}, {rated.accessed})"
        )
    if check.correct:
        typer.echo(f"{claimed} is right")
        return
    typer.echo(f"{claimed} is not right" + ("" if check.explanations else ", and nothing fits it"))
    for e in check.explanations:
        typer.echo(f"  {e.code}: {e.text} ({e.residual:+.2%})")


def print_table(parts: list[Accelerator], dtype: str | None) -> None:
    """One line a part; a narrow terminal gets the peaks and the memory, and no cut figures."""
    from rich.table import Table
    from rich.text import Text

    from flopledger.reports.console import terminal, widened

    console = terminal()
    about: dict[str, Callable[[Accelerator], str]] = {"GB": lambda part: _cell(part.memory_gb)}
    if console.width >= _WIDE:
        about = {
            "released": lambda part: part.released or "-",
            **about,
            "GB/s": lambda part: _cell(part.bandwidth_gb_per_s),
            "W": lambda part: _cell(part.tdp_w),
        }
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("id", no_wrap=True, min_width=max((len(p.id) for p in parts), default=2))
    dtypes = list(dict.fromkeys(["fp32", "tf32", "bf16", "fp8", *([dtype] if dtype else [])]))
    for column in (*about, *dtypes):
        table.add_column(column, justify="right", no_wrap=True)
    for part in parts:
        cells = [describe(part) for describe in about.values()]
        table.add_row(Text(part.id), *cells, *(_cell(_peak(part, name)) for name in dtypes))
    widened(console, table).print(table)
    typer.echo(
        f"{len(parts)} parts; peaks in TFLOP/s, dense and rated, per part as it is sold; "
        "`flopledger hardware show ID` has the sources",
        err=True,
    )


def print_part(part: Accelerator) -> None:
    """One page a part: what it is, and each figure with its source."""
    from rich.table import Table
    from rich.text import Text

    from flopledger.reports.console import terminal

    console = terminal()
    console.print(f"{part.name}  ({part.id})", style="bold", highlight=False, markup=False)
    for label, value in _facts(part):
        console.print(f"  {label:<14} {value}", highlight=False, markup=False)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("dtype", "engine", "accumulate", "TFLOP/s", "sparse", "basis", "source"):
        right = column in ("TFLOP/s", "sparse")
        table.add_column(column, justify="right" if right else "left", overflow="fold")
    sparse = {(f.dtype, f.engine, f.accumulate): f for f in part.peaks if f.sparse}
    for figure in part.peaks:
        if figure.sparse:
            continue
        twin = sparse.get((figure.dtype, figure.engine, figure.accumulate))
        printed = f"printed {figure.printed} {figure.printed_as}; " if figure.printed else ""
        edition = f" {figure.edition}" if figure.edition else ""
        table.add_row(
            figure.dtype,
            figure.engine,
            figure.accumulate,
            f"{figure.flop_per_second / 1e12:g}",
            "-" if twin is None else f"{twin.flop_per_second / 1e12:g}",
            figure.basis,
            Text(f"{printed}{figure.source}{edition}, {figure.locator} ({figure.accessed})"),
        )
    console.print(table)
    for figure in part.peaks:
        if figure.waiver and not figure.sparse:
            console.print(f"  {figure.dtype}: {figure.waiver}", highlight=False, markup=False)


def _facts(part: Accelerator) -> list[tuple[str, str]]:
    clocks = {
        "rated": part.matrix_clock,
        "vector": part.vector_clock,
        "highest": part.max_clock,
        "base": part.base_clock,
    }
    shown = [f"{k} {c.mhz:g} MHz ({c.basis})" for k, c in clocks.items() if c is not None]
    memory = f"{_cell(part.memory_gb)} GB {part.memory_kind or ''}".strip()
    facts = [
        ("vendor", f"{part.vendor}, {part.family} ({part.architecture}), {part.status}"),
        ("sold as", f"{part.unit}, {part.form_factor}, {_devices(part)}"),
        ("released", part.released or "-"),
        ("units", f"{part.compute_units or '-'} {part.unit_name or ''}".strip()),
        ("clocks", "; ".join(shown) or "not published"),
        ("memory", f"{memory}, {_cell(part.bandwidth_gb_per_s)} GB/s"),
        ("power", f"{_cell(part.tdp_w)} W"),
        ("links", f"{part.interconnect or '-'} {_cell(part.interconnect_gb_per_s)} GB/s"),
    ]
    if part.restriction:
        facts.append(("export", f"{part.restriction} (variant of {part.export_of})"))
    if part.same_compute_as:
        facts.append(("compute", f"the figures are those of {part.same_compute_as}"))
    if part.note:
        facts.append(("note", part.note))
    return facts


def _devices(part: Accelerator) -> str:
    count = part.devices_per_package
    return "one device" if count == 1 else f"{count} devices ({part.device_kind})"


def _peak(part: Accelerator, dtype: str) -> float | None:
    if not any(f.dtype == dtype for f in part.peaks):
        return None
    return part.peak_flop_per_second(dtype) / 1e12


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"

"""The screen of ``flopledger top``: one table that fits its terminal."""

from typing import TYPE_CHECKING

from flopledger.unseen import visible

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from flopledger.profiling.top_view import DeviceView, View

_WIDTHS = {
    "device": 20, "power": 13, "clock": 16, "busy": 9, "tensor": 9, "memory": 14, "temp": 7,
    "faults": 12,
}  # fmt: skip
"""Columns with the width that each needs."""


def render(view: "View", width: int) -> "Table":
    """Return the screen for a terminal of this width."""
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=Text(visible(f"flopledger top - {view.title}"), style="table.title"),
        caption=_caption(view.notes),
        caption_justify="left",
        expand=False,
        pad_edge=False,
    )
    columns = list(_WIDTHS)
    # In a narrow terminal what matters least goes first.
    for name in ("temp", "memory", "faults", "clock"):
        if sum(_WIDTHS[column] for column in columns) > width:
            columns.remove(name)
    if width < 60:
        table.box = None
    rows = [_cells(device) for device in view.devices]
    room = _room_for_names(rows, columns, width, boxed=width >= 60)
    for name in columns:
        words = name in {"device", "faults"}
        table.add_column(name, justify="left" if words else "right", no_wrap=name != "faults")
    for row, device in zip(rows, view.devices, strict=True):
        named = {**row, "device": _name(device, room)}
        table.add_row(*(Text(visible(named[name])) for name in columns))
    if not view.devices:
        table.add_row(view.empty, *[""] * (len(columns) - 1))
    if "faults" not in columns:
        # Without a column for them they stand below: a fault must not look like a quiet device.
        told = [
            f"{_name(device, 12)}: {row['faults']}"
            for row, device in zip(rows, view.devices, strict=True)
            if row["faults"]
        ]
        table.caption = _caption([*told, *view.notes])
    return table


def _caption(notes: list[str]) -> "Text | None":
    """Set notes below the table; drivers and programs had a say in them."""
    from rich.text import Text

    return Text("\n".join(map(visible, notes)), style="table.caption") if notes else None


def _room_for_names(
    rows: "list[dict[str, str]]", columns: list[str], width: int, *, boxed: bool
) -> int:
    """Return how wide the first column may be, so that no figure beside it is cut."""
    between, edges = (3, 2) if boxed else (2, 0)
    taken = edges
    for name in columns[1:]:
        cells = [row[name] for row in rows] if name != "faults" else []
        taken += between + max(map(len, [name, *cells]), default=0)
    taken += _WIDTHS["faults"] if "faults" in columns else 0
    return max(8, width - taken)


def _name(view: "DeviceView", room: int) -> str:
    """Return number, partition and name of a device, cut at the end of the name."""
    device = view.device
    name = (device.name or str(device.key)).removeprefix("NVIDIA ")
    number = "" if device.index is None else str(device.index)
    part = f"/{device.key.mig[-6:]}" if device.key.mig else ""
    return f"{number}{part} {name}".strip()[:room].rstrip()


def _cells(view: "DeviceView") -> dict[str, str]:
    """Return what stands in every column but the first."""
    device, get = view.device, view.readings.get
    used, whole = get("memory_used_bytes"), device.memory_bytes
    limit = device.power_limit_mw
    faults = [f"{signal}: {reason}" for signal, reason in view.absent.items()]
    if faults and not view.readings:
        faults = [next(iter(view.absent.values())).upper()]
    if view.age_seconds > 5 and not view.ended:
        faults.insert(0, f"silent for {_age(view.age_seconds)}")
    return {
        "power": _of(get("power_mw"), limit, 1e3, "W"),
        "clock": _of(get("sm_clock_mhz"), device.max_sm_clock_mhz, 1, "MHz"),
        "busy": _percent(get("gpu_util_permille")),
        "tensor": _percent(get("tensor_activity_permille")),
        "memory": _of(used, whole, 1 << 30, "GiB"),
        "temp": "-" if get("temperature_c") is None else f"{get('temperature_c')} C",
        "faults": ", ".join(faults[:2]),
    }


def _age(seconds: float) -> str:
    """Return how long ago something was; of an old recording nobody counts the seconds."""
    if seconds < 600:
        return f"{seconds:.0f} s"
    return f"{seconds / 3600:.0f} h" if seconds < 2 * 86400 else f"{seconds / 86400:,.0f} days"


def _of(value: float | None, whole: float | None, unit: float, name: str) -> str:
    """Return ``value / whole unit``; a dash for what is not known."""
    if value is None:
        return "-"
    rated = "" if whole is None else f"/{whole / unit:.0f}"
    return f"{value / unit:.0f}{rated} {name}"


def _percent(permille: float | None) -> str:
    return "-" if permille is None else f"{permille / 10:.1f}%"

"""Which device a row speaks of, and what its first row says about that device."""

import re
from collections.abc import Mapping
from dataclasses import replace

from profilers.importers import identity
from profilers.importers.errors import ImportFormatError
from profilers.importers.table import Column, Role, Table
from profilers.importers.table_cells import cell_reading
from profilers.reading import is_number
from profilers.trace import Device


def device(
    table: Table,
    told: Mapping[Role, str],
    facts: Mapping[Column, str],
    file: str,
    number: int,
) -> Device:
    """Return the device that a row's identifying cells speak of."""
    index: int | None = None
    if (text := told.get(Role.INDEX)) is not None:
        if not re.fullmatch(r"\d{1,5}", text):
            raise ImportFormatError(
                f"the device number is {text[:40]!r}; the header does not fit this row",
                file=file,
                line=number,
            )
        index = int(text)
    uuid = told.get(Role.UUID)
    if uuid is not None and table.vendor == "nvidia" and not identity.is_uuid(uuid):
        raise ImportFormatError(
            f"the UUID is {uuid[:60]!r}, which is none; the header does not fit this row",
            file=file,
            line=number,
        )
    node = told.get(Role.NODE) or table.node
    slot = table.only_device or told.get(Role.BUS)
    if uuid is None and index is None and slot:
        key = identity.slot_key(node, slot, fallback=table.mark)
        found = Device(key=key, node=node, vendor=table.vendor, name=told.get(Role.NAME))
    else:
        found = identity.gpu(
            uuid=uuid,
            index=index,
            node=node,
            fallback=table.mark,
            mig=told.get(Role.MIG, ""),
            name=told.get(Role.NAME),
            vendor=table.vendor,
        )
    found = replace(found, pci_bus_id=told.get(Role.BUS))
    return replace(found, **_facts(facts))  # type: ignore[arg-type]


_FACT_UNITS = {
    "memory_bytes": "memory_used_bytes",
    "max_sm_clock_mhz": "sm_clock_mhz",
    "max_memory_clock_mhz": "memory_clock_mhz",
    "power_limit_mw": "power_limit_mw",
}


def _facts(cells: Mapping[Column, str]) -> dict[str, int | str]:
    """Return what a device's first row says about the device itself."""
    found: dict[str, int | str] = {}
    for column, cell in cells.items():
        if column.signal == "driver_version":
            found["driver_version"] = identity.safe(cell)
            continue
        like = replace(column, signal=_FACT_UNITS[column.signal])
        value = cell_reading(like, cell.strip())
        if value is not None and is_number(value):
            found[column.signal] = round(value)
    return found

"""The table that plain ``nvidia-smi`` prints, as logs carry it: a host's inventory."""

import re

from flopledger.logs.notes import Notes

#: Behind the name stands whether the driver persists; on Windows, which model of drivers it is.
_DEVICE = re.compile(
    r"^\|\s{1,6}(\d{1,3})\s{1,4}(\S.{2,40}?)\s{1,30}(?:On|Off|N/A|WDDM|TCC|MCDM)\s{1,4}\|"
)
_PROCESS = re.compile(
    r"^\|\s{1,6}(\d{1,3})\s{1,8}(?:N/A|\d{1,3})\s{1,8}(?:N/A|\d{1,3})\s{1,12}\d{1,12}\s{1,8}[CG]"
)
_MEMORY = re.compile(r"\d{1,9}MiB\s{0,4}/\s{0,4}(\d{1,9})MiB")


class SmiTable:
    """Collects device rows, memory and processes."""

    def __init__(self) -> None:
        self.devices: dict[int, tuple[str, int]] = {}
        self.busy: set[int] = set()
        self.memory_mib: int | None = None

    def take(self, number: int, text: str) -> None:
        """Look at one line."""
        if not text.startswith("|"):
            return
        if match := _PROCESS.match(text):
            self.busy.add(int(match[1]))
        elif match := _DEVICE.match(text):
            self.devices.setdefault(int(match[1]), (match[2], number))
        elif self.memory_mib is None and (match := _MEMORY.search(text)):
            self.memory_mib = int(match[1])

    def note(self, notes: Notes, *, count: str = "visible_accelerators") -> None:
        """Write down the part and, under ``count``, how many the host lists; processes show which worked."""
        if not self.devices:
            return
        lines = [number for _, number in self.devices.values()]
        place = f"lines {min(lines)} to {max(lines)}"
        for name in dict.fromkeys(name for name, _ in self.devices.values()):
            notes.fact("accelerator", name, place)
        notes.fact(count, len(self.devices), place, unit="devices")
        if self.memory_mib is not None:
            notes.fact("accelerator_memory_bytes", self.memory_mib << 20, place)
        if self.busy and self.busy < set(self.devices):
            notes.finding(
                "device-count-mismatch",
                "info",
                f"the host lists {len(self.devices)} GPUs, {len(self.busy)} of them held a process",
                place,
            )

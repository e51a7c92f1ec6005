"""How a part is called, in all the alphabets that print its name."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """How a part is called; the reading of names is in identify.py."""

    id: str
    vendor: str
    family: str
    models: tuple[str, ...]  # words, in lower case: "h100", "rtx 6000 ada"
    brands: tuple[str, ...]  # words that may stand beside them: "tesla"
    forms: tuple[str, ...]  # form factor words: "sxm5", "sxm"
    forms_beside: tuple[str, ...]  # words that mean something only beside one of those: "pcie"
    memory_gb: tuple[float, ...]  # sizes that name it, the printed one first
    memory_kinds: tuple[str, ...]
    exact: tuple[str, ...]  # whole names as a driver or framework prints them
    exact_not: tuple[str, ...]  # spellings, to the letter, that a driver prints for another part
    pci: tuple[tuple[str, ...], ...]  # [device] or [device, subsystem vendor, subsystem device]
    pci_not: tuple[tuple[str, ...], ...]  # ids under the same device id that are another board

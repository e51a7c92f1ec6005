"""Slices of a GPU: MIG instances and vGPU profiles, read from the names that drivers print."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hardware_db.errors import UnknownAccelerator

if TYPE_CHECKING:
    from hardware_db.spec import Accelerator

_MIG = re.compile(
    r"(?P<parent>.*?)(?:[ ,(-]*\bmig[ :-]*|(?<=[a-z0-9])_)"  # Slurm names a slice "a100_1g.5gb"
    r"(?P<n>[1-7])g\.(?P<gb>\d{1,3})gb(?:\+(?:me|gfx)(?:\.all)?|-me)?\)?"
)

# SMs that a GPU instance of n compute slices owns, by (architecture, SMs of the whole part): the MIG
# user guide's profiles with the SM column of `nvidia-smi mig -lgip` as published for A100, A30, H100 SXM,
# H100 NVL, GH200 and H100 PCIe; B200's 1g in JAX's table of GPUs, RTX PRO 6000's 2g by what torch sees in
# one. "Full" in the guide is every SM. Profiles that are not listed are refused.
_SLICE_SM = {
    ("ampere_ga100", 108): {1: 14, 2: 28, 3: 42, 4: 56, 7: 98},
    ("ampere_ga100", 56): {1: 14, 2: 28, 4: 56},
    ("hopper_gh100", 132): {1: 16, 2: 32, 3: 60, 4: 64, 7: 132},
    ("hopper_gh100", 114): {1: 14, 2: 30, 3: 46, 4: 62, 7: 114},
    ("blackwell_gb100", 148): {1: 18, 7: 148},
    ("blackwell_gb20x_full", 188): {2: 94, 4: 188},
}
# The same of a slice with two slices' memory (1g.20gb of 80 GB), where its SMs are known: four of them
# share a part, and on Hopper's 132 SMs each gets 26 where one of seven gets 16. None: not published.
_WIDE_SLICE_SM: dict[tuple[str, int], int | None] = {
    ("ampere_ga100", 108): 14,
    ("hopper_gh100", 132): 26,
    ("hopper_gh100", 114): 14,
    ("blackwell_gb100", 148): None,
}

# vGPU profile prefixes of the boards where they are documented; the prefix alone names the board.
_VGPU_BOARDS = {
    "a100": "nvidia-a100-pcie-40gb", "a100d": "nvidia-a100-pcie-80gb",
    "a100x": "nvidia-a100-sxm4-40gb", "a100dx": "nvidia-a100-sxm4-80gb",
    "a800d": "nvidia-a800-pcie-80gb", "a800dx": "nvidia-a800-sxm4-80gb",
    "a10": "nvidia-a10", "a16": "nvidia-a16", "a30": "nvidia-a30", "a40": "nvidia-a40",
    "h100": "nvidia-h100-pcie-80gb", "h100xm": "nvidia-h100-sxm5-80gb",
    "h100l": "nvidia-h100-nvl-94gb", "h100xl": "nvidia-h100-sxm5-94gb",
    "l4": "nvidia-l4", "l20": "nvidia-l20", "l40": "nvidia-l40", "l40s": "nvidia-l40s",
    "t4": "nvidia-t4", "p4": "nvidia-p4", "p40": "nvidia-p40",
    "v100": "nvidia-v100-pcie-16gb", "v100d": "nvidia-v100-pcie-32gb",
    "v100x": "nvidia-v100-sxm2-16gb", "v100dx": "nvidia-v100-sxm2-32gb",
    "v100s": "nvidia-v100s-pcie-32gb",
    "rtxa5000": "nvidia-rtx-a5000", "rtxa6000": "nvidia-rtx-a6000",
    "rtx6000": "nvidia-quadro-rtx-6000", "rtx8000": "nvidia-quadro-rtx-8000",
    "rtx6000-ada": "nvidia-rtx-6000-ada", "rtx5000-ada": "nvidia-rtx-5000-ada",
    "rtx5880-ada": "nvidia-rtx-5880-ada",
}  # fmt: skip
_VGPU = re.compile(
    r"(?:nvidia |grid )?(?P<board>[a-z0-9]+(?:-ada)?)"
    r"-(?:(?P<n>[1-7])-)?(?P<gb>\d{1,3})(?P<series>[abcq])"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mig:
    """A MIG profile: ``slices`` of the compute slices and ``memory_gb`` of a parent part."""

    parent: str  # name or id of the whole part
    slices: int
    memory_gb: int

    @property
    def profile(self) -> str:
        """The profile as drivers write it: "1g.10gb"."""
        return f"{self.slices}g.{self.memory_gb}gb"


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """The board behind a vGPU profile; ``slice_units`` where it is backed by a MIG instance."""

    id: str
    memory_gb: int
    slice_units: int | None

    def as_mig(self) -> Mig:
        """The MIG profile that backs it."""
        assert self.slice_units is not None
        return Mig(parent=self.id, slices=self.slice_units, memory_gb=self.memory_gb)


def split_mig(text: str) -> Mig | None:
    """Read "<part> MIG <n>g.<m>gb" from a cleaned name."""
    found = _MIG.fullmatch(text)
    if found is None or not found["parent"].strip():
        return None
    return Mig(parent=found["parent"], slices=int(found["n"]), memory_gb=int(found["gb"]))


def mig_slice(parent: Accelerator, mig: Mig, *, query: str) -> Accelerator:
    """The slice as an accelerator of its own: its SMs' share of every peak."""
    memory = parent.memory_gb
    units = _units(parent, mig)
    if units is None or parent.compute_units is None or memory is None or mig.memory_gb > memory:
        raise UnknownAccelerator(
            f"{query!r}: no MIG profile {mig.profile} of {parent.name} is known; "
            "give the slice's SM count and use peak_at on the whole part's rate",
            query=query,
            nearest=(parent.name,),
        )
    whole = replace(parent, dies_per_package=1)
    made = whole.fraction(units, parent.compute_units, name=f"mig-{mig.profile}")
    return replace(made, memory_gb=float(mig.memory_gb), bandwidth_gb_per_s=None, unit="MIG slice")


def _units(parent: Accelerator, mig: Mig) -> int | None:
    """SMs of a slice. One with more than a sixth of the memory holds two of the eight shares."""
    key = (parent.architecture, parent.compute_units or 0)
    if mig.slices == 1 and key in _WIDE_SLICE_SM and mig.memory_gb * 6 > (parent.memory_gb or 0):
        return _WIDE_SLICE_SM[key]
    return _SLICE_SM.get(key, {}).get(mig.slices)


def vgpu_board(text: str) -> Board | None:
    """The board of a vGPU profile name such as "grid v100d-32q" or "nvidia a100-1-5c"."""
    found = _VGPU.fullmatch(text)
    if found is None or found["board"] not in _VGPU_BOARDS:
        return None
    return Board(
        id=_VGPU_BOARDS[found["board"]],
        memory_gb=int(found["gb"]),
        slice_units=int(found["n"]) if found["n"] else None,
    )

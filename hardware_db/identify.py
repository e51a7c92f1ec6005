"""From a name to exactly one part, or to a refusal that says what would decide."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from hardware_db import grammar
from hardware_db.errors import AmbiguousAccelerator, UnknownAccelerator
from hardware_db.instances import SLICE, TPU_SLICES
from hardware_db.partitions import Mig, mig_slice, split_mig, vgpu_board

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hardware_db.names import Names
    from hardware_db.spec import Accelerator

_PCI = re.compile(
    r"(?:pci[ :]*)?(?:0x)?(?P<vendor>10de|1002)[: ](?:0x)?(?P<device>[0-9a-f]{4})"
    r"(?:[ ,:/]+(?:subsystem[ :]*)?(?:0x)?(?P<board_vendor>[0-9a-f]{4})[: ](?:0x)?(?P<board>[0-9a-f]{4}))?"
)
#: NVML and nvidia-smi print device and vendor as one number: "0x233010DE".
_PCI_NUMBER = re.compile(
    r"0x(?P<device>[0-9a-f]{4})(?P<vendor>10de|1002)"
    r"(?:[ ,:/]+(?:subsystem[ :]*)?0x(?P<board>[0-9a-f]{4})(?P<board_vendor>[0-9a-f]{4}))?"
)
_PCI_VENDORS = {"10de": "NVIDIA", "1002": "AMD"}

_PLURAL = re.compile(r"\b((?:\d+x)?[A-Z]+\d+[A-Z]*)s\b")
_ALIKE = 0.4  # share of common letter pairs from which on a name is worth mentioning


class Identifier:
    """Knows the names of a database's parts. Building it is cheap; parts are made on demand."""

    def __init__(self, names: Iterable[Names], part: Callable[[str], Accelerator]) -> None:
        self._names = {n.id: n for n in names}
        self._part = part
        self._vocabulary = grammar.Vocabulary.of(self._names.values())
        self._exact: dict[str, list[str]] = {}
        self._pci: dict[tuple[str, ...], list[str]] = {}
        self._denied = {d for n in self._names.values() for d in n.exact_not}
        for entry in self._names.values():
            for written in (entry.id, *entry.exact):
                key = grammar.clean(written) or written
                if entry.id not in self._exact.setdefault(key, []):
                    self._exact[key].append(entry.id)
            for ids in entry.pci:
                self._pci.setdefault(tuple(i.lower() for i in ids), []).append(entry.id)

    def identify(
        self,
        name: str,
        *,
        memory_gb: float | None = None,
        compute_units: int | None = None,
    ) -> Accelerator:
        """The one part that a name means, given what else is known of the device."""
        if not _is_text(name) or not name.strip():
            raise UnknownAccelerator(
                "a device name is a string of at least one letter", query=str(name)
            )
        text = grammar.clean(name)
        if text is None:
            raise UnknownAccelerator(
                f"{_shown(name)}: a device name is at most {grammar.MAX_NAME} printable ASCII "
                "characters; copy it from the driver's own output",
                query=name[: grammar.MAX_NAME],
            )
        if " ".join(name.split()) in self._denied:
            raise UnknownAccelerator(
                f"{_shown(name)}: the driver prints this spelling for a laptop part that is not on "
                "record; its figures are not the desktop card's",
                query=name,
            )
        special = self._special(name, text, memory_gb, compute_units)
        if special is not None:
            return special
        named = self._with_plural(name, self._candidates(text))
        if not named:
            raise self._unknown(name, text)
        found = self._narrowed(named, memory_gb, compute_units)
        if not found:
            raise self._contradiction(name, named, memory_gb, compute_units)
        if len(found) == 1:
            return self._part(found[0])
        raise self._ambiguous(name, found)

    def identify_pci(
        self,
        device: str,
        *,
        subsystem_vendor: str | None = None,
        subsystem: str | None = None,
        vendor: str = "10de",
    ) -> Accelerator:
        """The part with these PCI ids (four hexadecimal digits each), of NVIDIA unless said."""
        ids = [i.lower().removeprefix("0x") for i in (device, subsystem_vendor, subsystem) if i]
        found = self._pci.get(tuple(ids)) or self._pci.get((ids[0],)) or []
        found = [i for i in found if tuple(ids) not in self._names[i].pci_not]
        if not found:
            by_board = {p for key, parts in self._pci.items() if key[0] == ids[0] for p in parts}
            found = sorted(by_board) if len(ids) == 1 else []
        # Device ids are each vendor's own: 1002:2330 is no H100.
        found = [i for i in found if self._names[i].vendor == _PCI_VENDORS.get(vendor)]
        shown = f"PCI {':'.join((vendor, *ids))}"
        if len(found) == 1:
            return self._part(found[0])
        if not found:
            raise UnknownAccelerator(
                f"{shown}: no part with these PCI ids; give the device's name instead", query=shown
            )
        raise self._ambiguous(shown, found)

    def names_of(self, part_id: str) -> Names:
        """How a part is called."""
        return self._names[part_id]

    def _special(
        self, name: str, text: str, memory_gb: float | None, compute_units: int | None
    ) -> Accelerator | None:
        """Names that are not simply a part's: PCI ids, MIG slices, vGPU profiles, devices."""
        pci = _PCI.fullmatch(text) or _PCI_NUMBER.fullmatch(text)
        if pci:
            return self.identify_pci(
                pci["device"],
                subsystem_vendor=pci["board_vendor"],
                subsystem=pci["board"],
                vendor=pci["vendor"],
            )
        tpu = SLICE.fullmatch(text)  # "v4-128" is how Google's tools name a slice of chips
        if tpu is not None and TPU_SLICES[tpu[1]][0] in self._names:
            return self._part(TPU_SLICES[tpu[1]][0])
        mig = split_mig(text) or split_mig(grammar.split_count(text)[0])
        if mig is not None:
            return self._slice(name, mig, memory_gb, compute_units)
        board = None if self._exact.get(text) else vgpu_board(text)
        if board is not None:
            if board.id not in self._names:
                return None
            whole = self._part(board.id)
            if board.slice_units is not None:
                return mig_slice(whole, board.as_mig(), query=name)
            return replace(whole, vgpu=True)
        return self._one_device(text)

    def _slice(
        self, name: str, mig: Mig, memory_gb: float | None, compute_units: int | None
    ) -> Accelerator:
        """A MIG slice; what the device reports is the whole part's size, or the slice's own."""
        try:
            whole = self.identify(mig.parent, memory_gb=memory_gb, compute_units=compute_units)
        except UnknownAccelerator:
            found = mig_slice(self.identify(mig.parent), mig, query=name)
            if not _agrees(found, memory_gb, compute_units):
                raise
            return found
        return mig_slice(whole, mig, query=name)

    def _one_device(self, text: str) -> Accelerator | None:
        """ "MI250X GCD", "TPU v3 core": one of the devices in a package."""
        for word in ("gcd", "core", "tensorcore", "neuroncore", "stack", "tile"):
            bare = re.sub(rf"[ (,-]+{word}s?\)?$|^{word}s? (of an? )?", "", text)
            if bare == text or self._exact.get(text):
                continue
            found = [i for i in self._candidates(bare) if _kind(self._part(i), word)]
            if len(found) == 1:
                return self._part(found[0]).device()
        return None

    def _candidates(self, text: str) -> list[str]:
        if text in self._exact:
            return list(self._exact[text])
        bare, count = grammar.split_count(text)
        if count is not None and bare in self._exact:
            return list(self._exact[bare])
        found: dict[str, None] = {}
        for variant in dict.fromkeys((text, bare)):
            for said in sorted(grammar.readings(variant, self._vocabulary), key=repr):
                for part_id in self._vocabulary.models[said.model]:
                    if grammar.fits(said, self._names[part_id]):
                        found[part_id] = None
        return list(found)

    def _with_plural(self, name: str, found: list[str]) -> list[str]:
        """ "H100s" are several H100, and "V100s" are several V100 or one V100S: both then."""
        single = _PLURAL.sub(r"\1", name)
        if single == name and not found:
            single = re.sub(r"(?<=\d)s\b", "", name)
        if single == name:
            return found
        return list(dict.fromkeys([*found, *self._candidates(grammar.clean(single) or "")]))

    def _narrowed(
        self, found: list[str], memory_gb: float | None, compute_units: int | None
    ) -> list[str]:
        """Candidates that what the device itself reports does not contradict."""
        parts = [self._part(i) for i in found]
        return [p.id for p in parts if _agrees(p, memory_gb, compute_units)]

    def _contradiction(
        self, name: str, named: list[str], memory_gb: float | None, compute_units: int | None
    ) -> UnknownAccelerator:
        parts = [self._part(i) for i in named]
        meant = " or ".join(f"{p.name} ({_sizes(p.memory_gb, p.compute_units, p)})" for p in parts)
        return UnknownAccelerator(
            f"{_shown(name)}: the name means {meant}, but the device reports "
            f"{_sizes(memory_gb, compute_units, parts[0])}; check which of the two belongs to this "
            "device",
            query=name,
            nearest=tuple(p.name for p in parts[:4]),
        )

    def _unknown(self, name: str, text: str) -> UnknownAccelerator:
        wanted, said = _pairs(text), _phrases(text)
        alike: dict[str, float] = {}
        for spoken, ids in self._spoken():
            pairs = _pairs(spoken)
            score = len(wanted & pairs) / len(wanted | pairs)
            if spoken in said:
                score += 1.0  # a part that is named, beside a word that does not belong to it
            for part_id in ids:
                alike[part_id] = max(score, alike.get(part_id, 0.0))
        ranked = sorted((-score, i) for i, score in alike.items() if score >= _ALIKE)
        nearest = tuple(self._part(i).name for _, i in ranked[:4])
        hint = f"; nearest names: {', '.join(nearest)} (none of them is assumed)" if nearest else ""
        return UnknownAccelerator(
            f"{_shown(name)}: no accelerator of this name is known{hint}; "
            "to add a part see docs/hardware.md, 'Adding a part'",
            query=name,
            nearest=nearest,
        )

    def _spoken(self) -> Iterable[tuple[str, list[str]]]:
        yield from self._vocabulary.models.items()
        yield from self._exact.items()

    def _ambiguous(self, name: str, found: list[str]) -> AmbiguousAccelerator:
        candidates = tuple(self._part(i) for i in found)
        question = deciding_question(candidates)
        common = common_part(candidates)
        alike = " They compute alike, so their common peaks can be used." if common else ""
        return AmbiguousAccelerator(
            f"{_shown(name)} fits {len(candidates)} parts: "
            f"{', '.join(c.id for c in candidates)}. {question}{alike}",
            query=name,
            candidates=candidates,
            question=question,
            common=common,
        )


def _agrees(part: Accelerator, memory_gb: float | None, compute_units: int | None) -> bool:
    """Whether a device that reports this can be the part, or one of the devices in its package.

    A driver's gigabytes may be 1e9 or 2**30 bytes, and some of them are kept back: a tenth is
    left. What is not on record contradicts nothing.
    """
    for count in {1, part.devices_per_package}:
        memory = _over(memory_gb, part.memory_gb)
        units = _over(compute_units, part.compute_units)
        if (memory is None or abs(memory * count - 1) < 0.1) and units in (None, 1 / count):
            return True
    return False


def _over(reported: float | None, known: float | None) -> float | None:
    return None if reported is None or known is None else reported / known


def _sizes(memory_gb: float | None, compute_units: int | None, part: Accelerator) -> str:
    """What is known of "80 GB and 132 SM"."""
    memory = [] if memory_gb is None else [f"{memory_gb:g} GB"]
    units = [] if compute_units is None else [f"{compute_units} {part.unit_name or 'units'}"]
    return " and ".join(memory + units) or "size not on record"


def deciding_question(candidates: tuple[Accelerator, ...]) -> str:
    """What to ask so that one candidate remains."""
    asked = []
    for label, values in (
        ("generation", [c.family for c in candidates]),
        ("form factor", [c.form_factor for c in candidates]),
        (
            "memory size",
            [None if c.memory_gb is None else f"{c.memory_gb:g} GB" for c in candidates],
        ),
        (
            "unit count",
            [c.compute_units and f"{c.compute_units} {c.unit_name}" for c in candidates],
        ),
    ):
        different = list(dict.fromkeys(str(v) for v in values if v is not None))
        if len(different) > 1:
            asked.append(f"Which {label}: {' or '.join(different)}?")
    return " ".join(asked[:2]) or "Which PCI device and subsystem id does the driver report?"


def common_part(candidates: tuple[Accelerator, ...]) -> Accelerator | None:
    """A stand-in for parts that compute alike: what differs between them is None."""
    first = candidates[0]
    alike = ("architecture", "compute_units", "matrix_clock", "vector_clock", "rate_capped")
    for other in candidates[1:]:
        if any(getattr(other, key) != getattr(first, key) for key in alike):
            return None
        if _figures(other) != _figures(first):
            return None
    changes: dict[str, Any] = {}
    for key in _MAY_DIFFER:
        values = {getattr(c, key) for c in candidates}
        if len(values) > 1:
            changes[key] = None
    forms = dict.fromkeys(c.form_factor for c in candidates)
    return replace(
        first,
        id=_common_prefix([c.id for c in candidates]),
        name=" or ".join(c.name for c in candidates),
        form_factor=" or ".join(forms),
        stands_for=tuple(c.id for c in candidates),
        **changes,
    )


_MAY_DIFFER = (
    "released", "memory_gb", "memory_kind", "memory_bus_bits", "memory_data_rate_gtps",
    "bandwidth_gb_per_s", "tdp_w", "interconnect", "interconnect_gb_per_s", "export_of",
    "restriction", "note", "same_compute_as", "max_clock",
)  # fmt: skip


def _phrases(text: str) -> frozenset[str]:
    """The words of a name, alone and up to four together: what it may name beside other words."""
    words = re.split(r"[ _/()\[\],;:-]+", text)[:12]
    return frozenset(
        " ".join(words[i:j])
        for i in range(len(words))
        for j in range(i + 1, min(i + 5, len(words) + 1))
    )


@lru_cache(maxsize=4096)
def _pairs(text: str) -> frozenset[str]:
    """Neighbouring letters: how alike two names look, for a hint and nothing else."""
    bare = "".join(c for c in text if c.isalnum())
    return frozenset(bare[i : i + 2] for i in range(len(bare) - 1)) or frozenset({bare})


def _figures(part: Accelerator) -> list[tuple[str, str, str, bool, float]]:
    return [(f.dtype, f.engine, f.accumulate, f.sparse, f.flop_per_second) for f in part.peaks]


def _common_prefix(ids: list[str]) -> str:
    words = [i.split("-") for i in ids]
    same = []
    for group in zip(*words, strict=False):
        if len(set(group)) > 1:
            break
        same.append(group[0])
    return "-".join(same)


def _kind(part: Accelerator, word: str) -> bool:
    kind = part.device_kind.lower()
    return part.devices_per_package > 1 and (
        kind == word or (kind, word) in (("core", "tensorcore"), ("neuroncore", "core"))
    )


def _is_text(name: object) -> bool:
    # callers without a type checker hand over what telemetry gave them: bytes, None
    return isinstance(name, str)


def _shown(name: str) -> str:
    return repr(name if len(name) <= 80 else name[:77] + "...")

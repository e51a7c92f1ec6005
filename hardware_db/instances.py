"""From a cloud instance type to the accelerators in it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from hardware_db.errors import UnknownInstance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hardware_db.figures import Source
    from hardware_db.spec import Accelerator

# TPU slices: part, and how many of what the name counts make one chip.
TPU_SLICES = {
    "v2": ("google-tpu-v2", 2), "v3": ("google-tpu-v3", 2), "v4": ("google-tpu-v4", 2),
    "v5p": ("google-tpu-v5p", 2), "v5litepod": ("google-tpu-v5e", 1), "v5e": ("google-tpu-v5e", 1),
    "v6e": ("google-tpu-v6e", 1),
}  # fmt: skip
SLICE = re.compile(r"(?:tpu[ -])?(v2|v3|v4|v5p|v5litepod|v5e|v6e)-([1-9]\d{0,5})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A cloud instance type and the accelerators in one of it."""

    name: str
    provider: str
    accelerator: Accelerator
    count: int | Fraction  # parts; a Fraction where the instance has a slice of one
    note: str | None
    origin: Source
    locator: str

    @property
    def devices(self) -> int | Fraction:
        """Devices as a framework counts them."""
        return self.count * self.accelerator.devices_per_package

    @property
    def memory_gb_total(self) -> float | None:
        """Accelerator memory in one instance, in GB."""
        memory = self.accelerator.memory_gb
        return None if memory is None else float(memory * self.count)


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Instance types that carry the same part, as instances.toml groups them."""

    provider: str
    accelerator: str  # id
    source: str  # id
    locator: str
    note: str | None
    counts: tuple[tuple[str, str], ...]  # type and count, a fraction written "1/6"


class Instances:
    """All instance types by name; names are compared without case, "Standard_" and "ml."."""

    def __init__(
        self,
        families: Iterable[Family],
        part: Callable[[str], Accelerator],
        sources: dict[str, Source],
    ) -> None:
        self._part = part
        self._sources = sources
        self._found = {_key(name): (f, name, n) for f in families for name, n in f.counts}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all listed types; TPU slices beyond them are read by rule."""
        return tuple(name for _, name, _ in self._found.values())

    def find(self, name: str) -> Instance:
        """The instance of this name; raises UnknownInstance with the nearest names."""
        found = self._found.get(_key(name))
        if found is None:
            return self._slice(name)
        family, written, count = found
        return Instance(
            name=written,
            provider=family.provider,
            accelerator=self._part(family.accelerator),
            count=_whole(Fraction(count)),
            note=family.note,
            origin=self._sources[family.source],
            locator=family.locator,
        )

    def _slice(self, name: str) -> Instance:
        found = SLICE.fullmatch(name.strip().lower())
        if found is None:
            raise self._unknown(name)
        part_id, per_chip = TPU_SLICES[found[1]]
        count = Fraction(int(found[2]), per_chip)
        if count.denominator != 1:
            raise UnknownInstance(
                f"{name!r}: on {found[1]} the number counts TensorCores, two a chip, so it is even"
            )
        what = "TensorCores, two a chip" if per_chip == 2 else "chips"
        return Instance(
            name=name.strip(),
            provider="Google Cloud",
            accelerator=self._part(part_id),
            count=int(count),
            note=f"The number in the name counts {what}.",
            origin=self._sources["google-tpu-docs"],
            locator="accelerator types",
        )

    def _unknown(self, name: str) -> UnknownInstance:
        from difflib import get_close_matches

        close = get_close_matches(_key(name[:100]), self._found, n=4, cutoff=0.6)
        begun = [key for key in sorted(self._found) if key.startswith(_key(name[:100]))][:6]
        hint = ", ".join(self._found[key][1] for key in begun or close)
        return UnknownInstance(
            f"{name[:80]!r}: no cloud instance of this name is known"
            + (f"; nearest names: {hint} (none of them is assumed)" if hint else "")
        )


def plain(instance: Instance) -> dict[str, Any]:
    """The instance as JSON values."""
    whole = isinstance(instance.count, int)
    return {
        "instance": instance.name,
        "provider": instance.provider,
        "accelerator": instance.accelerator.id,
        "count": instance.count if whole else float(instance.count),
        "count_exact": str(instance.count),
        "devices": float(instance.devices) if not whole else instance.devices,
        "memory_gb_total": instance.memory_gb_total,
        "note": instance.note,
        "source": instance.origin.title,
        "locator": instance.locator,
    }


def _whole(count: Fraction) -> int | Fraction:
    return count.numerator if count.denominator == 1 else count


def _key(name: str) -> str:
    # SageMaker puts "ml." before the names of EC2, and the machine is the same.
    plain = name.strip().lower().removeprefix("standard_").removeprefix("ml.")
    return plain.replace(" ", "_")

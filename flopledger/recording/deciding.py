"""Does something besides sizes decide what a call costs? Other values are tried, and believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from flopcount.errors import FlopcountError
from flopledger.recording.families import MOST_SIZES, Data
from flopledger.recording.probing import judge
from profilers.steps.calls.signature import Numbers

if TYPE_CHECKING:
    from flopcount.live.counting import LiveCount
    from flopcount.live.passes import Wanted
    from flopledger.recording.tracing import Tracing
    from profilers.steps.observer import Variant

MOST_ALIKE = 8
"""So many counts agree before the values of whole numbers are believed to decide nothing."""
FAR_NUMBERS = (0.0, 0.5, 1.0, 1e6)
"""Then these are tried in place of numbers that stand by themselves."""
FOREVER = 1 << 40


def try_attributes(
    tracing: Tracing, variant: Variant, found: LiveCount, wanted: Sequence[Wanted | None]
) -> None:
    """Attributes that had many values: does a call cost something else with others?"""
    seam = variant.kind.seam()
    if seam is None or found.bounds is not None:
        return

    def trial(changed: Mapping[tuple[int, Any], Any]) -> bool | None:
        try:
            other = tracing.trace(variant, wanted, changed)
        except FlopcountError:
            return None
        return other.by_dtype != found.by_dtype or other.bounds is not None

    judge(seam.attributes, trial)


def read_or_not(
    tracing: Tracing,
    variant: Variant,
    found: LiveCount,
    figures: Mapping[Any, int],
    wanted: Sequence[Wanted | None],
) -> None:
    """Whether other whole numbers of the same shapes might cost something else."""
    data: Data = variant.kind.data
    family = data.family
    if not (found.reads or isinstance(data.values, Numbers)):
        family.reads = family.reads or False
    elif family.reads is None:
        family.reads = True
    if family.reads:
        what = (variant.mode, variant.passes, data.sizes)
        known = family.known.setdefault(what, dict(figures))
        family.alike = family.alike + 1 if known == figures else -FOREVER
        if family.alike > MOST_ALIKE:
            family.reads = _decides_far_away(tracing, variant, found, wanted)
            family.alike = -FOREVER
        while len(family.known) > MOST_SIZES:
            del family.known[next(iter(family.known))]


def _decides_far_away(
    tracing: Tracing, variant: Variant, found: LiveCount, wanted: Sequence[Wanted | None]
) -> bool:
    """Whether a call costs something else with numbers far from those that came so far."""
    from flopcount.live.capture import with_number

    data: Data = variant.kind.data
    call = data.call
    if call is None:
        return False
    try:
        for number in FAR_NUMBERS:
            data.call = with_number(call, number)
            if data.call is None:
                return False
            with suppress(FlopcountError):  # one that is refused says nothing
                if tracing.trace(variant, wanted).by_dtype != found.by_dtype:
                    return True
    finally:
        data.call = call
    return False

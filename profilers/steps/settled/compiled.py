"""What of the hot path is taken: the compiled one where the installation has it, else the one in Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from profilers.steps.settled import glance, pulse

VERSION = 4
"""Of what is taken and answered there. A compiled file of another one is not taken."""


class Hot(NamedTuple):
    """The classes of one of the two."""

    lane: type[glance.Lane]
    pulse: type[pulse.Pulse]
    engine: type[pulse.Engine]


PLAIN = Hot(glance.Lane, pulse.Pulse, pulse.Engine)


def best() -> Hot:
    """Look for the compiled file; without a compiler there is none, nor on some kinds of Python."""
    try:
        from profilers import _hot
    except Exception:  # noqa: BLE001 - a warning that is an error stops no program
        return PLAIN
    if _hot.VERSION != VERSION:
        return PLAIN
    return Hot(_hot.Lane, _hot.Pulse, _hot.Engine)


HOT = best()
BestPulse = pulse.Pulse
"""To be inherited from."""
if not TYPE_CHECKING:
    BestPulse = HOT.pulse

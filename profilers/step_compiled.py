"""What of the hot path is taken: the compiled one where the installation has it, else the one in Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from profilers import step_glance, step_pulse

VERSION = 4
"""Of what is taken and answered there. A compiled file of another one is not taken."""


class Hot(NamedTuple):
    """The classes of one of the two."""

    lane: type[step_glance.Lane]
    pulse: type[step_pulse.Pulse]
    engine: type[step_pulse.Engine]


PLAIN = Hot(step_glance.Lane, step_pulse.Pulse, step_pulse.Engine)


def best() -> Hot:
    """Look for the compiled file; without a compiler there is none, nor on some kinds of Python."""
    try:
        from profilers import _hot
    except ImportError:
        return PLAIN
    if _hot.VERSION != VERSION:
        return PLAIN
    return Hot(_hot.Lane, _hot.Pulse, _hot.Engine)


HOT = best()
BestPulse = step_pulse.Pulse
"""To be inherited from."""
if not TYPE_CHECKING:
    BestPulse = HOT.pulse

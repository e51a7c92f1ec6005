"""Every object that the garbage collector knows, the oldest first. No torch is imported here."""

from __future__ import annotations

import gc
from typing import Any

GENERATIONS = 3


def living(*, frozen: bool = False) -> list[Any]:
    """Return all objects that may be modules or optimizers; garbage that nobody collected yet is among them.

    Args:
        frozen: Whether those that a program froze (``gc.freeze``) are wanted, too. Nothing lists them where
            they are, so all are thawed for that, and frozen again only where the collector is off: where
            it is on, what came since and is garbage one day would never be freed.

    """
    if frozen and gc.get_freeze_count():
        gc.unfreeze()
        found = _by_age()
        if not gc.isenabled():
            gc.freeze()
        return found
    return _by_age()


def _by_age() -> list[Any]:
    # The youngest first: what grows older meanwhile is found twice, and never missed.
    parts = [gc.get_objects(generation) for generation in range(GENERATIONS)]
    return [item for part in reversed(parts) for item in part]

"""torch's own counter, imported without a word, and only where somebody asks what it charges.

A torch for GPUs logs a warning of a missing triton where its counter is imported. Nobody asked for it:
what that counter charges stands beside our figures. A recording does not import it, or the program's own
import, by which it may hear of that, would be silent.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import Any


@cache
def torch_counter() -> Any:
    """The module ``torch.utils.flop_counter``."""
    log = logging.getLogger("torch.utils.flop_counter")
    was, log.disabled = log.disabled, True
    try:
        from torch.utils import flop_counter
    finally:
        log.disabled = was
    return flop_counter


def charge_of(op: Any, args: Any, kwargs: Any, out: Any) -> int:
    """What torch's counter charges for one call of an op; 0 where it has no formula."""
    formula = torch_counter().flop_registry.get(op)
    return 0 if formula is None else int(formula(*args, **kwargs, out_val=out))

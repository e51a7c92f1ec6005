"""torch's own counter, imported without a word.

A torch for GPUs logs a warning of a missing triton where its counter is imported. Nobody asked for it:
what that counter charges stands beside our figures, and a recorded program's output is its own.
"""

from __future__ import annotations

import logging

_log = logging.getLogger("torch.utils.flop_counter")
_was, _log.disabled = _log.disabled, True
try:
    from torch.utils.flop_counter import FlopCounterMode, flop_registry
finally:
    _log.disabled = _was

__all__ = ["FlopCounterMode", "flop_registry"]

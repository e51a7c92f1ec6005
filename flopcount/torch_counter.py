"""What torch's own counter charges, imported without a word.

A build for GPUs tells of a missing triton on stderr there; a program that is recorded did not ask.
"""

import logging

_log = logging.getLogger("torch.utils.flop_counter")
_was, _log.disabled = _log.disabled, True
try:
    from torch.utils.flop_counter import flop_registry
finally:
    _log.disabled = _was

__all__ = ["flop_registry"]

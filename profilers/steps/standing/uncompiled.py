"""Functions of ours that torch's compiler leaves as they are."""

from __future__ import annotations

from typing import Any

from torch._C._dynamo.eval_frame import (
    _FrameAction,
    _FrameExecStrategy,
    set_code_exec_strategy,
)


def uncompiled(*functions: Any, inside: bool) -> None:
    """Have the compiler leave functions of ours as they are, and what they call if ``inside``."""
    action = _FrameAction.SKIP if inside else _FrameAction.DEFAULT
    for function in functions:
        set_code_exec_strategy(function.__code__, _FrameExecStrategy(_FrameAction.SKIP, action))

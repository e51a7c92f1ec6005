"""Puts in place what watches the trace of a captured call, and takes it away."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)
from torch.optim.optimizer import register_optimizer_step_pre_hook

from flopcount.attention_scopes import Readings
from flopcount.kernels import recording
from flopcount.live.counter import LiveCounter
from flopcount.live.watch import LiveScopes, OptimizerInsideError
from flopcount.pieces import noticed
from flopcount.scopes import seeing_engines

if TYPE_CHECKING:
    from flopcount.known_values import KnownValues
    from flopcount.live.watch import LiveWatch


def _no_step(optimizer: Any, *_: Any) -> None:
    raise OptimizerInsideError(f"the call steps {type(optimizer).__name__} by itself")


SEVERAL = [False]
"""Whether several threads step optimizers: torch's table of hooks must not change under those of others."""


def _in_this_thread(hook: Callable[..., object]) -> Callable[..., None]:
    """A hook of torch's that is not called for what other threads of the program do meanwhile."""
    thread = threading.get_ident()

    def called(*given: Any) -> None:
        if threading.get_ident() == thread:
            hook(*given)

    return called


@contextmanager
def watching(watch: LiveWatch, known: KnownValues) -> Iterator[None]:
    """Count everything that runs inside; autocast is as it was for the call."""
    counter = LiveCounter(watch, known)
    known.here = watch.here
    with ExitStack() as stack:
        stack.callback(counter.originals.put_back)
        before = register_module_forward_pre_hook(_in_this_thread(watch.enter_module))
        stack.callback(before.remove)
        after = register_module_forward_hook(_in_this_thread(watch.leave_module), always_call=True)
        stack.callback(after.remove)
        if not SEVERAL[0]:
            stack.callback(register_optimizer_step_pre_hook(_in_this_thread(_no_step)).remove)
        stack.enter_context(recording(counter.declared))
        stack.enter_context(seeing_engines(watch, Readings(counter)))
        if watch.autocast is not None:
            dtypes = {"bf16": torch.bfloat16, "fp16": torch.float16}
            dtype = dtypes.get(watch.autocast[1])
            stack.enter_context(torch.autocast(watch.autocast[0], dtype=dtype))
        stack.enter_context(LiveScopes(counter))
        stack.enter_context(noticed(counter.pieces))
        stack.enter_context(counter)
        yield

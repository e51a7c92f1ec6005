"""What a kind of call is, when it is seen for the first time."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

import torch
from torch import is_grad_enabled

from profilers.steps.calls.asked import is_fake, rewriting, split_sequences, transformed
from profilers.steps.calls.signature import MOST_OUTPUTS, Signer, text_of, tokens_of
from profilers.steps.folding.events import Kind
from profilers.steps.optimizers.known import token_of

if TYPE_CHECKING:
    from profilers.steps.calls.seam import Seam

signer = Signer(torch.Tensor, torch.strided)


SPLIT = (
    "attention reaches to other ranks' pieces of the sequence, which no single rank's call shows"
)
"""Why the cost of a call under ``context_parallel`` has no upper end."""
REWRITTEN = "a mode of the program's around torch's functions may compute other products: {}"
"""The same of one under a ``TorchFunctionMode``."""
EXPANDED = (
    "gradients of each sample by itself (call_for_per_sample_grads) are computed in torch's own way"
)
EXPANDING = "torch.nn.utils._expanded_weights"
"""Where the class is of weights that compute them, and refuse to be asked anything else."""
_plainly = torch._C.DisableTorchFunctionSubclass


def described(seam: Seam, key: Hashable, module: Any, args: Any, kwargs: Any) -> Kind:
    """Describe the kind of a call that is about to run.

    Args:
        seam: Where it came by.
        key: What tells it from other kinds (``Seam.key``).
        module: What is called.
        args: Of the call.
        kwargs: Likewise.

    """
    kind = Kind(class_name(module), key)
    tensors = signer.inputs(args, kwargs)
    kind.seam = token_of(seam)
    kind.place = id(kind.seam)
    kind.thread, kind.since = threading.get_ident(), time.monotonic_ns()
    kind.state = weakref.ref(seam.attributes.state)  # that of the key
    kind.switches = seam.attributes.switches.as_they_are()
    kind.inputs = tuple(map(text_of, tensors[:MOST_OUTPUTS]))
    fake = any(each.is_meta or type(each).__name__ == "FakeTensor" for each in tensors)
    kind.real = not (fake or is_fake())
    kind.tokens, kind.samples = tokens_of({**_named(module, args), **kwargs}, tensors)
    kind.device = seam.device
    kind.transformed = transformed()
    kind.doubt = _doubt(seam)
    kind.graded = is_grad_enabled()
    kind.watched = kind.graded and not kind.transformed
    kind.aside = not kind.graded and not module.training
    with _plainly():
        wanted = [each for each in seam.parameters if each.requires_grad]
    kind.trained = tuple(map(token_of, wanted[:8] + wanted[-8:]))
    return kind


def _doubt(seam: Seam) -> str | None:
    """Why nobody can say what such a call costs."""
    if any(type(each).__module__.startswith(EXPANDING) for each in seam.parameters):
        return EXPANDED
    if split_sequences():
        return SPLIT
    names = ", ".join(each.__qualname__ for each in rewriting())
    return REWRITTEN.format(names) if names else None


def _named(module: Any, args: Any) -> dict[str, Any]:
    """What was given by position, by the names that the model's ``forward`` has for it."""
    code = getattr(getattr(type(unwrapped(module)), "forward", None), "__code__", None)
    names = code.co_varnames[1 : code.co_argcount] if code is not None else ()
    return dict(zip(names, args, strict=False))


def class_name(module: Any) -> str:
    """The class of the model inside wrappers that compute nothing."""
    return type(unwrapped(module)).__name__.removeprefix("FSDP")


def unwrapped(module: Any) -> Any:
    """The model inside wrappers that compute nothing."""
    seen = 0
    while seen < 4 and type(module).__name__ in (
        "OptimizedModule", "DistributedDataParallel", "DataParallel",
    ):  # fmt: skip
        module = next(iter(module.children()), module)
        seen += 1
    return module

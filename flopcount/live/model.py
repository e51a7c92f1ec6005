"""Gives a model that is training the flags of a captured call, and tells whose its hooks are."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flopcount.live.capture import LiveCall

LIBRARIES = frozenset({"torch", "transformers", "peft", "accelerate", "diffusers", "timm"})
"""Hooks of these take part in the computation; everybody else's might write a log."""
MOVING = ("torch.distributed", "torch.nn.parallel", "deepspeed.")
"""Hooks of these modules gather, scatter and reduce, and compute no product."""
TELLING = "LightningModule"
"""Under a strategy of several ranks its steps are calls like others, and tell the trainer by ``self.log``."""
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def as_it_was(call: LiveCall, model: Any) -> None:
    """Give the doubles the call's flags, and take away whatever is not the model's own doing."""
    whole = call.model
    for module, training in zip(whole.modules(), call.training, strict=False):
        if "training" in module.__dict__:
            module.__dict__["training"] = training
    for parameter, trainable in zip(whole.parameters(), call.trainable, strict=False):
        if parameter.is_floating_point() and parameter.requires_grad != trainable:
            parameter.requires_grad_(trainable)
    for module in model.modules():
        state = module.__dict__
        state.pop("_compiled_call_impl", None)  # also the seam by which the run is seen
        if any(kind.__name__ == TELLING for kind in type(module).__mro__):
            state["log"] = state["log_dict"] = _unheard
        for table in HOOKS:
            hooks = state.get(table)
            for key in [key for key, hook in (hooks or {}).items() if not computes(hook)]:
                del hooks[key]


def _unheard(*_args: Any, **_kwargs: Any) -> None:
    """In place of what a model tells its trainer, which would average it with what was told in the run."""


def computes(hook: Any) -> bool:
    """Whether a hook belongs to the computation: a library's, and not one that moves shards."""
    function = getattr(hook, "func", hook)
    owner = getattr(function, "__self__", None)
    names = (getattr(function, "__module__", None), type(owner).__module__ if owner else None)
    known = [str(name) for name in names if name]
    return any(name.partition(".")[0] in LIBRARIES for name in known) and not any(
        name.startswith(("torch.distributed.fsdp", "torch.nn.parallel")) for name in known
    )


def foreign_hooks(model: Any, tables: Sequence[str] = HOOKS[:2]) -> tuple[tuple[str, Any], ...]:
    """Hooks that a count leaves out, because they are the user's own, with their names.

    Args:
        model: The model.
        tables: Where hooks are kept, of a module; ``_backward_hooks`` are those of parameters, too.

    """
    found = {
        f"{getattr(hook, '__qualname__', type(hook).__name__)} on {type(owner).__name__}": hook
        for owner in (*model.modules(), *(model.parameters() if HOOKS[2] in tables else ()))
        for table in tables
        for hook in (getattr(owner, table, None) or {}).values()
        if not computes(hook) and not _moves_shards(hook)
    }
    return tuple(sorted(found.items(), key=itemgetter(0)))


def _moves_shards(hook: Any) -> bool:
    owner = getattr(hook, "__self__", None)
    names = (str(getattr(hook, "__module__", "")), type(owner).__module__)
    return any(name.startswith(MOVING) for name in names)

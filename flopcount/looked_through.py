"""Wrappers that move what ranks hold and compute nothing: in a count they only hand on.

``FullyShardedDataParallel`` gathers the pieces of a flat parameter, which an object beside the modules
keeps, and gives the modules views of it; ``DistributedDataParallel`` tells its reducer that a backward is
coming. Neither that object nor the reducer may learn of a forward that happens for a count.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.utils import _pytree as pytree

from flopcount.errors import CountError

if TYPE_CHECKING:
    from flopcount.doubles import Doubles


def flat_wrappers(modules: Iterable[Any]) -> list[Any]:
    """Modules that keep their parameters in flat pieces."""
    kind = getattr(sys.modules.get("torch.distributed.fsdp"), "FullyShardedDataParallel", None)
    return [module for module in modules if kind is not None and isinstance(module, kind)]


def whole_shapes(modules: Iterable[Any]) -> dict[int, Any]:
    """Of parameters of which this rank holds a piece, by their ids: what they are when gathered."""
    shapes: dict[int, Any] = {}
    for wrapper in flat_wrappers(modules):
        if wrapper._handle is None:  # it has no parameters of its own
            continue
        flat = wrapper._handle.flat_param
        if any(extension is not None for extension in flat._param_extensions):
            raise CountError(
                "parameters that are spread over a tensor parallel mesh and then flattened by "
                "FullyShardedDataParallel; fully_shard of such models can be counted"
            )
        shapes[id(flat)] = flat._unpadded_unsharded_size
        shapes |= zip(map(id, flat._params or ()), flat._shapes, strict=False)
    return shapes


def as_gathered(model: Any, trainable: Sequence[bool]) -> tuple[bool, ...] | None:
    """Which parameters get gradients where frozen ones lie in one flat parameter with others.

    All views of a flat parameter that needs a gradient need one: what frozen weights get is thrown away.

    Returns:
        A flag for each parameter; None where each gets what it needs.

    """
    flags = dict(zip(map(id, model.parameters()), trainable, strict=False))
    for wrapper in flat_wrappers(model.modules()):
        flat = None if wrapper._handle is None else wrapper._handle.flat_param
        own = [id(each) for each in (flat is not None and flat._params) or () if id(each) in flags]
        if any(flags[each] for each in own):
            flags.update(dict.fromkeys(own, True))
    found = tuple(flags.values())
    return found if found != tuple(trainable) else None


def look_through(modules: Iterable[Any], doubles: Doubles) -> None:
    """Have the wrappers among modules that work on copies of their dictionaries hand on what they get."""
    found = list(modules)
    for wrapper in flat_wrappers(found):
        wrapper.__dict__["forward"] = _gathered(wrapper, doubles)
    for module in found:
        if isinstance(module, torch.nn.parallel.DistributedDataParallel):
            module.__dict__ |= {
                "_pre_forward": lambda *args, **kwargs: (args, kwargs),
                "_run_ddp_forward": module.module,
                "_post_forward": lambda output: output,
            }
        elif isinstance(module, torch.nn.DataParallel):
            module.__dict__["forward"] = module.module


def _gathered(wrapper: Any, doubles: Doubles) -> Any:
    """The forward of a wrapper whose parameters are whole."""
    handle = wrapper._handle
    flat = None if handle is None else handle.flat_param
    whole = doubles(flat) if flat is not None and not handle._use_orig_params else None
    for name, module, _ in flat._param_infos if flat is not None else ():
        if whole is None and module._parameters.get(name) is not None:
            module.__dict__.pop(name, None)  # a view of what was gathered, in the parameter's place
    lowers = flat.dtype if flat is not None and handle._uses_param_mixed_precision else None

    def forward(*args: Any, **kwargs: Any) -> Any:
        if whole is not None:
            _unflatten(flat, whole)
        if lowers is not None:
            args, kwargs = _lowered((args, kwargs), lowers)
        return wrapper._fsdp_wrapped_module(*args, **kwargs)

    return forward


def _unflatten(flat: Any, whole: Any) -> None:
    """Give the modules inside their parameters, as views of the flat one."""
    begin = 0
    for (name, module, _), shape in zip(flat._param_infos, flat._shapes, strict=True):
        module.__dict__[name] = whole.narrow(0, begin, shape.numel()).view(shape)
        begin += shape.numel()  # what lies between them for alignment holds nothing
    for name, module, _, first, owner, _ in flat._shared_param_infos:
        module.__dict__[name] = owner.__dict__[first]


def _lowered(values: Any, dtype: Any) -> Any:
    """Inputs in the parameters' dtype, since the wrapper brings both to one."""

    def lower(value: Any) -> Any:
        is_number = isinstance(value, torch.Tensor) and value.is_floating_point()
        return value.to(dtype) if is_number else value

    return pytree.tree_map(lower, values)

"""What existed before a trace and is written to inside it: kept, and put back at the end.

On the rung of real numbers a module's weights share the caller's memory, so that nothing large is
copied. A forward that writes to a weight, an optimizer's step, a list of tensors beside the model:
each is copied just before the first write, and only then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import _disable_current_modes

from flopcount.rules import is_mutable
from flopcount.tensors import tensors

if TYPE_CHECKING:
    from collections.abc import Iterator


class Originals:
    """Memory that no op of the trace has made."""

    def __init__(self) -> None:
        self._made: set[int] = set()
        self._kept: dict[int, tuple[Any, Any]] = {}
        self._versions: dict[int, tuple[Any, int]] = {}

    def before(self, func: Any, args: Any, kwargs: Any) -> None:
        """Keep what an op is about to write to."""
        if func.namespace == "c10d":  # these write to what they are given and do not say so
            for tensor, storage in _stored((args, kwargs)):
                if storage._cdata not in self._made:
                    self._keep(tensor, storage)
        if not is_mutable(func):
            return
        named = zip(func._schema.arguments, args, strict=False)
        given = [*named, *((a, kwargs[a.name]) for a in func._schema.arguments if a.name in kwargs)]
        for argument, value in given:
            if argument.alias_info is not None and argument.alias_info.is_write:
                for tensor, storage in _stored(value):
                    if storage._cdata not in self._made:
                        self._keep(tensor, storage)

    def _keep(self, tensor: Any, storage: Any) -> None:
        if id(tensor) not in self._versions and not tensor.is_inference():
            self._versions[id(tensor)] = (tensor, tensor._version)
        if storage._cdata not in self._kept:
            with _disable_current_modes():
                self._kept[storage._cdata] = (storage, storage.clone())

    def after(self, args: Any, kwargs: Any, out: Any) -> None:
        """Note what an op has made; a view of something older is not made."""
        fresh = [storage._cdata for _, storage in _stored(out)]
        if fresh:
            older = {storage._cdata for _, storage in _stored((args, kwargs))}
            self._made.update(number for number in fresh if number not in older)

    def put_back(self) -> None:
        """Write the kept values where they were; no version number tells of it."""
        with _disable_current_modes(), torch.inference_mode(mode=False):
            for storage, copy in self._kept.values():
                storage.copy_(copy)
        for tensor, version in self._versions.values():
            torch._C._autograd._unsafe_set_version_counter((tensor,), (version,))
        self._kept.clear()
        self._versions.clear()


def _stored(value: Any) -> Iterator[tuple[Any, Any]]:
    """Tensors with memory of their own, and that memory."""
    for tensor in tensors(value):
        if tensor.is_meta or isinstance(tensor, FakeTensor) or tensor.layout != torch.strided:
            continue
        try:
            yield tensor, tensor.untyped_storage()
        except (NotImplementedError, RuntimeError):
            continue  # a wrapper: the ops on what is inside come here as well

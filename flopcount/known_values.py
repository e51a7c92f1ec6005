"""Values behind tensors without storage, computed only when somebody asks.

Models ask their tensors questions: is this batch packed, how long is the longest sequence, which
tokens does this expert get. On meta there is no answer; but most of what is asked follows from
shapes and from the caller's own inputs. So each result whose inputs are all known remembers how it
was made, and a question replays just that chain on the CPU. Nothing is guessed: random numbers,
unknown inputs and memory that was written to since have no value.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import torch
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import _disable_current_modes

from flopcount.invented import Invented, weights
from flopcount.rules import is_mutable

if TYPE_CHECKING:
    from flopcount.scopes import Scope

ATTRIBUTE = "_flopcount_origin"
MOST_ELEMENTS = 1 << 27
"""No single tensor of a replay may be larger."""
MOST_WORK = 1 << 31
"""Elements that all replays of a trace may write together."""

FACTORIES = frozenset(
    """aten::arange aten::full aten::zeros aten::ones aten::scalar_tensor aten::eye aten::linspace
    aten::logspace aten::tril_indices aten::triu_indices aten::_tensor_constant""".split()  # noqa: SIM905
)

COLLECTIVES = frozenset({"c10d", "_c10d_functional", "_c10d_functional_autograd", "_dtensor"})
"""Namespaces of ops whose results come from other ranks. Those of ``c10d`` write to what they are
given and do not say so."""
UNFILLED = frozenset(
    """aten::empty_like aten::new_empty aten::new_empty_strided aten::empty_quantized
    aten::resize""".split()  # noqa: SIM905
)
"""What they make holds whatever the memory held."""
ZEROS = torch.ops.aten.zeros.default
OVERWRITING = frozenset({"aten::copy_", "aten::fill_", "aten::zero_"})
"""Of what they write to, no old value is left."""


class UnknownValueError(Exception):
    """A value that the trace cannot know; internal."""

    def __str__(self) -> str:
        """Say what is missing, for the note of a rung that was left."""
        return super().__str__() or "asks for a value that depends on data"


@dataclass(frozen=True, slots=True)
class Origin:
    """How a tensor was made: an op, or a real tensor (``op`` is None and ``args`` holds it)."""

    op: Any
    args: Any
    kwargs: Any
    index: int | None
    storage: int
    epoch: int


@dataclass(frozen=True, slots=True)
class OnCopy:
    """An op that writes to its first argument, done to a copy of it."""

    op: Any

    def __call__(self, first: Any, *rest: Any, **named: Any) -> Any:
        """Answer the copy, written to."""
        return self.op(first.clone(), *rest, **named)


class KnownValues:
    """Remembers origins and replays them.

    With ``inventing``, a floating-point tensor without a value gets a random one when a question
    needs it: routing then sends each row somewhere, though not where real data would.
    """

    def __init__(self, *, inventing: bool = False, draw: int = 0) -> None:
        self.inventing = inventing
        self.answers = "given"
        """How a count of a running loop answers questions whose answers its data decides."""
        self.weights: int | None = None
        """Which draw stands for the values of parameters that are trained; None for their own."""
        self.received: int | None = None
        """Other ranks are taken to send so many times what is sent to them; None where nobody knows
        (``flopcount.live.received``)."""
        self.read: list[Any] = []
        """Tensors whose own values were needed for some answer."""
        self.here: Callable[[], tuple[str, Scope]] | None = None
        """In which phase and where in the model a question is asked."""
        self._invented = Invented(draw)
        self._epoch = 0
        self._written: dict[int, int] = {}
        self._work = 0
        self.unknown_masks = 0

    def remember_real(self, double: Any, real: Any) -> None:
        """``double`` stands for a tensor whose values we hold."""
        if self.weights is not None and real.requires_grad and real.is_floating_point():
            what = (tuple(real.shape), real.dtype, self.weights)
            setattr(double, ATTRIBUTE, Origin(weights, what, {}, None, -1, self._epoch))
            return
        if type(real) in (torch.Tensor, torch.nn.Parameter) and real.device.type == "cpu":
            setattr(double, ATTRIBUTE, Origin(None, real.detach(), None, None, -1, self._epoch))

    def observe(self, func: Any, args: Any, kwargs: Any, out: Any) -> None:
        """Note the origin of a result, or that memory was written."""
        if func.namespace == "c10d":
            self._epoch += 1
            for tensor in pytree.tree_leaves((args, kwargs)):
                self._forget(tensor)
        if func.namespace in COLLECTIVES or func._schema.name in UNFILLED:
            return
        if is_mutable(func):
            before = self._before(func, args, kwargs)
            self._forget_written(func, args, kwargs)
            if before is not None:
                again = Origin(
                    OnCopy(func), (before, *args[1:]), kwargs, None, _storage(args[0]), self._epoch
                )
                setattr(args[0], ATTRIBUTE, again)
            return
        first = args[0] if args else None
        if isinstance(first, torch.Tensor):
            if not hasattr(first, ATTRIBUTE):
                if self.inventing and _has_whole_numbers(out):
                    self._attach(func, args, kwargs, out)
                return
        elif not isinstance(first, list | tuple) and func._schema.name not in FACTORIES:
            return
        leaves = [leaf for leaf in pytree.tree_leaves((args, kwargs)) if _is_tensor(leaf)]
        if not leaves and func._schema.name not in FACTORIES:
            return
        if _is_random(func):
            return
        if all(hasattr(leaf, ATTRIBUTE) or leaf.device.type == "cpu" for leaf in leaves):
            self._attach(func, args, kwargs, out)

    def _attach(self, func: Any, args: Any, kwargs: Any, out: Any) -> None:
        results = [(None, out)] if _is_tensor(out) else _numbered(out)
        for index, result in results:
            if _is_tensor(result):
                storage = _storage(result)
                origin = Origin(func, args, kwargs, index, storage, self._epoch)
                setattr(result, ATTRIBUTE, origin)

    def _before(self, func: Any, args: Any, kwargs: Any) -> Any:
        """A stand-in for the old value of a tensor that is written to, if all that matters is known.

        Not for a view: its base and the base's other views would have to change with it.
        """
        arguments = func._schema.arguments
        writes = [a for a in arguments if a.alias_info is not None and a.alias_info.is_write]
        if writes != arguments[:1] or not args or not _is_tensor(args[0]) or args[0]._is_view():
            return None
        overwrites = func._schema.name in OVERWRITING
        read = (args[1:], kwargs) if overwrites else (args, kwargs)
        leaves = [leaf for leaf in pytree.tree_leaves(read) if _is_tensor(leaf)]
        known = all(hasattr(leaf, ATTRIBUTE) or leaf.device.type == "cpu" for leaf in leaves)
        if args[0].device.type != "meta" or not known or _is_random(func):
            return None
        shape, dtype = args[0].shape, args[0].dtype
        if overwrites:
            like = {"dtype": dtype, "device": torch.device("cpu")}
            origin = Origin(ZEROS, (list(shape),), like, None, -1, self._epoch)
        else:
            origin = getattr(args[0], ATTRIBUTE)
        if self._written.get(origin.storage, -1) > origin.epoch:
            return None
        stand_in = torch.empty(0, device="meta").new_empty(shape, dtype=dtype)
        setattr(stand_in, ATTRIBUTE, dataclasses.replace(origin, storage=-1))
        return stand_in

    def forget(self, written: Iterable[Any]) -> None:
        """Something that is not known was written into these tensors."""
        self._epoch += 1
        for tensor in written:
            self._forget(tensor)

    def is_made_by(self, tensor: Any, op: Any, args: Any) -> None:
        """What this holds now follows from these arguments by an op."""
        setattr(tensor, ATTRIBUTE, Origin(op, args, {}, None, _storage(tensor), self._epoch))

    def handed_on(self, received: Any, given: Any) -> None:
        """The same numbers as another tensor, where those that other ranks send are taken to be known."""
        origin: Origin | None = getattr(given, ATTRIBUTE, None)
        if origin is not None and self.received is not None:
            setattr(received, ATTRIBUTE, dataclasses.replace(origin, storage=_storage(received)))

    def _forget_written(self, func: Any, args: Any, kwargs: Any) -> None:
        self._epoch += 1
        for argument, value in zip(func._schema.arguments, args, strict=False):
            if argument.alias_info is not None and argument.alias_info.is_write:
                for tensor in pytree.tree_leaves(value):
                    self._forget(tensor)
        for value in kwargs.values():
            self._forget(value)

    def _forget(self, tensor: Any) -> None:
        if _is_tensor(tensor) and tensor.device.type == "meta":
            self._written[_storage(tensor)] = self._epoch
            if hasattr(tensor, ATTRIBUTE):
                delattr(tensor, ATTRIBUTE)

    def value(self, tensor: Any) -> Any:
        """The real tensor behind a double.

        Raises:
            UnknownValueError: when it cannot be known.

        """
        if tensor.device.type == "cpu" and type(tensor) is torch.Tensor:
            return tensor
        with none_of_the_step():
            return self._value(tensor, {})

    def run(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Execute an op on the real values of its arguments.

        Raises:
            UnknownValueError: when an argument's value cannot be known.

        """
        with none_of_the_step():
            return self._replay(func, args, kwargs, {}, self._epoch)

    def _value(self, tensor: Any, memo: dict[int, Any]) -> Any:
        if tensor.device.type == "cpu" and type(tensor) is torch.Tensor:
            return tensor
        origin: Origin | None = getattr(tensor, ATTRIBUTE, None)
        if origin is not None and self._written.get(origin.storage, -1) > origin.epoch:
            origin = None  # memory that was written to since
        if origin is None and self.inventing and tensor.is_floating_point():
            origin = self._invent(tensor)
        if origin is None:
            raise UnknownValueError
        if origin.op is None:
            self.read.append(origin.args)
            return origin.args
        self._spend(prod(tensor.shape))
        # Tensors of one multi-output op share a replay; its arguments outlive it.
        key = id(origin.args) if origin.args else id(origin)
        if key not in memo:
            try:
                memo[key] = self._replay(origin.op, origin.args, origin.kwargs, memo, origin.epoch)
            except UnknownValueError:  # something that it came from was written to since
                if not (self.inventing and tensor.is_floating_point()):
                    raise
                return self._invent(tensor).args
        result = memo[key]
        return result if origin.index is None else result[origin.index]

    def _invent(self, tensor: Any) -> Origin:
        """A random value, the same for every question about this tensor."""
        self._spend(prod(tensor.shape))
        here = None if self.here is None else self.here()
        made = self._invented.numbers(tensor.shape, here).to(tensor.dtype)
        origin = Origin(None, made, None, None, -1, self._epoch)
        setattr(tensor, ATTRIBUTE, origin)
        return origin

    def _replay(self, func: Any, args: Any, kwargs: Any, memo: dict[int, Any], epoch: int) -> Any:
        """Run an op that was first run at an epoch; what was written to since is another value."""

        def real(value: Any) -> Any:
            if _is_tensor(value):
                if value.device.type == "meta" and self._written.get(_storage(value), -1) > epoch:
                    raise UnknownValueError
                return self._value(value, memo)
            if isinstance(value, torch.device):
                return torch.device("cpu")
            return value

        real_args, real_kwargs = pytree.tree_map(real, (args, kwargs))
        with torch.no_grad():
            return func(*real_args, **real_kwargs)

    def _spend(self, elements: int) -> None:
        self._work += elements
        if elements > MOST_ELEMENTS or self._work > MOST_WORK:
            raise UnknownValueError


@contextmanager
def none_of_the_step() -> Iterator[None]:
    """What is computed again to know a value is no work of the step: nobody watches it."""
    with torch._C.DisableTorchFunction(), _disable_current_modes():
        yield


def _numbered(out: Any) -> list[tuple[int, Any]]:
    return list(enumerate(out)) if isinstance(out, list | tuple) else []


def _has_whole_numbers(out: Any) -> bool:
    """Whether a result has a tensor of integers or truth values."""
    items = out if isinstance(out, list | tuple) else (out,)
    return any(_is_tensor(item) and not item.is_floating_point() for item in items)


def _is_random(func: Any) -> bool:
    return torch.Tag.nondeterministic_seeded in func.tags


def _is_tensor(value: Any) -> bool:
    return isinstance(value, torch.Tensor)


def _storage(tensor: Any) -> int:
    try:
        return int(tensor.untyped_storage()._cdata)
    except (NotImplementedError, RuntimeError):
        return -2

"""Tensors that a model keeps, and whose values decide what it does, as in ``if self.on:``.

Which are asked for their value is seen when a call is counted. Until then all small ones are compared, from
then on those alone; a model that asks none pays nothing. Only what lies in the processor's own memory is
read. No torch is imported here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import nullcontext
from functools import partial
from typing import Any, TypeVar

from profilers.steps.deciders.places import Name, Place, named, others, read

FEW_ELEMENTS = 64
"""A tensor of more is compared by how often it was written to, and not before it was asked for its value."""
MOST_ELEMENTS = 1 << 13
"""A larger one is not kept as it was when a call began."""
MOST_SWITCHES = 256
EVERYWHERE = -1
"""Among the places in memory of which values were asked for: it could not be seen which."""
ALWAYS = -2
"""In place of where an array lies: nobody can see whether one is asked for what it holds."""
FAR = 1 << 20
_T = TypeVar("_T")


class Switches:
    """The tensors of one model that may decide."""

    __slots__ = ("_asked", "_known", "_places", "_torch", "compared", "values")

    def __init__(self, torch: Any) -> None:
        self._torch = torch
        self._asked: dict[Name, Any] = {}
        """Those that were asked for their value, and who holds them."""
        self._known = False
        """Whether a call was counted, so that it is known which are asked."""
        self._places: list[Place] = []
        self.compared: list[Place] = []
        self.values: list[str] = []
        """What these hold."""

    @property
    def key(self) -> tuple[tuple[Name, str], ...]:
        """What decides, and by which value."""
        return tuple(zip(map(named, self.compared), self.values, strict=True))

    def clear(self) -> None:
        """Forget the places, which are going to be found anew."""
        self._places, self.compared, self.values = [], [], []

    def add(self, holder: Any, name: Any, *, idle: bool) -> None:
        """Take a place that holds a tensor, or a list of them; an idle one is known to decide nothing."""
        value = holder[name]
        tensors = list(self._tensors(value))
        if not tensors or len(self._places) >= MOST_SWITCHES:
            return
        self._places.append((holder, name))
        if self._known:
            decides = (id(holder), name) in self._asked
        else:
            decides = all(_number(each) <= FEW_ELEMENTS for each in tensors)
        if decides and not idle:
            self.compared.append((holder, name))
            self.values.append(self._value(value))

    def alike(self) -> bool:
        """Whether those that decide hold what they held.

        Raises:
            AttributeError, LookupError, TypeError, ValueError: Something is no longer there.

        """
        for (holder, name), value in zip(self.compared, self.values, strict=True):
            if self._value(holder[name]) != value:
                return False
        return True

    def as_they_are(self) -> dict[Name, Any]:
        """Copies of all of them, but for large ones that nobody asked."""
        memo: dict[int, Any] = {}
        kept = {}
        with self._plainly():
            for place in self._places:
                most = MOST_ELEMENTS if named(place) in self._asked else FEW_ELEMENTS
                value = read(place)
                if all(_number(each) <= most for each in self._tensors(value)):
                    kept[named(place)] = _mapped(value, lambda each: self._copied(each, memo))
        return kept

    def told(self, asked: Collection[int]) -> bool:
        """A call was counted that asked for values at places in memory.

        Answers whether something has to be compared that was not.
        """
        self._known = True
        before = {*self._asked, *map(named, self.compared)}
        for place in self._places:
            where = {_address(each) for each in self._tensors(read(place))}
            if not where.isdisjoint((*asked, ALWAYS)) or EVERYWHERE in asked:
                self._asked.setdefault(named(place), place[0])
        values = self.asked(dict(self.key))
        self.compared = [place for place in self.compared if named(place) in values]
        self.values = list(values.values())
        return not before.issuperset(self._asked)

    def asked(self, kept: Mapping[Name, _T]) -> dict[Name, _T]:
        """Of values by place those that matter."""
        return {name: value for name, value in kept.items() if name in self._asked}

    def equal(self, one: Any, other: Any) -> bool:
        """Whether a place holds what a copy holds."""
        return self._numbers(one) == self._numbers(other)

    def _value(self, value: Any) -> str:
        """Compared, and part of a key; large ones by how often they were written to."""
        tensors = list(self._tensors(value))
        if all(_number(each) <= FEW_ELEMENTS for each in tensors):
            return self._numbers(value)
        return repr([(each._version, each.data_ptr()) for each in tensors if _is_tensor(each)])

    def _numbers(self, value: Any) -> str:
        with self._plainly():
            return repr([each.tolist() for each in self._tensors(value)])

    def _plainly(self) -> Any:
        """Without modes, which would take reading for a part of the program."""
        if not self._torch._C._len_torch_dispatch_stack():
            return nullcontext()
        return self._torch.utils._python_dispatch._disable_current_modes()

    def _tensors(self, value: Any) -> Iterator[Any]:
        """Tensors that can be read without waiting for a device, and small arrays."""
        for each in value if type(value) in (list, tuple) else (value,):
            if type(each).__module__ == "numpy":
                if getattr(each, "size", FAR) <= FEW_ELEMENTS and each.dtype.kind in "biuf":
                    yield each
            elif (
                type(each) is self._torch.Tensor
                and each.device.type == "cpu"
                and not (each.requires_grad or each.is_quantized or each.is_nested)
                and each.layout is self._torch.strided
            ):
                yield each

    def _copied(self, value: Any, memo: dict[int, Any]) -> Any:
        if next(self._tensors(value), None) is None:
            return value
        if id(value) not in memo:
            memo[id(value)] = value.detach().clone() if _is_tensor(value) else value.copy()
        return memo[id(value)]

    def other(self, value: Any) -> tuple[Any, ...]:
        """Values that a place could have as well, near and far."""
        tensors = list(self._tensors(value))
        single = len(tensors) == 1 and tensors[0] is value and _number(value) == 1
        number = value.item() if single else 0
        numbers = (False, True) if type(number) is bool else others(number, ())
        if not single:
            numbers = (0, 1, FAR)
        return tuple(_mapped(value, partial(self._filled, number=each)) for each in numbers)

    def _filled(self, value: Any, *, number: Any) -> Any:
        if next(self._tensors(value), None) is None:
            return value
        if not _is_tensor(value):
            return (0 * value + number).astype(value.dtype)
        whole = not (
            value.is_floating_point() or value.is_complex() or value.dtype is self._torch.bool
        )
        most = self._torch.iinfo(value.dtype).max if whole else number
        return self._torch.full_like(value, min(number, most))


def is_held(values: tuple[Any, ...]) -> bool:
    """Whether values are those of a tensor, an array, or a list of them."""
    return any(hasattr(item, "dtype") for item in (values[0] if _is_list(values) else values))


def _is_list(values: tuple[Any, ...]) -> bool:
    return bool(values) and type(values[0]) in (list, tuple)


def _is_tensor(value: Any) -> bool:
    return hasattr(value, "data_ptr")


def _number(value: Any) -> int:
    """Of elements."""
    return int(value.numel() if _is_tensor(value) else value.size)


def _address(value: Any) -> int:
    return int(value.data_ptr()) if _is_tensor(value) else ALWAYS


def _mapped(value: Any, make: Callable[[Any], Any]) -> Any:
    if type(value) in (list, tuple):
        return type(value)(map(make, value))
    return make(value)

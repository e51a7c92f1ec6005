"""Doubles of tensors: without storage, fake, or with real numbers."""

from __future__ import annotations

from contextlib import AbstractContextManager, suppress
from copy import copy
from math import prod
from typing import TYPE_CHECKING, Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

if TYPE_CHECKING:
    from flopcount.known_values import KnownValues
from flopcount.parallel import gathered, is_sharded, put_together

SPARSE = (
    torch.sparse_coo,
    torch.sparse_csr,
    torch.sparse_csc,
    torch.sparse_bsr,
    torch.sparse_bsc,
)


PLAIN = (list, dict, set)


class Doubles(AbstractContextManager["Doubles"]):
    """Turns tensors into doubles, each only once, so that tied weights stay tied."""

    def __init__(self, known: KnownValues) -> None:
        self.known = known
        self._done: dict[int, tuple[Any, Any]] = {}
        self.meshes: list[Any] = []
        self.over: dict[int, frozenset[str]] = {}
        """Of parameters that are spread over less when they are used: over what, by their ids."""
        self.wholes: dict[int, Any] = {}
        """Shapes of parameters of which this rank holds a piece, by their ids."""
        self.has_shards = False

    def __call__(self, value: Any) -> Any:
        """Convert a tensor; everything else passes through."""
        if not isinstance(value, torch.Tensor):
            return self.other(value)
        done = self._done.get(id(value))
        if done is None:
            # The original is kept beside the double so that its id stays its own.
            done = self._done[id(value)] = (value, self._like(value))
        return done[1]

    def made(self) -> list[tuple[Any, Any]]:
        """Each tensor that was converted, and its double."""
        return list(self._done.values())

    def other(self, value: Any) -> Any:
        """A double of something that is no tensor; most things are their own."""
        return value

    def _like(self, value: Any) -> Any:
        with torch.no_grad():
            over = self.over.get(id(value))
            if is_sharded(value) and (self.meshes or over is not None):
                fresh = self.whole(gathered(value, self.meshes, over))
            else:
                # ``data`` and not ``detach()``: a write to the double is no new version of the original.
                fresh = self.make(put_together(value, self.wholes.get(id(value))))
        self.has_shards |= is_sharded(fresh)
        if isinstance(value, torch.nn.Parameter):
            double = torch.nn.Parameter(fresh, requires_grad=value.requires_grad)
            if id(value) not in self.wholes and double.shape == value.shape:
                self._attributes(double, value)
            return double
        return fresh.requires_grad_(value.requires_grad)

    def _attributes(self, double: Any, value: Any) -> None:
        """What a parameter carries with it: scales of a quantised weight, a program's sum of gradients.

        A piece of a parameter carries what belongs to pieces, and its whole does not.
        """
        for name, held in vars(value).items():
            if type(held) in PLAIN:
                held = copy(held)  # a forward may write to it
            with suppress(AttributeError, RuntimeError):
                setattr(double, name, self(held) if isinstance(held, torch.Tensor) else held)

    def whole(self, gathered: Any) -> Any:
        """What stands for a parameter that is put together of pieces, which lie nowhere."""
        return gathered

    def make(self, value: Any) -> Any:
        """A double of one detached tensor."""
        raise NotImplementedError

    def __exit__(self, *_: object) -> None:
        self._done.clear()


class MetaDoubles(Doubles):
    """No storage at all."""

    def _like(self, value: Any) -> Any:
        fresh = super()._like(value)
        self.known.remember_real(fresh, value)
        return fresh

    def other(self, value: Any) -> Any:
        """A block mask must sit where the queries are; its mask function stays as it is."""
        return value.to("meta") if type(value).__name__ == "BlockMask" else value

    def make(self, value: Any) -> Any:
        """The same shape and strides on meta."""
        if value.is_nested:
            raise NotImplementedError("a nested tensor's lengths are data")
        if value.layout in SPARSE:
            # What a product costs is in how many elements are stored, which meta forgets.
            return value
        if type(value) is torch.Tensor and value.is_contiguous():
            # What empty_like would answer, without its eightfold time: a model has many weights.
            return torch.empty_strided(
                value.shape, value.stride(), dtype=value.dtype, device="meta"
            )
        return torch.empty_like(value, device="meta")


class FakeDoubles(Doubles):
    """torch's fake tensors: no storage, but a device, for models that ask for one."""

    def __init__(self, known: KnownValues) -> None:
        super().__init__(known)
        self.mode = FakeTensorMode(allow_non_fake_inputs=True)

    def __enter__(self) -> FakeDoubles:
        self.mode.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        self.mode.__exit__(*exception)
        super().__exit__(*exception)

    def make(self, value: Any) -> Any:
        """A fake of the same device; what is on meta is taken to the CPU."""
        if value.device.type != "meta":
            return self.mode.from_tensor(value)
        return torch.empty_strided(
            tuple(value.shape), value.stride(), dtype=value.dtype, device="cpu"
        )


class CpuDoubles(Doubles):
    """Real numbers: the caller's own where they are on the CPU, invented ones where not."""

    def __init__(self, known: KnownValues, most_bytes: int = 1 << 30, draw: int = 0) -> None:
        super().__init__(known)
        self.generator = torch.Generator().manual_seed(draw)
        self.size = SIZES[draw]
        self.left = most_bytes
        self.invented = False

    def make(self, value: Any) -> Any:
        """Weights share the caller's memory; nothing writes to them in a step."""
        if value.device.type == "cpu":
            return value
        self.left -= value.numel() * value.element_size()
        if self.left < 0:
            raise MemoryError("the model is too large to be run on the CPU")
        self.invented = True
        if value.is_floating_point() or value.is_complex():
            return invented(value.shape, self.generator, self.size).to(value.dtype)
        return torch.zeros(value.shape, dtype=value.dtype)

    def whole(self, gathered: Any) -> Any:
        """Invented numbers; pieces of a tensor parallel mesh stay without any."""
        return gathered if is_sharded(gathered) else self.make(gathered)

    def _like(self, value: Any) -> Any:
        made = super()._like(value)
        if isinstance(value, torch.nn.Parameter):
            return made
        # Buffers and inputs may be written to; the caller's are not ours.
        return made.detach().clone().requires_grad_(value.requires_grad)


SIZES = (0.02, 0.2, 1.0)
"""Standard deviation of what is invented, by draw: small numbers all pass or all fail a threshold."""
BLOCK = 65_537
"""Random numbers drawn at a time; prime, so that repeated rows of a weight are not alike."""


def invented(shape: Any, generator: Any, size: float) -> Any:
    """Random numbers, drawn once and repeated: drawing each would take most of a trace."""
    number = prod(shape)
    block = torch.randn(min(number, BLOCK), generator=generator, device="cpu").mul_(size)
    return block.repeat(-(-number // BLOCK))[:number].reshape(shape)

"""What other ranks are taken to send: whole numbers that say how many rows come.

How many rows go to each rank, or to each of its experts, depends on the data of all of them. Where a count
supposes something of it (``KnownValues.received``), such numbers follow from those that this rank sends.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from flopcount.known_values import UnknownValueError, none_of_the_step

if TYPE_CHECKING:
    from flopcount.known_values import KnownValues

MADE_HERE = "_flopcount_made_here"
"""On real tensors of numbers that a model makes while it is traced."""
MAKING = frozenset(
    "aten::zeros aten::empty aten::ones aten::full aten::zeros_like aten::empty_like".split()  # noqa: SIM905
)
TIMES = torch.ops.aten.mul.Scalar


def exchanged(known: KnownValues, received: Any, sent: Any) -> bool:
    """Other ranks sent whole numbers for these; answers whether they are taken to be known."""
    tensors = (received, sent)
    if known.received is None or received.is_floating_point() or received.shape != sent.shape:
        return False
    args = (sent, known.received)
    if any(each.device.type != "meta" for each in tensors):
        return _written_at_once(known, [(received, (TIMES, args))])
    known.forget([received])
    known.is_made_by(received, TIMES, args)
    return True


def gathered(known: KnownValues, received: Sequence[Any], sent: Any, rank: int, ranks: int) -> bool:
    """Every rank's whole numbers lie here, in one tensor or one for each; answers as ``exchanged``.

    They say how many rows go to each rank, or to each of its experts: what others send to this rank is
    taken to be as much as it sends to them.
    """
    one = len(received) == 1 and ranks > 1
    if (
        known.received is None
        or sent.is_floating_point()
        or sent.numel() % ranks
        or sum(each.numel() for each in received) != ranks * sent.numel()
    ):
        return False
    told = [
        (sent, known.received, rank, ranks, None if one else number, list(each.shape))
        for number, each in enumerate(received)
    ]
    if any(each.device.type != "meta" for each in (*received, sent)):
        every = zip(received, told, strict=True)
        return _written_at_once(known, [(each, (_from_all, given)) for each, given in every])
    known.forget(received)
    for each, given in zip(received, told, strict=True):
        known.is_made_by(each, _from_all, given)
    return True


def made_here(known: KnownValues, out: Any) -> None:
    """A tensor was made of nothing, while others are taken to send numbers."""
    if known.received is not None and isinstance(out, torch.Tensor) and out.device.type == "cpu":
        setattr(out, MADE_HERE, True)


def _written_at_once(known: KnownValues, every: Sequence[tuple[Any, tuple[Any, Any]]]) -> bool:
    """Fill real tensors that the model itself made while it was traced; answers as ``exchanged``."""
    if not all(hasattr(each, MADE_HERE) for each, _ in every):
        return False  # perhaps the program's own, which keep what they hold
    try:
        values = [known.run(op, args, {}) for _, (op, args) in every]
    except UnknownValueError:
        return False
    with none_of_the_step(), torch.no_grad():
        for (each, _), value in zip(every, values, strict=True):
            each.copy_(value)
    return True


def _from_all(
    sent: Any, times: int, rank: int, ranks: int, number: int | None, shape: list[int]
) -> Any:
    """What all ranks, or one of them, may have sent to each; what others send among them is arbitrary."""
    own = sent.flatten().view(ranks, -1)
    whole = torch.stack([own.roll(each - rank, 0) for each in range(ranks)])
    whole[:, rank] = own * times
    return (whole if number is None else whole[number]).reshape(shape)

"""Counts in several threads: what each puts aside for the whole process is there again."""

import builtins
import io
import logging
import threading

import pytest

torch = pytest.importorskip("torch")

from flopcount.live.capture import capture  # noqa: E402
from flopcount.live.counting import count_call  # noqa: E402


class Meets(torch.nn.Module):
    """Waits inside of its forward for another one that is inside, too."""

    def __init__(self, barrier: threading.Barrier) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(8, 8)
        self.meet = [barrier.wait]  # a method: nothing that a count copies

    def forward(self, x):
        try:
            self.meet[0](0.5)
            MET.append("inside of two counts at once")
        except threading.BrokenBarrierError:
            pass
        return self.layer(x)


MET: list[str] = []


def test_two_counts_at_once_put_everything_back() -> None:
    before = builtins.open, io.open, logging.Logger.handle, threading.Thread.start
    barrier = threading.Barrier(2)
    counted: list[int] = []

    def count() -> None:
        model = Meets(barrier)
        call = capture(model, (torch.randn(4, 8),), {}, device="cpu")
        counted.append(count_call(call).forward)

    MET.clear()
    threads = [threading.Thread(target=count) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counted == [2 * 4 * 8 * 8] * 2
    assert MET == []
    assert (builtins.open, io.open, logging.Logger.handle, threading.Thread.start) == before

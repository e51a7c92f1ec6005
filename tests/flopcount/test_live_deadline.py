"""How long a count may take: by its own work, and not by what others do beside it."""

import threading
import time

import pytest

from flopcount.live.deadline import SLOWER, WAITING, Deadline


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    now = {"thread_time": 100.0, "monotonic": 1000.0}
    for name in now:
        monkeypatch.setattr(time, name, lambda name=name: now[name])
    return now


def test_a_busy_machine_changes_nothing(clocks: dict[str, float]) -> None:
    end = Deadline.after(5)
    clocks["monotonic"] += 5 + WAITING - 1
    clocks["thread_time"] += 4
    assert not end.is_over
    clocks["thread_time"] += 1.5  # 5.5 of its own seconds
    assert end.is_over


def test_what_waits_for_something_ends_by_the_clock(clocks: dict[str, float]) -> None:
    end = Deadline.after(5)
    clocks["monotonic"] += 5 + WAITING + 1
    assert end.is_over


def test_the_sooner_of_two(clocks: dict[str, float]) -> None:
    whole = Deadline.after(6)
    clocks["thread_time"] += 4
    clocks["monotonic"] += 10
    both, short = whole.or_before(Deadline.after(5)), whole.or_before(Deadline.after(1))
    assert (both.work, both.clock) == (106.0, min(1000 + 6 + WAITING, 1010 + 5 + WAITING))
    assert (short.work, short.clock) == (105.0, min(1000 + 6 + WAITING, 1010 + 1 + WAITING))


def test_a_trial_may_take_as_long_as_what_it_is_compared_with(clocks: dict[str, float]) -> None:
    """On a machine that is slow at the one, the other was given up, and an exact figure became a bound."""
    quick, slow = Deadline.of_trial(5, like=0.1), Deadline.of_trial(5, like=7.0)
    assert quick.work == 100.0 + 5
    assert slow.work == 100.0 + SLOWER * 7.0


def test_another_threads_processor_time_says_nothing(clocks: dict[str, float]) -> None:
    """torch's engine has threads of its own, which have worked for the training all along."""
    end, found = Deadline.after(5), []
    clocks["thread_time"] += 1000
    other = threading.Thread(target=lambda: found.append(end.is_over))
    other.start()
    other.join()
    assert found == [False]
    assert end.is_over

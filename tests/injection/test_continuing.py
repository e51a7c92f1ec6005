"""Attempts that load an optimizer without a number of steps: where they go on, or between what."""

import random
from dataclasses import replace
from fractions import Fraction
from unittest import mock

import pytest

from flopledger.recording.totals import read_totals
from profilers.steps.record.ledger import StepLedger
from tests.injection.ledgers import SECOND, process

SEEN, NOTHING = "seen", "stateless"


def codes(totals):
    return {finding.code for finding in totals.findings}


def test_a_state_that_was_saved_once_says_where(tmp_path):
    process(tmp_path, steps=10, seal=None, saved=((3, "lr", "a"), (6, "lr", "b")))
    process(tmp_path, at=60, steps=6, loaded=("lr", "b", SEEN))  # numbered 1 to 6, and is 7 to 12
    totals = read_totals(tmp_path)
    assert (totals.steps, totals.steps_at_most, totals.redone_steps) == (12, 12, 4)
    assert (totals.model_flop, totals.hardware_flop) == (12 * 300, 16 * 300)
    assert totals.tokens == 12 * 64
    assert [attempt.resumed_after for attempt in totals.attempts] == [None, 6]
    assert "resume-step-unknown" not in codes(totals)


def test_settings_alone_tell_where_a_schedule_changes_them(tmp_path):
    """Of a state on a device no number is read; its learning rate is."""
    process(tmp_path, steps=10, seal=None, saved=((3, "lr 0.9", None), (6, "lr 0.8", None)))
    process(tmp_path, at=60, steps=6, loaded=("lr 0.9", "read from the file", SEEN))
    totals = read_totals(tmp_path)
    # After step 3: 4 to 9 of the first attempt were done again, and its tenth stands.
    assert (totals.steps, totals.redone_steps, totals.model_flop) == (10, 6, 10 * 300)


def test_states_that_look_alike_give_bounds(tmp_path):
    process(tmp_path, steps=10, seal=None, saved=((3, "lr", None), (6, "lr", None)))
    process(tmp_path, at=60, steps=6, loaded=("lr", None, SEEN))
    totals = read_totals(tmp_path)
    # After 3: steps 4 to 9 twice, 10 stand. After 6: steps 7 to 10 twice, 12 stand.
    assert (totals.steps, totals.steps_at_most) == (10, 12)
    assert totals.model_flop is None
    assert totals.model_bounds == (10 * 300, 12 * 300)
    assert totals.hardware_flop == 16 * 300  # all that was executed, whatever stands
    assert totals.tokens is None
    assert codes(totals) >= {"resume-step-unknown", "recording-interrupted"}
    told = next(f.message for f in totals.findings if f.code == "resume-step-unknown")
    assert "after step 3 at the earliest and 6 at the latest" in told


def test_a_checkpoint_beyond_the_last_line_bounds_the_number_of_steps_too(tmp_path):
    """The kill came between the word of a checkpoint and the steps before it."""
    process(tmp_path, steps=10, seal=None, saved=((3, "lr", None), (13, "lr", None)))
    process(tmp_path, at=60, steps=6, loaded=("lr", None, SEEN))
    totals = read_totals(tmp_path)
    # After 3: 4 to 9 twice, 10 stand. After 13: 11 to 13 are in no ledger, and 19 stand.
    assert (totals.steps, totals.steps_at_most + totals.steps_unwritten) == (10, 19)
    assert totals.model_bounds == (10 * 300, 19 * 300)


@pytest.mark.parametrize("saved", [(), ((6, "another", None),), ((6, "lr", "b"),)])
def test_a_state_that_nobody_saw_saved_may_be_from_anywhere(tmp_path, saved):
    process(tmp_path, steps=10, seal=None, saved=saved)
    process(tmp_path, at=60, steps=6, loaded=("lr", "a", SEEN))
    totals = read_totals(tmp_path)
    # From the beginning: 6 of 16 twice. After the tenth: none.
    assert totals.model_bounds == (10 * 300, 16 * 300)
    assert (totals.model_flop, totals.hardware_flop) == (None, 16 * 300)


def test_an_optimizer_that_keeps_nothing_may_begin_anew(tmp_path):
    process(tmp_path, steps=10, seal=None, saved=((4, "lr", None), (8, "lr", None)))
    process(tmp_path, at=60, steps=6, loaded=("lr", None, NOTHING))
    # Anew: 6 of 16 twice. After the eighth: 9 and 10 twice.
    assert read_totals(tmp_path).model_bounds == (10 * 300, 14 * 300)


def test_without_a_saved_state_it_began_anew(tmp_path):
    process(tmp_path, steps=10, seal=None)
    process(tmp_path, at=60, steps=6, loaded=("lr", None, NOTHING))
    totals = read_totals(tmp_path)
    assert (totals.steps, totals.model_flop, totals.hardware_flop) == (10, 3000, 4800)


@pytest.mark.parametrize("source", [SEEN, NOTHING])
def test_what_follows_an_orderly_end_does_nothing_again(tmp_path, source):
    """With a state it is the same training, without it is another one: the sum is the same."""
    process(tmp_path, steps=10, saved=((10, "lr", None),))
    process(tmp_path, at=60, steps=6, loaded=("lr", None, source))
    totals = read_totals(tmp_path)
    assert (totals.steps, totals.redone_steps, totals.model_flop) == (16, 0, 16 * 300)
    assert totals.trainings == (1 if source == SEEN else 2)


def test_the_programs_own_word_goes_first(tmp_path):
    process(tmp_path, steps=10, seal=None, saved=((3, "lr", "a"),))
    process(tmp_path, at=60, first=7, steps=6, resume=6, loaded=("lr", "a", SEEN))
    assert read_totals(tmp_path).redone_steps == 4


def test_resumes_of_resumes(tmp_path):
    process(tmp_path, steps=10, seal=None, saved=((8, "lr", "a"),))
    # 1 to 7 are 9 to 15, its state after the fifth is that after 13.
    process(tmp_path, at=60, steps=7, seal=None, loaded=("lr", "a", SEEN), saved=((5, "lr", "b"),))
    process(tmp_path, at=120, steps=4, loaded=("lr", "b", SEEN))
    totals = read_totals(tmp_path)
    assert (totals.steps, totals.redone_steps) == (17, 4)
    assert (totals.model_flop, totals.hardware_flop) == (17 * 300, 21 * 300)


def test_all_ranks_go_on_where_one_saved(tmp_path):
    for rank in range(2):
        saved = ((6, "lr", "a"),) if rank == 0 else ()
        process(tmp_path, rank=rank, world=2, pid=rank, seal=None, saved=saved)
    for rank in range(2):
        process(
            tmp_path, at=60, rank=rank, world=2, pid=9 + rank, steps=6, loaded=("lr", "a", SEEN)
        )
    totals = read_totals(tmp_path)
    assert (totals.steps, totals.model_flop) == (12, 2 * 12 * 300)


def test_trainings_side_by_side_do_nothing_of_one_another_again(tmp_path):
    """Two fine-tunings at once that go on from one checkpoint, as a search for settings does."""
    process(tmp_path, first=1001, steps=10, resume=1000, pid=1)
    process(tmp_path, first=1001, steps=10, resume=1000, pid=2, at=0.3)
    totals = read_totals(tmp_path)
    assert (totals.trainings, totals.redone_steps, totals.model_flop) == (2, 0, 20 * 300)


def test_a_clock_that_was_set_back_turns_no_order_round(tmp_path):
    """The second attempt, a minute after the first, begins an hour before it by the clock on the wall."""
    process(tmp_path, steps=10, seal=None, flop=(100, 200, 0))  # at 5 s of the boot
    process(tmp_path, at=-3600, up=65, first=7, steps=6, resume=6, flop=(1, 2, 0))
    totals = read_totals(tmp_path)
    # 1 to 6 as the first did them, 7 to 12 as the second did.
    assert (totals.steps, totals.redone_steps) == (12, 4)
    assert totals.model_flop == 6 * 300 + 6 * 3
    assert [attempt.resumed_after for attempt in totals.attempts] == [None, 6]
    assert totals.duration_seconds == pytest.approx(1.1 + 0.66)


def test_a_rank_whose_clock_is_ahead_is_of_its_launch(tmp_path):
    """By the clock on the wall the second rank begins an hour after the first was done."""
    process(tmp_path, rank=0, world=2)
    process(tmp_path, rank=1, world=2, at=3600, up=5.2)
    # An hour later in truth: another launch, which continues.
    for rank in range(2):
        process(tmp_path, rank=rank, world=2, at=7200, first=11, steps=5, resume=10, pid=7)
    totals = read_totals(tmp_path)
    assert [attempt.ranks for attempt in totals.attempts] == [(0, 1), (0, 1)]
    assert (totals.steps, totals.model_flop) == (15, 2 * 15 * 300)
    assert totals.duration_seconds == pytest.approx(0.2 + 1.1 + 0.55)


def _attempt(run, costs, at, saved, loaded):
    """One process whose steps cost what they cost."""
    from unittest import mock

    from profilers.clocks import ClockPair
    from tests.injection.ledgers import SECOND, START

    clock = ClockPair(monotonic_ns=5 * SECOND, wall_ns=START + at * SECOND)
    with mock.patch("os.getpid", return_value=at):
        ledger = StepLedger.create(run, clock=clock)
    if loaded:
        ledger.loaded("SGD", "lr", None)
    for number, flop in enumerate(costs, start=1):
        cost = ledger.cost(
            model="M", mode="train", inputs=[], how="meta",
            flop={"forward": flop, "backward": 0, "recompute": 0},
        )  # fmt: skip
        ledger.steps(
            first=number, end_us=[5_000_000 + number], duration_us=[1], wait_us=[0],
            optimizer=["SGD"], tokens=[None], tokens_from=[None], samples=[None],
            calls=[[(cost, 1)]],
        )  # fmt: skip
        if number in saved:
            ledger.saved(number, "SGD", "lr", None)
    ledger.close()


@pytest.mark.parametrize("seed", range(25))
def test_the_bounds_hold_wherever_it_went_on(tmp_path, seed):
    """Steps of unlike cost: what stands is added up by hand for every place that is possible."""
    chance = random.Random(seed)
    first = [chance.randrange(1, 1000) for _ in range(chance.randrange(2, 12))]
    then = [chance.randrange(1, 1000) for _ in range(chance.randrange(1, 12))]
    saved = chance.sample(range(1, len(first) + 1), chance.randrange(2, len(first) + 1))
    _attempt(tmp_path, first, 1, saved, loaded=False)
    _attempt(tmp_path, then, 60, (), loaded=True)
    totals = read_totals(tmp_path)
    low, high = totals.model_bounds
    assert totals.hardware_flop == sum(first) + sum(then)
    for after in saved:
        stands = dict(enumerate(first, start=1)) | dict(enumerate(then, start=after + 1))
        assert low <= sum(stands.values()) <= high
        assert totals.steps <= len(stands) <= totals.steps_at_most
    assert Fraction(low) >= 0


def test_many_attempts_take_no_longer_each(tmp_path):
    """Three thousand restarts of one training, some of ranks, some side by side: seconds in all."""
    import time

    from flopledger.recording.adding import totals
    from profilers.steps.record.ledger import read_process

    (alone,) = [read_process(process(tmp_path, steps=1, seal=None, loaded=("lr", None, SEEN)))]
    began = time.process_time()
    restarts = totals(
        replace(alone, pid=n, wall_ns=alone.wall_ns + n * 100 * SECOND) for n in range(3000)
    )
    beside = totals(replace(alone, pid=n) for n in range(3000))
    halves = totals(
        replace(alone, pid=n, world_size=2, wall_ns=alone.wall_ns + n * 100 * SECOND)
        for n in range(3000)
    )
    # The first at its beginning, each other one after nothing or after everything so far.
    # The last one may have done as many more as fit into two seconds, one each 110 ms: 19.
    assert restarts.model_bounds == (300, (3000 + 19) * 300)
    assert (beside.trainings, beside.model_flop) == (3000, 3000 * 300)
    assert halves.model_bounds == (300, None)
    assert len(halves.findings) < 300
    assert time.process_time() - began < 60  # of each attempt against each: many minutes


# ---------------------------------------------------------------- clocks and branches


def on(boot: str) -> object:
    return mock.patch("profilers.steps.record.ledger.boot_id", return_value=boot)


def test_a_machine_whose_clock_was_ahead(tmp_path):
    """Ten steps on a machine two hours ahead; another one goes on after the fifth, and does ten."""
    with on("a"):
        process(tmp_path, at=7200, seal=None, pid=1, node="a")
    with on("b"):
        process(tmp_path, at=60, up=25, first=6, resume=5, pid=2, node="b")
    totals = read_totals(tmp_path)
    assert totals.model_flop is None
    # One training of 15, or two of 10 each; the one without a seal may have done as many more as fit into two
    # seconds, one each 110 ms: 19.
    assert totals.model_bounds == (15 * 300, (20 + 19) * 300)
    assert totals.hardware_flop == 20 * 300
    assert (totals.steps, totals.steps_at_most) == (15, 20)
    assert totals.findings[0].code == "order-unclear"


def test_two_boots_in_order_leave_no_doubt(tmp_path):
    with on("a"):
        process(tmp_path, seal=None, pid=1)
    with on("b"):
        process(tmp_path, at=60, up=25, first=6, resume=5, pid=2)
    totals = read_totals(tmp_path)
    assert totals.model_flop == 15 * 300
    assert "order-unclear" not in {one.code for one in totals.findings}


def test_steps_that_nothing_builds_on(tmp_path):
    """1 to 10; after 8 on to 18; after 3 on to 13: the steps 14 to 18 lead nowhere."""
    process(tmp_path, seal=None, pid=1)
    process(tmp_path, at=20, up=25, first=9, resume=8, pid=2, seal=None)
    process(tmp_path, at=40, up=45, first=4, resume=3, pid=3)
    totals = read_totals(tmp_path)
    assert totals.steps == 18
    (found,) = (one for one in totals.findings if one.code == "steps-left-behind")
    assert "5 steps lie beyond" in found.message

"""What a run's ledgers add up to: ranks, restarts, steps done twice, things nobody knows."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopledger.logs import recorded_steps
from flopledger.recording.ranges import Ranges
from flopledger.recording.totals import read_totals
from flopledger.recording.utilisation import utilisation
from tests.injection.ledgers import START, process


def codes(totals):
    return {finding.code for finding in totals.findings}


def test_one_process(tmp_path):
    process(tmp_path, steps=10, flop=(100, 200, 50), evaluate=3)
    totals = read_totals(tmp_path)
    assert totals.steps == 10
    assert (totals.tokens, totals.samples) == (640, 40)
    assert totals.model_flop == 10 * (100 + 200)
    assert totals.hardware_flop == 10 * (100 + 200 + 50)
    assert totals.model_bounds == (3000, 3000)
    assert totals.hardware_bounds == (3500, 3500)
    assert totals.phases == {"forward": 1000, "backward": 2000, "recompute": 500, "redone": 0}
    assert totals.span_flop == {"evaluation": 300}  # in no other figure
    assert totals.by_dtype == {"fp32": 3000}
    assert totals.hardware_by_dtype == {"fp32": 3500}
    (attempt,) = totals.attempts
    assert (attempt.first_step, attempt.last_step, attempt.sealed) == (1, 10, True)
    # Ten times (100 + 10) ms, and the evaluation of 500 ms.
    assert totals.duration_seconds == pytest.approx(1.6)
    assert totals.windows == ((START, START + 1_600_000_000),)
    assert totals.findings == ()


@pytest.mark.parametrize(
    ("uuids", "seconds"),
    [
        # Ten steps of 0.11 s each: two devices for 1.1 s; one that both share, for 1.1 s; and for 1.6 s
        # where the second process begins half a second later.
        (("GPU-1", "GPU-2"), 2.2),
        (("GPU-1", "GPU-1"), 1.1),
        (("GPU-1", "GPU-1", 0.5), 1.6),
    ],
)
def test_a_device_that_processes_share_is_held_once(tmp_path, uuids, seconds):
    first, second, later = (*uuids, 0.0)[:3]
    name, work = "NVIDIA H100 80GB HBM3", (10**12, 2 * 10**12, 0)
    process(tmp_path, device=("cuda", first), named=name, flop=work)
    process(tmp_path, device=("cuda", second), named=name, flop=work, pid=101, at=later)
    totals = read_totals(tmp_path)
    assert totals.device_seconds == pytest.approx(seconds)
    # Twice ten steps of 3e12 FLOP, in fp32 on the vector units: 66.9 TFLOP/s.
    assert utilisation(totals).mfu == pytest.approx(6e13 / (66.9e12 * seconds), rel=1e-3)


def test_work_that_no_device_can_have_done_is_named(tmp_path):
    name, work = "NVIDIA H100 80GB HBM3", (10**13, 2 * 10**13, 0)
    process(tmp_path, device=("cuda", "GPU-1"), named=name, flop=work)
    used = utilisation(read_totals(tmp_path))
    # 3e14 FLOP in 1.1 s x 66.9 TFLOP/s.
    assert used.mfu == pytest.approx(3e14 / (66.9e12 * 1.1), rel=1e-3)
    assert [finding.code for finding in used.findings] == ["implausible-utilisation"]
    assert "4.08 times what 1 × NVIDIA H100 SXM5 80GB can do" in used.findings[0].message
    # Beside a rank on the processor its share of the work is nobody's on the device.
    process(tmp_path, device=("cpu", None), rank=1, world=2, pid=101)
    used = utilisation(read_totals(tmp_path))
    assert (used.mfu, [finding.code for finding in used.findings]) == (None, ["mixed-devices"])


def test_a_folder_without_ledgers_has_no_totals(tmp_path):
    assert read_totals(tmp_path) is None


def test_data_parallel_ranks_add_up(tmp_path):
    for rank in range(4):
        process(tmp_path, rank=rank, world=4, pid=100 + rank, at=0.01 * rank)
    totals = read_totals(tmp_path)
    assert totals.steps == 10  # of the job, not of each rank
    assert totals.model_flop == 4 * 10 * 300
    assert totals.tokens == 4 * 640
    assert [attempt.ranks for attempt in totals.attempts] == [(0, 1, 2, 3)]


def test_ranks_that_share_a_call_make_it_whole_once(tmp_path):
    # Tensor parallel over three: each sees the whole call and the same tokens.
    for rank in range(3):
        process(tmp_path, rank=rank, world=3, pid=rank, share=(1, 3), flop=(100, 201, 7))
    totals = read_totals(tmp_path)
    assert totals.model_flop == 10 * 301
    assert totals.hardware_flop == 10 * 308
    assert totals.tokens == 640
    assert totals.by_dtype == {"fp32": 3010}


def test_a_resumed_run_continues_its_total(tmp_path):
    process(tmp_path, steps=10, seal=None)
    process(tmp_path, at=60, first=11, steps=5, resume=10)
    totals = read_totals(tmp_path)
    assert totals.steps == 15
    assert totals.redone_steps == 0
    assert totals.model_flop == totals.hardware_flop == 15 * 300
    assert [a.resumed_after for a in totals.attempts] == [None, 10]
    # 1.1 s and 0.55 s; the minute between them is not training.
    assert totals.duration_seconds == pytest.approx(1.65)


def test_steps_done_again_are_hardware_flop_only(tmp_path):
    process(tmp_path, steps=10, seal=None)  # 1 to 10; the checkpoint is of step 6
    process(tmp_path, at=60, first=7, steps=6, resume=6)  # 7 to 12
    totals = read_totals(tmp_path)
    assert totals.steps == 12
    assert totals.redone_steps == 4
    assert totals.model_flop == 12 * 300
    assert totals.hardware_flop == (10 + 6) * 300
    assert totals.phases["redone"] == 4 * 300
    assert totals.tokens == 12 * 64
    assert [a.redone_steps for a in totals.attempts] == [4, 0]
    assert totals.ranks[0].redone_seconds == pytest.approx(4 * 0.11)
    assert "steps-redone" in codes(totals)


def test_a_run_that_died_and_starts_anew_does_its_steps_again(tmp_path):
    process(tmp_path, steps=8, seal=None)
    process(tmp_path, at=60, steps=10)
    totals = read_totals(tmp_path)
    assert (totals.steps, totals.redone_steps) == (10, 8)
    assert (totals.model_flop, totals.hardware_flop) == (10 * 300, 18 * 300)


@pytest.mark.parametrize("first", [{"seal": "finished"}, {"seal": None, "model": "UNet"}])
def test_another_training_in_the_same_run_is_added(tmp_path, first):
    process(tmp_path, steps=8, **first)
    process(tmp_path, at=60, steps=10)
    totals = read_totals(tmp_path)
    assert (totals.trainings, totals.steps, totals.redone_steps) == (2, 18, 0)
    assert totals.model_flop == totals.hardware_flop == 18 * 300
    assert "several-trainings" in codes(totals)


def test_two_trainings_side_by_side_are_added(tmp_path):
    process(tmp_path, steps=10, pid=1, seal=None)
    process(tmp_path, steps=10, pid=2, at=0.3, seal=None)
    totals = read_totals(tmp_path)
    assert (totals.trainings, totals.steps, totals.model_flop) == (2, 20, 20 * 300)
    assert totals.duration_seconds == pytest.approx(1.4)  # from 0 to 1.1 and from 0.3 to 1.4


def test_a_process_with_two_ledgers_counts_once(tmp_path):
    process(tmp_path, steps=10, pid=7)
    process(tmp_path, steps=10, pid=7, at=0.001, tokens=80)  # the program's own recording
    totals = read_totals(tmp_path)
    assert (totals.steps, totals.model_flop, totals.tokens) == (10, 3000, 800)
    assert "recorded-twice" in codes(totals)


def test_ranks_in_containers_of_one_name_are_two_processes(tmp_path):
    """Each is process 7 of its own, on a host whose name all containers have."""
    for rank in range(2):
        process(tmp_path, rank=rank, world=2, pid=7, at=0.01 * rank)
    totals = read_totals(tmp_path)
    assert (totals.steps, totals.model_flop) == (10, 2 * 10 * 300)
    assert "recorded-twice" not in codes(totals)


def test_trainings_in_containers_of_one_name_are_two_processes(tmp_path, monkeypatch):
    for number in range(2):
        monkeypatch.setattr(
            "profilers.steps.record.ledger._pid_namespace", lambda n=number: f"pid:[{n}]"
        )
        process(tmp_path, pid=7, at=0.01 * number)
    assert read_totals(tmp_path).model_flop == 2 * 10 * 300


def test_a_job_that_comes_back_with_fewer_ranks(tmp_path):
    for rank in range(4):
        process(tmp_path, rank=rank, world=4, pid=rank, steps=10, seal=None)
    for rank in range(2):
        process(tmp_path, at=60, rank=rank, world=2, pid=9 + rank, first=6, steps=5, resume=5)
    totals = read_totals(tmp_path)
    assert (totals.steps, totals.redone_steps) == (10, 5)
    # Steps 1 to 5 on four ranks, 6 to 10 on two; all twenty of ranks 2 and 3 were spent.
    assert totals.model_flop == (5 * 4 + 5 * 2) * 300
    assert totals.hardware_flop == (10 * 4 + 5 * 2) * 300


def test_one_rank_that_comes_back_replaces_its_own_steps_only(tmp_path):
    process(tmp_path, rank=0, world=2, pid=1, steps=100)
    process(tmp_path, rank=1, world=2, pid=2, steps=40, seal=None)
    process(tmp_path, rank=1, world=2, pid=3, at=5, first=31, steps=70, resume=30)
    totals = read_totals(tmp_path)
    assert totals.model_flop == 2 * 100 * 300
    assert totals.hardware_flop == (100 + 40 + 70) * 300


def test_a_process_that_goes_back_to_a_checkpoint_by_itself(tmp_path):
    from profilers.steps.record.ledger import StepLedger

    ledger = StepLedger.create(tmp_path)
    flop = {"forward": 100, "backward": 200, "recompute": 0}
    cost = ledger.cost(model="M", mode="train", inputs=[], how="meta", flop=flop)
    for first, many in ((1, 10), (6, 3)):  # a loss spike at 10: back to 5, on to 8
        columns = {name: list(range(1, many + 1)) for name in ("end_us", "duration_us", "wait_us")}
        ledger.steps(
            first=first, **columns, optimizer=["SGD"] * many, tokens=[7] * many,
            tokens_from=["inputs"] * many, samples=[1] * many, calls=[[(cost, 2)]] * many,
        )  # fmt: skip
    ledger.seal("finished", 13)
    totals = read_totals(tmp_path)
    assert (totals.steps, totals.redone_steps) == (10, 3)
    assert (totals.model_flop, totals.hardware_flop) == (10 * 600, 13 * 600)
    assert totals.tokens == 70


def test_an_unknown_cost_gives_no_figure_but_bounds(tmp_path):
    process(tmp_path, steps=10)
    process(tmp_path, steps=2, model="Odd", flop=None, at=60)
    totals = read_totals(tmp_path)
    assert totals.model_flop is None
    assert totals.hardware_flop is None
    assert totals.model_bounds == totals.hardware_bounds == (3000, None)
    assert "cost-unknown" in codes(totals)


def test_bounds_of_a_cost_are_carried(tmp_path):
    process(tmp_path, steps=10, flop=None, bounds=(250, 400))
    totals = read_totals(tmp_path)
    assert totals.model_flop is None
    assert totals.model_bounds == (0, 4000)
    assert totals.hardware_bounds == (2500, 4000)


def test_a_missing_rank_leaves_a_lower_bound(tmp_path):
    for rank in (0, 2):
        process(tmp_path, rank=rank, world=3, pid=rank)
    totals = read_totals(tmp_path)
    assert totals.model_flop is None
    assert totals.model_bounds == (2 * 3000, None)
    (finding,) = [f for f in totals.findings if f.code == "ranks-missing"]
    assert "1 of 3" in finding.message


def test_missing_tokens_are_missing(tmp_path):
    process(tmp_path, tokens=None)
    totals = read_totals(tmp_path)
    assert totals.tokens is None
    assert totals.samples == 40
    assert "tokens-missing" in codes(totals)


def test_the_first_stage_of_a_pipeline_knows_the_tokens(tmp_path):
    process(tmp_path, rank=0, world=2, pid=1, tokens=64)
    process(tmp_path, rank=1, world=2, pid=2, tokens=None)
    assert read_totals(tmp_path).tokens == 640


def test_a_ledger_cut_at_any_byte_keeps_what_came_before(tmp_path):
    whole = (process(tmp_path / "a", steps=12, seal=None) / "ledger.jsonl").read_bytes()
    chance = random.Random(7)
    for number in range(40):
        run = tmp_path / f"cut{number}"
        target = process(run, steps=12, seal=None) / "ledger.jsonl"
        kept = chance.randrange(len(whole))
        target.write_bytes(whole[:kept])
        lines = whole[:kept].count(b"\n")
        totals = read_totals(run)
        if lines == 0:  # not even a header
            assert totals is None
            continue
        blocks = max(0, lines - 2)  # header, cost, then blocks of four steps
        assert totals.steps == min(12, 4 * blocks)
        assert totals.model_flop == (300 * totals.steps or None)  # no step is no figure
        assert "recording-interrupted" in codes(totals)


def test_a_changed_ledger_is_named(tmp_path):
    path = process(tmp_path, steps=12) / "ledger.jsonl"
    path.write_text(path.read_text().replace('"tokens": [[4, 64]]', '"tokens": [[4, 65]]', 1))
    totals = read_totals(tmp_path)
    (finding,) = [f for f in totals.findings if f.code == "ledger-broken"]
    assert finding.severity == "error"
    assert path.parent.name in finding.evidence[0]


def test_verify_checks_step_ledgers(tmp_path):
    from profilers.record import verify

    good = process(tmp_path, pid=1) / "ledger.jsonl"
    assert verify(tmp_path) == []
    process(tmp_path, pid=2, seal=None)
    assert [problem.code for problem in verify(tmp_path)] == ["unsealed"]
    lines = good.read_bytes().splitlines(keepends=True)
    good.write_bytes(b"".join([*lines[:2], *lines[3:]]))  # a block of steps taken out
    found = [problem for problem in verify(tmp_path) if problem.code == "broken-chain"]
    assert [(problem.file, problem.line) for problem in found] == [
        (f"steps/{good.parent.name}/ledger.jsonl", 3)
    ]
    good.write_bytes(b"".join(lines)[:-30])
    assert "torn-tail" in {problem.code for problem in verify(tmp_path)}
    good.write_bytes(b"")
    assert "broken-chain" in {problem.code for problem in verify(tmp_path)}


spans = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 12)), max_size=12)


@given(spans, st.integers(0, 60), st.integers(0, 60))
def test_ranges_are_sets(pieces, low, high):
    ranges, plain = Ranges(), set()
    for start, length in pieces:
        ranges.add(start, start + length)
        plain |= set(range(start, start + length))
    at_once = Ranges.of((start, start + length) for start, length in pieces)
    assert list(at_once) == list(ranges)
    asked = set(range(low, high))
    assert ranges.size == len(plain)
    assert {n for a, b in ranges for n in range(a, b)} == plain
    assert ranges.within(low, high) == len(asked & plain)
    assert {n for a, b in ranges.gaps(low, high) for n in range(a, b)} == asked - plain
    assert all(a < b for a, b in ranges)
    assert (low in ranges) == (low in plain)


def test_steps_that_a_killed_rank_took_with_it_are_in_the_upper_bound(tmp_path):
    # Rank 0 wrote ten steps and sealed; rank 1 was killed, and its ledger ends after seven. A step of
    # a rank costs 300 FLOP: 17 of them are known, and three more were done by rank 0.
    process(tmp_path, rank=0, world=2, steps=10)
    process(tmp_path, rank=1, world=2, steps=7, seal=None, pid=101)
    totals = read_totals(tmp_path)
    assert totals.model_flop == 17 * 300
    assert totals.model_bounds == totals.hardware_bounds == (17 * 300, 20 * 300)
    (told,) = (one for one in totals.findings if one.code == "recording-interrupted")
    assert "3 steps of theirs" in told.message
    # Both ranks come back from the checkpoint after step 6: nothing that stands is missing then.
    for rank in range(2):
        process(tmp_path, at=100, rank=rank, world=2, steps=4, first=7, resume=6, pid=200 + rank)
    totals = read_totals(tmp_path)
    assert totals.model_flop == 20 * 300
    assert totals.model_bounds == (20 * 300, 20 * 300)


def test_steps_that_only_a_checkpoint_saw_are_in_the_upper_bound(tmp_path):
    # Killed after the checkpoint of step 9 and before its ledger had more than seven; a step is 300.
    process(tmp_path, steps=7, seal=None)
    # One that goes on from there and is killed before its first step stands in a ledger lacks nothing.
    process(tmp_path, at=50, pid=150, steps=0, resume=9, seal=None)
    process(tmp_path, at=100, pid=200, steps=4, first=10, resume=9)
    totals = read_totals(tmp_path)
    assert (totals.steps, totals.model_flop) == (11, 11 * 300)
    assert totals.model_bounds == (11 * 300, 13 * 300)
    (told,) = (one for one in totals.findings if one.code == "recording-interrupted")
    assert "2 steps of theirs" in told.message


@pytest.mark.parametrize(
    ("step_us", "more"), [(390_000, 5), (400_000, 5), (1_990_000, 1), (9_000_000, 1)]
)
def test_what_a_killed_process_did_last_is_in_the_upper_bounds(tmp_path, step_us, more):
    # Two seconds at most are in no line, and a step takes 10 ms more than it computes: 2 / 0.4 = 5 steps,
    # 2 / 0.41 = 4.9, 2 / 2 = 1, 2 / 9.01 = 0.2.
    process(tmp_path, steps=10, seal=None, step_us=step_us)
    totals = read_totals(tmp_path)
    assert (totals.steps, totals.model_flop) == (10, 3000)
    assert totals.model_bounds == totals.hardware_bounds == (3000, 3000 + more * 300)
    assert (totals.steps_unwritten, totals.flop_unwritten) == (more, more * 300)


def test_what_it_did_last_is_hardware_flop_where_another_goes_on(tmp_path):
    # 2 s at 110 ms: 19 steps. They were done again, or left behind.
    process(tmp_path, steps=10, seal=None)
    process(tmp_path, at=100, pid=200, steps=10, first=6, resume=5)
    totals = read_totals(tmp_path)
    assert totals.model_bounds == (15 * 300, 15 * 300)
    assert totals.hardware_bounds == (20 * 300, (20 + 19) * 300)
    assert totals.steps_unwritten == 0


def test_a_slow_beginning_is_bounded_by_the_pace_of_others(tmp_path):
    # One of two ranks is killed after three slow steps: 2 s at 0.41 s are five steps more. The other one
    # shows how fast they become: 2 s at 30 ms are 67.
    process(tmp_path, steps=3, seal=None, world=2, step_us=400_000)
    process(tmp_path, steps=40, seal=None, world=2, rank=1, pid=200, step_us=20_000)
    totals = read_totals(tmp_path)
    # The first rank did 37 more, as the second one shows, and 30 beyond those; the second one 67.
    assert totals.model_bounds == (43 * 300, (43 + 37 + 30 + 67) * 300)
    assert totals.steps_unwritten == 67


def test_a_process_that_was_killed_at_once_is_bounded_by_its_steps_alone(tmp_path):
    # Three steps of 0.1 s, each after 10 ms of waiting, which a beginning may have had for itself: 20 more.
    process(tmp_path, steps=3, seal=None, step_us=100_000)
    assert read_totals(tmp_path).steps_unwritten == 20


def test_a_process_that_has_written_everything_lacks_nothing(tmp_path):
    folder = process(tmp_path, steps=10, seal=None)
    totals = read_totals(tmp_path, whole=frozenset({folder.name}))
    assert totals.model_bounds == (3000, 3000)
    assert totals.steps_unwritten == 0


def test_an_audit_takes_what_a_killed_process_wrote_for_a_figure(tmp_path):
    # Ten steps of 110 ms are less than the 19 that may be missing; what was written is a figure all the same.
    process(tmp_path, steps=10, seal=None)
    assert recorded_steps._is_figure(read_totals(tmp_path))


def test_a_rank_that_ended_early_in_order_lacks_nothing(tmp_path):
    process(tmp_path, rank=0, world=2, steps=10)
    process(tmp_path, rank=1, world=2, steps=7, pid=101)
    assert read_totals(tmp_path).model_bounds == (17 * 300, 17 * 300)

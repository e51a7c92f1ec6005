"""A log of a part of its run bounds that part; what else there was, its steps and its pace must allow.

Every log is Megatron's: 512 samples of 8,192 tokens a step, 10 s a step, on 50 devices. The whole run has
10,000 steps: 4.19e10 tokens, 10,000 x 10 s x 50 = 5e6 device-seconds, 1,389 hours.
"""

import pytest

TOKENS = 10_000 * 512 * 8_192
HOURS = 10_000 * 10 * 50 / 3600
CASE = """
[model.m]
parameters = 8e9
[[run]]
name = "r"
model = "m"
precision = "bf16"
accelerator = "NVIDIA H100 80GB HBM3"
evidence = ["log.txt"]
"""


def log(first, last, planned, **arguments):
    """The lines of steps ``first`` to ``last``, every twentieth, below the arguments."""
    told = {"seq_length": 8192, "global_batch_size": 512, "train_iters": planned, **arguments}
    lines = ["------------------------ arguments ------------------------"]
    lines += [f"  {key} {'.' * (40 - len(key))} {value}" for key, value in told.items()]
    lines += ["-------------------- end of arguments ---------------------"]
    lines += [
        f" iteration {step:8d}/{planned:8d} | consumed samples: {step * 512:12d} | "
        "elapsed time per iteration (ms): 10000.0 | learning rate: 1.0E-04 | "
        f"global batch size:   512 | lm loss: {3 - step / 1e5:.6E} |"
        for step in range(first, last + 1, 20)
    ]
    return "\n".join(lines) + "\n"


@pytest.fixture
def with_log(run_audit, tmp_path):
    """Audit stated tokens and hours beside a log."""

    def audited(text, tokens=TOKENS, hours=HOURS, claim=None):
        (tmp_path / "log.txt").write_text(text)
        head = "" if claim is None else f"[claim]\nflop = {claim}\n"
        figures = f"tokens = {tokens}\naccelerator_hours = {hours:.1f}\naccelerator_count = 50\n"
        return run_audit(head + CASE + figures)

    return audited


def codes(report):
    return {one.code: one.severity for one in report.findings}


def test_a_part_is_not_taken_for_the_whole(with_log):
    # 6 x 8e9 x 4.19e10 = 2.01e21 FLOP are of the whole run; the log's own tokens are a tenth of it.
    report = with_log(log(1000, 2000, 10_000, world_size=50), claim="2.01e21")
    assert report.runs[0].model_flop.best == pytest.approx(2.01e21, rel=0.01)
    assert str(report.verdict) == "needs-explanation"
    assert codes(report)["coverage-unproven"] == "warning"
    assert "amount-mismatch" not in codes(report)
    assert "device-time-mismatch" not in codes(report)


def test_steps_before_the_log_are_shown_by_its_own_count(with_log):
    # Steps 9,000 to 10,000 of 10,000: the first 9,000 are nobody's word alone.
    report = with_log(log(9000, 10_000, 10_000, world_size=50), claim="2.01e21")
    assert str(report.verdict) == "consistent"
    assert codes(report)["coverage-gap"] == "info"


@pytest.mark.parametrize(
    "lie, code",
    [
        # At 10 s a step on 50 devices the tokens take 1,389 hours; 4,167 or 463 are stated.
        ({"hours": 3 * HOURS}, "device-time-mismatch"),
        ({"hours": HOURS / 3}, "device-time-mismatch"),
        # Thrice the tokens are 30,000 steps, and 10,000 were planned.
        ({"tokens": 3 * TOKENS, "hours": 3 * HOURS}, "amount-mismatch"),
    ],
)
@pytest.mark.parametrize("first, last", [(1000, 2000), (20, 2000), (9000, 10_000)])
def test_a_part_does_not_hide_a_lie_about_the_whole(with_log, lie, code, first, last):
    report = with_log(log(first, last, 10_000, world_size=50), **lie)
    assert str(report.verdict) in ("needs-explanation", "inconsistent")
    assert codes(report)[code] == "warning"


def test_a_log_of_all_its_steps_is_the_run(with_log):
    report = with_log(log(20, 1000, 1000, world_size=50))
    assert codes(report)["amount-mismatch"] == "warning"
    # 1,000 x 512 x 8,192 = 4.19e9 tokens
    assert report.runs[0].figures.tokens.quantity.best == 4_194_304_000


def test_degrees_of_parallelism_give_the_devices(run_audit, tmp_path):
    degrees = {
        "data_parallel_size": 4,
        "tensor_model_parallel_size": 8,
        "pipeline_model_parallel_size": 2,
        "context_parallel_size": 2,
    }
    (tmp_path / "log.txt").write_text(log(20, 10_000, 10_000, **degrees))
    report = run_audit(CASE)
    # 4 x 8 x 2 x 2 = 128 ranks
    assert report.runs[0].figures.device_count.quantity.best == 128
    del degrees["data_parallel_size"]
    (tmp_path / "log.txt").write_text(log(20, 10_000, 10_000, **degrees))
    assert run_audit(CASE).runs[0].figures.device_count is None


def test_without_stated_hours_its_time_is_a_lower_bound(run_audit, tmp_path):
    (tmp_path / "log.txt").write_text(log(1000, 2000, 10_000, world_size=50))
    report = run_audit(CASE + f"tokens = {TOKENS}\n")
    seconds = report.runs[0].figures.device_seconds
    # 51 prints of 20 steps: 1,020 steps x 10 s x 50 devices, at the least
    assert seconds.quantity.interval.low == pytest.approx(510_000)
    assert seconds.quantity.interval.high is None


def test_a_folder_of_logs_is_its_logs(run_audit, tmp_path):
    # A job to step 6,000 and one from 5,001 on: a thousand steps twice.
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "a.log").write_text(log(20, 6_000, 10_000, world_size=50))
    (folder / "b.log").write_text(log(5_020, 10_000, 10_000, world_size=50))
    told = []
    for evidence in ('["logs"]', '["logs/a.log", "logs/b.log"]'):
        report = run_audit(
            CASE.replace('["log.txt"]', evidence)
            + f"tokens = {50 * TOKENS}\naccelerator_hours = {HOURS}\n"
        )
        assert report.runs[0].figures.tokens.quantity.best == TOKENS
        assert (
            codes(report)["amount-mismatch"] == "warning"
        )  # fifty times what the planned steps come to
        assert "coverage-unknown" not in codes(report)  # nothing was recorded
        told.append(sorted((one.code, one.message) for one in report.findings))
    assert told[0] == told[1]


@pytest.mark.parametrize(
    ("claim", "kind", "verdict"),
    [
        # Steps 9,000 to 10,000: 4.19e9 tokens, 2.0e20 FLOP; the 9,000 before them are in no document.
        ("2.01e21", "pretraining", "undetermined"),
        ("2.0e20", "pretraining", "undetermined"),
        ("2.0e19", "pretraining", "inconsistent"),
        # Of a run that goes on from a given model they are the given one's.
        ("2.0e20", "continued", "consistent"),
        ("2.01e21", "continued", "inconsistent"),
    ],
)
def test_a_tail_of_a_log_alone_is_a_lower_bound(run_audit, tmp_path, claim, kind, verdict):
    (tmp_path / "log.txt").write_text(log(9_020, 10_000, 10_000, world_size=50))
    report = run_audit(f"[claim]\nflop = {claim}\n{CASE}kind = '{kind}'\n")
    assert str(report.verdict) == verdict
    assert ("coverage-gap" in codes(report)) is (kind == "pretraining")
    assert report.runs[0].model_flop.low == pytest.approx(2.0e20, rel=0.15)
    assert (report.runs[0].model_flop.high is None) is (kind == "pretraining")

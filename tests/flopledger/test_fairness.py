"""What both sides may rely on: no cliff, no silent widening, no unit that changes an answer."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flopledger.auditing import AuditReport, audit
from flopledger.cases.case import AuditCase
from flopledger.cases.spec import SCHEMA

ORDER = ("consistent", "needs-explanation", "inconsistent")
FEW = settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
billions = st.floats(min_value=0.5, max_value=700).map(lambda value: round(value * 1e9))
trillions = st.floats(min_value=0.1, max_value=20).map(lambda value: round(value * 1e12))
utilisations = st.floats(min_value=0.25, max_value=0.45).map(lambda value: round(value, 3))
A100 = {"accelerator": "NVIDIA A100-SXM4-80GB", "precision": "bf16"}


def answer(run: dict, *, flop: float | None = None, parameters: float = 7e9) -> AuditReport:
    content = {
        "schema": SCHEMA,
        "title": "t",
        "model": {"m": {"parameters": float(parameters)}},
        "run": [{"name": "r", "model": "m", **run}],
    }
    if flop is not None:
        content["claim"] = {"flop": flop}
    return audit(AuditCase.of_options(content), trace=False)


def hours_for(parameters: float, tokens: float, used: float) -> float:
    return 6 * parameters * tokens / (312e12 * used * 3600)


def rank(report: AuditReport) -> int:
    return ORDER.index(str(report.verdict))


@FEW
@given(parameters=billions, tokens=trillions, up=st.booleans())
def test_a_larger_lie_is_never_judged_milder(parameters, tokens, up):
    work = 6.0 * parameters * tokens
    factors = (1, 1.1, 1.2, 1.35, 1.5, 1.8, 2.5, 5, 20, 1000)
    ranks = [
        rank(
            answer(
                {"tokens": float(tokens)},
                flop=work * factor if up else work / factor,
                parameters=parameters,
            )
        )
        for factor in factors
    ]
    assert ranks == sorted(ranks)
    assert ranks[0] == 0
    assert ranks[-1] == 2


@FEW
@given(parameters=billions, tokens=trillions, used=utilisations, factor=st.floats(0.05, 20))
def test_more_evidence_never_widens_in_silence(parameters, tokens, used, factor):
    alone = answer({"tokens": float(tokens)}, parameters=parameters)
    hours = hours_for(parameters, tokens, used) * factor
    more = answer(
        {"tokens": float(tokens), "accelerator_hours": hours, "mfu": used, **A100},
        parameters=parameters,
    )
    if more.combined is None:
        assert str(more.verdict) == "inconsistent"
        return
    before = alone.combined.flop.high / alone.combined.flop.low
    after = more.combined.flop.high / more.combined.flop.low
    assert after <= before * 1.01 or str(more.verdict) != "consistent"


@FEW
@given(parameters=billions, tokens=trillions, used=utilisations, count=st.integers(8, 8192))
def test_units_change_nothing(parameters, tokens, used, count):
    hours = hours_for(parameters, tokens, used)
    by_device = answer(
        {"tokens": float(tokens), "accelerator_hours": hours, **A100}, parameters=parameters
    )
    by_clock = answer(
        {
            "samples": tokens / 4096,
            "tokens_per_sample": 4096.0,
            "sequence_length": 4096,
            "wall_clock_hours": hours / count,
            "accelerator_count": float(count),
            **A100,
        },
        parameters=parameters,
    )
    assert by_clock.verdict == by_device.verdict
    one, two = by_device.combined.flop, by_clock.combined.flop
    assert two.best == pytest.approx(one.best, rel=1e-6)
    assert (two.low, two.high) == pytest.approx((one.low, one.high), rel=1e-6)


@FEW
@given(parameters=billions, tokens=trillions, used=utilisations)
def test_an_honest_run_is_not_accused(parameters, tokens, used):
    hours = hours_for(parameters, tokens, used)
    report = answer(
        {"tokens": float(tokens), "accelerator_hours": hours, **A100},
        flop=6.0 * parameters * tokens,
        parameters=parameters,
    )
    assert str(report.verdict) == "consistent"
    assert not [one for one in report.findings if one.severity == "error"]


@FEW
@given(
    tokens=st.lists(trillions, min_size=2, max_size=3),
    kinds=st.permutations(["pretraining", "continued", "synthetic-data"]),
)
def test_the_order_of_runs_is_nobodys_business(tokens, kinds):
    runs = [
        {"name": f"r{index}", "kind": kind, "model": "m", "tokens": float(count)}
        for index, (kind, count) in enumerate(zip(kinds, tokens, strict=False))
    ]

    def bests(order):
        content = {
            "schema": SCHEMA,
            "title": "t",
            "model": {"m": {"parameters": 7e9}},
            "run": order,
        }
        report = audit(AuditCase.of_options(content), trace=False)
        return {one.regime.id: one.flop.best for one in report.standings}

    one, two = bests(runs), bests(runs[::-1])
    assert one.keys() == two.keys()
    for regime, figure in one.items():
        # Without a beginning among them, what is trained further leaves cumulative figures open.
        assert two[regime] == (None if figure is None else pytest.approx(figure, rel=1e-9))


@FEW
@given(parameters=billions, tokens=trillions, share=st.floats(0.02, 1.0))
def test_a_bound_on_tokens_accuses_nobody(parameters, tokens, share):
    """ "15T+" of hours that hold more is a lower bound, and "at most" an upper one."""
    hours = hours_for(parameters, tokens, 0.36)
    for bound in ({"at_least": tokens * share}, {"at_most": tokens / share}):
        report = answer(
            {"tokens": bound, "accelerator_hours": hours, **A100}, parameters=parameters
        )
        assert str(report.verdict) in ("consistent", "undetermined")
        assert not [one for one in report.findings if one.severity == "error"]


def test_hours_that_the_clock_does_not_hold_are_a_contradiction() -> None:
    # 64 devices for 1,000 hours are 64,000 device-hours; ten times as many cannot have been.
    run = A100 | {"tokens": 1e12, "accelerator_count": 64, "wall_clock_hours": 1000}
    more = answer(run | {"accelerator_hours": 640_000})
    assert "device-time-mismatch" in {one.code for one in more.findings}
    assert str(more.verdict) == "needs-explanation"
    for hours in (64_000, 64_500, 50_000):  # rounding, and devices that failed
        fits = answer(run | {"accelerator_hours": hours})
        assert "device-time-mismatch" not in {one.code for one in fits.findings}


def test_a_prior_that_disagrees_widens_and_does_not_move(run_audit) -> None:
    # 6 * 7e9 * 1e10 = 4.2e20 in 4000 A100-hours is a utilisation of 0.09: a published run has 0.2 to 0.6
    report = run_audit(
        '[model.m]\nparameters = 7e9\n[[run]]\nname = "r"\nmodel = "m"\ntokens = 1e10\n'
        'accelerator = "NVIDIA A100-SXM4-80GB"\naccelerator_hours = 4000\nprecision = "bf16"\n'
    )
    (run,) = report.runs
    assert run.combined.flop.best == pytest.approx(4.2e20)
    # what the hours could hold stays inside the interval: 4000 * 3600 * 312e12 * 0.364 = 1.6e21
    assert run.combined.flop.high > 1.6e21
    assert "the best figure is the documents'" in run.combined.rule
    assert "unexplained-compute" in {one.code for one in report.findings}


LLAMA = """
[claim]
flop = 6.4e24
[model.m]
parameters = 70.6e9
[[run]]
name = "r"
model = "m"
tokens = 15e12
precision = "bf16"
accelerator = "NVIDIA H100 80GB HBM3"
accelerator_hours = 6.4e6
"""


def test_a_runs_own_stated_total_is_a_claim_too(run_audit):
    # 6 x 70.6e9 x 15e12 = 6.354e24; the total of the case agrees, the run's is a thousand times less.
    report = run_audit(f"{LLAMA}claimed_flop = 6.4e21")
    assert str(report.verdict) == "inconsistent"
    assert any("the case's total of 6.4e21" in one.message for one in report.findings)
    assert str(run_audit(f"{LLAMA}claimed_flop = 6.4e24").verdict) == "consistent"


@pytest.mark.parametrize(
    ("key", "verdict", "said"),
    [
        # No device exceeds its peak, so 41 is 41%: 6.4e6 h x 989e12 x 41 would be 9.3e26.
        ("mfu = 41", "inconsistent", "MFU of 41 exceeds the peak itself"),
        # 400 of 989.4e12: TFLOP/s without the prefix; times the hours it would be 9.2e12 FLOP.
        ("flop_per_second_per_accelerator = 400", "needs-explanation", "without 1e12"),
        # 400e15 is 370 times what the part can do at its maximum clock of 1980 MHz (1.07e15).
        ("flop_per_second_per_accelerator = 400e15", "inconsistent", "at its maximum clock"),
    ],
)
def test_a_figure_that_refutes_itself_moves_no_estimate(run_audit, key, verdict, said):
    report = run_audit(f"{LLAMA}{key}")
    assert str(report.verdict) == verdict
    assert any(said in one.message for one in report.findings)
    assert report.combined.flop.best == pytest.approx(6.354e24)
    assert report.combined.flop.high < 8e24


def test_sums_in_fp16_are_beyond_no_physical_limit() -> None:
    # 660.6e12 FLOP/s of fp8 with FP16 sums are printed for the RTX 4090, 330.3e12 with FP32 sums: an hour
    # at 70 % of the first is 1.66e18 FLOP, which the second would forbid
    run = {"tokens": 1e9, "accelerator": "RTX 4090", "precision": "fp8", "accelerator_hours": 1.0}
    flop = 660.6e12 * 0.70 * 3600
    report = answer(run, flop=flop, parameters=flop / 6e9)
    codes = [finding.code for finding in report.findings]
    assert "exceeds-physical-limit" not in codes
    # and 1.5 times the faster rate is beyond what any clock gives
    report = answer(run, flop=flop / 0.70 * 1.5, parameters=flop / 0.70 * 1.5 / 6e9)
    assert "exceeds-physical-limit" in [finding.code for finding in report.findings]

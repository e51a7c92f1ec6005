"""A stated throughput: an amount where nothing else gives one, else a test of hours and tokens."""

import pytest

from flopledger.methods import priors

_MODEL = "[model.m]\nparameters = 1.1e9\n"
_RUN = (
    '[[run]]\nname = "r"\nmodel = "m"\naccelerator = "NVIDIA A100-SXM4-40GB"\naccelerator_count = 16\n'
    'precision = "bf16"\ntokens_per_second_per_accelerator = 24000\n'
)


def test_tokens_follow_from_pace_and_time(run_audit) -> None:
    report = run_audit(f"{_MODEL}{_RUN}wall_clock_hours = 2160\n")
    # 24,000 * 16 * 2160 * 3600 = 2.986e12 tokens at an unbroken pace, less the goodput ratio 1.18
    tokens = report.runs[0].figures.tokens
    by_hand = 24_000 * 16 * 2_160 * 3_600 / priors.goodput_ratio().median
    assert tokens.quantity.best == pytest.approx(by_hand)
    # 6 * 1.1e9 * 2.53e12 = 1.67e22
    assert report.combined.flop.best == pytest.approx(6 * 1.1e9 * by_hand, rel=0.01)
    assert "amount-by-throughput" in {one.code for one in report.findings}


@pytest.mark.parametrize(
    ("tokens", "verdict", "found"),
    [
        # pace x time is 2.986e12: ratios 1.18 (as the published runs), 0.60, 2.99
        (2.53e12, "consistent", False),
        (4.98e12, "inconsistent", True),
        (1.0e12, "inconsistent", True),
    ],
)
def test_tokens_that_pace_and_time_do_not_give(
    run_audit, tokens: float, verdict: str, found: bool
) -> None:
    claim = f"[claim]\nflop = {6 * 1.1e9 * tokens:.3e}\n"
    report = run_audit(f"{claim}{_MODEL}{_RUN}wall_clock_hours = 2160\ntokens = {tokens}\n")
    assert ("throughput-mismatch" in {one.code for one in report.findings}) is found
    assert report.verdict == verdict


def test_without_time_a_pace_gives_nothing(run_audit) -> None:
    report = run_audit(f"{_MODEL}{_RUN}")
    assert report.runs[0].figures.tokens is None
    assert report.combined is None

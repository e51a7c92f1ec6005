"""Amounts of FLOP in words, and a claim's figure against them."""

import pytest

from flopledger.flop_words import amounts, ranges

DAY = 86_400


@pytest.mark.parametrize(
    ("text", "flop"),
    [
        ("3.8×10²⁵ FLOP", 3.8e25),
        ("3.8 × 10<sup>25</sup> FLOPs", 3.8e25),
        (r"$3.8 \times 10^{25}$ FLOPs", 3.8e25),
        ("3.8*10**25 FLOPs", 3.8e25),
        ("3,8e25 FLOP", 3.8e25),
        ("2.1E+24 training FLOPs", 2.1e24),
        ("10^24 floating-point operations", 1e24),
        ("1.0 x 1021 FLOPs, as copied from a PDF", 1e21),
        ("38 yottaFLOP", 38e24),
        ("38 YFLOPs", 38e24),
        ("1.5 million exaFLOP", 1.5e24),
        ("3640 petaflop/s-days", 3640 * 1e15 * DAY),
        ("3,640 PF-days", 3640 * 1e15 * DAY),
        ("12 exaFLOP/s-days", 12 * 1e18 * DAY),
        ("1.2e3 PFLOPS-days", 1.2e3 * 1e15 * DAY),
        ("3e24 FLOPs over 30 days", 3e24),
        ("5.76 × 10⁵ exaFLOP", 5.76e23),
        ("5.76 × 10^5 exaFLOPs", 5.76e23),
        ("10^5 exaFLOP", 1e23),
        ("5,76 x 10^2 ZFLOP", 5.76e23),
        ("5.76e11 TFLOP", 5.76e23),
        ("576,000 EFLOPs", 5.76e23),
        ("576 million petaFLOPs", 5.76e23),
        ("160,000 PFLOP/s-hours", 160_000 * 1e15 * 3_600),
        ("6.7 × 10^3 petaflop/s-days", 6.7e3 * 1e15 * DAY),
        ("18.3 petaflop/s-years", 18.3 * 1e15 * DAY * 365.25),
        ("576 sextillion floating-point operations", 5.76e23),
        ("entraîné avec 3,8 × 10^25 opérations en virgule flottante", 3.8e25),
        ("mit 3,8·10²⁵ Gleitkommaoperationen trainiert", 3.8e25),
        ("3,8 x 10^25 operaciones de coma flotante", 3.8e25),
        ("训练计算量为 3.8×10^25 次浮点运算", 3.8e25),
        ("学習には 3.8×10^25 浮動小数点演算", 3.8e25),
    ],
)
def test_an_amount(text: str, flop: float) -> None:
    assert amounts(text) == [pytest.approx(flop)]


@pytest.mark.parametrize(
    "text",
    [
        "400 TFLOPS",
        "a peak of 312 TFLOP",
        "17.6 GFLOP a sample",
        "5 × 10^2 TFLOPS",
        "17 billion FLOPs",
        "4 quintillion FLOPs per second",
        "2 exaFLOPS",
        "400 PFLOPS",
        "3e15 FLOP/s",
        "3e15 FLOPs per second",
        "10^24.5 FLOPs",
        "below the 10^25 FLOP threshold",
        "more than 10^25 FLOPs",
        "> 1e25 FLOPs",
        "the 10²⁵ FLOP presumption",
        "3.8e25 tokens",
        "supérieure à 10^25 opérations en virgule flottante",
        "über 10^25 Gleitkommaoperationen",
        "3 × 10^15 opérations en virgule flottante par seconde",
        "每秒 3×10^15 次浮点运算",
    ],
)
def test_rates_limits_and_other_things_are_none(text: str) -> None:
    assert amounts(text) == []


CASE = """
[claim]
flop = {flop}
statement = "{statement}"
[model.m]
parameters = 1e10
[[run]]
name = "r"
model = "m"
tokens = 1e12
"""


@pytest.mark.parametrize(
    ("flop", "statement", "is_asked"),
    [
        ("6e22", "trained with 6×10²² FLOP", False),
        ("6e22", "694 petaflop/s-days", False),  # 694 x 8.64e19 = 5.996e22
        ("6e22", "about 60 zettaFLOP, of the 8e24 of all our models", False),
        ("6e22", "trained with 6×10²³ FLOP", True),
        ("6e22", "6 zettaFLOP", True),
        ("6e22", "well below 10^23 FLOP", False),
        ("6e22", "Training stayed under 5e22 FLOP.", True),
        ("6e22", "The run did not exceed 10^22 FLOP.", True),
        ("6e22", "We did not use more than 10^22 FLOP.", True),
        ("6e22", "It didn't reach 10^23 FLOP.", False),
        ("6e22", "It stayed under 6e22 FLOP.", False),  # a figure is rounded, "under" is not
        ("6e22", "Training used more than 10^23 FLOP.", True),
        ("6e22", "Training used more than 10^22 FLOP.", False),
        ("6e22", "Models that used more than 10^23 FLOP are presumed general.", False),
        ("6e22", "The base model exceeded 10^23 FLOP.", False),
        ("6e22", "Its teacher used more than 10^24 FLOP.", False),
        ("6e22", "It used less than a third of the threshold of 10^22 FLOP.", False),
        ("[5e22, 7e22]", "It stayed below 6e22 FLOP.", False),  # part of the range does
        ("6e22", "The two phases took 5.1e22 FLOP and 9e21 FLOP.", False),  # 5.1 + 0.9
        ("6e22", "The models took 6e22 and 2e21 FLOP, respectively.", False),
        ("6e22", "The models took 6e23 and 2e21 FLOP, respectively.", True),
        ("6e22", "a small model", False),
        ("[5e22, 7e22]", "6e22 FLOP", False),
        ("[5e22, 7e22]", "6e23 FLOP", True),
        ("6e22", "between 5e22 and 7e22 FLOP", False),
        ("6e22", "between 5e23 and 7e23 FLOP", True),
        ("6e22", "on the order of 10^23 FLOP", False),  # 3.2e22 to 3.2e23
        ("6e22", "on the order of 10^24 FLOP", True),
        ("6e22", "on the order of 10^22 FLOP", False),  # by its exponent
        ("6e22", "on the order of 10^21 FLOP", True),
        ("{ at_least = 5e22 }", "6e22 FLOP", False),
    ],
)
def test_a_claim_is_held_against_its_own_words(run_audit, flop, statement, is_asked) -> None:
    report = run_audit(CASE.format(flop=flop, statement=statement))
    assert ("claim-misquoted" in {one.code for one in report.findings}) is is_asked
    # 6 x 1e10 x 1e12 = 6e22: the claim itself holds.
    assert str(report.verdict) == ("needs-explanation" if is_asked else "consistent")


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("between 0.9e23 and 1.1e23 FLOP", 0.9e23, 1.1e23),
        ("1-2 x 10^23 FLOP", 1e23, 2e23),
        ("1.0–1.2 × 10²³ FLOPs", 1e23, 1.2e23),
        ("from 1e23 FLOP to 3e23 FLOP", 1e23, 3e23),
        ("10^23 to 10^24 FLOP", 1e23, 1e24),
        ("100 to 120 zettaFLOP", 1e23, 1.2e23),
        ("zwischen 1 und 2 · 10²³ FLOP", 1e23, 2e23),
        ("约1.0至1.2×10^23次浮点运算", 1e23, 1.2e23),
        ("on the order of 10^23 FLOP", 10**22.5, 10**24),
    ],
)
def test_a_range_is_no_amount(text: str, low: float, high: float) -> None:
    assert ranges(text) == [(pytest.approx(low), pytest.approx(high))]
    assert amounts(text) == []


@pytest.mark.parametrize(
    "text",
    ["8B to 3e24 FLOP", "3.8e25 FLOP and 3e24 FLOP", "v2-3e24 FLOP", "2 x 1.5e12 = 3e24 FLOP"],
)
def test_what_stands_before_an_amount_is_seldom_its_lower_end(text: str) -> None:
    assert 3e24 in amounts(text)
    assert ranges(text) == []

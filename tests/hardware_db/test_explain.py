"""Why a claimed peak is wrong: the code of each known confusion, and no false alarm."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hardware_db
from hardware_db import HardwareError, explain_peak
from hardware_db.units import parse_flop_per_second

PARTS = hardware_db.accelerators()


@pytest.mark.parametrize(
    ("tflops", "device", "dtype", "code"),
    [
        (624, "nvidia-a100-sxm4-80gb", "bf16", "sparse_2x"),  # 312 x 2
        (1979, "H100 SXM", "bf16", "sparse_2x"),  # 989.4 x 2
        (2563, "Trainium2", "bf16", "sparse_4x"),  # 667 with 4:1 sparsity
        (74.8, "NVIDIA A40", "bf16", "wrong_dtype:tf32"),
        (142, "RTX 3090", "bf16", "fp16_accumulate"),
        (8.1, "NVIDIA T4", "fp16", "vector_rate"),
        (19.5, "nvidia-a100-sxm4-80gb", "fp64", "matrix_rate"),
        (1153.5, "TPU7x", "bf16", "per_core_0.5x"),  # 2307 / 2
        (191.5, "MI250X", "fp16", "per_core_0.5x"),  # 383 / 2
        (5000, "NVIDIA GB200", "bf16", "package_2x"),  # 2500 x 2
        (7915.2, "H100 SXM", "bf16", "package_8x"),  # 989.4 x 8
        (989.4, "NVIDIA H100 PCIe", "bf16", "wrong_device:nvidia-h100-sxm5-80gb"),
        (312, "MI300X", "bf16", "fallback_device:nvidia-a100-sxm4-40gb"),
        (1070, "H100 SXM", "bf16", "max_clock"),  # 132 x 4096 x 1980 MHz
        (800, "NVIDIA H100 PCIe", "bf16", "prelaunch_figure"),
        (1835, "Gaudi 3", "bf16", "prelaunch_figure"),
        (632, "NVIDIA H20", "bf16", "naive_arithmetic_on_capped_sku"),  # 78 x 4096 x 1980 MHz
        (181.02, "NVIDIA L40S", "bf16", "halved_twice"),  # 362.05 / 2
        (33.45, "H100 SXM", "fp32", "multiply_add_as_one"),  # 66.9 / 2, a dtype without sparsity
        (0.9894, "H100 SXM", "bf16", "unit_slip_0.001x"),
        (9894, "H100 SXM", "bf16", "decimal_slip_10x"),
        (3958, "H100 SXM", "bf16", "wrong_dtype:fp8+sparse_2x"),  # 1978.9 x 2
        (1513, "H100 SXM", "bf16", "wrong_device:nvidia-h100-pcie-80gb+sparse_2x"),  # 756 x 2
        (125, "Tesla V100-SXM2-16GB", "bf16", "wrong_dtype:fp16"),  # the part has no BF16 at all
    ],
)
def test_the_confusion_is_named(tflops: float, device: str, dtype: str, code: str) -> None:
    check = explain_peak(tflops * 1e12, device, dtype)
    assert not check.correct
    assert code in [e.code for e in check.explanations]
    for e in check.explanations:
        assert abs(e.residual) <= 0.01
        if check.rated_flop_per_second is not None:
            assert e.factor == pytest.approx(e.flop_per_second / check.rated_flop_per_second)


def test_a_base_clock_is_named() -> None:
    # 82 SM x 512 FLOP x 1395 MHz = 58.6e12, against 71e12 at the boost clock
    check = explain_peak(58.6e12, "RTX 3090", "bf16")
    assert [e.code for e in check.explanations] == ["base_clock"]


def test_a_correct_claim_yields_nothing() -> None:
    for part in PARTS:
        for figure in part.peaks:
            if figure is part.figure(figure.dtype, sparse=figure.sparse) and not figure.sparse:
                check = explain_peak(figure.flop_per_second, part, figure.dtype)
                assert check.correct, part.id
                assert check.explanations == ()


def test_every_sparse_figure_is_recognised() -> None:
    for part in PARTS[::3]:
        for dtype in {f.dtype for f in part.peaks if f.sparse}:
            claim = part.peak_flop_per_second(dtype, sparse=True)
            codes = [
                e.code.partition("_")[0] for e in explain_peak(claim, part, dtype).explanations
            ]
            assert "sparse" in codes, (part.id, dtype)


@pytest.mark.parametrize("claim", [989e12, 990e12, 985e12])
def test_a_rounded_print_is_correct(claim: float) -> None:
    assert explain_peak(claim, "H100 SXM", "bf16").correct


def test_both_prints_of_an_inconsistent_sheet_are_correct() -> None:
    # 142 SM x 1024 FLOP x 2520 MHz = 366.4e12, while the sheet prints 362.05
    assert explain_peak(366.5e12, "NVIDIA L40S", "bf16").correct
    assert explain_peak(362e12, "NVIDIA L40S", "bf16").correct


def test_no_match_is_an_answer() -> None:
    for claim in (777e12, 850e12, 1200e12):
        check = explain_peak(claim, "H100 SXM", "bf16")
        assert not check.correct
        assert check.explanations == ()


@pytest.mark.parametrize("claim", [0.0, -1.0, float("nan"), float("inf"), -1e15])
def test_a_claim_that_is_no_rate_is_refused(claim: float) -> None:
    with pytest.raises(HardwareError):
        explain_peak(claim, "H100 SXM", "bf16")


@given(st.sampled_from(PARTS), st.floats(1e9, 1e18))
def test_what_is_explained_lies_within_one_per_cent(
    part: hardware_db.Accelerator, claim: float
) -> None:
    check = explain_peak(claim, part, part.peaks[0].dtype)
    assert all(abs(claim / e.flop_per_second - 1) <= 0.01 for e in check.explanations)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1979TFLOP/s", 1979e12),
        ("1.98 PFLOPS", 1.98e15),
        ("624e12", 624e12),
        ("1,979 TFLOPS", 1979e12),
        ("312 TOPS", 312e12),
        ("312 teraflops", 312e12),
        ("67 GFLOP/s", 67e9),
        ("67 gigaflops/s", 67e9),
        ("312 TOP/s", 312e12),
        ("2.5 PFLOP per second", 2.5e15),
    ],
)
def test_rates_as_people_write_them(text: str, value: float) -> None:
    assert parse_flop_per_second(text) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    "text", ["", "fast", "-3 TFLOPS", "1979 TB/s", "1e999", "0", "12 12", "9" * 500, "1979"]
)
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(HardwareError):
        parse_flop_per_second(text)


@pytest.mark.parametrize("text", ["1979TFLOP", "1979 TOP", "2 exaflop", "1e15 FLOP"])
def test_a_count_is_no_rate(text: str) -> None:
    with pytest.raises(HardwareError, match="count of operations"):
        parse_flop_per_second(text)

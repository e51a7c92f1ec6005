"""Three peaks: rated, at a clock, and the ceiling."""

import csv
import os
from pathlib import Path

import pytest

import hardware_db
from hardware_db import HardwareError, NoHardwarePath, NotDerivable, UnknownDtype

H100 = hardware_db.identify("H100 SXM")
SHARED = Path(os.environ.get("FLOPLEDGER_SHARED", Path(__file__).parents[3] / "shared"))
COLUMNS = {
    "fp64_tflops": ("fp64", "vector", None), "fp64_tensor_tflops": ("fp64", "matrix", None),
    "fp32_tflops": ("fp32", None, None), "tf32_tflops": ("tf32", None, None),
    "fp16_tflops": ("fp16", None, None), "bf16_tflops": ("bf16", None, None),
    "fp8_tflops": ("fp8", None, None), "int8_tops": ("int8", None, None),
    "fp4_tflops": ("fp4", None, None), "fp16_fp16acc_tflops": ("fp16", "matrix", "fp16"),
}  # fmt: skip


def test_rated_is_the_printed_figure_and_dense() -> None:
    assert H100.peak_flop_per_second("bf16") == 989.4e12
    # the sheet prints 1978.9 with sparsity, which is twice the dense figure
    assert H100.peak_flop_per_second("bf16", sparse=True) == 2 * 989.4e12
    figure = H100.figure("bf16")
    assert (figure.printed, figure.printed_as) == ("1978.9", "with sparsity")
    assert figure.source
    assert figure.locator
    assert figure.accumulate == "fp32"


def test_at_a_clock_it_is_units_times_rate_times_clock() -> None:
    # 132 SM x 4096 FLOP x 1410 MHz
    assert H100.peak_at("bf16", clock_mhz=1410) == 132 * 4096 * 1410e6
    assert H100.peak_at("bf16", clock_mhz=1410, sparse=True) == 2 * 132 * 4096 * 1410e6
    # scaling the sheet by the highest clock would be 8 % off: the tensor rating clock is 1830 MHz
    assert H100.peak_at("bf16", clock_mhz=1830) == pytest.approx(989.4e12, rel=1e-3)


def test_the_ceiling_lies_above_the_rated_peak() -> None:
    # 132 x 4096 x 1980 MHz = 1070.5e12, 8.2 % above 989.4e12
    assert H100.ceiling_flop_per_second("bf16") == 132 * 4096 * 1980e6
    assert H100.ceiling_flop_per_second("bf16", max_clock_mhz=2000) == 132 * 4096 * 2000e6
    # a bound takes the faster engine: 108 SM x 128 FLOP on the FP64 tensor cores, not 64
    a100 = hardware_db.identify("nvidia-a100-sxm4-80gb")
    assert a100.ceiling_flop_per_second("fp64") == 108 * 128 * 1410e6
    assert a100.peak_flop_per_second("fp64") == 9.7e12
    assert a100.peak_flop_per_second("fp64", engine="tensor") == 19.5e12


def test_the_ceiling_holds_whatever_sums_are_kept_in() -> None:
    # 82 SM x 1024 FLOP x 2100 MHz with FP16 sums, twice the 512 with FP32 sums
    card = hardware_db.identify("NVIDIA GeForce RTX 3090")
    assert card.peak_at("fp16", clock_mhz=2100) == 82 * 512 * 2100e6
    assert card.ceiling_flop_per_second("fp16") == 82 * 1024 * 2100e6
    assert card.ceiling_flop_per_second("fp16", engine="tensor") == 82 * 1024 * 2100e6
    assert card.ceiling_flop_per_second("bf16") == 82 * 512 * 2100e6  # has no other sums
    # no figure lies above the ceiling in its format, but for what print rounds
    for part in hardware_db.accelerators():
        for figure in part.peaks:
            try:
                ceiling = part.ceiling_flop_per_second(figure.dtype, sparse=figure.sparse)
            except NotDerivable:
                continue
            above = figure.flop_per_second / ceiling - 1
            assert above < 0.01 or figure.waiver is not None, (part.id, figure)


def test_a_capped_part_refuses_every_derivation() -> None:
    h20 = hardware_db.identify("NVIDIA H20")
    assert h20.peak_flop_per_second("bf16") == 148e12
    for ask in (
        lambda: h20.peak_at("bf16", clock_mhz=1500),
        lambda: h20.ceiling_flop_per_second("bf16"),
        lambda: h20.ceiling_flop_per_second("bf16", max_clock_mhz=1980),
    ):
        with pytest.raises(NotDerivable, match="capped"):
            ask()


def test_a_part_without_a_public_rate_refuses_too() -> None:
    with pytest.raises(NotDerivable):
        hardware_db.identify("TPU v6e").peak_at("bf16", clock_mhz=1500)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("Tesla V100-SXM2-16GB", "bf16"),
        ("NVIDIA T4", "tf32"),
        ("NVIDIA A40", "fp8"),
        ("AMD Instinct MI355X", "tf32"),
    ],
)
def test_no_hardware_path_is_an_error_and_not_a_number(name: str, dtype: str) -> None:
    with pytest.raises(NoHardwarePath, match=dtype):
        hardware_db.identify(name).peak_flop_per_second(dtype)


def test_accumulation_is_fp32_unless_asked() -> None:
    card = hardware_db.identify("RTX 3090")
    assert card.peak_flop_per_second("fp16") == 71e12
    assert card.peak_flop_per_second("fp16", accumulate="fp16", engine="matrix") == 142e12
    # 82 SM x 1024 FLOP x 1695 MHz
    assert (
        card.peak_at("fp16", clock_mhz=1695, accumulate="fp16", engine="matrix")
        == 82 * 1024 * 1695e6
    )


def test_a_package_is_not_a_device() -> None:
    module = hardware_db.identify("MI250X")
    assert module.devices_per_package == 2
    assert module.peak_flop_per_second("bf16") == 383e12
    die = module.device()
    assert die.peak_flop_per_second("bf16") == 191.5e12
    assert die.compute_units == 110
    assert die.memory_gb == 64
    assert H100.device() is H100


@pytest.mark.parametrize("clock", [0.0, -1.0, float("nan"), float("inf"), 1e9])
def test_a_clock_that_is_none_is_refused(clock: float) -> None:
    with pytest.raises(HardwareError, match="clock"):
        H100.peak_at("bf16", clock_mhz=clock)


def test_a_format_or_engine_nobody_knows_is_refused() -> None:
    with pytest.raises(UnknownDtype, match="fp16"):
        H100.peak_flop_per_second("bf61")
    with pytest.raises(HardwareError, match="engine"):
        H100.peak_flop_per_second("bf16", engine="warp")
    assert H100.peak_flop_per_second("bfloat16") == H100.peak_flop_per_second("BF16")


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def compare(row: dict[str, str]) -> None:
    part = hardware_db.identify(row["id"])
    for column, (dtype, engine, accumulate) in COLUMNS.items():
        if row.get(column):
            ours = part.peak_flop_per_second(dtype, engine=engine, accumulate=accumulate)
            assert ours == pytest.approx(float(row[column]) * 1e12, rel=0.02), (row["id"], column)
    for name in filter(None, row["nvml_names"].split(";")):
        assert hardware_db.identify(name).id == row["id"]


@pytest.mark.parametrize("row", rows(Path(__file__).parent / "figures.csv"), ids=lambda r: r["id"])
def test_figures_of_our_own_list(row: dict[str, str]) -> None:
    compare(row)


def test_figures_of_the_reference_list() -> None:
    path = SHARED / "data" / "accelerators_reference.csv"
    if not path.is_file():
        pytest.skip(f"no reference list at {path}")
    for row in rows(path):
        compare(row)

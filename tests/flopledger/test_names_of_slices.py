"""Names of TPU slices and of cloud instances where a part's name is asked for."""

import pytest

from flopledger.errors import CaseError

CASE = """
[claim]
flop = 3.2e23
[model.m]
parameters = 9e9
[[run]]
name = "r"
model = "m"
tokens = 6e12
precision = "bf16"
wall_clock_hours = {hours}
accelerator = "{name}"
"""


def asked(report) -> bool:
    return "device-count-mismatch" in {one.code for one in report.findings}


# 6 x 9e9 x 6e12 = 3.24e23; 512 chips x 275e12 x 0.35 for 1826 h is the same; 256 chips of v5e need 5101 h.
@pytest.mark.parametrize(
    ("name", "hours", "chips"), [("TPU v4-1024", 1826, 512), ("tpu v5e-256", 5101, 256)]
)
def test_a_slice_counts_its_chips(run_audit, name, hours, chips) -> None:
    report = run_audit(CASE.format(name=name, hours=hours))
    assert report.runs[0].figures.device_count.quantity.best == chips
    assert report.runs[0].figures.device_seconds.quantity.best == chips * hours * 3600
    assert not asked(report)
    assert str(report.verdict) == "consistent"


@pytest.mark.parametrize(
    ("name", "count", "is_asked"),
    [
        ("TPU v4-1024", 512, False),
        ("TPU v4-1024", 1024, True),  # TensorCores taken for chips: utilisation comes out at a half
        ("TPU v4-1024", 1, True),  # one slice taken for one chip
        ("TPU v4-512", 6144, False),  # 24 slices
        ("tpu v5e-256", 256, False),  # the number of v5e counts chips
        ("TPU v4", 1024, False),
    ],
)
def test_a_count_that_is_of_cores_or_slices_is_asked_about(
    run_audit, name, count, is_asked
) -> None:
    report = run_audit(CASE.format(name=name, hours=900) + f"accelerator_count = {count}\n")
    assert asked(report) is is_asked
    if is_asked:
        assert str(report.verdict) in ("needs-explanation", "inconsistent")


def test_an_instance_is_refused_with_the_part_that_it_holds(run_audit) -> None:
    with pytest.raises(CaseError, match="cloud instance with 8 x NVIDIA H100 SXM5 80GB"):
        run_audit(CASE.format(name="p5.48xlarge", hours=100))


def test_sixteen_bits_of_either_kind_on_ascend(run_audit) -> None:
    # The Pangu Ultra report trains 135e9 parameters in BF16 on parts of this family.
    report = run_audit(CASE.format(name="Ascend 910B", hours=400) + "accelerator_count = 8192\n")
    assert "precision-unsupported" not in {one.code for one in report.findings}
    assert report.runs[0].utilisation["bf16"].low is not None


# 6 x 9e9 x 6e12 = 3.24e23 = 8 devices x 989e12 x 0.35 x 32,500 h.
@pytest.mark.parametrize(
    "name", ["8x NVIDIA H100 80GB HBM3", "NVIDIA H100 80GB HBM3 x8", "8 NVIDIA H100 80GB HBM3"]
)
def test_a_name_that_says_how_many_counts_them(run_audit, name) -> None:
    report = run_audit(CASE.format(name=name, hours=32_500))
    assert report.runs[0].figures.device_count.quantity.best == 8
    assert str(report.verdict) == "consistent"
    assert not asked(report)


@pytest.mark.parametrize(
    ("name", "count", "is_asked", "is_said"),
    [
        ("8x NVIDIA H100 80GB HBM3", 64, False, False),  # eight such hosts
        ("8x NVIDIA H100 80GB HBM3", 4, True, False),
        ("DGX H100", 64, False, True),  # devices, or machines?
        ("DGX H100", 12, True, False),  # no whole number of machines
        ("GB200 NVL72", 4, True, False),
        ("GB200 NVL72", 2048, False, True),  # jobs take 64 of a rack's 72
        ("16x NVIDIA H100 80GB HBM3", 24, True, False),
        ("NVIDIA H100 80GB HBM3", 12, False, False),
    ],
)
def test_a_count_that_may_be_of_machines_is_asked_about(
    run_audit, name, count, is_asked, is_said
) -> None:
    report = run_audit(CASE.format(name=name, hours=1826) + f"accelerator_count = {count}\n")
    assert asked(report) is is_asked
    said = [one for one in report.findings if "speaks of" in one.message]
    assert bool(said) is (is_asked or is_said)
    assert report.runs[0].figures.device_count.quantity.best == count

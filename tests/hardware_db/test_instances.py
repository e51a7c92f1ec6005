"""Cloud instance types: which part, and how many, fractions included."""

from fractions import Fraction

import pytest

import hardware_db
from hardware_db import UnknownInstance


@pytest.mark.parametrize(
    ("name", "part", "count"),
    [
        ("p5.48xlarge", "nvidia-h100-sxm5-80gb", 8),
        ("p4de.24xlarge", "nvidia-a100-sxm4-80gb", 8),
        ("G5.48XLARGE", "nvidia-a10g", 8),
        ("ml.p4d.24xlarge", "nvidia-a100-sxm4-40gb", 8),
        ("trn1.32xlarge", "aws-trainium1", 16),
        ("a3-highgpu-8g", "nvidia-h100-sxm5-80gb", 8),
        ("a2-megagpu-16g", "nvidia-a100-sxm4-40gb", 16),
        ("Standard_ND96isr_H100_v5", "nvidia-h100-sxm5-80gb", 8),
        ("NC24ads_A100_v4", "nvidia-a100-pcie-80gb", 1),
        ("Standard_NC40ads_H100_v5", "nvidia-h100-nvl-94gb", 1),
        ("BM.GPU.H200.8", "nvidia-h200-sxm-141gb", 8),
        ("gpu_8x_h100_sxm5", "nvidia-h100-sxm5-80gb", 8),
        # the number counts TensorCores, two a chip: 512 / 2
        ("v4-512", "google-tpu-v4", 256),
        ("v5p-128", "google-tpu-v5p", 64),
        # and chips on v5e and v6e
        ("v5litepod-16", "google-tpu-v5e", 16),
        ("v6e-256", "google-tpu-v6e", 256),
    ],
)
def test_an_instance_has_so_many_of_a_part(name: str, part: str, count: int) -> None:
    found = hardware_db.instance(name)
    assert found.accelerator.id == part
    assert found.count == count


def test_a_slice_of_a_gpu_is_a_fraction() -> None:
    found = hardware_db.instance("Standard_NV6ads_A10_v5")
    assert found.count == Fraction(1, 6)
    # 24 GB / 6
    assert found.memory_gb_total == 4
    assert found.note is not None


def test_devices_are_what_a_framework_counts() -> None:
    assert hardware_db.instance("trn2.48xlarge").devices == 16 * 8
    assert hardware_db.instance("v3-8").devices == 8
    assert hardware_db.instance("p5.48xlarge").devices == 8


@pytest.mark.parametrize("name", ["", "p5.49xlarge", "v4-7", "v9-8", "x" * 10_000, "\0"])
def test_an_instance_that_is_not_on_record_is_refused(name: str) -> None:
    with pytest.raises(UnknownInstance):
        hardware_db.instance(name)

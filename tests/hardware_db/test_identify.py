"""From a name to one part, or to a refusal: never to something close by."""

import pytest

import hardware_db
from hardware_db import AmbiguousAccelerator, UnknownAccelerator


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("NVIDIA H100 80GB HBM3", "nvidia-h100-sxm5-80gb"),
        ("H100 SXM", "nvidia-h100-sxm5-80gb"),
        ("8xH100 SXM", "nvidia-h100-sxm5-80gb"),
        ("NVIDIA H800 SXM", "nvidia-h800-sxm5-80gb"),
        ("NVIDIA Blackwell GPU (B200-SXM-180GB)", "nvidia-b200-180gb"),
        ("NVIDIA A100-SXM4-80GB (400W TDP)", "nvidia-a100-sxm4-80gb"),
        ("rtx4090", "nvidia-rtx-4090"),
        ("rtx 6000 ada", "nvidia-rtx-6000-ada"),
        ("NVIDIA GTX 580", "nvidia-gtx-580-1.5gb"),
        ("AMD MI250X", "amd-mi250x"),
        ("MI250X GCD", "amd-mi250x-gcd"),
        ("TPU v4-512", "google-tpu-v4"),
        ("TPU v3 core", "google-tpu-v3-core"),
        ("TPU v5 lite", "google-tpu-v5e"),
        ("NVIDIA GH200 480GB", "nvidia-gh200-96gb"),
    ],
)
def test_a_name_means_one_part(name: str, part: str) -> None:
    assert hardware_db.identify(name).id == part


@pytest.mark.parametrize("name", ["A100", "H100", "NVIDIA P100", "RTX 6000", "NVIDIA V100"])
def test_a_bare_family_name_is_ambiguous_and_asks(name: str) -> None:
    with pytest.raises(AmbiguousAccelerator) as caught:
        hardware_db.identify(name)
    assert len(caught.value.candidates) > 1
    assert caught.value.question.endswith("?")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "  ",
        "A10 0",
        "H100 Frobnicator",
        "A100/H100",
        "mixed TPU v3/v4",
        "\u041d100 SXM",
        "x" * 5000,
    ],
)
def test_a_name_that_is_not_understood_is_unknown(name: str) -> None:
    with pytest.raises(UnknownAccelerator):
        hardware_db.identify(name)


def test_parts_that_compute_alike_can_be_used_without_telling_them_apart() -> None:
    part = hardware_db.identify_compute("NVIDIA A100 SXM")
    # 108 SM x 2048 FLOP per clock x 1410 MHz = 311.9e12, printed as 312
    assert part.peak_flop_per_second("bf16") == 312e12
    assert part.memory_gb is None
    assert part.stands_for == ("nvidia-a100-sxm4-40gb", "nvidia-a100-sxm4-80gb")
    with pytest.raises(AmbiguousAccelerator) as caught:
        hardware_db.identify_compute("V100")
    assert caught.value.peak_range("fp16") == (112e12, 125e12)


@pytest.mark.parametrize("name", [None, b"NVIDIA A30", 7])
def test_what_is_no_text_is_unknown(name: object) -> None:
    with pytest.raises(UnknownAccelerator):
        hardware_db.identify(name)  # type: ignore[arg-type]

"""Names that real systems print, with the answer that each must get.

A third of the names (by the hash of the name) was kept out while the reader of names was tuned.
At its first look at that third it got 127 of 129 right and two wrong; the fault behind both is
mended, so the third is by now a test like the rest.
"""

import csv
import hashlib
from pathlib import Path

import pytest

import hardware_db
from hardware_db import AmbiguousAccelerator, UnknownAccelerator

with (Path(__file__).parent / "names.csv").open() as file:
    NAMES = [(row["name"], row["answer"]) for row in csv.DictReader(file)]


def held_out(name: str) -> bool:
    return hashlib.sha256(name.encode()).digest()[0] % 3 == 0


def answer(name: str) -> str:
    try:
        return hardware_db.identify(name).id
    except AmbiguousAccelerator:
        return "ambiguous"
    except UnknownAccelerator:
        return "unknown"


@pytest.mark.parametrize("part", ["tuned", "held out"])
def test_every_name_gets_its_answer(part: str) -> None:
    names = [(n, a) for n, a in NAMES if held_out(n) == (part == "held out")]
    assert len(names) > 100
    assert [(n, answer(n)) for n, a in names if answer(n) != a] == []


def test_the_answers_are_parts_on_record() -> None:
    whole = {part.id for part in hardware_db.accelerators()}
    for name, wanted in NAMES:
        if wanted not in ("ambiguous", "unknown"):
            assert any(wanted == i or wanted.startswith(f"{i}-") for i in whole), name


@pytest.mark.parametrize(
    ("pci", "part"),
    [
        ("10de:2330 10de:16c1", "nvidia-h100-sxm5-80gb"),
        ("PCI 10DE:20B2 10DE:1463", "nvidia-a100-sxm4-80gb"),
        ("10de:20b0 10de:134f", "nvidia-a100-sxm4-40gb"),
        ("10de:2204 1458:403b", "nvidia-rtx-3090"),
        ("0x233010DE 0x16C110DE", "nvidia-h100-sxm5-80gb"),  # as NVML prints it
        ("0x20B210DE", "nvidia-a100-sxm4-80gb"),
        ("1002:74a1", "amd-mi300x"),
    ],
)
def test_pci_ids_mean_one_part(pci: str, part: str) -> None:
    assert hardware_db.identify(pci).id == part


@pytest.mark.parametrize(
    "pci",
    [
        "10de:20b0 10de:1450", "10de:1e90", "10de:2330 10de:ffff", "10de:0000",
        "0x20b010de 0x145010de", "1002:2330", "10de:74a1",
    ],
)  # fmt: skip
def test_pci_ids_of_other_boards_are_unknown(pci: str) -> None:
    # 20b0 with subsystem 1450 is an engineering board; 1e90 is a laptop chip of the desktop's name;
    # 2330 is NVIDIA's number of the H100, and 74a1 AMD's of the MI300X
    with pytest.raises(UnknownAccelerator):
        hardware_db.identify(pci)


def test_what_the_device_reports_decides_between_parts_of_one_name() -> None:
    name = "NVIDIA GeForce RTX 3080"
    assert hardware_db.identify(name, memory_gb=9.8).id == "nvidia-rtx-3080-10gb"
    assert hardware_db.identify(name, compute_units=70).id == "nvidia-rtx-3080-12gb"
    assert hardware_db.identify("A100 SXM", memory_gb=79.3).id == "nvidia-a100-sxm4-80gb"
    with pytest.raises(UnknownAccelerator, match="reports"):
        hardware_db.identify("NVIDIA H100 80GB HBM3", memory_gb=40)
    # more than one, but none that the device's own report allows
    with pytest.raises(UnknownAccelerator, match=r"10 GB.* or .*12 GB.*reports 96 GB"):
        hardware_db.identify(name, memory_gb=96)


@pytest.mark.parametrize(
    ("name", "memory_gb", "compute_units", "part"),
    [
        # two devices in a package, each of which reports its own half: 68.7 GB are 64 GiB
        ("AMD Instinct MI250X", 68.7, None, "amd-mi250x"),
        ("AMD Instinct MI250X", None, 110, "amd-mi250x"),
        ("AMD Instinct MI250X", 128.0, 220, "amd-mi250x"),
        # a slice reports its own memory (4864 MiB) and SMs, or its part's
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", 5.1, 14, "nvidia-a100-sxm4-40gb-mig-1g.5gb"),
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", 42.5, 108, "nvidia-a100-sxm4-40gb-mig-1g.5gb"),
        # a memory size that is not on record contradicts nothing
        ("Apple M2 Ultra 60-core GPU", 137.0, None, "apple-m2-ultra-60core"),
    ],
)
def test_a_device_may_report_its_own_share_of_the_part(
    name: str, memory_gb: float | None, compute_units: int | None, part: str
) -> None:
    found = hardware_db.identify(name, memory_gb=memory_gb, compute_units=compute_units)
    assert found.id == part


def test_a_share_that_is_neither_is_refused() -> None:
    for name, memory, units in (
        ("AMD Instinct MI250X", 32.0, None),
        ("AMD Instinct MI250X", 64.0, 220),  # half of the memory with all of the units
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", 20.0, None),
    ):
        with pytest.raises(UnknownAccelerator, match="reports"):
            hardware_db.identify(name, memory_gb=memory, compute_units=units)


def test_parts_of_unknown_memory_stay_open_whatever_the_device_reports() -> None:
    with pytest.raises(hardware_db.AmbiguousAccelerator):
        hardware_db.identify("Apple M2 Ultra", memory_gb=137.0)


def test_a_mig_slice_owns_the_units_of_the_guides_table() -> None:
    """H100: 16 SMs a slice, but 60 of the 132 for 3g; A100: 14 a slice of 108; A30: 14 of 56."""
    owned = {
        "NVIDIA H100 80GB HBM3": {1: 16, 2: 32, 3: 60, 4: 64, 7: 132},
        "NVIDIA A100-SXM4-80GB": {1: 14, 2: 28, 3: 42, 4: 56, 7: 98},
        "NVIDIA A30": {1: 14, 2: 28, 4: 56},
        "NVIDIA H100 PCIe": {1: 14, 2: 30, 3: 46, 4: 62, 7: 114},
        "NVIDIA B200": {1: 18, 7: 148},
        "NVIDIA RTX PRO 6000 Blackwell Server Edition": {2: 94, 4: 188},
    }
    for parent, slices in owned.items():
        for count, units in slices.items():
            name = f"{parent} MIG {count}g.{6 * count}gb"
            assert hardware_db.identify(name).compute_units == units, name


@pytest.mark.parametrize(
    ("name", "units"),
    [
        # four slices with two eighths of the memory share 132 SMs by 26, seven with one by 16
        ("NVIDIA H100 80GB HBM3 MIG 1g.20gb", 26),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", 16),
        ("NVIDIA H100 NVL MIG 1g.24gb", 26),
        ("NVIDIA GH200 480GB MIG 1g.12gb", 16),
        ("NVIDIA H200 MIG 1g.35gb", 26),
        ("NVIDIA H200 MIG 1g.18gb", 16),
        # nothing changes on A100 and on the PCIe card of 114 SMs
        ("NVIDIA A100-SXM4-80GB MIG 1g.20gb", 14),
        ("NVIDIA H100 PCIe MIG 1g.20gb", 14),
    ],
)
def test_a_mig_slice_with_twice_the_memory_may_own_more_units(name: str, units: int) -> None:
    assert hardware_db.identify(name).compute_units == units


@pytest.mark.parametrize("profile", ["1g.45gb", "3g.90gb"])
def test_a_mig_slice_whose_units_nobody_published_is_refused(profile: str) -> None:
    with pytest.raises(UnknownAccelerator, match="SM count"):
        hardware_db.identify(f"NVIDIA B200 MIG {profile}")


def test_the_bare_name_of_94_gb_is_two_parts() -> None:
    """The driver prints "NVIDIA H100" for the SXM5 of 94 GB, at 989 TFLOP/s; the NVL has 835."""
    for name, memory in (("NVIDIA H100", 93.6), ("H100 94GB", None)):
        with pytest.raises(hardware_db.AmbiguousAccelerator) as caught:
            hardware_db.identify(name, memory_gb=memory)
        ids = {c.id for c in caught.value.candidates}
        assert ids == {"nvidia-h100-nvl-94gb", "nvidia-h100-sxm5-94gb"}


@pytest.mark.parametrize("name", ["Tesla H100", "Kaggle H100", "AMD H100"])
def test_a_part_that_is_named_beside_a_foreign_word_is_near(name: str) -> None:
    with pytest.raises(UnknownAccelerator) as caught:
        hardware_db.identify(name)
    assert caught.value.nearest
    assert all("H100" in near for near in caught.value.nearest)


def test_a_mig_slice_has_its_share_of_the_units() -> None:
    part = hardware_db.identify("NVIDIA A100-SXM4-40GB MIG 1g.5gb")
    # 14 of 108 SMs: 312e12 x 14 / 108 = 40.44e12
    assert part.peak_flop_per_second("bf16") == pytest.approx(40.444e12, rel=1e-4)
    assert part.compute_units == 14
    assert part.memory_gb == 5
    assert part.partition_of == "nvidia-a100-sxm4-40gb"
    # and at 1 GHz: 14 SM x 2048 FLOP x 1000 MHz
    assert part.peak_at("bf16", clock_mhz=1000) == 14 * 2048 * 1e9


def test_a_vgpu_says_that_its_peak_is_only_a_bound() -> None:
    part = hardware_db.identify("GRID V100D-32Q")
    assert part.vgpu
    assert not hardware_db.identify("Tesla V100-PCIE-32GB").vgpu


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("NVIDIA H100-SXM5-96GB", "nvidia-h100-sxm5-96gb"),
        ("NVIDIA H100 64GB HBM2", "nvidia-h100-sxm5-64gb"),
        ("NVIDIA A100 SXM4 64 GB", "nvidia-a100-sxm-64gb"),
        ("Tesla V100-SXM3-H-32GB", "nvidia-v100-sxm3-32gb"),
        ("NVIDIA L20 PCle", "nvidia-l20"),
        ("Ascend 910 Pro A", "huawei-ascend-910-pro-a"),
        ("Ascend 910 Premium A", "huawei-ascend-910-premium-a"),
        ("v4-128", "google-tpu-v4"),
        ("v3-8", "google-tpu-v3"),
        ("v5p-128", "google-tpu-v5p"),
        ("gpu:tesla_v100-sxm2-16gb:4", "nvidia-v100-sxm2-16gb"),
        ("gres/gpu:nvidia_h100_80gb_hbm3", "nvidia-h100-sxm5-80gb"),
        ("nvidia_a100_80gb_pcie_1g.10gb", "nvidia-a100-pcie-80gb-mig-1g.10gb"),
    ],
)
def test_names_of_public_lists(name: str, part: str) -> None:
    assert hardware_db.identify(name).id == part


@pytest.mark.parametrize("name", ["gpu:a100:4", "gpu:a100_1g.5gb", "NVIDIA Volta GV100"])
def test_names_that_lists_give_to_several_parts(name: str) -> None:
    with pytest.raises(hardware_db.AmbiguousAccelerator):
        hardware_db.identify(name)


@pytest.mark.parametrize("name", ["v4-", "v9-8", "v4-0", "node v4-128", "gpu:", "gpu:4", "_1g.5gb"])
def test_what_only_looks_like_a_name(name: str) -> None:
    with pytest.raises(hardware_db.UnknownAccelerator):
        hardware_db.identify(name)

"""The shipped data keeps its rules, and every rule can be broken."""

import re
from collections import Counter
from pathlib import Path

import pytest

import hardware_db
from hardware_db.compile import compile_index
from hardware_db.database import default_database
from hardware_db.index import DATA
from hardware_db.validate import validate
from tests.hardware_db.cards import CARD, load


def broken_rules(folder: Path, old: str, new: str) -> set[str]:
    assert old in CARD
    found = validate(load(folder, CARD.replace(old, new)))
    return {p.rule for p in found.problems if p.part == "acme-one"}


def test_the_shipped_data_keeps_every_rule() -> None:
    verdict = validate(default_database())
    assert verdict.problems == ()
    assert verdict.parts >= 150
    # at most three figures in a hundred may disagree with the arithmetic, each with its reason
    assert verdict.waived <= 0.03 * verdict.checked_by_arithmetic
    assert verdict.vendor_tier >= 0.9 * verdict.figures


def test_the_index_equals_the_files() -> None:
    assert (DATA / "index.json").read_bytes() == compile_index(), (
        "run python -m hardware_db.compile"
    )


def test_there_are_as_many_parts_as_promised() -> None:
    vendors = Counter(part.vendor for part in hardware_db.accelerators())
    assert vendors["NVIDIA"] >= 100
    assert vendors["AMD"] >= 15
    assert vendors["Google"] >= 8
    assert sum(vendors.values()) - vendors["NVIDIA"] - vendors["AMD"] - vendors["Google"] >= 10
    assert len(default_database().instances.names) >= 120


def test_a_sound_card_breaks_no_rule(tmp_path: Path) -> None:
    assert [p for p in validate(load(tmp_path, CARD)).problems if p.part == "acme-one"] == []


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        # 100 SM x 4096 FLOP x 1000 MHz = 409.6e12, not 430e12
        ('tflops = 409.6, printed = "819.2"', 'tflops = 430, printed = "860"', "arithmetic"),
        (
            'printed = "819.2", printed_as = "with sparsity"',
            'printed = "409.6", printed_as = "with sparsity"',
            "print",
        ),
        ("tflops = 819.2,", "tflops = 819.2, sparse_tflops = 5000,", "sparse"),
        ("tflops = 819.2,", "tflops = 819.2, sparse_tflops = 400,", "sparse"),
        ("max_mhz = 1200", "max_mhz = 900", "bound"),
        ("bandwidth_gb_per_s = 2560", "bandwidth_gb_per_s = 2000", "bandwidth"),
        ("tdp_w = 300", "tdp_w = 3", "power"),
        ('released = "2024-05"', 'released = "1999-05"', "release"),
        ('tflops = 819.2, printed = "819.2"', 'tflops = 409.6, printed = "409.6"', "ratio"),
        (', printed = "819.2", printed_as = "dense"', "", "source"),
        ('clock = "matrix" },\n  {', 'basis = "derived" },\n  {', "source"),
    ],
)
def test_each_rule_can_be_broken(tmp_path: Path, old: str, new: str, rule: str) -> None:
    assert rule in broken_rules(tmp_path, old, new)


def test_capped_means_that_no_rule_derives(tmp_path: Path) -> None:
    capped = CARD.replace(
        "[memory]", '[export_control]\nrate_capped = true\nrestriction = "cut"\n\n[memory]'
    )
    found = validate(load(tmp_path, capped)).problems
    assert {p.rule for p in found if p.part == "acme-one"} == {"export"}


def test_a_copy_of_a_shipped_part_must_be_a_reference(tmp_path: Path) -> None:
    text = (DATA / "accelerators/nvidia/nvidia-a30.toml").read_text()
    text = re.sub(r"\n(pci = \[\n(.*\n)*?\]|exact = .*)", "", text).replace(
        'nvidia-a30"', 'acme-one"'
    )
    text = text.replace('models = ["a30"]', 'models = ["acme one"]')
    assert "shared" in {p.rule for p in validate(load(tmp_path, text)).problems}


def test_every_figure_says_where_it_comes_from() -> None:
    for part in hardware_db.accelerators():
        for figure in part.peaks:
            assert figure.source
            assert figure.locator
            assert re.fullmatch(r"recalled|\d{4}-\d\d-\d\d", figure.accessed)
            assert figure.flop_per_second > 0


def test_a_part_from_the_index_equals_the_one_from_its_file() -> None:
    from hardware_db.catalogue import read_architectures, read_sources
    from hardware_db.reader import PartReader

    reader = PartReader(
        read_sources(DATA / "sources.toml"), read_architectures(DATA / "architectures.toml")
    )
    reader.read_all(list((DATA / "accelerators").glob("*/*.toml")))
    database = default_database()
    assert {p.id: p for p in hardware_db.accelerators()} == reader.parts
    assert {i: database.identifier.names_of(i) for i in database.ids} == reader.names

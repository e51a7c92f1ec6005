"""A user's own parts: added by path or variable, and every mistake named with file and key."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hardware_db
from hardware_db import DataError
from hardware_db.database import Database
from hardware_db.toml_table import MAX_BYTES
from tests.hardware_db.cards import CARD, load


def test_a_part_is_found_under_its_names(tmp_path: Path) -> None:
    database = load(tmp_path, CARD)
    for name in ("acme-one", "ACME One 64GB", "Acme One", "8x acme-one 64 GB"):
        part = database.identify(name)
        assert part.id == "acme-one"
        # 100 SM x 4096 FLOP x 1000 MHz
        assert part.peak_flop_per_second("bf16") == 409.6e12
    assert database.ids[-1] == "acme-one"
    assert database.identify("NVIDIA A30").id == "nvidia-a30"


def test_the_variable_names_files_and_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = hardware_db.database_digest()
    load(tmp_path, CARD)
    monkeypatch.setenv("FLOPLEDGER_HARDWARE_PATH", str(tmp_path))
    assert hardware_db.identify("Acme One").id == "acme-one"
    # other data, other digest: a report says which
    assert hardware_db.database_digest() != before
    monkeypatch.delenv("FLOPLEDGER_HARDWARE_PATH")
    assert hardware_db.database_digest() == before


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('id = "acme-one"', 'id = "nvidia-a30"', "id: 'nvidia-a30' is already"),
        ('id = "acme-one"', 'id = "acme-two"', "must be the file's name"),
        ('id = "acme-one"', 'id = "Acme!"', "id: "),
        ('architecture = "hopper_gh100"', 'architecture = "hopper"', "architecture: no 'hopper'"),
        ('source = "acme-sheet"', 'source = "nowhere"', "source: no source 'nowhere'"),
        ('exact = ["ACME One 64GB"]', 'exact = ["NVIDIA A30"]', "already means nvidia-a30"),
        ('exact = ["ACME One 64GB"]', 'exact = ["nvidia  A30 (TM)"]', "already means nvidia-a30"),
        ("units = 100", "units = 0", "units: expected a positive integer"),
        ("units = 100", 'units = "many"', "units: expected an integer"),
        ("units = 100", "units = true", "units: expected an integer"),
        ("tflops = 409.6", "tflops = -1", "tflops: expected a positive number"),
        ("tflops = 409.6", "tflops = nan", "tflops: expected a positive number"),
        ("tflops = 409.6", "tflops = inf", "tflops: expected a positive number"),
        ("gb = 64", "gigabytes = 64", "gigabytes: unknown key"),
        ('dtype = "fp8"', 'dtype = "fp9"', "dtype: expected one of"),
        ('dtype = "fp8"', 'dtype = "bf16"', "two figures for one dtype"),
        ('status = "shipping"', 'status = "sold"', "status: expected one of"),
        ('released = "2024-05"', 'released = "May"', "released: expected YYYY"),
        ('accessed = "2026-01-31"', 'accessed = "yes"', "accessed: "),
        ('vendor = "Acme"', "", "vendor: missing"),
        ('models = ["acme one"]', 'models = ["Acme One"]', "lower-case words"),
        ('models = ["acme one"]\nexact = ["ACME One 64GB"]', "", "a part needs a name"),
        ("[peaks]", "[peeks]", "peaks: a part needs"),
        ("[memory]", "[memory", "not valid TOML"),
    ],
)
def test_a_mistake_is_named_with_file_and_key(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    assert old in CARD
    with pytest.raises(DataError) as caught:
        load(tmp_path, CARD.replace(old, new))
    assert "acme-one.toml" in str(caught.value)
    assert words in str(caught.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        Database.load([tmp_path / "nowhere.toml"])
    for content, words in (
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"#" * (MAX_BYTES + 1), "bytes"),
        (b"[" * 5000, "TOML|nested"),
    ):
        file = tmp_path / "bad.toml"
        file.write_bytes(content)
        with pytest.raises(DataError, match=words):
            Database.load([file])


@given(st.binary(max_size=300))
def test_garbage_is_an_error_of_ours(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    file = tmp_path_factory.mktemp("garbage") / "acme-one.toml"
    file.write_bytes(data)
    with pytest.raises(DataError):
        Database.load([file])

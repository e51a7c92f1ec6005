"""One wheel, exactly four packages."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def names(root: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(root)],
        check=True,
        capture_output=True,
        timeout=300,
    )
    (wheel,) = folder.glob("*.whl")
    return zipfile.ZipFile(wheel).namelist()


def test_top_level_names(names: list[str]) -> None:
    top = {name.split("/")[0] for name in names}
    info = {name for name in top if name.endswith(".dist-info")}
    assert len(info) == 1
    assert top - info == {"flopcount", "profilers", "hardware_db", "flopledger"}


def test_data_files_are_inside(names: list[str]) -> None:
    for needed in (
        "flopledger/reports/templates/document.html.j2",
        "flopledger/reports/templates/document.typ",
        "flopledger/reports/findings.md",
        "flopledger/methods/data/priors.toml",
        "flopledger/regimes/data/eu-systemic-risk-1e25.toml",
        "flopledger/py.typed",
    ):
        assert needed in names
    assert any(name.startswith("hardware_db/data/accelerators/") for name in names)

"""One wheel, exactly four packages, and one compiled file if there is a compiler."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

COMPILED = "profilers/_hot.abi3.so"


def wheel(root: Path, folder: Path, **environ: str) -> Path:
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(root)],
        check=True,
        capture_output=True,
        timeout=300,
        env={**os.environ, **environ},
    )
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def path(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wheel(root, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def names(path: Path) -> list[str]:
    return zipfile.ZipFile(path).namelist()


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


def test_one_file_is_compiled_for_every_python(path: Path, names: list[str]) -> None:
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None:
        pytest.skip("no C compiler")
    assert [name for name in names if name.endswith((".so", ".c", ".h"))] == [COMPILED]
    assert "-cp311-abi3-" in path.name


def test_without_a_compiler_the_wheel_is_a_pure_one(root: Path, tmp_path: Path) -> None:
    path = wheel(root, tmp_path, CC=str(tmp_path / "no-such-compiler"))
    assert path.name.endswith("-py3-none-any.whl")
    assert COMPILED not in zipfile.ZipFile(path).namelist()

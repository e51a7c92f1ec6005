"""Reading evidence as a case would."""

import os
import pathlib

import pytest

from flopledger import logs

_BESIDE = pathlib.Path(__file__).parents[4] / "shared"
SHARED = pathlib.Path(os.environ.get("FLOPLEDGER_SHARED", _BESIDE)) / "data" / "evidence"


@pytest.fixture
def shared() -> pathlib.Path:
    """The folder of public evidence, where this machine has it."""
    if not SHARED.is_dir():
        pytest.skip(f"public evidence is not at {SHARED}; set FLOPLEDGER_SHARED")
    return SHARED


def read_files(folder: pathlib.Path, *names: str) -> logs.Evidence:
    return logs.read(
        [logs.EvidenceFile(path=(folder / name).resolve(), name=name) for name in names]
    )


@pytest.fixture
def written(tmp_path):
    """Write files by name and read them all: ``written({"a.txt": "text"})``."""

    def write(files: dict[str, str | bytes]) -> logs.Evidence:
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_files(tmp_path, *files)

    return write


def value(evidence: logs.Evidence, name: str) -> object:
    """The one value of a fact's name."""
    values = {fact.value for fact in evidence.named(name)}
    assert len(values) == 1, f"{name}: {evidence.named(name)}"
    return values.pop()


def codes(found: logs.Evidence | logs.RunFacts) -> set[str]:
    return {finding.code for finding in found.findings}

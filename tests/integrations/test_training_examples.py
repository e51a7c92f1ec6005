"""The examples of a training loop end with the verdict that they promise; FSDP2 is in test_two_ranks."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason='pip install "flopledger[trace]"')

from flopledger.recording.totals import read_totals

pytestmark = pytest.mark.trace
FOLDER = "examples/training-loop"


@pytest.mark.parametrize(
    ("name", "package", "extra", "steps"),
    [
        ("plain", "torch", "trace", 30),
        ("trainer_lora", "peft", "trl", 15),
        ("lightning_fit", "lightning", "lightning", 16),
    ],
)
def test_in_one_process(
    name: str, package: str, extra: str, steps: int, root: Path, tmp_path: Path, monkeypatch: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    pytest.importorskip(package, reason=f'pip install "flopledger[{extra}]"')
    monkeypatch.syspath_prepend(str(root / FOLDER))
    verdict, example = (_imported(root / FOLDER / f"{part}.py") for part in ("verdict", name))
    monkeypatch.setattr(verdict, "subprocess", _InProcess)
    monkeypatch.setattr(example, "audited", verdict.audited)
    folder = tmp_path / name
    assert example.main(folder) == 0  # consistent
    assert "CONSISTENT" in capsys.readouterr().out
    totals = read_totals(folder / "run")
    assert totals is not None
    assert totals.steps == steps
    # The record contradicts whoever claims another figure.
    case = folder / "case.toml"
    case.write_text(case.read_text().replace("flop = ", "flop = 1"))  # the first digit more
    assert _InProcess.run([sys.executable, "-m", "flopledger", "audit", str(case)]).returncode == 1


class _InProcess:
    """Runs ``python -m flopledger ...`` without a new interpreter."""

    @staticmethod
    def run(command: list[str], *, check: bool = False) -> "subprocess.CompletedProcess[str]":
        from flopledger.commands import main

        assert command[:3] == [sys.executable, "-m", "flopledger"]
        return subprocess.CompletedProcess(command, main(command[3:]))


def _imported(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(f"example_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

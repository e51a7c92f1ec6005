"""The Python face, as scripts use it."""

import subprocess
import sys
from pathlib import Path

import pytest

import flopcount
import flopledger
import hardware_db


def test_an_audit_in_two_lines(root: Path, tmp_path: Path) -> None:
    report = flopledger.audit(
        flopledger.AuditCase.load(root / "examples/opt-175b/case.toml"), trace=False
    )
    assert report.verdict == "needs-explanation"
    assert report.combined.flop.best == pytest.approx(3.2e23, rel=0.02)
    report.save(tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size > 10_000
    assert isinstance(report, flopledger.AuditReport)


def test_what_does_not_exist_says_so() -> None:
    with pytest.raises(AttributeError, match="no attribute 'recorder'"):
        flopledger.recorder  # noqa: B018


def test_the_pillars_hand_on_their_names() -> None:
    assert callable(flopcount.count)
    assert callable(flopcount.polynomial)
    assert hardware_db.identify("NVIDIA H100 80GB HBM3").peak_flop_per_second("bf16") == 989.4e12
    assert hardware_db.instance("p5.48xlarge").count == 8
    with pytest.raises(hardware_db.UnknownAccelerator):
        hardware_db.identify("H1000")


def test_importing_is_light(root: Path) -> None:
    probe = (
        "import sys, flopledger, flopcount, hardware_db, profilers\n"
        "heavy = {'torch', 'plotly', 'rich', 'typer'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", probe], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

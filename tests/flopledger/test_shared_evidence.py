"""The same bytes twice: in one run they are read once, in two runs they are asked about."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from flopledger.auditing import AuditReport, audit
from flopledger.cases.case import AuditCase
from flopledger.logs import losses

_STATE = {
    "global_step": 100,
    "max_steps": 100,
    "train_batch_size": 8,
    "log_history": [
        {
            "step": 100,
            "epoch": 1.0,
            "train_runtime": 50.0,
            "train_samples_per_second": 16.0,
            "num_tokens": 4e5,
        }
    ],
}
_RUN = '[[run]]\nname = "{}"\nmodel = "m"\nevidence = {}\n'


def _audited(folder: Path, *runs: tuple[str, list[str]]) -> AuditReport:
    (folder / "trainer_state.json").write_text(json.dumps(_STATE))
    (folder / "copy.json").write_text(json.dumps(_STATE))
    text = "".join(_RUN.format(name, json.dumps(files)) for name, files in runs)
    (folder / "case.toml").write_text(
        'schema = "flopledger/case/1"\ntitle = "t"\n[claim]\nflop = 2.4e15\n'
        f"[model.m]\nparameters = 1e9\n{text}"
    )
    return audit(AuditCase.load(folder / "case.toml"), trace=False)


def _codes(report: AuditReport) -> set[str]:
    return {finding.code for finding in report.findings}


def test_a_copy_in_one_run_is_read_once(tmp_path: Path) -> None:
    report = _audited(tmp_path, ("r", ["trainer_state.json", "copy.json"]))
    # 6 * 1e9 * 4e5 = 2.4e15, once
    assert report.combined is not None
    assert report.combined.flop.best == 2.4e15
    assert "duplicate-evidence" in _codes(report)
    assert "shared-evidence" not in _codes(report)
    assert report.verdict == "consistent"


def test_one_document_of_two_runs_is_asked_about(tmp_path: Path) -> None:
    report = _audited(tmp_path, ("one", ["trainer_state.json"]), ("two", ["copy.json"]))
    (finding,) = [one for one in report.findings if one.code == "shared-evidence"]
    assert "one and two" in finding.message
    assert report.verdict in ("needs-explanation", "inconsistent")
    # the total is the sum of what its parts come to
    assert report.combined is not None
    assert report.combined.flop.best == 4.8e15


def _log(
    folder: Path, name: str, *, day: int, seed: float, first: int = 1, rate: int = 52_000
) -> str:
    """A log of 60 steps; losses follow from the seed alone."""
    printed = [round(3 + math.sin(seed + 1.7 * step) / 5, 4) for step in range(1, 61)]
    (folder / name).write_text(
        "".join(
            f"2026-03-0{day} 10:{step - 1:02d}:{day:02d} step: {step} loss: {loss:.4f} tokens: {step}e5 "
            f"tokens_per_second: {rate + step}\n"
            for step, loss in enumerate(printed, start=1)
            if step >= first
        )
    )
    return name


@pytest.mark.parametrize(
    ("changed", "is_asked"),
    [
        ({"seed": 1.0}, True),  # other stamps and rates, the same losses
        ({"seed": 1.0, "first": 31}, True),  # and cut
        ({"seed": 2.0}, False),  # another training with all settings alike
        ({"seed": 1.0, "first": 50}, False),  # 11 losses in a row may be anything
    ],
)
def test_one_training_with_other_stamps_is_asked_about(
    tmp_path: Path, changed: dict[str, Any], is_asked: bool
) -> None:
    first = _log(tmp_path, "a.log", day=1, seed=1.0)
    second = _log(tmp_path, "b.log", day=3, rate=48_000, **changed)
    report = _audited(tmp_path, ("a", [first]), ("b", [second]))
    assert ("shared-evidence" in _codes(report)) is is_asked


def test_a_loss_that_stands_still_is_no_sign() -> None:
    assert not losses.stretches(b"loss: 0.0000 loss: 0.0001 " * 200)
    assert not losses.stretches(b"loss 2.31 " * 200)

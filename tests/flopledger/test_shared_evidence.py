"""The same bytes twice: in one run they are read once, in two runs they are asked about."""

import json
from pathlib import Path

from flopledger.auditing import AuditReport, audit
from flopledger.case import AuditCase

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

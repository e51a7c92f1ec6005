"""A part without a published peak: amount and device time stand, and nothing is judged by its hours."""

import json
from pathlib import Path

import pytest

from flopledger.auditing import audit
from flopledger.cases.case import AuditCase
from flopledger.parts import resolve


def _system(name: str) -> str:
    return json.dumps(
        {
            "number_of_nodes": "8",
            "accelerators_per_node": "8",
            "accelerator_model_name": name,
            "system_name": "x",
            "submitter": "x",
            "division": "closed",
        }
    )


# Habana published no matrix peak of its first generation; Gaudi 2 and 3 have one, and are not it.
@pytest.mark.parametrize("name", ["Habana Gaudi", "Habana Gaudi HL-205"])
def test_the_first_gaudi_is_not_judged_by_its_hours(tmp_path: Path, name: str) -> None:
    (tmp_path / "system.json").write_text(_system(name))
    (tmp_path / "case.toml").write_text(
        'schema = "flopledger/case/1"\ntitle = "t"\n[model.m]\nparameters = 1e9\n[[run]]\nname = "r"\n'
        'model = "m"\ntokens = 1e12\nwall_clock_hours = 1.0\nevidence = ["system.json"]\n'
    )
    report = audit(AuditCase.load(tmp_path / "case.toml"), trace=False)
    (run,) = report.runs
    # 6e21 FLOP in 64 device-hours would be 2.6e16 FLOP/s a device: no part does that, and yet no peak
    # of another part is borrowed to say so
    assert run.part is None
    assert run.utilisation == {}
    assert run.figures.device_seconds.quantity.best == 64 * 3600
    assert run.combined.flop.best == pytest.approx(6e21)
    assert report.verdict == "undetermined"
    (finding,) = [one for one in report.findings if one.code == "unknown-accelerator"]
    assert name in finding.message


def test_the_faster_v100_of_a_dgx_2h_is_known(tmp_path: Path) -> None:
    (tmp_path / "system.json").write_text(_system("Tesla V100-SXM3-32GB-H"))
    (tmp_path / "case.toml").write_text(
        'schema = "flopledger/case/1"\ntitle = "t"\n[[run]]\nname = "r"\nevidence = ["system.json"]\n'
    )
    report = audit(AuditCase.load(tmp_path / "case.toml"), trace=False)
    assert report.runs[0].part.id == "nvidia-v100-sxm3-32gb"


def test_a_ceiling_is_of_the_maximum_clock_or_a_fifth_above_the_dense_peak() -> None:
    """H100: 132 SM x 4096 FLOP x 1980 MHz. Trainium2, whose clock is not public: 667 TFLOP/s dense, not the
    2563 with sparsity, x 1.2."""
    for name, flop_per_second in (("H100 SXM", 132 * 4096 * 1.98e9), ("Trainium2", 667e12 * 1.2)):
        part, _ = resolve(name, place="")
        found = part.ceiling("bf16")
        assert found is not None
        assert found.value == pytest.approx(flop_per_second)

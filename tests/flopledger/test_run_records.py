"""Run records as evidence: written here by the journal itself, verified and reconciled."""

import json
from pathlib import Path

import pytest

from flopledger.auditing import AuditReport, audit
from flopledger.cases.case import AuditCase
from flopledger.commands import main
from flopledger.verdict import Verdict

HEAD = 'schema = "flopledger/case/1"\ntitle = "t"\n[[run]]\nname = "r"\n'
UUIDS = (
    "GPU-11111111-2222-3333-4444-555555555501",
    "GPU-11111111-2222-3333-4444-555555555502",
)
#: 40 s at 400 W a device, one sample a second.
SECONDS, WATTS = 40, 400


def smi(folder: Path) -> Path:
    """What `nvidia-smi --query-gpu=... --format=csv` prints for two H100, stamps in UTC."""
    lines = ["timestamp, index, uuid, name, power.draw [W], utilization.gpu [%]"]
    for second in range(SECONDS + 1):
        for index, uuid in enumerate(UUIDS):
            lines.append(
                f"2026/01/02 03:04:{second:02d}.000, {index}, {uuid}, NVIDIA H100 80GB HBM3, "
                f"{WATTS}.00 W, 100 %"
            )
    path = folder / "smi.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A record that the importer wrote, one that `flopledger run` would add a summary to."""
    assert main(["import", str(smi(tmp_path)), "--out", str(tmp_path / "rec")]) == 0
    capsys.readouterr()
    return tmp_path / "rec"


def audited(folder: Path, evidence: list[str], figures: str = "") -> AuditReport:
    path = folder / "case.toml"
    path.write_text(f"{HEAD}evidence = {json.dumps(evidence)}\n{figures}\n")
    return audit(AuditCase.load(path), trace=False)


def codes(report: AuditReport) -> dict[str, str]:
    return {finding.code: finding.severity for finding in report.findings}


def test_an_imported_record_gives_devices_time_and_energy(record: Path) -> None:
    report = audited(record.parent, ["rec"])
    figures = report.runs[0].figures
    assert report.runs[0].part.id == "nvidia-h100-sxm5-80gb"
    assert figures.device_count.quantity.best == 2
    # 2 devices x 40 s, 400 W each; the first sample speaks for the time before it, too.
    assert figures.device_seconds.quantity.best == pytest.approx(2 * SECONDS, rel=0.03)
    assert figures.energy_joules.quantity.best == pytest.approx(2 * SECONDS * WATTS, rel=0.03)
    assert figures.energy_boundary == "device"
    assert any(name.endswith("journal.jsonl") for name in report.runs[0].evidence_digests)


@pytest.mark.parametrize("damage", ["line", "segment", "gone"])
def test_an_altered_record_gives_nothing(record: Path, damage: str) -> None:
    (node,) = (record / "telemetry").iterdir()
    journal, (segment,) = node / "journal.jsonl", list(node.glob("samples-*"))
    if damage == "line":
        journal.write_text(journal.read_text().replace("H100", "A100", 1))
    elif damage == "segment":
        content = bytearray(segment.read_bytes())
        content[len(content) // 2] ^= 1
        segment.write_bytes(bytes(content))
    else:
        segment.unlink()
    report = audited(record.parent, ["rec"])
    figures = report.runs[0].figures
    assert figures.device_seconds is None
    assert figures.energy_joules is None
    altered = {"broken-chain", "digest-mismatch", "missing-segment"} & set(codes(report))
    assert altered
    assert all(codes(report)[code] == "error" for code in altered)
    claimed = audited(
        record.parent,
        ["rec"],
        'accelerator = "NVIDIA H100 80GB HBM3"\naccelerator_hours = 10\ntokens = 1e9',
    )
    assert str(claimed.runs[0].verdict) == "needs-explanation"


def test_a_device_in_record_and_file_counts_once(record: Path) -> None:
    report = audited(record.parent, ["rec", "smi.csv"])
    figures = report.runs[0].figures
    assert figures.device_seconds.quantity.best == pytest.approx(2 * SECONDS, rel=0.03)
    assert figures.energy_joules.quantity.best == pytest.approx(2 * SECONDS * WATTS, rel=0.03)


def test_a_sample_of_a_run_does_not_replace_its_hours(record: Path) -> None:
    figures = 'accelerator = "NVIDIA H100 80GB HBM3"\naccelerator_hours = 1000'
    report = audited(record.parent, ["rec"], figures)
    assert report.runs[0].figures.device_seconds.quantity.best == 3_600_000
    assert codes(report)["coverage-gap"] == "info"
    assert "device-time-mismatch" not in codes(report)


def test_more_seen_than_stated_is_a_mismatch(record: Path) -> None:
    # 80 device-seconds were seen; 0.01 h are 36.
    figures = 'accelerator = "NVIDIA H100 80GB HBM3"\naccelerator_hours = 0.01'
    report = audited(record.parent, ["rec"], figures)
    assert codes(report)["device-time-mismatch"] == "warning"


def test_a_summary_that_contradicts_its_journals_is_found_out(record: Path) -> None:
    summary = {
        "schema": "flopledger/run-summary/1",
        "exit_code": 1,
        "duration_seconds": 4000.0,
        "attribution": "processes",
        "devices": [{"uuid": UUIDS[0]}],
    }
    (record / "summary.json").write_text(json.dumps(summary))
    report = audited(record.parent, ["rec"])
    found = codes(report)
    assert report.runs[0].figures.device_count.quantity.best == 1
    assert report.runs[0].figures.status in (None, "exit code 1")
    if report.runs[0].figures.timed_seconds is not None:
        assert found["record-mismatch"] == "error"
        assert found["aborted-run"] == "warning"


def test_the_folder_of_a_record_may_lie_deeper(record: Path) -> None:
    (record.parent / "all").mkdir()
    record.rename(record.parent / "all" / "rec")
    report = audited(record.parent, ["all"])
    assert report.runs[0].figures.device_count.quantity.best == 2
    assert not any(finding.code == "evidence-unread" for finding in report.findings)


def watched(record: Path) -> None:
    """Make the imported record one of a command that was watched from its start to its end."""
    summary = {
        "schema": "flopledger/run-summary/1",
        "exit_code": 0,
        "duration_seconds": float(SECONDS),
        "attribution": "processes",
        "devices": [{"uuid": uuid} for uuid in UUIDS],
    }
    (record / "summary.json").write_text(json.dumps(summary))


WORK = 'accelerator = "NVIDIA H100 80GB HBM3"\nprecision = "bf16"\nmodel = "m"\n'
#: 40 % of the peak for 80 device-seconds, at 6e9 FLOP a token
TOKENS = 0.4 * 989.4e12 * 2 * SECONDS / 6e9


def worked(folder: Path, figures: str) -> AuditReport:
    return audited(folder, ["rec"], f"{WORK}{figures}\n[model.m]\nparameters = 1e9")


def test_one_nodes_record_of_a_larger_job_refutes_nothing(record: Path) -> None:
    watched(record)
    figures = f"accelerator_count = 32\nwall_clock_hours = {SECONDS / 3600}\ntokens = {16 * TOKENS}"
    report = worked(record.parent, figures)
    assert report.runs[0].verdict is not Verdict.INCONSISTENT
    assert report.runs[0].figures.device_count.quantity.best == 32
    assert report.runs[0].figures.device_seconds.quantity.best == pytest.approx(32 * SECONDS)
    assert codes(report)["coverage-gap"] == "info"


def test_a_record_of_the_whole_catches_tokens_and_hours(record: Path) -> None:
    watched(record)
    assert worked(record.parent, f"tokens = {TOKENS}").runs[0].verdict is not Verdict.INCONSISTENT
    lie = worked(record.parent, f"tokens = {3 * TOKENS}")
    assert lie.runs[0].verdict is Verdict.INCONSISTENT
    # Three times the hours of a command that was watched to its end, on all of its devices.
    hours = f"accelerator_count = 2\naccelerator_hours = {3 * 2 * SECONDS / 3600}"
    report = worked(record.parent, f"{hours}\ntokens = {TOKENS}")
    assert codes(report)["device-time-mismatch"] == "warning"
    # One launch of three, or a lie: the stated 240 s stand, and the audit asks.
    assert report.runs[0].figures.device_seconds.quantity.best == pytest.approx(240, rel=0.03)
    assert report.runs[0].verdict is Verdict.NEEDS_EXPLANATION

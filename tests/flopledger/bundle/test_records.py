"""Run folders: sealed, checked bare, and summed up again."""

import datetime as dt
import json
from pathlib import Path

import pytest

from flopledger import bundle
from flopledger.bundle import BundleError, statement, summary
from flopledger.commands import main
from tests.flopledger.bundle import attacks
from tests.flopledger.bundle.test_seal_and_verify import _forge

START = dt.datetime(2026, 1, 1)


def smi_csv(path: Path, devices: list[str], *, start: int = 0, seconds: int = 60) -> Path:
    """Write what nvidia-smi logs once a second, a line a device."""
    rows = ["timestamp, uuid, name, utilization.gpu [%], power.draw [W]"]
    for second in range(start, start + seconds + 1):
        stamp = (START + dt.timedelta(seconds=second)).strftime("%Y/%m/%d %H:%M:%S.000")
        rows += [f"{stamp}, {uuid}, NVIDIA H100 80GB HBM3, 90 %, 650.00 W" for uuid in devices]
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.fixture
def record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """Give a run's folder of two devices over a minute."""
    folder = tmp_path / "run"
    csv = smi_csv(tmp_path / "smi.csv", ["GPU-aaaaaaaa-1", "GPU-bbbbbbbb-2"])
    assert main(["import", str(csv), "--out", str(folder)]) == 0
    capsys.readouterr()
    return folder


@pytest.fixture
def sealed_record(record: Path, key: bundle.PrivateKey, tmp_path: Path) -> Path:
    out = tmp_path / "record.zip"
    bundle.seal_record(record, keys=[key], out=out)
    return out


def test_a_record_sealed_twice_is_the_same(
    record: Path, sealed_record: Path, key: bundle.PrivateKey, tmp_path: Path
) -> None:
    bundle.seal_record(record, keys=[key], out=tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == sealed_record.read_bytes()


def test_the_summary_of_a_record(sealed_record: Path, key: bundle.PrivateKey) -> None:
    checked = bundle.verify(sealed_record, trusted=[key.public], recompute=True)
    assert checked.exit_code == 0
    assert checked.recomputed is not None
    assert checked.recomputed.same
    assert checked.summary is not None
    (run,) = checked.summary["runs"]
    # The first sample of each device speaks for no time: 2 devices x 60 s.
    assert run["device_seconds"]["best"] == 120.0
    began = START.replace(tzinfo=dt.UTC).timestamp()
    assert [one["windows"] for one in run["devices"]] == [[[began, began + 60]]] * 2
    assert run["flop"] is None
    assert "GPU-aaaa" not in json.dumps(checked.summary)


def test_a_bare_folder_is_checked(record: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(record)]) == 0
    journal = next(record.glob("telemetry/*/journal.jsonl"))
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text(lines[0].replace('"seq": 0', '"seq": 0, "more": 1') + "".join(lines[1:]))
    capsys.readouterr()
    assert main(["verify", str(record), "--json"]) == 1
    (problem,) = json.loads(capsys.readouterr().out)["problems"]
    assert problem["code"] == "chain"
    assert "line 2" in problem["message"]


def test_an_altered_record_is_not_sealed(
    record: Path, key: bundle.PrivateKey, tmp_path: Path
) -> None:
    samples = next(record.glob("telemetry/*/samples-*.parquet"))
    samples.write_bytes(samples.read_bytes()[:-1] + b"x")
    with pytest.raises(BundleError, match="digest-mismatch"):
        bundle.seal_record(record, keys=[key], out=tmp_path / "x.zip")


def test_a_broken_chain_inside_a_good_seal_is_found(
    sealed_record: Path, key: bundle.PrivateKey
) -> None:
    """Whoever holds the key can seal an edited record; the chain inside still tells."""
    files = dict(attacks.files_of(sealed_record.read_bytes()))
    name = next(name for name in files if name.endswith("journal.jsonl"))
    lines = files[name].splitlines(keepends=True)
    _forge(sealed_record, key, {name: b"".join([lines[0], *lines[2:]])})
    found = bundle.verify(sealed_record, trusted=[key.public])
    assert found.exit_code == 1
    assert {problem.code for problem in found.problems} == {"chain"}
    assert "changed, dropped or inserted" in found.problems[0].message


def test_a_false_sum_is_caught(sealed_record: Path, key: bundle.PrivateKey) -> None:
    files = dict(attacks.files_of(sealed_record.read_bytes()))
    told = json.loads(files[statement.SUMMARY])
    told["runs"][0]["device_seconds"] = {"low": 60.0, "best": 60.0, "high": 60.0}
    _forge(sealed_record, key, {statement.SUMMARY: json.dumps(told).encode()})
    checked = bundle.verify(sealed_record, recompute=True)
    assert checked.exit_code == 1
    assert checked.recomputed is not None
    assert checked.recomputed.differences[0].place == "runs[0].device_seconds.best"


def test_a_secret_audit_id_hides_hosts_and_can_still_be_recomputed(
    record: Path, key: bundle.PrivateKey, tmp_path: Path
) -> None:
    from flopledger.bundle.sealing import Choices

    out = tmp_path / "x.zip"
    bundle.seal_record(
        record, keys=[key], out=out, choices=Choices(audit_id="0123456789abcdef", site="north")
    )
    checked = bundle.verify(out, recompute=True)
    assert checked.exit_code == 0
    assert checked.recomputed is not None
    assert checked.recomputed.same


def test_step_ledgers_are_checked_too(record: Path, key: bundle.PrivateKey, tmp_path: Path) -> None:
    from profilers.steps.record.ledger import StepLedger

    ledger = StepLedger.create(record)
    ledger.resume(7, "explicit")
    ledger.seal("finished", 0)
    out = tmp_path / "x.zip"
    bundle.seal_record(record, keys=[key], out=out)
    assert bundle.verify(out).ok
    (path,) = record.glob("steps/*/ledger.jsonl")
    text = path.read_text()
    assert text.count('"step": 7') == 1
    path.write_text(text.replace('"step": 7', '"step": 8'))
    with pytest.raises(BundleError, match=r"steps/rank=.*/ledger\.jsonl: broken-chain"):
        bundle.seal_record(record, keys=[key], out=out)


def test_a_counted_run_tells_its_flop(record: Path, key: bundle.PrivateKey, tmp_path: Path) -> None:
    (record / "summary.json").write_text(json.dumps({"model_flop": 4.2e15, "flop_bounds": None}))
    out = tmp_path / "x.zip"
    bundle.seal_record(record, keys=[key], out=out)
    told = bundle.verify(out, recompute=True)
    assert told.summary is not None
    assert told.summary["runs"][0]["flop"] == {"low": 4.2e15, "best": 4.2e15, "high": 4.2e15}
    assert told.exit_code == 0


@pytest.mark.parametrize("figure", ["NaN", "-1", "1e300", '"much"'])
def test_an_impossible_figure_of_the_recorder_is_no_figure(
    figure: str, record: Path, key: bundle.PrivateKey, tmp_path: Path
) -> None:
    (record / "summary.json").write_text(f'{{"model_flop": {figure}}}')
    out = tmp_path / "x.zip"
    try:
        bundle.seal_record(record, keys=[key], out=out)
    except BundleError:
        return
    told = bundle.verify(out).summary
    assert told is not None
    assert told["runs"][0]["flop"] is None


def test_a_folder_that_is_no_record(tmp_path: Path, key: bundle.PrivateKey) -> None:
    with pytest.raises(BundleError, match="no run's record"):
        bundle.seal_record(tmp_path, keys=[key], out=tmp_path / "x.zip")
    with pytest.raises(BundleError, match="no run's record"):
        bundle.verify(tmp_path)


def test_identities_need_a_long_secret() -> None:
    with pytest.raises(BundleError, match="16 or more"):
        summary.Identities("short")


def test_an_attempt_whose_beginning_is_elsewhere_is_asked_about(
    key: bundle.PrivateKey, tmp_path: Path
) -> None:
    """Ten steps, then ten after the sixth, each sealed by itself: 20 in the sum, of which 16 stand."""
    from tests.injection.ledgers import process

    paths = []
    for name, more in (
        ("first", {"seal": None, "pid": 1}),
        ("second", {"at": 60, "up": 65, "first": 7, "resume": 6, "pid": 2}),
    ):
        process(tmp_path / name, steps=10, **more)
        (tmp_path / name / "summary.json").write_text(json.dumps({"model_flop": 3000}))
        paths.append(tmp_path / f"{name}.zip")
        bundle.seal_record(tmp_path / name, keys=[key], out=paths[-1])
    told = bundle.verify(paths[1], recompute=True).summary
    assert told is not None
    assert told["runs"][0]["goes_on_after"] == 6
    done = bundle.merge(paths, out=tmp_path / "both.zip")
    assert done.total is not None
    assert done.total.best == 6000
    assert [one["code"] for one in done.result["findings"]].count("attempts-apart") == 1
    assert done.result["verdict"] == "needs-explanation"
    alone = bundle.merge(paths[1:], out=tmp_path / "one.zip")
    assert "attempts-apart" not in [one["code"] for one in alone.result["findings"]]

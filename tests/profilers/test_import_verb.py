"""``flopledger import``: all files or nothing, and what was read can be read back and verified."""

import io
import json
import sys
from datetime import UTC
from pathlib import Path

import numpy as np
import pytest

from flopledger.commands import main
from profilers.importers import (
    Options,
    collect,
    import_files,
    into,
    open_recording,
    pieces,
    segments,
)
from profilers.importers.errors import ImportFormatError
from profilers.record import read_record, verify
from profilers.trace import DeviceKey

from .test_import_fuzz import SAMPLES

FIXTURES = Path(__file__).parent / "fixtures"
WANDB, MLFLOW = str(FIXTURES / "run-fixture.wandb"), str(FIXTURES / "mlflow-run")
UUID = "GPU-0a1b2c3d-0000-1111-2222-333344445550"


def smi(path, rows=40, start=0, header=True, power=lambda i: f"{100 + i}.25 W"):
    lines = ["timestamp, uuid, power.draw [W], utilization.gpu [%]"] if header else []
    lines += [
        f"2026/01/01 00:{(start + i) // 60:02d}:{(start + i) % 60:02d}.500, {UUID}, {power(i)}, 50 %"
        for i in range(rows)
    ]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def test_json_answer_and_the_record(tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["import", WANDB, MLFLOW, "--out", str(out), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["schema"] == "flopledger/import/1"
    assert [one["format"] for one in answer["imported"]] == ["wandb", "mlflow"]
    assert answer["imported"][0]["samples"] == 12
    assert len(answer["imported"][0]["sha256"]) == 64
    assert answer["skipped"] == []
    assert verify(out) == []
    trace = read_record(out)
    assert DeviceKey(uuid="node-a/gpu0") in trace.devices
    assert "sampled-pair" in {event.kind for event in trace.events}


def test_the_record_holds_what_the_importer_read(tmp_path):
    path = smi(tmp_path / "a.csv", power=lambda i: "[N/A]" if i % 7 == 3 else f"{i}.123 W")
    options = Options(zone=UTC)
    _, recording = open_recording(Path(path), options)
    expected = collect([recording]).devices[DeviceKey(uuid=UUID)]
    import_files([path], tmp_path / "run", options)
    seen = read_record(tmp_path / "run").devices[DeviceKey(uuid=UUID)]
    assert np.array_equal(seen.time_ns, expected.time_ns)
    assert np.array_equal(seen.period_ns, expected.period_ns)
    assert np.array_equal(seen.wall_ns, expected.time_ns)
    for name in expected.series:
        for row in range(len(expected)):
            one, two = seen.reading(name, row), expected.reading(name, row)
            assert getattr(one, "reason", one) == getattr(two, "reason", two), (name, row)
    # 3 is missing; 4.123 W is 4123 mW, and nothing became 0
    assert seen.reading("power_mw", 4) == 4123


@pytest.mark.parametrize("kind", SAMPLES)
def test_a_record_of_each_format_holds_its_figures(tmp_path, kind):
    # Formats whose figures are all fractions (CodeCarbon's kWh) had no column of a record to go to.
    path = tmp_path / "file"
    sample = SAMPLES[kind]
    path.write_bytes(sample.encode() if isinstance(sample, str) else sample)
    options = Options(zone=UTC, node="n1")
    expected = collect([open_recording(path, options)[1]])
    import_files([str(path)], tmp_path / "run", options)
    seen = read_record(tmp_path / "run")
    assert list(seen.devices) == list(expected.devices)
    for key, device in expected.devices.items():
        for name in device.series:
            for row in range(len(device)):
                one, two = seen.devices[key].reading(name, row), device.reading(name, row)
                assert getattr(one, "reason", one) == getattr(two, "reason", two), (name, row)


def test_one_file_not_understood_writes_nothing(tmp_path, capsys):
    out = tmp_path / "run"
    strange = tmp_path / "strange.txt"
    strange.write_text("what is this\n")
    late = smi(tmp_path / "late.csv")
    Path(late).write_text(
        Path(late).read_text() + "2026/01/01 00:59:00.000, nonsense, 1 W, 1 %\n" * 2
    )
    for bad in (str(strange), late, str(tmp_path / "missing")):
        assert main(["import", WANDB, bad, "--out", str(out)]) == 2
        said = capsys.readouterr().err
        assert said.startswith("error: ")
        assert Path(bad).name in said
        assert "Traceback" not in said
        assert sorted(p.name for p in tmp_path.iterdir()) == ["late.csv", "strange.txt"]


def test_skip_unknown_reads_the_rest_and_says_what_was_left(tmp_path, capsys):
    out = tmp_path / "run"
    strange = tmp_path / "strange.txt"
    strange.write_text("what is this\n")
    code = main(["import", str(strange), WANDB, "--out", str(out), "--skip-unknown", "--json"])
    answer = json.loads(capsys.readouterr().out)
    assert code == 0
    assert [one["format"] for one in answer["imported"]] == ["wandb"]
    assert answer["skipped"][0]["file"] == str(strange)
    assert main(["import", str(strange), "--out", str(tmp_path / "b"), "--skip-unknown"]) == 2
    assert not (tmp_path / "b").exists()


def test_an_existing_record_is_refused_without_append(tmp_path, capsys):
    out = tmp_path / "run"
    first, second = smi(tmp_path / "1.csv"), smi(tmp_path / "2.csv", start=40)
    assert main(["import", first, "--out", str(out)]) == 0
    before = sorted(out.rglob("*"))
    assert main(["import", second, "--out", str(out)]) == 2
    assert "--append" in capsys.readouterr().err
    assert sorted(out.rglob("*")) == before
    assert main(["import", second, "--out", str(out), "--append"]) == 0
    trace = read_record(out).devices[DeviceKey(uuid=UUID)]
    assert len(trace) == 80  # one device, not two
    assert main(["import", first, "--out", str(out), "--append"]) == 2
    assert "counts once" in capsys.readouterr().err
    assert len((out / "imports.jsonl").read_text().splitlines()) == 2


def test_the_same_content_twice_in_one_call_counts_once(tmp_path, capsys):
    first = smi(tmp_path / "1.csv")
    again = tmp_path / "copy.csv"
    again.write_text(Path(first).read_text())
    assert main(["import", first, str(again), "--out", str(tmp_path / "run")]) == 2
    assert not (tmp_path / "run").exists()


def test_row_groups_and_new_columns_begin_new_segments(tmp_path, monkeypatch):
    """Small row groups; a device whose later blocks bring other types."""
    monkeypatch.setattr(segments, "ROW_GROUP", 50)
    monkeypatch.setattr(pieces, "PIECE_BYTES", 2000)
    path = smi(tmp_path / "a.csv", rows=300, power=lambda i: f"{i}.{'0' if i < 150 else '12345'} W")
    import_files([path], tmp_path / "run")
    seen = read_record(tmp_path / "run").devices[DeviceKey(uuid=UUID)]
    assert len(seen) == 300
    assert seen.reading("power_mw", 149) == 149_000
    assert seen.reading("power_mw", 150) == 150_123.45
    assert verify(tmp_path / "run") == []


def test_what_to_ask_of_a_server_is_an_option(tmp_path, monkeypatch, capsys):
    asked = {}

    def fetch(url, **stated):
        asked.update(stated, url=url)
        raise ImportFormatError("asked", file=url)

    monkeypatch.setattr(into, "fetch", fetch)
    span = ["--start", "2026-01-01T00:00:00Z", "--end", "2026-01-01T01:00:00Z", "--step", "15s"]
    more = ["--selector", 'Hostname="n1"', "--timeout", "120"]
    assert main(["import", "http://host:9090", "--out", str(tmp_path / "run"), *span, *more]) == 2
    assert (asked["selector"], asked["timeout_s"], asked["step_ns"]) == (
        'Hostname="n1"',
        120,
        15 * 10**9,
    )
    assert "asked" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--zone", "Mars/Olympus"], "no time zone"),
        (["--step", "soon"], "no duration"),
        (["--start", "tomorrow"], "no moment"),
        (["--start", "2026-01-01T00:00:00"], "no zone"),
        (
            ["--mapping", "nothing.toml"],
            "nothing.toml: the mapping file cannot be read: No such file",
        ),
    ],
)
def test_wrong_options(tmp_path, capsys, options, said):
    path = tmp_path / "own.csv"
    path.write_text("a,b\n1,2\n")
    assert main(["import", str(path), "--out", str(tmp_path / "run"), *options]) == 2
    assert said in capsys.readouterr().err


def test_help_shows_an_example(capsys):
    assert main(["import", "--help"]) == 0
    assert "Example: flopledger import" in capsys.readouterr().out


def by_index(path, rows, *, first=0, watts=100, stamp="2026/01/01 00:{m:02d}:{s:02d}.{ms:03d}"):
    """A log of two GPUs that are known by their number only."""
    lines = ["timestamp, index, power.draw [W], utilization.gpu [%]"]
    lines += [
        f"{stamp.format(m=i // 60, s=i % 60, ms=gpu)}, {gpu}, {watts + i % 50}.25 W, 50 %"
        for i in range(first, first + rows)
        for gpu in (0, 1)
    ]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


@pytest.mark.parametrize("rows", [5, 900])  # below and above the first 64 KiB
def test_a_log_that_has_grown_is_still_the_same_two_devices(tmp_path, rows):
    out = tmp_path / "run"
    import_files([by_index(tmp_path / "gpu.csv", rows)], out)
    before = read_record(out).devices
    import_files([by_index(tmp_path / "gpu.csv", 3 * rows)], out, append=True)
    after = read_record(out).devices
    assert set(after) == set(before)
    assert len(after) == 2
    assert {len(device) for device in after.values()} == {3 * rows}
    assert verify(out) == []


def test_both_copies_in_one_call(tmp_path):
    short, long = by_index(tmp_path / "a.csv", 5), by_index(tmp_path / "b.csv", 9)
    import_files([short, long], tmp_path / "run")
    assert len(read_record(tmp_path / "run").devices) == 2


@pytest.mark.parametrize(("first", "rows"), [(0, 20), (10, 40)])
def test_a_copy_that_nobody_can_place_is_refused(tmp_path, capsys, first, rows):
    """A shorter copy, or one whose beginning was rotated away."""
    out = tmp_path / "run"
    assert main(["import", by_index(tmp_path / "a.csv", 40), "--out", str(out)]) == 0
    other = by_index(tmp_path / "b.csv", rows, first=first)
    command = ["import", other, "--out", str(out), "--append"]
    assert main(command) == 2
    assert "repeats rows of a.csv" in capsys.readouterr().err
    assert len(read_record(out).devices) == 2
    assert main([*command, "--node", "n2"]) == 2  # the first is still of an unknown host


def test_two_hosts_of_one_minute_are_two_hosts(tmp_path):
    out = tmp_path / "run"
    import_files([by_index(tmp_path / "a.csv", 40)], out)
    import_files([by_index(tmp_path / "b.csv", 40, watts=101)], out, append=True)
    assert len(read_record(out).devices) == 4


def test_hosts_that_are_named_may_be_alike(tmp_path):
    out = tmp_path / "run"
    one, two = by_index(tmp_path / "a.csv", 40), by_index(tmp_path / "b.csv", 30)
    import_files([one], out, Options(node="n1"))
    import_files([two], out, Options(node="n2"), append=True)
    assert len(read_record(out).devices) == 4


def test_a_log_that_has_grown_keeps_the_host_it_was_given(tmp_path, capsys):
    out = tmp_path / "run"
    import_files([by_index(tmp_path / "a.csv", 5)], out, Options(node="n1"))
    grown = by_index(tmp_path / "a.csv", 9)
    assert main(["import", grown, "--out", str(out), "--append", "--node", "n2"]) == 2
    assert "with --node n1" in capsys.readouterr().err
    import_files([grown], out, append=True)
    assert {str(key) for key in read_record(out).devices} == {"n1/gpu0", "n1/gpu1"}


def test_a_place_that_cannot_be_written_is_named_as_it_was_given(tmp_path, monkeypatch):
    (tmp_path / "gpu.csv").write_text("timestamp, index, power.draw [W]\n")

    def refuse(**_):
        raise PermissionError(13, "Permission denied", str(tmp_path / ".out-x1y2"))

    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    with pytest.raises(ImportFormatError, match=r"/out: cannot be written \(Permission denied\)"):
        import_files([str(tmp_path / "gpu.csv")], tmp_path / "out")


def test_the_progress_on_a_terminal_is_gone_at_the_end(tmp_path, monkeypatch):
    """What is written over it afterwards must not stand behind it on one line."""
    from flopledger.commands.import_ import _Progress

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with _Progress() as progress:
        progress(str(tmp_path / "a\x1b[2Jlong.csv"), 1000)
        progress(str(tmp_path / "b.csv"), 5)
    shown = ""
    for line in screen.getvalue().split("\r"):
        shown = line + shown[len(line) :]
    assert "1,000 samples" in screen.getvalue()
    assert "\x1b" not in screen.getvalue()
    assert shown.strip() == ""

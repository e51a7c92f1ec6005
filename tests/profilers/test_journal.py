"""The journal: what goes in comes out, damage is named, a full disk is survived."""

import contextlib
import errno
import hashlib
import json
import os
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profilers import (
    SIGNALS,
    Device,
    DeviceKey,
    Event,
    Gap,
    Reason,
    Sample,
    Trace,
    Unavailable,
)
from profilers.clocks import ClockPair
from profilers.compact import compact, read_stream
from profilers.journal import Journal, node_folder
from profilers.ledger import LedgerError
from profilers.record import node_records, read_node_trace, read_record, verify

SECOND = 1_000_000_000
WALL = 1_800_000_000 * SECOND
ANCHOR = ClockPair(monotonic_ns=100 * SECOND, wall_ns=WALL)
GPU = DeviceKey(uuid="GPU-1")
UNSUPPORTED = Unavailable(reason=Reason.UNSUPPORTED, detail="nvmlDeviceGetFieldValues")
DEVICE = Device(key=GPU, name="H100", node="n1", missing={"ecc_corrected": UNSUPPORTED})


def journal(run: Path, node: str = "n1", boot: str = "b00tb00t-1") -> Journal:
    return Journal.open(run, node=node, boot=boot, anchor=ANCHOR)


def sample(second: float, **readings) -> Sample:
    return Sample(
        device=GPU,
        monotonic_ns=round((100 + second) * SECOND),
        wall_ns=WALL + round(second * SECOND) + 2000,
        period_ns=SECOND,
        readings=readings or {"power_mw": round(1000 * second)},
    )


def folder(run: Path) -> Path:
    return node_folder(run, "n1", "b00tb00t-1")


def test_what_goes_in_comes_out(tmp_path):
    book = journal(tmp_path)
    book.describe([DEVICE])
    rejected = Unavailable(reason=Reason.REJECTED, raw=255)
    lost = Unavailable(reason=Reason.LOST)
    book.sweep([sample(1, power_mw=700_000, gpu_util_permille=990, energy_mj=5)])
    book.sweep([sample(2, power_mw=lost, gpu_util_permille=rejected, energy_mj=lost)])
    gap = Gap(start_ns=WALL, end_ns=WALL + SECOND, reason="crashed", detail="signal 11")
    book.gap(gap)
    xid = Event(time_ns=WALL + 7, kind="xid", device=GPU, detail={"code": 79})
    book.event(xid)
    book.seal("end")
    trace = read_record(tmp_path)
    seen = trace.devices[GPU]
    assert seen.device == DEVICE
    # Axis: 1 s after the anchor; the wall clock said 2 us more.
    assert seen.time_ns.tolist() == [WALL + SECOND, WALL + 2 * SECOND]
    assert seen.wall_ns.tolist() == [WALL + SECOND + 2000, WALL + 2 * SECOND + 2000]
    assert seen.reading("power_mw", 0) == 700_000
    assert seen.reading("power_mw", 1) == lost
    assert seen.reading("gpu_util_permille", 1) == rejected
    assert seen.reading("ecc_corrected", 0) == UNSUPPORTED
    assert trace.gaps == (gap,)
    assert seen.events == (xid,)
    assert verify(tmp_path) == []


def test_compaction_changes_no_value_and_removes_the_stream(tmp_path):
    book = journal(tmp_path)
    book.describe([DEVICE])
    for second in range(1, 50):
        book.sweep([sample(second)])
    before = list(_rows(read_record(tmp_path)))
    book.rotate()
    book.sweep([sample(50)])
    answer = compact(folder(tmp_path), book.closed_segments())
    book.compacted(**answer)
    assert sorted(p.name for p in folder(tmp_path).glob("samples*")) == [
        "samples-000001.parquet",
        "samples-000002.arrows",
    ]
    book.seal("end")
    after = list(_rows(read_record(tmp_path)))
    assert after[:49] == before
    assert len(after) == 50
    assert verify(tmp_path) == []
    # Standard tools see plain columns.
    table = pq.read_table(folder(tmp_path) / "samples-000001.parquet", partitioning=None)
    assert table.column("power_mw").to_pylist()[:3] == [1000, 2000, 3000]
    assert table.column("time_us")[0].as_py() == (WALL + SECOND) // 1000


def _rows(trace: Trace):
    yield from trace.devices[GPU].samples()


@given(cut=st.integers(0, 6000), sweeps=st.integers(1, 12))
@settings(max_examples=40, deadline=None)
def test_a_torn_stream_costs_the_last_sweep_at_most(tmp_path_factory, cut, sweeps):
    run = tmp_path_factory.mktemp("torn")
    book = journal(run)
    book.describe([DEVICE])
    ends = []
    path = folder(run) / "samples-000001.arrows"
    for second in range(1, sweeps + 1):
        book.sweep([sample(second)])
        ends.append(path.stat().st_size)
    size = max(0, ends[-1] - cut)
    os.truncate(path, size)
    table, torn = read_stream(path)
    whole = sum(end <= size for end in ends)
    assert (table.num_rows if table is not None else 0) == whole
    # A cut exactly between two batches leaves no trace; any other is told with its offset.
    head = ends[0] - (ends[1] - ends[0] if sweeps > 1 else 0)
    clean = size in ends or (sweeps > 1 and size == head)
    if sweeps > 1:
        assert (torn is None) == clean
    if torn is not None and whole:
        assert torn == ends[whole - 1]


def test_every_altered_byte_is_found(tmp_path):
    book = journal(tmp_path)
    book.describe([DEVICE])
    book.sweep([sample(1)])
    book.event(Event(time_ns=WALL, kind="xid", detail={"code": 79}))
    book.seal("end")
    ledger = folder(tmp_path) / "journal.jsonl"
    original = ledger.read_bytes()
    ledger.write_bytes(original.replace(b'"code": 79', b'"code": 13'))
    broken = [p for p in verify(tmp_path) if p.code == "broken-chain"]
    assert broken
    number = original[: original.index(b'"code": 79')].count(b"\n") + 1
    assert broken[0].line == number + 1  # the line after it disagrees
    assert broken[0].file == str(ledger.relative_to(tmp_path))
    ledger.write_bytes(original)
    lines = original.splitlines(keepends=True)
    ledger.write_bytes(b"".join(lines[:3] + lines[4:]))
    assert any(p.code == "broken-chain" for p in verify(tmp_path))
    ledger.write_bytes(original)
    stream = folder(tmp_path) / "samples-000001.arrows"
    data = bytearray(stream.read_bytes())
    data[-40] ^= 1
    stream.write_bytes(data)
    (changed,) = verify(tmp_path)
    assert (changed.code, changed.file) == ("digest-mismatch", str(stream.relative_to(tmp_path)))
    assert hashlib.sha256(data).hexdigest() in changed.detail  # what is there, beside what was
    stream.unlink()
    assert [p.code for p in verify(tmp_path)] == ["missing-segment"]


def test_a_cut_ledger_is_continued_and_the_cut_is_told(tmp_path):
    book = journal(tmp_path)
    book.describe([DEVICE])
    book.sweep([sample(1)])
    book.seal("end")
    ledger = folder(tmp_path) / "journal.jsonl"
    os.truncate(ledger, ledger.stat().st_size - 9)
    again = journal(tmp_path)
    again.describe([DEVICE])
    again.sweep([sample(2)])
    again.seal("end")
    assert [p.code for p in verify(tmp_path)] == ["torn-tail"]
    assert len(read_record(tmp_path).devices[GPU]) == 2


def test_one_recorder_a_node(tmp_path):
    first = journal(tmp_path)
    with pytest.raises(LedgerError, match="another recorder"):
        journal(tmp_path)
    journal(tmp_path, node="n2").seal("end")  # another node does not mind
    first.seal("end")
    journal(tmp_path).seal("end")


def test_two_nodes_are_two_folders_and_one_trace(tmp_path):
    for node, uuid in (("n1", "GPU-1"), ("n2", "GPU-2")):
        book = journal(tmp_path, node=node)
        key = DeviceKey(uuid=uuid)
        book.describe([Device(key=key, node=node)])
        book.sweep(
            [
                Sample(
                    device=key,
                    monotonic_ns=101 * SECOND,
                    wall_ns=WALL,
                    period_ns=0,
                    readings={"power_mw": 1},
                )
            ]
        )
        book.seal("end")
    trace = read_record(tmp_path)
    assert {key.uuid: t.device.node for key, t in trace.devices.items()} == {
        "GPU-1": "n1",
        "GPU-2": "n2",
    }
    assert len(node_records(tmp_path)) == 2


def test_a_full_disk_is_survived_and_told(tmp_path, monkeypatch):
    book = journal(tmp_path)
    book.describe([DEVICE])
    book.sweep([sample(1)])
    real, full = os.write, [True]

    def write(descriptor: int, data: bytes) -> int:
        if full[0]:
            real(descriptor, data[:7])  # a part arrives before the disk is full
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", write)
    for second in range(2, 2 + 700):
        book.sweep([sample(second)])
    full[0] = False
    book.sweep([sample(800)])
    book.seal("end")
    trace = read_record(tmp_path)
    # 1 before, then 700 refused of which the newest 600 waited (one of them pushed out by the last
    # sweep's own arrival): 1 + 600 = 601 rows; 101 lost.
    times = ((trace.devices[GPU].time_ns - WALL) // SECOND).tolist()
    assert times == [1, *range(103, 702), 800]
    refused = [e for e in trace.events if e.kind == "disk-refused"]
    assert len(refused) == 1
    assert refused[0].detail["lost_sweeps"] == 101
    assert "No space left" in refused[0].detail["error"]
    assert verify(tmp_path) == []


def test_a_disk_that_is_full_from_the_beginning_costs_no_header(tmp_path, monkeypatch):
    real, full = os.write, [True]

    def write(descriptor: int, data: bytes) -> int:
        if full[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", write)
    book = journal(tmp_path)
    book.describe([DEVICE])
    for second in range(
        700
    ):  # more than may wait: the oldest of these go, and not what they are of
        book.event(Event(time_ns=WALL + second, kind="device-dark", device=GPU))
    full[0] = False
    book.sweep([sample(800)])
    book.seal("end")
    (record,) = node_records(tmp_path)
    assert (record.node, [str(key) for key in record.devices()]) == ("n1", ["GPU-1"])
    # 600 may wait: the header, the devices, and the newest 598 events, pushed on by the refusal's own word.
    events = [event for event in record.events() if event.kind == "device-dark"]
    assert (len(events), events[-1].time_ns) == (598, WALL + 699)
    assert verify(tmp_path) == []


def test_a_full_segment_is_closed_and_the_next_one_begins(tmp_path, monkeypatch):
    monkeypatch.setattr("profilers.journal.SEGMENT_BYTES", 8000)
    book = journal(tmp_path)
    book.describe([DEVICE])
    for second in range(1, 41):
        book.sweep([sample(second)])
    assert len(book.closed_segments()) >= 2
    book.seal("end")
    times = (read_record(tmp_path).devices[GPU].time_ns - WALL) // SECOND
    assert times.tolist() == list(range(1, 41))
    assert verify(tmp_path) == []


def test_a_read_only_folder_is_an_error_at_the_start(tmp_path):
    blocker = tmp_path / "file"
    blocker.write_text("")
    with pytest.raises(OSError):
        journal(blocker)


KILLED = """
import sys, time
from pathlib import Path
from tests.profilers.test_journal import DEVICE, journal, sample
book = journal(Path(sys.argv[1]))
book.describe([DEVICE])
second = 0
while True:
    second += 1
    book.sweep([sample(second)])
    print(second, flush=True)
    if second % 40 == 0:
        book.rotate()
"""


@pytest.mark.parametrize("pause", [0.0, 0.004, 0.011, 0.03])
def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path, pause):
    program = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    program.stdout.readline()
    with contextlib.suppress(subprocess.TimeoutExpired):
        program.wait(pause)
    program.kill()
    acknowledged = max([1, *(int(n) for n in program.stdout.read().split("\n")[:-1] if n)])
    program.wait()
    program.stdout.close()
    times = (read_record(tmp_path).devices[GPU].time_ns - WALL) // SECOND
    assert times.tolist()[:acknowledged] == list(range(1, acknowledged + 1))
    assert {p.code for p in verify(tmp_path)} <= {"unsealed", "torn-tail"}
    journal(tmp_path).seal("continued")


def test_the_ledger_is_plain_json_lines(tmp_path):
    book = journal(tmp_path)
    book.describe([DEVICE])
    book.seal("end")
    lines = (folder(tmp_path) / "journal.jsonl").read_text().splitlines()
    assert [json.loads(line)["kind"] for line in lines] == ["header", "devices", "seal"]


@pytest.mark.parametrize("limit", [20_000, 60_000])
def test_a_file_that_may_not_grow_is_followed_by_another(tmp_path, limit):
    """With a limit on the size of files, batches are divided and segments are closed early."""
    book = journal(tmp_path)
    book.describe([DEVICE])
    signals = [name for name in SIGNALS if name not in DEVICE.missing]
    rows = [("GPU-1", WALL // 1000 + at, 0, 1, [at] * len(signals), None) for at in range(400)]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        book.rows(signals, rows[:300])
        book.rows(signals, rows[300:])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    book.seal("end")
    assert len(read_record(tmp_path).devices[GPU]) == 400
    assert {p.code for p in verify(tmp_path)} <= {"torn-tail"}  # a segment's end mark may not fit
    assert len(list(folder(tmp_path).glob("*.arrows"))) > 1


def test_the_ledger_goes_on_while_samples_are_refused(tmp_path, monkeypatch):
    """A seal is written although the last samples do not fit; it says how many sweeps are lost."""
    book = journal(tmp_path)
    book.describe([DEVICE])
    book.sweep([sample(1)])

    def full(self, cells):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("profilers.journal.Segment.append", full)
    book.sweep([sample(2)])
    book.seal("end")
    (record,) = node_records(tmp_path)
    assert record.sealed
    assert record.entries[-1]["unwritten_sweeps"] == 1
    assert len(read_record(tmp_path).devices[GPU]) == 1


def test_a_kill_between_compaction_and_removal_leaves_no_sample_twice(tmp_path):
    """The next recorder compacts what is new, and not what lives in a Parquet file already."""
    book = journal(tmp_path)
    book.describe([DEVICE])
    for at in (1, 2):
        book.sweep([sample(at)])
        book.rotate()
    one, two = book.closed_segments()
    kept = (folder(tmp_path) / two).read_bytes()
    book.compacted(**compact(folder(tmp_path), [one, two]))
    (folder(tmp_path) / two).write_bytes(
        kept
    )  # as if it had been killed before it removed this one
    book._ledger.close()
    again = journal(tmp_path)
    again.describe([DEVICE])
    again.sweep([sample(3)])
    again.rotate()
    assert again.closed_segments() == ["samples-000003.arrows"]
    again.compacted(**compact(folder(tmp_path), again.closed_segments()))
    again.seal("stopped")
    rows = [pq.read_table(path).num_rows for path in sorted(folder(tmp_path).glob("*.parquet"))]
    assert rows == [2, 1]
    assert verify(tmp_path) == []


def test_a_stream_that_may_not_be_removed_costs_nothing(tmp_path, monkeypatch):
    book = journal(tmp_path)
    book.describe([DEVICE])
    book.sweep([sample(1)])
    book.rotate()

    def refused(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    answer = compact(folder(tmp_path), book.closed_segments())
    with monkeypatch.context() as patched:
        patched.setattr("pathlib.Path.unlink", refused)
        book.compacted(**answer)
    assert book.closed_segments() == []
    book.seal("stopped")
    assert verify(tmp_path) == []
    assert len(read_record(tmp_path).devices[GPU]) == 1


def test_a_partition_is_who_the_ledger_says_it_is(tmp_path):
    """Its printed form alone, ``GPU-1/3``, might as well be a whole device of that name."""
    part = DeviceKey(uuid="GPU-1", mig="3")
    book = journal(tmp_path)
    book.describe([replace(DEVICE, key=part)])
    book.sweep([replace(sample(1), device=part)])
    book.seal("stopped")
    trace = read_record(tmp_path)
    assert list(trace.devices) == [part]
    assert len(trace.devices[part]) == 1


@pytest.mark.parametrize("closed", [True, False])
def test_a_record_that_is_compacted_under_the_readers_eyes_is_read_whole(tmp_path, closed):
    """Two launches share a recorder: one ends and compacts while the other one reads its ledger."""
    book = journal(tmp_path)
    book.describe([DEVICE])
    book.sweep([sample(1)])
    if closed:
        book.rotate()
    (before,) = node_records(tmp_path)
    book.rotate()
    book.compacted(**compact(folder(tmp_path), book.closed_segments()))
    book.seal("stopped")
    assert len(read_node_trace(before).devices[GPU]) == 1
    # What somebody removed is gone, and no endless search.
    for path in folder(tmp_path).glob("*.parquet"):
        path.unlink()
    assert len(read_node_trace(before).devices[GPU]) == 0

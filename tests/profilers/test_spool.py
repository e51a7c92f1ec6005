"""Sweeps between two batches: nothing that was kept is lost, nothing foreign is believed."""

import json
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from profilers import Device, DeviceKey, Reason, Unavailable
from profilers.clocks import Axis, ClockPair
from profilers.journal import Journal
from profilers.record import read_record, verify
from profilers.recorder import take_over
from profilers.spool import SPOOL, Spool, read_spool, rows_of

SECOND = 1_000_000_000
WALL = 1_760_000_000 * SECOND
ANCHOR = ClockPair(monotonic_ns=100 * SECOND, wall_ns=WALL)
GPU = DeviceKey(uuid="GPU-1")
COLUMNS = ["power_mw", "energy_mj"]


def sweep(at: int, power: int | None = 300_000) -> bytes:
    absent = {} if power is not None else {"power_mw": ["lost", None, "", None]}
    row = [0, (100 + at) * SECOND, WALL + at * SECOND, SECOND, [power, at], absent]
    return json.dumps({"t": "sweep", "rows": [row]}).encode()


def begun(tmp_path):
    """A journal with one device and no samples, and a spool beside it."""
    book = Journal.open(tmp_path, node="n", boot="b", anchor=ANCHOR)
    missing = Unavailable(reason=Reason.UNSUPPORTED)
    from profilers import SIGNALS

    lacking = {name: missing for name in SIGNALS if name not in COLUMNS}
    book.describe([Device(key=GPU, missing=lacking)])
    spool = Spool(book.folder)
    spool.describe(COLUMNS, ["GPU-1"])
    return book, spool


def test_what_was_kept_is_read_after_a_kill_and_taken_over(tmp_path):
    book, spool = begun(tmp_path)
    book.rows(COLUMNS, rows_of(json.loads(sweep(1)), ["GPU-1"], book.axis, 2))
    for at in (1, 2, 3):  # 1 is in the journal already: killed between batch and clearing
        assert spool.keep(sweep(at, None if at == 3 else 300_000))
    book._ledger.close()  # what a kill does
    seen = read_record(tmp_path).devices[GPU]
    assert seen.series["energy_mj"].masked.tolist() == [1, 2, 3]
    assert [str(seen.reading("power_mw", row))[:3] for row in (0, 1)] == ["300", "300"]
    assert seen.reading("power_mw", 2).reason is Reason.LOST
    assert [p.code for p in verify(tmp_path)] == ["unsealed"]
    again = Journal.open(tmp_path, node="n", boot="b", anchor=ClockPair.now())
    take_over(again)
    Spool(again.folder).close()
    again.seal("stopped")
    assert not (again.folder / SPOOL).exists()
    after = read_record(tmp_path).devices[GPU]
    assert after.time_ns.tolist() == seen.time_ns.tolist()
    assert after.series["energy_mj"].masked.tolist() == [1, 2, 3]
    assert after.reading("power_mw", 2).reason is Reason.LOST
    assert verify(tmp_path) == []


def test_cleared_sweeps_are_gone_and_new_ones_follow(tmp_path):
    book, spool = begun(tmp_path)
    for at in (1, 2):
        spool.keep(sweep(at))
    spool.clear()
    assert spool.waiting == []
    spool.keep(sweep(3))
    columns, rows, torn = read_spool(book.folder, book.axis)
    assert (columns, torn) == (COLUMNS, None)
    assert [row[4] for row in rows] == [[300_000, 3]]
    spool.clear()
    spool.close()
    assert not (book.folder / SPOOL).exists()


@given(cut=st.integers(0, 2000), count=st.integers(1, 6))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_torn_end_costs_the_last_sweep_at_most(tmp_path_factory, cut, count):
    book, spool = begun(tmp_path_factory.mktemp("spool"))
    for at in range(1, count + 1):
        spool.keep(sweep(at))
    path = book.folder / SPOOL
    data = path.read_bytes()
    kept = len(data) - min(cut, len(sweep(count)) + 1)  # at most the last line
    path.write_bytes(data[:kept])
    _, rows, torn = read_spool(book.folder, book.axis)
    assert len(rows) == count - (cut > 0)
    # Cut exactly between two lines nothing is torn; else its good part is named.
    assert torn in {None, len(data) - len(sweep(count)) - 1}
    assert (torn is None) == (cut == 0 or cut >= len(sweep(count)) + 1)


@given(st.binary(max_size=300) | st.text(max_size=100).map(str.encode))
@settings(max_examples=100, deadline=None)
def test_foreign_bytes_are_no_samples(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("spool")
    (folder / SPOOL).write_bytes(data)
    _, rows, _ = read_spool(folder, Axis(ANCHOR))
    assert rows == []


def test_rows_that_do_not_fit_are_refused(tmp_path):
    book, spool = begun(tmp_path)
    spool.keep(sweep(1))
    short = [0, SECOND, SECOND, 0, [1], {}]
    spool.keep(json.dumps({"t": "sweep", "rows": [short]}).encode())
    spool.keep(sweep(2))
    _, rows, torn = read_spool(book.folder, book.axis)
    assert [row[4] for row in rows] == [[300_000, 1]]
    assert torn is not None


def test_a_sealed_record_has_no_spool(tmp_path):
    """Somebody puts samples beside a record that ended in order: they are named, not read."""
    book, spool = begun(tmp_path)
    book.rows(COLUMNS, rows_of(json.loads(sweep(1)), ["GPU-1"], book.axis, 2))
    book.seal("stopped")
    spool.keep(sweep(2))
    assert len(read_record(tmp_path).devices[GPU]) == 1
    (found,) = verify(tmp_path)
    assert (found.code, found.file) == ("unknown-segment", f"telemetry/{book.folder.name}/{SPOOL}")
    again = Journal.open(tmp_path, node="n", boot="b", anchor=ClockPair.now())
    take_over(again)
    again.seal("stopped")
    assert len(read_record(tmp_path).devices[GPU]) == 1


@pytest.mark.parametrize("taken", [None, 10])
def test_a_full_disk_is_refused_and_nothing_is_half_kept(tmp_path, monkeypatch, taken):
    book, spool = begun(tmp_path)
    assert spool.keep(sweep(1))
    write = os.write

    def full(descriptor, data):
        if taken is None:
            raise OSError(28, "No space left on device")
        return write(descriptor, data[:taken])

    monkeypatch.setattr(os, "write", full)
    assert not spool.keep(sweep(2))
    monkeypatch.setattr(os, "write", write)
    assert spool.keep(sweep(3))
    _, rows, torn = read_spool(book.folder, book.axis)
    assert [row[4][1] for row in rows] == [1, 3]
    assert torn is None
    assert len(spool.waiting) == 2


def test_a_spool_that_may_not_be_removed_is_emptied(tmp_path, monkeypatch):
    """A folder that turned read-only, by its rights or the disk's: the record is sealed all the same."""
    book, spool = begun(tmp_path)
    assert spool.keep(sweep(1))
    book.rows(COLUMNS, rows_of(json.loads(sweep(1)), ["GPU-1"], book.axis, 2))
    spool.clear()

    def refused(*_, **__):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr("pathlib.Path.unlink", refused)
        spool.close()
    assert (book.folder / SPOOL).stat().st_size == 0
    book.seal("stopped")
    assert verify(tmp_path) == []
    assert len(read_record(tmp_path).devices[GPU]) == 1

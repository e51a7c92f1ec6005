"""Following a record: the same newest word as reading all of it, with work that does not grow."""

import pytest

from flopledger.profiling.top_view import RecordFeed
from profilers import Device, DeviceKey, Sample, read_record
from profilers.clocks import ClockPair
from profilers.journal import Journal
from profilers.reading import Reason, Unavailable, is_number
from profilers.record import RecordError
from profilers.tail import ROWS, RecordTail
from profilers.values import Event

KEYS = [DeviceKey(uuid=f"GPU-{letter}") for letter in "ab"]
START = 1_767_225_600 * 10**9
S = 10**9


def journal(folder, node="n1"):
    made = Journal.open(
        folder, node=node, boot="b1", anchor=ClockPair(monotonic_ns=START, wall_ns=START)
    )
    made.describe([Device(key=key, node=node, name="NVIDIA H100 80GB HBM3") for key in KEYS])
    return made


def samples(number):
    """Two devices; the second one loses its power sensor every fifth sweep, and has a warm start."""
    lost = Unavailable(reason=Reason.LOST)
    at = START + number * S
    readings = [
        {"power_mw": 100_000 + number, "temperature_c": 40} if number % 7 == 0 else
        {"power_mw": 100_000 + number},
        {"power_mw": lost if number % 5 == 0 else 200_000 + number},
    ]  # fmt: skip
    return [
        Sample(device=key, monotonic_ns=at, wall_ns=at, period_ns=S, readings=told)
        for key, told in zip(KEYS, readings, strict=True)
    ]


def shown(feed, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)
    return {v.device.key: (dict(v.readings), dict(v.absent)) for v in feed.look().devices}


def newest(folder):
    """What all of the record says last, cell by cell."""
    found = {}
    for key, seen in read_record(folder).devices.items():
        last = seen.reading("power_mw", len(seen) - 1)
        temperatures = [seen.reading("temperature_c", row) for row in range(len(seen))]
        known = [t for t in temperatures if is_number(t)]
        readings = {"power_mw": last} if is_number(last) else {}
        absent = {} if is_number(last) else {"power_mw": last.reason.value}
        found[key] = (readings | ({"temperature_c": known[-1]} if known else {}), absent)
    return found


def test_each_look_shows_what_the_whole_record_says(tmp_path, monkeypatch):
    written, feed = journal(tmp_path), RecordFeed(tmp_path)
    for number in range(40):
        written.sweep(samples(number))
        if number % 3 == 0:
            assert shown(feed, monkeypatch) == newest(tmp_path)
        if number == 20:
            written.rotate()
            assert shown(feed, monkeypatch) == newest(tmp_path)
    written.seal("end")
    assert shown(feed, monkeypatch) == newest(tmp_path)
    # Somebody who comes late sees the same.
    assert shown(RecordFeed(tmp_path), monkeypatch) == newest(tmp_path)


def test_a_half_written_batch_waits(tmp_path):
    written, tail = journal(tmp_path), RecordTail(tmp_path)
    written.sweep(samples(1))
    assert [len(seen) for seen in tail.news().traces] == [1, 1]
    written.sweep(samples(2))
    (stream,) = tmp_path.glob("telemetry/node=*/samples-*.arrows")
    whole = stream.read_bytes()
    stream.write_bytes(whole[:-30])
    assert tail.news().traces == []
    stream.write_bytes(whole)
    assert [seen.time_ns[-1] for seen in tail.news().traces] == [START + 2 * S] * 2
    assert tail.news().traces == []


def test_events_and_devices_come_once(tmp_path):
    written, tail = journal(tmp_path), RecordTail(tmp_path)
    assert set(tail.news().devices) == set(KEYS)
    written.event(Event(time_ns=START, kind="xid", device=KEYS[0], detail={"code": 79}))
    assert [event.kind for event in tail.news().events] == ["xid"]
    assert not tail.news().events
    other = journal(tmp_path, node="n2")  # a second node joins
    other.sweep(samples(3))
    assert len(tail.news().traces) == 2


def test_no_record(tmp_path):
    with pytest.raises(RecordError, match="no run record here"):
        RecordTail(tmp_path).news()


def test_a_look_does_not_read_what_it_has_read(tmp_path):
    """However much is there, one more sweep is one more row for each device."""
    written, tail = journal(tmp_path), RecordTail(tmp_path)
    for number in range(600):
        written.sweep(samples(number))
    assert [len(seen) for seen in tail.news().traces] == [ROWS, ROWS]
    before = {place: node._ledger.at for place, node in tail._nodes.items()}
    written.sweep(samples(600))
    assert [len(seen) for seen in tail.news().traces] == [1, 1]
    assert {place: node._ledger.at for place, node in tail._nodes.items()} == before

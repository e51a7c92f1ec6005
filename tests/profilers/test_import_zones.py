"""Stamps that carry their zone are moments; those that do not keep their differences only."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profilers.importers import ImportFormatError, Options, collect, open_recording, stamps
from profilers.importers.recording import Clock
from profilers.importers.stamp_columns import civil_column
from profilers.importers.stamps import zone

TITLES = "timestamp, index, power.draw [W]"
MAPPING = """schema = "flopledger/mapping/1"
[time]
column = "when"
format = "civil"
[device]
index = "gpu"
[signals.power_mw]
column = "watts"
unit = "W"
"""


def outcome(tmp_path, text, **options):
    """Read strictly and in bulk; both must say the same."""
    path = tmp_path / "file"
    path.write_text(text)
    told = []
    for bulk in (False, True):
        try:
            _, recording = open_recording(path, Options(bulk=bulk, **options))
            trace = collect([recording])
        except ImportFormatError as error:
            told.append(str(error))
            continue
        times = [seen.time_ns.tolist() for seen in trace.devices.values()]
        told.append((recording.clock, "zone-unknown" in recording.findings.codes(), times))
    assert told[0] == told[1]
    return told[0]


def smi(*stamps):
    return "\n".join([TITLES, *(f"{stamp}, 0, 300.5 W" for stamp in stamps)]) + "\n"


@pytest.mark.parametrize(
    ("day", "behind"),
    [
        ("2026-07-23T12:00:{:02d}", "Z"),
        ("2026-07-23T12:00:{:02d}.123", "Z"),
        ("2026-07-23 12:00:{:02d}.123456", "+00:00"),
        ("2026-07-23 12:00:{:02d}", "+0200"),
        ("2026-07-23T12:00:{:02d}.5", "-07:30"),
        ("2026/07/23 12:00:{:02d}.123", " +05:30"),
    ],
)
def test_a_zone_behind_each_stamp(tmp_path, day, behind):
    stamps = [day.format(second) for second in range(5)]
    clock, unknown, times = outcome(tmp_path, smi(*(stamp + behind for stamp in stamps)))
    assert (clock, unknown) == (Clock.WALL, False)
    shift = "+00:00" if behind == "Z" else behind.strip()
    moments = [datetime.fromisoformat(stamp.replace("/", "-") + shift) for stamp in stamps]
    # Whole microseconds: datetime knows no more.
    assert [t // 1000 for t in times[0]] == [round(m.timestamp() * 10**6) for m in moments]


def test_a_written_zone_is_believed_before_a_stated_one(tmp_path):
    text = smi("2026-07-23T12:00:00+02:00", "2026-07-23T12:00:01+02:00")
    stated = outcome(tmp_path, text, zone=zone("America/New_York"))
    assert stated == outcome(tmp_path, text)


def test_the_offset_may_change_within_a_file(tmp_path):
    """The night when summer time ends: 02:59:59+02:00 is followed by 02:00:00+01:00."""
    text = smi("2026-10-25T02:59:59+02:00", "2026-10-25T02:00:00+01:00")
    _, _, ((first, second),) = outcome(tmp_path, text)
    assert second - first == 10**9


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [("Z", "", "has no zone and those above have one"), ("", "Z", "has a zone and those above")],
)
def test_half_of_the_stamps_without_a_zone(tmp_path, one, other, said):
    text = smi(f"2026-07-23T12:00:00{one}", f"2026-07-23T12:00:01{other}")
    assert said in outcome(tmp_path, text)
    assert outcome(tmp_path, text, zone=zone("UTC"))[0] is Clock.WALL  # stated: all are moments


def test_no_zone_stays_unknown(tmp_path):
    clock, unknown, _ = outcome(tmp_path, smi("2026-07-23T12:00:00", "2026-07-23T12:00:01"))
    assert (clock, unknown) == (Clock.LOCAL, True)


def test_a_table_of_ones_own(tmp_path):
    mapping = tmp_path / "map.toml"
    mapping.write_text(MAPPING)
    text = "when,gpu,watts\n2026-07-23T12:00:00Z,0,1\n2026-07-23T12:00:01Z,0,2\n"
    clock, unknown, _ = outcome(tmp_path, text, mapping=mapping)
    assert (clock, unknown) == (Clock.WALL, False)
    bare = text.replace("Z", "")
    assert outcome(tmp_path, bare, mapping=mapping)[:2] == (Clock.LOCAL, True)


@pytest.mark.parametrize("year", [1969, 2243, 2555, 9000])
def test_a_year_that_is_none_is_no_stamp(year):
    """9000 in nanoseconds leaves 64 bits, and came back as 1985."""
    text = f"{year}/01/01 00:00:00"
    assert civil_column(pa.array([text.encode()], pa.binary()), None) is None
    assert stamps.civil(text) is None


@given(data=st.data())
def test_columns_of_stamps_are_what_each_stamp_is(data):
    """Rows of one second are read once; what differs within them must not be lost by that."""
    places = data.draw(st.sampled_from([0, 1, 3, 9]))
    zone = data.draw(st.sampled_from([None, ZoneInfo("Europe/Berlin")]))
    rows = data.draw(st.integers(1, 12))
    begin = data.draw(st.datetimes(datetime(1971, 1, 2), datetime(2030, 1, 1)))
    told = []
    for _ in range(rows):
        begin += timedelta(seconds=data.draw(st.sampled_from([0, 0, 0, 1, 59, 86_400])))
        fraction = f".{data.draw(st.integers(0, 10**places - 1)):0{places}d}" if places else ""
        told.append(f"{begin:%Y/%m/%d %H:%M:%S}{fraction}")
    row = data.draw(st.integers(0, rows - 1))
    at = data.draw(st.integers(0, len(told[0]) - 1))
    spoil = data.draw(st.sampled_from(["", "", "-", " ", "T", "9", ",", "a", "6"]))
    told[row] = told[row][:at] + (spoil or told[row][at]) + told[row][at + 1 :]
    found = civil_column(pa.array([text.encode() for text in told], pa.binary()), zone)
    alone = [stamps.civil(text, zone) for text in told]
    if found is not None:
        assert [one and one[0] for one in alone] == found.tolist()
    elif not spoil:
        raise AssertionError(f"not read: {told}")

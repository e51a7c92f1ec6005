"""Tables: nvidia-smi, amd-smi, mapped CSV; the strict path, and the bulk path against it."""

import random
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profilers.importers import ImportFormatError, Options, collect, open_recording, pieces, units
from profilers.importers import bulk as bulk_module
from profilers.importers.stamps import zone
from profilers.reading import Reason, Unavailable, is_number
from profilers.trace import DeviceKey

UUID = "GPU-0a1b2c3d-0000-1111-2222-33334444555"
KEY = DeviceKey(uuid=UUID + "0")


def read(tmp_path, text, **options):
    path = tmp_path / "anything"
    path.write_text(text)
    _, recording = open_recording(path, Options(**options))
    trace = collect([recording])
    return trace, recording


def both(tmp_path, text, **options):
    """Read strictly and in bulk; they must agree; return the strict trace."""
    strict, first = read(tmp_path, text, bulk=False, **options)
    fast, second = read(tmp_path, text, bulk=True, **options)
    assert same(strict, fast)
    assert first.findings.codes() == second.findings.codes()
    return strict, first


def same(a, b):
    assert list(a.devices) == list(b.devices)
    for key in a.devices:
        one, two = a.devices[key], b.devices[key]
        assert one.device == two.device
        assert np.array_equal(one.time_ns, two.time_ns)
        assert np.array_equal(one.period_ns, two.period_ns)
        assert set(one.series) == set(two.series)
        for name in one.series:
            for row in range(len(one)):
                assert one.reading(name, row) == two.reading(name, row), (name, row)
    return True


SMI = "\n".join(
    [
        "timestamp, index, uuid, name, utilization.gpu [%], power.draw [W], "
        "clocks.current.sm [MHz], memory.used [MiB], memory.total [MiB], temperature.gpu, "
        "clocks_throttle_reasons.active, pstate",
        f"2026/03/07 00:20:37.071, 0, {UUID}0, NVIDIA H100 80GB HBM3, "
        "95 %, 612.34 W, 1980 MHz, 70123 MiB, 81559 MiB, 65, 0x0000000000000004, P0",
        f"2026/03/07 00:20:37.075, 1, {UUID}1, NVIDIA H100 80GB HBM3, "
        "0 %, [N/A], 345 MHz, 4 MiB, 81559 MiB, 30, 0x0000000000000001, P8",
        f"2026/03/07 00:20:38.071, 0, {UUID}0, NVIDIA H100 80GB HBM3, "
        "96 %, 613.00 W, 1965 MHz, 70123 MiB, 81559 MiB, 65, 0x0000000000000000, P0",
        f"2026/03/07 00:20:38.075, 1, {UUID}1, NVIDIA H100 80GB HBM3, "
        "0 %, [Unknown Error], 345 MHz, 4 MiB, 81559 MiB, 30, 0x0000000000000001, P8",
        "",
    ]
)


def test_nvidia_smi_with_units_by_hand(tmp_path):
    trace, recording = both(tmp_path, SMI, zone=UTC)
    assert recording.format == "nvidia-smi-csv"
    seen = trace.devices[KEY]
    when = datetime(2026, 3, 7, 0, 20, 37, 71000, tzinfo=UTC)
    assert seen.time_ns[0] == int(when.timestamp() * 1000) * 10**6
    assert seen.period_ns.tolist() == [0, 10**9]
    assert seen.reading("power_mw", 0) == 612_340
    assert seen.reading("gpu_util_permille", 0) == 950
    assert seen.reading("memory_used_bytes", 0) == 70123 * 2**20
    assert seen.reading("event_reasons", 0) == 4
    assert seen.device.memory_bytes == 81559 * 2**20
    assert seen.device.name == "NVIDIA H100 80GB HBM3"
    other = trace.devices[DeviceKey(uuid=UUID + "1")]
    assert other.reading("power_mw", 0).reason is Reason.UNSUPPORTED
    assert other.reading("power_mw", 1).reason is Reason.FAILED
    assert other.reading("gpu_util_permille", 0) == 0


def test_event_reasons_under_the_new_name_and_without_units(tmp_path):
    text = SMI.replace("clocks_throttle_reasons", "clocks_event_reasons")
    for unit in (" %", " W", " MHz", " MiB"):
        text = text.replace(unit + ",", ",")
    trace, recording = both(tmp_path, text)
    assert trace.devices[KEY].reading("power_mw", 1) == 613_000
    assert trace.devices[KEY].wall_ns is None  # no zone: nobody knows the date
    assert "zone-unknown" in recording.findings.codes()


def test_a_stated_zone_moves_local_stamps(tmp_path):
    utc, _ = both(tmp_path, SMI, zone=UTC)
    tokyo, _ = both(tmp_path, SMI, zone=zone("Asia/Tokyo"))
    moved = utc.devices[KEY].time_ns - tokyo.devices[KEY].time_ns
    assert moved.tolist() == [9 * 3600 * 10**9] * 2


def test_headers_may_repeat_and_tools_may_talk(tmp_path):
    header, *rows = SMI.splitlines(keepends=True)
    noise = "Unable to determine the device handle for GPU 0000:3B:00.0: GPU is lost.\n"
    text = header + "".join(rows[:2]) + header + noise + "".join(rows[2:])
    trace, recording = both(tmp_path, text)
    assert len(trace.devices[KEY]) == 2
    assert {"repeated-header", "tool-message"} <= recording.findings.codes()


def test_fields_of_drivers_from_590_on_are_known(tmp_path):
    header, *rows = SMI.splitlines()
    added = "power_smoothing.enabled, gpu.base.max [MHz], bbx.time_run, kmd_version"
    wide = [f"{header}, {added}", *(f"{row}, [N/A], 2520 MHz, 0, 610.57" for row in rows), ""]
    trace, _ = both(tmp_path, "\n".join(wide))
    assert same(trace, read(tmp_path, SMI)[0])


def test_the_newer_name_of_instant_power_is_power(tmp_path):
    newer, _ = both(tmp_path, SMI.replace("power.draw [W]", "gpu.power.draw.instant [W]"))
    assert same(newer, read(tmp_path, SMI)[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("power.draw [W], clocks.current.sm [MHz]", "clocks.current.sm [MHz], power.draw [W]"),
            "fit",
        ),
        (("power.draw [W]", "power.draw [kW]"), "is in kW"),
        (("power.draw [W]", "utilization.gpu [%]"), "twice"),
        ((", pstate", ""), "cells under a header"),
        (("2026/03/07 00:20:38.071", "07.03.2026 00:20:38"), "not a stamp"),
        (("612.34 W", "612,34 W"), "cells under a header"),
        (("612.34 W", "much"), "not a figure in W"),
        ((f"{UUID}0", "NVIDIA"), "not"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(tmp_path, change, message):
    text = SMI.replace(*change)
    for bulk in (True, False):
        with pytest.raises(ImportFormatError, match=message):
            read(tmp_path, text, bulk=bulk)


def test_a_shifted_header_without_units_is_refused(tmp_path):
    text = "timestamp, index, utilization.gpu [%], memory.used [MiB]\n" + "".join(
        f"2026/01/01 00:00:{s:02d}.000, 0, {70_000 + s}, 97\n" for s in range(20)
    )
    for bulk in (True, False):
        with pytest.raises(ImportFormatError, match="outside its physical range in 20 of 20"):
            read(tmp_path, text, bulk=bulk)


def test_one_impossible_reading_is_rejected_with_its_raw_figure(tmp_path):
    text = SMI.replace("95 %", "255 %")
    trace, _ = both(tmp_path, text)
    refused = trace.devices[KEY].reading("gpu_util_permille", 0)
    assert refused.reason is Reason.REJECTED
    assert refused.raw == 2550


def test_a_torn_tail_costs_one_row(tmp_path):
    for cut in (20, 5, 60):
        trace, recording = both(tmp_path, SMI[:-cut])
        assert len(trace.devices[KEY]) == 2
        assert "torn-tail" in recording.findings.codes() or cut == 5


def test_gaps_repeated_and_backward_stamps(tmp_path):
    seconds = [0, 1, 2, 3, 3, 4, 30, 31, 32, 29]
    text = "timestamp, index, power.draw [W]\n" + "".join(
        f"2026/01/01 00:00:{s:02d}.000, 0, {100 + i}.00\n" for i, s in enumerate(seconds)
    )
    trace, recording = both(tmp_path, text)
    seen = next(iter(trace.devices.values()))
    # 0 1 2 3 4 29 30 31 32: the first of two equal stamps is kept, the late row is put in order.
    assert (seen.time_ns - seen.time_ns[0]).tolist() == [
        s * 10**9 for s in (0, 1, 2, 3, 4, 29, 30, 31, 32)
    ]
    assert seen.reading("power_mw", 3) == 103_000
    assert recording.findings.codes() >= {"duplicate-lines", "backward-stamp"}
    # From 4 to 29 nobody looked: one second belongs to the sample at 29, 24 to the gap.
    assert seen.period_ns.tolist() == [0, *[10**9] * 8]
    assert [(g.end_ns - g.start_ns) // 10**9 for g in seen.gaps] == [24]
    assert seen.covered_seconds() == 8


def test_rows_without_a_device_are_one_device_and_said_to_be(tmp_path):
    text = "timestamp, power.draw [W]\n2026/01/01 00:00:00.000, 100.00 W\n"
    trace, recording = both(tmp_path, text, node="host-a")
    assert list(trace.devices) == [DeviceKey(uuid="host-a/gpu_")]
    assert "device-unnamed" in recording.findings.codes()


def test_two_unnamed_recordings_are_never_one_device(tmp_path):
    one, _ = both(
        tmp_path, "timestamp, index, power.draw [W]\n2026/01/01 00:00:00.000, 0, 1.00 W\n"
    )
    two, _ = both(
        tmp_path, "timestamp, index, power.draw [W]\n2026/01/01 00:00:00.000, 0, 2.00 W\n"
    )
    assert set(one.devices).isdisjoint(two.devices)


cells = st.one_of(
    st.integers(0, 2000).map(str),
    st.integers(-10, 2**65).map(str),
    st.floats(0, 2000).map(lambda x: f"{x:.2f}"),
    st.floats(0, 1).map(lambda x: f"{x:.6f}"),
    st.sampled_from(["[N/A]", "[Not Supported]", "[Unknown Error]", "[GPU is lost]", "-5", "1e3"]),
    st.sampled_from(["nonsense", "0x10", "nan", "inf", " 7 ", "+3", "1_000", "٣", "7 W"]),
)


@settings(max_examples=80, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 3), cells, cells, st.integers(0, 5)), min_size=1),
    units=st.booleans(),
    seed=st.integers(0, 99),
)
def test_bulk_equals_strict_on_random_tables(tmp_path_factory, rows, units, seed):
    """Both paths give the same readings, or both refuse."""
    moment = datetime(2026, 12, 31, 23, 59, 50, tzinfo=UTC)
    lines = ["timestamp, index, power.draw [W], utilization.gpu [%]"]
    for index, power, util, step in rows:
        moment += timedelta(milliseconds=100 * step + random.Random(seed).randrange(50))
        stamp = moment.strftime("%Y/%m/%d %H:%M:%S.") + f"{moment.microsecond // 1000:03d}"
        marks = (" W", " %") if units else ("", "")
        dress = [
            c if c.startswith("[") else c + m for c, m in zip((power, util), marks, strict=True)
        ]
        lines.append(f"{stamp}, {index}, {', '.join(dress)}")
    text = "\n".join(lines) + "\n"
    folder = tmp_path_factory.mktemp("random")
    outcomes = []
    for bulk in (False, True):
        try:
            outcomes.append(read(folder, text, bulk=bulk))
        except ImportFormatError as error:
            outcomes.append(str(error))
    strict, fast = outcomes
    if isinstance(strict, str) or isinstance(fast, str):
        assert strict == fast
        return
    assert same(strict[0], fast[0])


@pytest.mark.parametrize("bulk", [False, True])
def test_a_piece_of_one_absurd_row_is_no_shifted_header(tmp_path, monkeypatch, bulk):
    """How a file falls into pieces says nothing of its header; the row is refused, and the file read."""
    lines = ["timestamp, index, power.draw [W]"]
    for second, watts in enumerate((*(700,) * 40, 2**63)):
        lines.append(f"2026/01/01 00:00:{second:02d}.000, 0, {watts}")
    length = len(lines[-2]) + 1
    monkeypatch.setattr(pieces, "PIECE_BYTES", 40 * length - 1)  # the last row is a piece by itself
    trace, _ = read(tmp_path, "\n".join(lines) + "\n", bulk=bulk)
    (device,) = trace.devices.values()
    power = device.series["power_mw"]
    assert len(power) == 41
    assert [why.raw for why in power.palette] == [2**63 * 1000]  # milliwatts


@settings(max_examples=30, deadline=None)
@given(
    whole=st.lists(st.integers(0, 2**63), min_size=200, max_size=300),
    late=st.sampled_from(["7.25", "1e3", "+3", "[N/A]", "007", "-0", str(2**64), "12 W"]),
    at=st.integers(0, 199),
)
def test_a_column_that_is_whole_for_long(tmp_path_factory, whole, late, at):
    """Pieces are read as whole numbers until one shows otherwise: the readings do not tell."""
    words = [str(n if n % 3 else n % 700) for n in whole]
    words[at] = late
    lines = ["timestamp, index, power.draw [W], memory.used [MiB]"]
    for i, word in enumerate(words):
        stamp = f"2026/01/01 00:{i // 60:02d}:{i % 60:02d}.000"
        lines.append(f"{stamp}, 0, {word}, {i % 80}")
    folder = tmp_path_factory.mktemp("whole")
    outcomes = []
    for bulk in (False, True):
        try:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(pieces, "PIECE_BYTES", 1024)
                outcomes.append(read(folder, "\n".join(lines) + "\n", bulk=bulk))
        except ImportFormatError as error:
            outcomes.append(str(error))
    strict, fast = outcomes
    if isinstance(strict, str) or isinstance(fast, str):
        assert strict == fast
        return
    assert same(strict[0], fast[0])


def test_blocks_are_seamless(tmp_path, monkeypatch):
    """Many small blocks give what one block gives, line numbers of refusals included."""
    rng = random.Random(7)
    lines = ["timestamp, index, power.draw [W], utilization.gpu [%]"]
    for i in range(3000):
        power = "[N/A]" if rng.random() < 0.05 else f"{rng.uniform(50, 700):.2f} W"
        lines.append(
            f"2026/01/01 {i // 3600 % 24:02d}:{i // 60 % 60:02d}:{i % 60:02d}.000, 0, {power}, "
            f"{rng.randrange(101)} %"
        )
    text = "\n".join(lines) + "\n"
    strict, _ = read(tmp_path, text, bulk=False)
    monkeypatch.setattr(pieces, "PIECE_BYTES", 4096)
    fast, _ = read(tmp_path, text, bulk=True)
    assert same(strict, fast)
    lines[2500] = lines[2500].replace(" %", " apples")
    for bulk in (False, True):
        with pytest.raises(ImportFormatError, match=r":2501: column 'utilization\.gpu"):
            read(tmp_path, "\n".join(lines) + "\n", bulk=bulk)


def test_the_bulk_path_reads_clean_tables_by_itself(tmp_path, monkeypatch):
    """A comparison of two paths means nothing if the fast one always hands over to the other."""
    expected, _ = read(tmp_path, SMI, bulk=False)
    bare = SMI
    for unit in (" %", " W", " MHz", " MiB"):
        bare = bare.replace(unit + ",", ",")

    def never(*_, **__):
        raise AssertionError("the strict path was asked")

    monkeypatch.setattr(bulk_module, "rows", never)
    for text in (SMI, bare):
        fast, _ = read(tmp_path, text, bulk=True)
        assert list(fast.devices) == list(expected.devices)
        assert fast.devices[KEY].reading("power_mw", 1) == 613_000


def test_amd_smi_metric_and_monitor(tmp_path):
    text = (
        "timestamp,gpu,gfx_activity,umc_activity,mm_activity,vcn_activity,socket_power,gfx_0_clk,"
        "mem_0_clk,edge,hotspot,mem\n"
        "1789515524,0,0,0,N/A,\"['N/A', 'N/A']\",288,2402,2000,N/A,44,24\n"
        "1789515525,0,95,80,N/A,\"['N/A', 'N/A']\",1180,2100,2000,55,78,60\n"
    )
    trace, recording = both(tmp_path, text, node="amd1")
    seen = trace.devices[DeviceKey(uuid="amd1/gpu0")]
    assert recording.format == "amd-smi-csv"
    assert seen.device.vendor == "amd"
    assert seen.time_ns[0] == 1789515524 * 10**9
    assert [seen.reading("power_mw", i) for i in (0, 1)] == [288_000, 1_180_000]
    assert seen.reading("temperature_c", 1) == 78
    assert seen.reading("memory_temperature_c", 1) == 60
    monitor = "timestamp,gpu,xcp,power_usage,gfx,gfx_clk,mem\n1772939616,0,0,350,95,1980,40\n"
    trace, _ = both(tmp_path, monitor, node="amd1")
    seen = trace.devices[DeviceKey(uuid="amd1/gpu0")]
    assert seen.reading("gpu_util_permille", 0) == 950
    assert "memory_temperature_c" not in seen.series  # `mem` is a share in monitor's table


MAPPING = """
schema = "flopledger/mapping/1"
delimiter = ";"
[time]
column = "when"
format = "unix-ms"
[device]
index = "card"
node = "host"
[signals.power_mw]
column = "P"
unit = "kW"
[signals.tensor_activity_permille]
column = "tc"
unit = "ratio"
[signals.mma_cycles_active]
column = "mma"
unit = "cycles"
[missing]
"broken" = "failed"
"""


def test_own_csv_through_a_mapping(tmp_path):
    mapping = tmp_path / "map.toml"
    mapping.write_text(MAPPING)
    text = (
        "when;host;card;P;tc;note;mma\n"
        "1770000000123;h1;3;0.7;0.482613;x;9007199254740993\n"
        "1770000001123;h1;3;broken;0.5;y;9007199254740994\n"
    )
    trace, recording = both(tmp_path, text, mapping=mapping)
    seen = trace.devices[DeviceKey(uuid="h1/gpu3")]
    assert recording.format == "mapped-csv"
    assert seen.time_ns[0] == 1770000000123 * 10**6
    assert seen.reading("power_mw", 0) == 700_000
    assert seen.reading("power_mw", 1).reason is Reason.FAILED
    assert seen.reading("tensor_activity_permille", 0) == 482.613
    # Beyond 2^53: a float would lose the last bit of a cycle counter.
    assert seen.reading("mma_cycles_active", 0) == 9007199254740993


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('unit = "kW"', 'unit = "MHz"', "cannot be recorded in"),
        ("signals.power_mw", "signals.power", "signals.power is unknown"),
        ('format = "unix-ms"', 'format = "guess"', "time.format"),
        ("[missing]", "[surprise]", "unknown key surprise"),
        ('column = "P"', 'column = "Q"', "lacks the mapped column 'Q'"),
        ('column = "P"', 'column = "tc"', "mapped twice"),
        ('"failed"', '"zero"', "one of"),
        ("flopledger/mapping/1", "mapping", "schema"),
        ("[time]", "[time", "no mapping file"),
    ],
)
def test_a_wrong_mapping_is_refused(tmp_path, old, new, message):
    mapping = tmp_path / "map.toml"
    mapping.write_text(MAPPING.replace(old, new))
    text = "when;host;card;P;tc;note;mma\n1770000000123;h1;3;0.7;0.5;x;1\n"
    with pytest.raises(ImportFormatError, match=message):
        read(tmp_path, text, mapping=mapping)


def test_missing_cells_are_never_zero(tmp_path):
    text = "timestamp, index, power.draw [W]\n2026/01/01 00:00:00.000, 0, \n"
    trace, _ = both(tmp_path, text)
    reading = next(iter(trace.devices.values())).reading("power_mw", 0)
    assert isinstance(reading, Unavailable)


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.floats(-1e6, 1e12).map(lambda x: f"{x:.3f}"),
        st.integers(0, 2**70).map(str),
        st.floats(0, 1).map(repr),
        st.text("0123456789.eE+-", max_size=12),
    ),
    st.sampled_from([("power_mw", "W"), ("sm_activity_permille", "ratio"), ("energy_mj", "J")]),
)
def test_the_quick_reader_reads_what_the_exact_one_reads(text, what):
    """Beyond its sixth decimal a figure may fall either way; nowhere else."""
    exact, quick = units.reading(*what[:1], text, what[1]), units.reader(*what)(text)
    if text.strip() in units.MISSING:
        assert quick is None
    elif is_number(exact) if exact is not None else False:
        assert quick == pytest.approx(exact, rel=1e-15, abs=1.1e-6)
    else:
        assert getattr(quick, "reason", quick) == getattr(exact, "reason", exact)


@pytest.mark.parametrize("figure", ["1e400", "9" * 40, "1e30", "-1e25"])
def test_figures_beyond_any_counter_are_rejected(tmp_path, figure):
    text = f"timestamp, index, power.draw [W]\n2026/01/01 00:00:00.000, 0, {figure}\n" + "".join(
        f"2026/01/01 00:00:0{s}.000, 0, 1.00\n" for s in range(1, 5)
    )
    trace, _ = both(tmp_path, text)
    assert next(iter(trace.devices.values())).reading("power_mw", 0).reason is Reason.REJECTED


@pytest.mark.parametrize("stamp", ["9999/01/01 00:00:00.000", "1969/12/31 00:00:00.000"])
def test_stamps_that_nobody_recorded_are_refused(tmp_path, stamp):
    text = f"timestamp, index, power.draw [W]\n{stamp}, 0, 1.00\n"
    for bulk in (True, False):
        with pytest.raises(ImportFormatError, match="not a stamp"):
            read(tmp_path, text + "2026/01/01 00:00:00.000, 0, 1.00\n", bulk=bulk)


def test_lines_of_any_length_and_end(tmp_path, monkeypatch):
    from profilers.importers import opened

    monkeypatch.setattr(opened, "_CHUNK", 7)
    path = tmp_path / "lines"
    text = "first\r\n\nthird, longer than a chunk\nünïcode 1\u2028same line\nlast"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    found = list(opened.open_file(path).text_lines())
    expected = ["first", "", "third, longer than a chunk", "ünïcode 1\u2028same line", "last"]
    assert found == list(enumerate(expected, start=1))
    monkeypatch.setattr(opened, "MAX_LINE", 10)
    with pytest.raises(ImportFormatError, match="longer than"):
        list(opened.open_file(path).text_lines())

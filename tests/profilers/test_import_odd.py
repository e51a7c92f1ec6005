"""Files as they come: each odd one against an integral worked out by hand, or refused with the reason.

The hand integral is the plainest one: a sample's power times the seconds since the sample before it.
"""

import bz2
import itertools
import json
from datetime import datetime

import pytest

from profilers.importers import ImportFormatError, Options, collect, open_recording
from profilers.reading import Unavailable, is_number

UUID = "GPU-0a1b2c3d-0000-1111-2222-33334444555"
TITLES = ("timestamp", "index", "uuid", "power.draw [W]", "utilization.gpu [%]")


def row(second, gpu=0, watts="300.00 W", util="90 %"):
    return [f"2026/07/23 12:00:{second:02d}.000", str(gpu), f"{UUID}{gpu}", watts, util]


def table(rows, titles=TITLES, between=", ", end="\n"):
    return end.join(between.join(cells) for cells in [titles, *rows]) + end


def outcome(tmp_path, text, *, bulk, **options):
    path = tmp_path / "file"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    try:
        _, recording = open_recording(path, Options(bulk=bulk, **options))
        trace = collect([recording])
    except ImportFormatError as error:
        return str(error)
    joules = {}
    for key, seen in trace.devices.items():
        watts = [seen.reading("power_mw", r) for r in range(len(seen))]
        joules[str(key).split("/")[-1]] = sum(
            w / 1000 * int(p) / 1e9
            for w, p in zip(watts, seen.period_ns, strict=True)
            if is_number(w)
        )
    return joules, recording.findings.codes()


def joules_of(tmp_path, text, **options):
    strict = outcome(tmp_path, text, bulk=False, **options)
    assert strict == outcome(tmp_path, text, bulk=True, **options)
    return strict


def by_hand(rows):
    """Watts times the seconds since the device's row before; nothing for the first one."""
    joules = {}
    for gpu, own in itertools.groupby(sorted(rows, key=lambda r: (r[2], r[0])), lambda r: r[2]):
        total, before = 0.0, None
        for stamp, _, _, watts, _ in own:
            now = datetime.strptime(stamp, "%Y/%m/%d %H:%M:%S.%f")
            if before is not None and watts.rstrip(" W").replace(".", "").isdigit():
                total += float(watts.rstrip(" W")) * (now - before).total_seconds()
            before = now
        joules[gpu] = total
    return joules


EVEN = [row(s, gpu, f"{300 + 7 * s + gpu}.50 W") for s in range(10) for gpu in (0, 1)]
WITHOUT = [row(s, 0, word) for s, word in enumerate(["300.00 W", "[N/A]", "310.25 W", "320 W"])]
LOST = [row(s, 0, "300 W" if s < 4 else "[GPU is lost]", "[GPU is lost]") for s in range(9)]


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        (EVEN, table(EVEN)),
        (EVEN, table(EVEN, between=",")),
        (EVEN, table(EVEN, between=";")),
        (EVEN, table(EVEN, between="\t")),
        (EVEN, table(EVEN, end="\r\n")),
        (EVEN, "\ufeff" + table(EVEN, end="\r\n")),
        (EVEN, table(EVEN).replace("/", "-").replace(" 12:", "T12:")),
        (EVEN, table(EVEN).rstrip("\n")),
        (EVEN, table(EVEN).replace(" W,", ",").replace(" %", "").replace("l.gpu", "l.gpu [%]")),
        (EVEN, table(EVEN[:7]) + table(EVEN[7:])),  # put together, the header in between
        (EVEN, table([[f'"{c}"' for c in r] for r in EVEN], [f'"{t}"' for t in TITLES], ",")),
        (EVEN, table([r[::-1] for r in EVEN], TITLES[::-1])),
        (EVEN, table([*EVEN, EVEN[-1][:3]])),  # cut short in the last row
        (EVEN, table([r for r in EVEN for _ in (0, 1)])),  # each row twice
        (EVEN, table(sorted(EVEN, key=lambda r: r[2]))),  # one device after the other
        (EVEN, table([EVEN[0], *EVEN[:0:-1]])),  # newest first
        (EVEN, table(EVEN).replace("\n", "\n\n")),
        (WITHOUT, table(WITHOUT)),
        (WITHOUT, table(WITHOUT).replace("[N/A]", "[Unknown Error]")),
        (WITHOUT, table(WITHOUT).replace("[N/A]", "[Not Supported]")),
        (WITHOUT, table(WITHOUT).replace("[N/A]", "")),
        (LOST, table(LOST)),
    ],
)
def test_nvidia_smi_against_a_hand_integral(tmp_path, rows, text):
    joules, _ = joules_of(tmp_path, text)
    assert joules == pytest.approx(by_hand(rows))


def test_mixed_intervals_have_gaps(tmp_path):
    """Every second, then every five: beyond 2.5 usual spacings a sample speaks for one of them."""
    seconds = [0, 1, 2, 3, 4, 5, 6, 7, 12, 17, 18]
    rows = [row(s) for s in seconds]
    # 7 s by seconds, two gaps of which one second each is spoken for, one second: 10 s of 300 W.
    assert joules_of(tmp_path, table(rows))[0] == {UUID + "0": pytest.approx(300 * (7 + 1 + 1 + 1))}


def test_one_uuid_under_two_numbers_is_one_device(tmp_path):
    rows = [cells for s in range(6) for cells in (row(s), [*row(s)[:1], "1", *row(s)[2:]])]
    joules, codes = joules_of(tmp_path, table(rows))
    assert joules == {UUID + "0": pytest.approx(300 * 5)}
    assert "duplicate-lines" in codes


def test_devices_by_number_only(tmp_path):
    rows = [[cells[0], cells[1], *cells[3:]] for cells in EVEN]
    joules, _ = joules_of(tmp_path, table(rows, [TITLES[0], TITLES[1], *TITLES[3:]]))
    expected = by_hand(EVEN)
    assert joules == pytest.approx({f"gpu{key[-1]}": value for key, value in expected.items()})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (table([row(1, 0, "300,50 W")], between=";"), "a decimal comma"),
        (table([row(1, 0, "1.300,50 W")], between=";"), "a decimal comma"),
        (
            table(EVEN[:4]) + table([r[::-1] for r in EVEN[4:]], TITLES[::-1]),
            ":6: another header begins here (column 1 is 'utilization.gpu [%]'",
        ),
        (table(EVEN[:4]) + table([r[:4] for r in EVEN[4:]], TITLES[:4]), "in the first one 'util"),
        (bz2.compress(table(EVEN).encode()), r"is compressed by bzip2 or xz; unpack it"),
        (table([row(1, 0, "0.3 kW")]), "is not a figure in W"),
        (table(EVEN, ["timestamp", "index", "uuid", "power.draw [mW]", TITLES[4]]), "in W"),
        (table([r[1:] for r in EVEN], TITLES[1:]), "no timestamp column"),
        (table([["1767225600", *row(1)[1:]]]), "is not a stamp"),
        ('[\n {\n  "device_name": "H100",\n  "gpu_clock": "1980MHz"\n }\n]\n', "nvtop's snapshot"),
        ('"Time","GPU 0"\n"2026-07-23 12:00:00",300.5\n', "Grafana exported"),
        ('"Time","DCGM_FI_DEV_POWER_USAGE{gpu=""0""}"\n2026-07-23 12:00:00,3 W\n', "Grafana"),
        ('{"resourceMetrics":[{"scopeMetrics":[]}]}', "OpenTelemetry"),
        (b"\xb4\x1f\x00\x0a\x8f\x01" + bytes(range(200)), "remote-write or remote-read"),
    ],
)
def test_refused_with_the_reason(tmp_path, text, said):
    told = joules_of(tmp_path, text)
    assert isinstance(told, str)
    assert said in told


LABELS = f'{{gpu="0",UUID="{UUID}0",Hostname="n1"}}'


def scrapes(stamps, name="DCGM_FI_DEV_POWER_USAGE", value="300.5"):
    return "".join(f"{name}{LABELS} {value} {stamp}\n" for stamp in stamps)


MS = range(1_700_000_000_000, 1_700_000_005_000, 1000)


@pytest.mark.parametrize(
    ("text", "joules", "code"),
    [
        (scrapes(MS), 4 * 300.5, None),
        (scrapes(MS).replace("\n", "\r\n"), 4 * 300.5, None),
        (scrapes(MS, name="DCGM_FI_DEV_BOARD_POWER_WATTS"), 4 * 300.5, None),
        (scrapes(MS, name="DCGM_FI_DEV_BOARD_POWER_RAW_WATTS"), 4 * 300.5, None),
        (scrapes(MS, value="3.005e+02"), 4 * 300.5, None),
        (scrapes([m / 1000 for m in MS]) + "# EOF\n", 4 * 300.5, None),  # OpenMetrics
        (scrapes([m // 1000 for m in MS]), 4 * 300.5, "stamp-unit"),
        (scrapes(MS)[:-20], 3 * 300.5, "torn-tail"),
        (scrapes(MS)[:-4], 3 * 300.5, "torn-tail"),  # a stamp of which digits are missing
        (scrapes(MS)[:-1], 4 * 300.5, None),  # whole, only its end of line is not there
        (scrapes(MS) + scrapes([MS[-1] + 1000], value="NaN"), 4 * 300.5, None),
    ],
)
def test_prometheus_text(tmp_path, text, joules, code):
    found, codes = joules_of(tmp_path, text)
    assert found == {UUID + "0": pytest.approx(joules)}
    assert codes == ({code} if code else set())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (scrapes([*MS, 1_700_000_005]), "is in seconds, those above in milliseconds"),
        (scrapes([1_700_000_000, MS[1]]), "is no stamp in unix-s"),
        (scrapes([m * 10**6 for m in MS]), "is no stamp in unix-ms"),
    ],
)
def test_stamps_of_two_units_are_refused(tmp_path, text, said):
    assert said in joules_of(tmp_path, text)


def export(values, stamps, name="DCGM_FI_DEV_POWER_USAGE"):
    labels = {"__name__": name, "gpu": "0", "UUID": UUID + "0"}
    return json.dumps({"metric": labels, "values": values, "timestamps": stamps}) + "\n"


def test_victoria_metrics_export(tmp_path):
    """300.5 W and 301 W for a second each; the null is an absence, and no zero."""
    text = export([299, 300.5, 301, None], list(MS[:4])) + "\n" + export([97], [MS[0]], "up")
    path = tmp_path / "export"
    path.write_text(text + '{"metric":{"__name__":"DCGM')
    _, recording = open_recording(path)
    (seen,) = collect([recording]).devices.values()
    assert recording.format == "victoriametrics-export"
    assert [seen.reading("power_mw", r) for r in range(3)] == [299_000, 300_500, 301_000]
    assert isinstance(seen.reading("power_mw", 3), Unavailable)
    assert list(seen.time_ns) == [m * 10**6 for m in MS[:4]]
    assert recording.findings.codes() == {"metric-unread", "torn-tail"}


@pytest.mark.parametrize(
    ("values", "stamps"), [([1, 2], [MS[0]]), ([1], [1.5]), ([1], None), ([1], [True])]
)
def test_victoria_metrics_damaged(tmp_path, values, stamps):
    path = tmp_path / "export"
    path.write_text(export(values, stamps) * 2)
    with pytest.raises(ImportFormatError, match="stamps"):
        collect([open_recording(path)[1]])


def power(*stamps):
    told = {"key": "power_reading", "value": 7000, "metadata": {"host": "n"}}
    return "".join(":::MLLOG " + json.dumps({**told, "time_ms": stamp}) + "\n" for stamp in stamps)


def test_seconds_are_no_milliseconds(tmp_path):
    """1,700,000,000 as milliseconds is January 1970, and an energy a thousand times too small."""
    assert joules_of(tmp_path, power(*MS))[0] == {"node": pytest.approx(7000 * 4)}
    assert isinstance(joules_of(tmp_path, power(*(m // 1000 for m in MS))), str)
    mapping = tmp_path / "map.toml"
    mapping.write_text(
        'schema = "flopledger/mapping/1"\n[time]\ncolumn = "t"\nformat = "unix-ms"\n'
        '[device]\nindex = "gpu"\n[signals.power_mw]\ncolumn = "w"\nunit = "W"\n'
    )

    def mine(stamps):
        return joules_of(
            tmp_path, "t,gpu,w\n" + "".join(f"{s},0,5\n" for s in stamps), mapping=mapping
        )

    assert mine(MS)[0] == {"gpu0": pytest.approx(20)}
    assert mine(range(0, 5000, 1000))[0] == {"gpu0": pytest.approx(20)}  # since a start of its own
    assert "is not a stamp" in mine(m // 1000 for m in MS)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (table([row(0), row(1)], end="\r"), "carriage return alone"),
        (table([row(0), row(1)]) + "\0" * 4096, "zero bytes later"),
    ],
)
def test_damage_to_a_whole_file_is_named(tmp_path, content, told):
    assert told in outcome(tmp_path, content, bulk=True)


@pytest.mark.parametrize("cell", ["\uff11\uff10\uff10.00 W", "\u0661\u0660\u0660 W"])
@pytest.mark.parametrize("bulk", [True, False])
def test_digits_of_other_scripts_are_no_figures(tmp_path, cell, bulk):
    rows = [row(0), row(1), row(2, watts=cell), row(3)]
    assert f"4: column 'power.draw [W]' holds '{cell}'" in outcome(tmp_path, table(rows), bulk=bulk)


@pytest.mark.parametrize("bulk", [True, False])
def test_a_uuid_that_is_none_is_told_with_its_line(tmp_path, bulk):
    rows = [[*row(0)[:2], "MIG-11111111-2222-3333-4444-555555555500", *row(0)[3:]]]
    assert ":2: the UUID is 'MIG-" in outcome(tmp_path, table(rows), bulk=bulk)

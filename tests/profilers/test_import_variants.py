"""Files as people have them: what tools, spreadsheets and scripts make of the known formats.

Each is read right or refused with the cure; none gives a zero that nobody measured.
"""

import pytest

from profilers.importers import ImportFormatError, Options, collect, open_recording
from profilers.reading import Unavailable

STATED = Options(started_ns=1_767_225_600 * 10**9, period_ns=10**9)
STAMP = "2026/07/23 12:00:{:02d}.000"


def read(tmp_path, text):
    path = tmp_path / "recording"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    _, recording = open_recording(path, STATED)
    return collect([recording]), recording


def smi(titles, row, between=", "):
    """Two rows under a header; ``@`` is the stamp."""
    rows = [between.join(row).replace("@", STAMP.format(second)) for second in (9, 10)]
    return "\n".join([between.join(titles), *rows]) + "\n"


TITLES = ("timestamp", "index", "power.draw [W]", "utilization.gpu [%]")


@pytest.mark.parametrize(
    "text",
    [
        smi(TITLES, ("@", "0", "490.00 W", "89 %")),
        smi(TITLES, ("@", "0", "490.00", "89")),  # nounits
        smi(TITLES, ("@", "0", "490.00 W", "89")),  # a script took some units away
        smi(TITLES, ("@", "0", "490.00 W", "89 %"), "\t"),
        smi(TITLES, ("@", "0", "490.00 W", "89 %"), ";"),
        smi(("", *TITLES), ("7", "@", "0", "490.0", "89"), ","),  # pandas, with its row numbers
        smi([f'"{t}"' for t in TITLES], ['"@"', '"0"', '"490.00 W"', '"89 %"'], ","),
        "\ufeff" + smi(TITLES, ("@", "0", "490.00 W", "89 %")).replace("\n", "\r\n"),
        # PowerShell's redirection, and what is left of a character where it was cut
        smi(TITLES, ("@", "0", "490.00 W", "89 %")).replace("\n", "\r\n").encode("utf-16"),
        b"\xfe\xff" + smi(TITLES, ("@", "0", "490.00 W", "89 %")).encode("utf-16-be") + b"\0",
    ],
)
def test_nvidia_smi_written_again_by_others(tmp_path, text):
    trace, recording = read(tmp_path, text)
    (device,) = trace.devices.values()
    assert recording.format == "nvidia-smi-csv"
    assert [device.reading("power_mw", row) for row in (0, 1)] == [490_000, 490_000]
    assert [device.reading("gpu_util_permille", row) for row in (0, 1)] == [890, 890]


@pytest.mark.parametrize("title", ["tensor.active.ratio [%]", "nvlink.rx", "core_voltage [mV]"])
def test_a_field_of_a_newer_driver_costs_no_other(tmp_path, title):
    text = smi((*TITLES[:2], title, *TITLES[2:]), ("@", "0", "[N/A]", "490.00 W", "89 %"))
    trace, recording = read(tmp_path, text)
    (device,) = trace.devices.values()
    assert device.reading("power_mw", 1) == 490_000
    (finding,) = [one for one in recording.findings if one.code == "column-passed-over"]
    assert title in finding.message


def test_beside_a_uuid_any_column_may_be_passed_over(tmp_path):
    titles, row = ("timestamp", "uuid", "rank", "power.draw [W]"), ("@", "", "0", "490.00 W")
    uuid = "GPU-11111111-1111-1111-1111-111111111111"
    trace, recording = read(tmp_path, smi(titles, (row[0], uuid, *row[2:])))
    assert [str(key) for key in trace.devices] == [uuid]
    assert "column-passed-over" in recording.findings.codes()


def test_a_programs_log_is_taken_for_no_table(tmp_path):
    """Python's logging writes a comma before the milliseconds."""
    with pytest.raises(ImportFormatError) as refused:
        read(tmp_path, "2024-01-05 17:11:10,414 train INFO: epoch 3 loss 0.5\n" * 9)
    assert "no header" not in str(refused.value)


def test_a_column_of_hosts_keeps_them_apart(tmp_path):
    """Two hosts' GPU 0 in one file are two devices, not one with half of its rows."""
    lines = ["hostname, " + ", ".join(TITLES)]
    lines += [
        f"{host}, {STAMP.format(second)}, 0, {watts} W, 89 %"
        for second in (9, 10)
        for host, watts in (("n1", "490.00"), ("n2", "390.00"))
    ]
    trace, recording = read(tmp_path, "\n".join(lines) + "\n")
    assert {str(key): len(seen) for key, seen in trace.devices.items()} == {
        "n1/gpu0": 2,
        "n2/gpu0": 2,
    }
    assert "duplicate-lines" not in recording.findings.codes()


DCGMI = """#Entity   GPUTL   FBUSD   SMACT   TENSO   DRAMA   POWER   XIDER
ID
GPU 0     10      500     0.105   0.425   N/A     512.3   0
GPU 1     0       500     0.000   0.000   N/A     70.1    0
GPU 0     20      500     0.205   0.500   N/A     612.3   0
GPU 1     0       500     0.000   0.000   N/A     70.1    0
"""


def test_dcgmi_dmon(tmp_path):
    trace, recording = read(tmp_path, DCGMI)
    first, second = trace.devices.values()
    assert [first.reading("power_mw", row) for row in (0, 1)] == [512_300, 612_300]
    assert [first.reading("tensor_activity_permille", row) for row in (0, 1)] == [425, 500]
    assert first.reading("memory_used_bytes", 0) == 500 * 2**20
    assert isinstance(first.reading("dram_activity_permille", 0), Unavailable)
    assert second.reading("sm_activity_permille", 1) == 0  # measured as 0, and idle
    assert list(first.time_ns) == [1_767_225_600 * 10**9, 1_767_225_601 * 10**9]
    assert recording.findings.codes() == {"metric-unread", "time-stated"}


def test_dmon_as_csv(tmp_path):
    text = """#Date, Time, gpu, pwr, gtemp, mtemp, sm, mem, mclk, pclk
#YYYYMMDD, HH:MM:SS, Idx, W, C, C, %, %, MHz, MHz
20260723, 12:00:09, 0, 70, 48, -, 5, 1, 7000, 1350
20260723, 12:00:10, 0, 71, 48, -, 5, 1, 7000, 1350
"""
    trace, _ = read(tmp_path, text)
    (device,) = trace.devices.values()
    assert [device.reading("power_mw", row) for row in (0, 1)] == [70_000, 71_000]
    assert isinstance(device.reading("memory_temperature_c", 0), Unavailable)


PMON = """# gpu        pid  type    sm   mem   enc   dec   command
# Idx          #   C/G     %     %     %     %   name
    0      14835     C    45    15     0     0   python
"""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (PMON, "nvidia-smi dmon -o DT"),
        ("2026/07/23 12:00:09.000, 0, 490.00 W, 89 %\n" * 2, "no header"),
        (smi(TITLES, ("@", "0", "490,00 W", "89 %"), ";"), "no"),
        (smi(TITLES, ("@", "0", "490,00 W", "89 %")), "5 cells under a header of 4"),
        (smi(TITLES, ("23/07/2026 12:00:09", "0", "490.00 W", "89 %")), "not a stamp"),
        (smi(("timestamp", "index", "memory.used [MB]"), ("@", "0", "1 MB")), "is in MB"),
        (smi(TITLES, ("@", "0", "490.00 W", "89 %")).encode("utf-32"), "UTF-32"),
        (b"\xff\xfe\x00\xdc\x00\xdc" * 9, "begins as UTF-16 text and is none"),
        (smi((*TITLES, "rank"), ("@", "0", "490.00 W", "89 %", "3")), "tell devices apart"),
        (b"\x1f\x8b\x08\x00 and so on", "damaged gzip archive"),
        ("<?xml version='1.0' ?>\n<nvidia_smi_log><gpu/></nvidia_smi_log>\n", "XML"),
        ("=====NVSMI LOG=====\n\nTimestamp : Thu Jul 23 2026\n", "page for people"),
        ('{"card0": {"GPU use (%)": "82"}}', "rocm-smi"),
        ("device,GPU use (%)\ncard0,82\n", "rocm-smi"),
        ('[{"gpu":0,"power":{"socket_power":{"value":700,"unit":"W"}}}]', "amd-smi"),
        ('{"hostname": "n1", "query_time": "2026", "gpus": []}', "gpustat"),
        ("timestamp,cuda:0 (gpu:0)/power_usage (W)/mean\n1,70.5\n", "nvitop"),
        ('nv_gpu_power_usage{gpu_uuid="GPU-1"} 70.5\n', "Triton"),
        ('node_cpu_seconds_total{cpu="0"} 1000.0\n', "without a metric of DCGM"),
        ("Step,run - system/gpu.0.powerWatts\n0,70.5\n", ".wandb"),
        ("Time,07-23-2026 12:00:09.123,Watts,512.300000,Volts,230.1\n", "power meter"),
        ("time,gpu_util,power_w\n0.0,90,512.3\n", "--mapping"),
    ],
)
def test_what_is_not_read_is_refused_with_the_cure(tmp_path, text, said):
    with pytest.raises(ImportFormatError, match=said.replace("(", r"\(")):
        read(tmp_path, text)

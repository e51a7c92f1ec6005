"""Every other format, on files of the real tools and on small ones whose sums are done by hand."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from profilers.bounds import Limits, integrals
from profilers.importers import (
    FORMATS,
    Clock,
    ImportFormatError,
    Options,
    UnknownFormatError,
    collect,
    import_files,
    open_recording,
)
from profilers.importers.stamps import moment
from profilers.reading import Reason, Unavailable, is_number
from profilers.record import read_record
from profilers.trace import DeviceKey

FIXTURES = Path(__file__).parent / "fixtures"
SHARED = Path(os.environ.get("FLOPLEDGER_SHARED", Path(__file__).parents[2].parent / "shared"))


def read(path, **options):
    _, recording = open_recording(path, Options(**options))
    return collect([recording]), recording


def written(tmp_path, text):
    path = tmp_path / "file"
    path.write_text(text)
    return path


def cells(trace, key, name):
    seen = trace.devices[key]
    return [seen.reading(name, row) for row in range(len(seen))]


# ------------------------------------------------------------------ Zeus


def test_zeus_on_the_real_file():
    """GPU-seconds = 2 x elapsed time; mean power of a GPU = energy / elapsed time."""
    path = SHARED / "data/evidence/telemetry/zeus-v100/V100+resnet50+gpu0,1.csv"
    if not path.exists():
        pytest.skip(f"REAL ZEUS FILE IS MISSING: {path} (set FLOPLEDGER_SHARED)")
    trace, recording = read(path, node="v100")
    assert recording.clock is Clock.MONOTONIC
    rows = [line.split(",") for line in path.read_text().splitlines()[1:]]
    elapsed = sum(float(row[2]) for row in rows)
    for gpu in (0, 1):
        seen = trace.devices[DeviceKey(uuid=f"v100/gpu{gpu}")]
        assert seen.covered_seconds() == pytest.approx(elapsed, rel=1e-9)
        joules = sum(float(row[3 + gpu]) for row in rows)
        exact = Limits(energy_gain=0.0, max_power_watts=0.0)
        found = next(i for i in integrals(trace, exact) if i.key == seen.device.key)
        assert found.energy_joules.low == pytest.approx(joules, rel=1e-9)
        assert found.energy_joules.high == pytest.approx(joules, rel=1e-9)


ZEUS = """start_time,window_name,elapsed_time,gpu0_energy,gpu3_energy
100.5,inner,2.0,50.0,60.0
100.0,outer,10.0,300.25,400.0
110.0,"next, with a comma",5.0,100.0,0.0
"""


def test_zeus_windows_by_hand(tmp_path):
    trace, recording = read(written(tmp_path, ZEUS), node="h")
    first = trace.devices[DeviceKey(uuid="h/gpu0")]
    # outer and next; inner lies within outer and is already counted
    assert first.covered_seconds() == pytest.approx(15.0, abs=1e-5)
    assert cells(trace, DeviceKey(uuid="h/gpu0"), "energy_mj") == [0, 300_250, 0, 100_000]
    # 0 J over 5 s is a counter that did not move, not a device without power
    last = cells(trace, DeviceKey(uuid="h/gpu3"), "energy_mj")
    assert last[:2] == [0, 400_000]
    assert last[3].reason is Reason.STALE
    assert {"overlapping-windows", "zero-energy", "date-unknown"} <= recording.findings.codes()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("gpu3_energy", "cpu_energy", "none of Zeus'"),
        ("gpu3_energy", "gpu0_energy", "twice"),
        ("10.0,300.25", "ten,300.25", "start and length"),
        ("300.25", "lots", "no figure in joules"),
        ('"next, with a comma"', "next, with a comma", "cells under a header"),
    ],
)
def test_zeus_refusals(tmp_path, old, new, message):
    with pytest.raises(ImportFormatError, match=message):
        read(written(tmp_path, ZEUS.replace(old, new, 1) + "200,end,1.0,1.0,1.0\n"))


# ------------------------------------------------------------------ CodeCarbon


def test_codecarbon_written_by_the_real_tool():
    """Two devices drew 512.25 W and 301 W for 3.4177 s: 813.25 x 3.4177 = 2779 J, less the start."""
    trace, recording = read(FIXTURES / "codecarbon-3.3.2.csv", node="host-a", zone=UTC)
    key = DeviceKey(uuid="host-a/gpus")
    energy = cells(trace, key, "energy_mj")
    # The two rows of the run are cumulative: the last one counts, 0.0007680700589 kWh x 3.6e9
    assert energy == [0, pytest.approx(0.0007680700589 * 3.6e9)]
    assert energy[1] == pytest.approx(813.25 * 3.4177 * 1000, rel=0.01)
    assert recording.scope == "devices-together"
    assert recording.facts["header_generation"] == "3"
    assert "cumulative-rows" in recording.findings.codes()


def test_codecarbon_without_its_place(tmp_path):
    # Who hands a recording in may cut the country out; nothing here is read from it.
    text = GENERATION_1.replace(",country_name,country_iso_code", "").replace(",Germany,DEU", "")
    trace, _ = read(written(tmp_path, text), node="h")
    assert cells(trace, DeviceKey(uuid="h/node"), "energy_mj") == [0, 72_000_000]


GENERATION_1 = (
    "timestamp,project_name,duration,emissions,energy_consumed,country_name,country_iso_code\n"
    "2021-03-01T10:00:00,demo,100.0,0.01,0.02,Germany,DEU\n"
)
GENERATION_2 = (
    "timestamp,project_name,run_id,duration,emissions,emissions_rate,cpu_power,gpu_power,"
    "ram_power,cpu_energy,gpu_energy,ram_energy,energy_consumed,country_name,gpu_count,gpu_model,"
    "longitude,latitude\n"
    "2023-03-01T10:00:00,demo,aa,3600.0,0.01,1,50,999.0,5,0.05,1.5,0.01,1.56,Germany,8,8 x A100,1,2\n"
    "2023-03-01T12:00:00,demo,bb,60.0,0.01,1,50,0.0,5,0.05,0.0,0.01,0.06,Germany,8,8 x A100,1,2\n"
)


def test_codecarbon_generations(tmp_path):
    trace, recording = read(written(tmp_path, GENERATION_1), node="h")
    assert recording.scope == "node"
    # 0.02 kWh = 72 kJ of the whole node
    assert cells(trace, DeviceKey(uuid="h/node"), "energy_mj") == [0, 72_000_000]
    assert {"total-energy", "zone-unknown"} <= recording.findings.codes()
    trace, recording = read(written(tmp_path, GENERATION_2), node="h", zone=UTC)
    key = DeviceKey(uuid="h/gpus")
    found = cells(trace, key, "energy_mj")
    # 1.5 kWh in the hour before 10:00, not 999 W; 0 kWh is a missing counter
    assert found[:2] == [0, 5_400_000_000]
    assert not is_number(found[2])
    assert not is_number(found[3])
    end = int(datetime(2023, 3, 1, 10, tzinfo=UTC).timestamp()) * 10**9
    assert trace.devices[key].time_ns[:2].tolist() == [end - 3600 * 10**9, end]
    assert trace.devices[key].device.name == "8 x A100"


# ------------------------------------------------------------------ MLflow


def test_mlflow_written_by_the_real_library():
    """The stand-in drew 512.25 W and 301 W; MLflow rounds to a tenth."""
    trace, recording = read(FIXTURES / "mlflow-run")
    assert recording.format == "mlflow"
    key = DeviceKey(uuid="node-a/gpu0")
    assert set(trace.devices) == {key, DeviceKey(uuid="node-a/gpu1")}
    assert cells(trace, key, "power_mw") == [512_200] * 4
    assert cells(trace, key, "gpu_util_permille") == [370] * 4
    assert cells(trace, key, "memory_used_bytes") == [600_000_000] * 4
    stamps = [1795304128595, 1795304129104, 1795304129610, 1795304130115]
    assert (trace.devices[key].time_ns // 10**6).tolist() == stamps


def mlflow_run(tmp_path, **files):
    (tmp_path / "run/metrics/system").mkdir(parents=True)
    (tmp_path / "run/meta.yaml").write_text("run_id: x\n")
    for name, text in files.items():
        (tmp_path / "run/metrics/system" / name).write_text(text)
    return tmp_path / "run"


def test_mlflow_nodes_that_overwrite_each_other_are_seen(tmp_path):
    text = "1700000000000 100.0 0\n1700000000000 300.0 0\n1700000010000 nan 1\n"
    trace, recording = read(mlflow_run(tmp_path, gpu_0_power_usage_watts=text))
    assert "duplicate-lines" in recording.findings.codes()
    (key,) = trace.devices
    power = cells(trace, key, "power_mw")
    assert power[0] == 100_000
    assert power[1].reason is Reason.FAILED


def test_mlflow_refuses_what_is_no_point_and_follows_no_link(tmp_path):
    run = mlflow_run(tmp_path, gpu_0_power_usage_watts="yesterday 100.0 0\n")
    with pytest.raises(ImportFormatError, match="milliseconds value step"):
        read(run)
    (run / "metrics/system/gpu_0_power_usage_watts").unlink()
    secret = tmp_path / "secret"
    secret.write_text("1700000000000 1.0 0\n")
    (run / "metrics/system/gpu_0_power_usage_watts").symlink_to(secret)
    with pytest.raises(ImportFormatError, match="no metric of a GPU"):
        read(run)


# ------------------------------------------------------------------ MLPerf power


def power_line(key, value, ms, host="node-7"):
    entry = {"namespace": "", "time_ms": ms, "event_type": "POINT_IN_TIME", "key": key}
    return f":::MLLOG {json.dumps({**entry, 'value': value, 'metadata': {'host': host}})}\n"


def test_mlperf_power(tmp_path):
    text = "some other output\n" + power_line("conversion_eff", 0.94, 1_700_000_000_000)
    text += power_line("power_reading", 5000, 1_700_000_000_500)
    text += power_line("power_measurement_start", None, 1_700_000_001_000)
    text += "".join(
        f"rank 0 {power_line('power_reading', 7000.5 + i, 1_700_000_002_000 + 1000 * i)}"
        for i in range(3)
    )
    text += power_line("power_measurement_stop", None, 1_700_000_005_000) + ':::MLLOG {"cut'
    trace, recording = read(written(tmp_path, text))
    key = DeviceKey(uuid="node-7/node")
    assert recording.scope == "node"
    assert recording.facts["conversion_eff"] == "0.94"  # kept, never applied
    assert cells(trace, key, "power_mw") == [5_000_000, 7_000_500, 7_001_500, 7_002_500]
    found = recording.findings.codes()
    assert {"outside-measurement", "conversion-unapplied", "torn-entry"} <= found


def test_mlperf_power_in_kilowatt_words_is_refused(tmp_path):
    text = power_line("power_reading", "7 kW", 1_700_000_000_000)
    with pytest.raises(ImportFormatError, match="no figure in watts"):
        read(written(tmp_path, text))


# ------------------------------------------------------------------ nvidia-smi dmon

DMON = """#Date       Time        gpu    pwr  gtemp  mtemp     sm    mem    enc    dec   mclk   pclk     fb
#YYYYMMDD   HH:MM:SS    Idx      W      C      C      %      %      %      %    MHz    MHz     MB
 20260307   23:59:59      0    117     45      -     13      6      0      0   2619   1980  70123
 20260307   23:59:59      1     70     33      -      0      0      0      0   2619    345      4
#Date       Time        gpu    pwr  gtemp  mtemp     sm    mem    enc    dec   mclk   pclk     fb
#YYYYMMDD   HH:MM:SS    Idx      W      C      C      %      %      %      %    MHz    MHz     MB
 20260308   00:00:00      0    612     65     70    100     95      0      0   2619   1965  70123
 20260308   00:00:00      1     71     33      -      0      0      0      0   2619    345      4
"""


def test_dmon_with_dates(tmp_path):
    trace, recording = read(written(tmp_path, DMON), node="h", zone=UTC)
    assert recording.clock is Clock.WALL
    key = DeviceKey(uuid="h/gpu0")
    assert cells(trace, key, "power_mw") == [117_000, 612_000]
    assert cells(trace, key, "gpu_util_permille") == [130, 1000]
    assert cells(trace, key, "sm_clock_mhz") == [1980, 1965]
    assert cells(trace, key, "memory_used_bytes")[0] == 70123 * 2**20
    missing, present = cells(trace, key, "memory_temperature_c")
    assert missing.reason is Reason.UNSUPPORTED
    assert present == 70
    assert trace.devices[key].period_ns.tolist() == [0, 10**9]


def test_dmon_with_time_of_day_only_and_without_time(tmp_path):
    timed = "\n".join(
        line.replace("#Date       ", "#").replace("#YYYYMMDD   ", "#")
        if line.startswith("#")
        else line[12:]
        for line in DMON.splitlines()
    )
    trace, recording = read(written(tmp_path, timed), node="h", zone=UTC)
    key = DeviceKey(uuid="h/gpu0")
    assert recording.clock is Clock.LOCAL
    assert "date-unknown" in recording.findings.codes()
    assert trace.devices[key].period_ns.tolist() == [0, 10**9]  # across midnight
    bare = "\n".join(
        line.replace("#Date       Time        ", "# ").replace("#YYYYMMDD   HH:MM:SS    ", "# ")
        if line.startswith("#")
        else line[24:]
        for line in DMON.splitlines()
    )
    with pytest.raises(ImportFormatError, match="state --start and --step"):
        read(written(tmp_path, bare))
    start = moment("2026-03-07T23:59:59Z")
    trace, recording = read(
        written(tmp_path, bare), node="h", started_ns=start, period_ns=2 * 10**9
    )
    assert trace.devices[key].time_ns.tolist() == [start, start + 2 * 10**9]
    assert "time-stated" in recording.findings.codes()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("117     45", "117", "figures under"),
        ("   117 ", "   hot ", "no figure in W"),
        ("20260307   23:59:59      0", "20261307   23:59:59      0", "no date and time"),
        ("     W      C", "    kW      C", "is in kW"),
    ],
)
def test_dmon_refusals(tmp_path, old, new, message):
    with pytest.raises(ImportFormatError, match=message):
        read(written(tmp_path, DMON.replace(old, new, 1)))


# ------------------------------------------------------------------ Prometheus text and JSON

UUID = "GPU-11111111-2222-3333-4444-555555555555"


def labels(extra=""):
    card = 'device="nvidia0",modelName="NVIDIA H100 80GB HBM3"'
    return f'{{gpu="0",UUID="{UUID}",{card},Hostname="n1"{extra}}}'


def test_both_generations_of_dcgm_names(tmp_path):
    old = ["PROF_PIPE_TENSOR_ACTIVE", "DEV_GPU_UTIL", "DEV_POWER_USAGE"]
    new = ["PROF_TENSOR_UTIL_RATIO", "DEV_GPU_UTIL_RATIO", "DEV_BOARD_POWER_WATTS"]
    for names in (old, new):
        tensor, util, power = names
        text = (
            f"# HELP DCGM_FI_{tensor} x\n# TYPE DCGM_FI_{tensor} gauge\n"
            f"DCGM_FI_{tensor}{labels()} 0.482613 1700000000000\n"
            f"DCGM_FI_{util}{labels()} 97 1700000000000\n"
            f"DCGM_FI_{power}{labels()} 612.345 1700000000000\n"
            f"DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{labels()} 123456789 1700000000000\n"
            f"DCGM_FI_PROF_SM_CYCLES_ELAPSED_TOTAL{labels()} 9007199254740993 1700000000000\n"
            "go_goroutines 12\n"
            f"DCGM_FI_PROF_TENSOR_UTIL_RATIO{{}} 0.5 1700000000000\n"
        )
        trace, recording = read(written(tmp_path, text))
        key = DeviceKey(uuid=UUID)
        seen = trace.devices[key]
        assert seen.device.name == "NVIDIA H100 80GB HBM3"
        assert seen.device.node == "n1"
        assert seen.reading("tensor_activity_permille", 0) == 482.613  # a ratio
        assert seen.reading("gpu_util_permille", 0) == 970  # percent, whatever its name says
        assert seen.reading("power_mw", 0) == 612_345
        assert seen.reading("energy_mj", 0) == 123456789
        assert seen.reading("sm_cycles_elapsed", 0) == 9007199254740993
        assert {"window-unknown", "no-device"} <= recording.findings.codes()


@pytest.mark.parametrize("blank", ["9223372036854775794", "140737488355328", "2147483632"])
def test_codes_for_no_value_are_no_figures(tmp_path, blank):
    """DCGM's blanks would be 2 GW; a counter passes the 32-bit code honestly."""
    text = (
        f"DCGM_FI_DEV_POWER_USAGE{labels()} {blank} 1700000000000\n"
        f"DCGM_FI_PROF_MMA_CYCLES_ACTIVE_TOTAL{labels()} 2147483632 1700000000000\n"
    )
    answer = {
        "status": "success",
        "data": {"resultType": "matrix", "result": [range_answer([[1700000000, blank]])]},
    }
    for content in (text, json.dumps(answer)):
        trace, _ = read(written(tmp_path, content))
        seen = trace.devices[DeviceKey(uuid=UUID)]
        assert seen.reading("power_mw", 0).reason is Reason.UNSUPPORTED
        if content is text:
            assert seen.reading("mma_cycles_active", 0) == 2147483632


def test_a_partitioned_device_is_not_idle(tmp_path):
    mig = labels(',GPU_I_ID="3",GPU_I_PROFILE="1g.10gb"')
    text = (
        f"DCGM_FI_DEV_GPU_UTIL{labels()} 0 1700000000000\n"
        f"DCGM_FI_PROF_GR_ENGINE_ACTIVE{mig} 0.5 1700000000000\n"
    )
    trace, recording = read(written(tmp_path, text))
    whole = cells(trace, DeviceKey(uuid=UUID), "gpu_util_permille")
    assert whole[0].reason is Reason.MIG
    assert cells(trace, DeviceKey(uuid=UUID, mig="MIG-3"), "graphics_activity_permille") == [500]
    assert "mig-zero" in recording.findings.codes()


def _two_partitions():
    """One board at 300 W, cut in two, as dcgm-exporter writes it: the board's figures under each part."""
    lines = []
    for at in range(4):
        for part, activity in (("1", 0.4), ("2", 0.2)):
            of = labels(f',GPU_I_ID="{part}",GPU_I_PROFILE="3g.40gb"')
            stamp = 1700000000000 + at * 30_000
            lines += [
                f"DCGM_FI_DEV_POWER_USAGE{of} 300 {stamp}",
                f"DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{of} {10**6 + at * 9_000_000} {stamp}",
                f"DCGM_FI_DEV_GPU_UTIL{of} 0 {stamp}",
                f"DCGM_FI_PROF_PIPE_TENSOR_ACTIVE{of} {activity} {stamp}",
            ]
    return "".join(f"{line}\n" for line in lines)


def test_what_a_board_has_once_is_not_counted_for_each_partition(tmp_path):
    path = written(tmp_path, _two_partitions())
    trace, recording = read(path)
    import_files([path], tmp_path / "run")
    for seen in (trace, read_record(tmp_path / "run")):
        one, two = (DeviceKey(uuid=UUID, mig=f"MIG-{part}") for part in "12")
        assert set(seen.devices) == {DeviceKey(uuid=UUID), one, two}
        # 300 W for 90 s are 27 kJ = 27,000,000 mJ, once.
        energy = cells(seen, DeviceKey(uuid=UUID), "energy_mj")
        assert energy[-1] - energy[0] == 27_000_000
        assert cells(seen, DeviceKey(uuid=UUID), "power_mw") == [300_000] * 4
        assert cells(seen, one, "tensor_activity_permille") == [400] * 4
        assert cells(seen, two, "tensor_activity_permille") == [200] * 4
        assert all(isinstance(cell, Unavailable) for cell in cells(seen, one, "gpu_util_permille"))
        if "energy_mj" in seen.devices[one].series:
            assert all(isinstance(cell, Unavailable) for cell in cells(seen, one, "energy_mj"))
    assert "duplicate-lines" not in recording.findings.codes()


def test_scrapes_without_stamps_need_the_users_word(tmp_path):
    scrape = f"DCGM_FI_DEV_SM_CLOCK{labels()} 1980\nDCGM_FI_DEV_POWER_USAGE{labels()} 600\n"
    path = written(tmp_path, scrape * 3)
    with pytest.raises(ImportFormatError, match="--start"):
        read(path)
    with pytest.raises(ImportFormatError, match="--step"):
        read(path, started_ns=10**18)
    trace, _ = read(path, started_ns=10**18, period_ns=15 * 10**9)
    assert (trace.devices[DeviceKey(uuid=UUID)].time_ns - 10**18).tolist() == [
        0,
        15 * 10**9,
        30 * 10**9,
    ]


def test_open_metrics_stamps_are_seconds(tmp_path):
    text = f"DCGM_FI_DEV_SM_CLOCK{labels()} 1980 1700000000.5\n# EOF\n"
    trace, _ = read(written(tmp_path, text))
    assert trace.devices[DeviceKey(uuid=UUID)].time_ns.tolist() == [1_700_000_000_500_000_000]


def range_answer(values, name="DCGM_FI_DEV_POWER_USAGE", **more):
    metric = {"__name__": name, "UUID": UUID, "gpu": "0", "Hostname": "n1", **more}
    return {"metric": metric, "values": values}


def test_query_range_json(tmp_path):
    answer = {
        "status": "success",
        "data": {
            "resultType": "matrix",
            "result": [
                range_answer([[1700000000, "600.5"], [1700000015, "NaN"], [1700000060.25, "610"]]),
                range_answer([[1700000000, "0.25"]], name="DCGM_FI_PROF_SM_ACTIVE"),
                range_answer([[1700000000, "1"]], name="up"),
            ],
        },
    }
    trace, recording = read(written(tmp_path, json.dumps(answer)))
    key = DeviceKey(uuid=UUID)
    power = cells(trace, key, "power_mw")
    assert [p for p in power if is_number(p)] == [600_500, 610_000]
    assert power[1].reason is Reason.STALE
    assert cells(trace, key, "sm_activity_permille")[0] == 250
    assert trace.devices[key].time_ns[-1] == 1_700_000_060_250_000_000
    # 45.25 s after a usual step of 15 and 45.25 s: their median 30.1 s is not exceeded 2.5 times
    assert trace.devices[key].gaps == ()
    assert "metric-unread" in recording.findings.codes()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ('{"status":"error","resultType":0,"error":"bad query"}', "bad query"),
        ('{"status":"success","data":{"resultType":"scalar","result":[1,"2"]}}', "no series"),
        ('{"status":"success","data":{"resultType":"matrix","result":[1]}}', "lacks its labels"),
        ('{"status":"success","data":{"resultType":"matrix","result":[', "no JSON"),
    ],
)
def test_damaged_answers_are_refused(tmp_path, answer, message):
    with pytest.raises(ImportFormatError, match=message):
        read(written(tmp_path, answer))


# ------------------------------------------------------------------ W&B events


def test_wandb_events(tmp_path):
    events = [
        {"_timestamp": 1700000000.25, "_runtime": 1, "system.gpu.0.gpu": 97, "system.cpu": 3},
        {
            "_timestamp": 1700000015.25,
            "system.gpu.0.gpu": 98.5,
            "system.gpu.0.powerWatts": 612.5,
            "system.gpu.0.pipeTensorActive": 42.5,
            "system.gpu.process.0.gpu": 98.5,
        },
    ]
    text = "\n".join(json.dumps(e) for e in events) + '\n{"_timestamp": 17000'
    trace, recording = read(written(tmp_path, text), node="h")
    key = DeviceKey(uuid="h/gpu0")
    assert cells(trace, key, "gpu_util_permille") == [970, 985]
    assert cells(trace, key, "power_mw")[1] == 612_500
    assert cells(trace, key, "tensor_activity_permille")[1] == 425
    assert {"torn-tail", "sampled-pair"} <= recording.findings.codes()
    # What the 200 ms pair means for a bound: 14.8 of 15 s are free.
    cycles = integrals(trace, Limits(max_clock_hz=1e9))[0].active_cycles["tensor"]
    assert cycles.high == pytest.approx((14.8 + 0.2 * 0.426) * 1e9)


# ------------------------------------------------------------------ recognition


def test_nothing_is_recognised_by_its_name(tmp_path):
    path = tmp_path / "run-1.wandb"
    path.write_text(ZEUS)
    _, recording = open_recording(path)
    assert recording.format == "zeus"


@pytest.mark.parametrize(
    "content",
    ["", "hello\n", "a,b,c\n1,2,3\n", "{}", "\0\1\2", "timestamp,power\n1,2\n", "#\n# gpu\n"],
)
def test_unknown_content_is_said(tmp_path, content):
    with pytest.raises(ImportFormatError) as caught:
        open_recording(written(tmp_path, content))
    assert content == "" or isinstance(caught.value, UnknownFormatError)


def test_a_folder_that_is_no_run_says_which_one_is_meant(tmp_path):
    with pytest.raises(UnknownFormatError, match=r"is no MLflow run .*a case's evidence"):
        open_recording(tmp_path)
    (tmp_path / "meta.yaml").touch()
    with pytest.raises(UnknownFormatError, match="without device telemetry"):
        open_recording(tmp_path)
    (tmp_path / "steps").mkdir()
    with pytest.raises(UnknownFormatError, match="a run's record already"):
        open_recording(tmp_path)


def test_pipes_and_missing_files_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "nothing"):
        with pytest.raises(ImportFormatError):
            open_recording(tmp_path / name)


def test_an_mlperf_result_log_is_not_a_power_log(tmp_path):
    text = ':::MLLOG {"namespace":"","time_ms":1,"event_type":"X","key":"run_start","value":null}\n'
    with pytest.raises(UnknownFormatError):
        open_recording(written(tmp_path, text))


def test_at_most_one_format_claims_each_fixture(tmp_path):
    samples = [ZEUS, DMON, GENERATION_1, GENERATION_2]
    for text in samples:
        opened, _ = open_recording(written(tmp_path, text), Options(started_ns=1, period_ns=1))
        assert sum(one.recognise(opened) for one in FORMATS) == 1

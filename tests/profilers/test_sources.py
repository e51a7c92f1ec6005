"""The other instruments: a scraped exporter, a replay, and honest refusals."""

import http.server
import json
import math
import os
import resource
import socket
import sys
import threading
import time
import types
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profilers import SIGNALS, Device, DeviceKey, Reason, Sample, SourceError, Unavailable
from profilers.clocks import ClockPair, Schedule, StepWatch
from profilers.probe import Probe
from profilers.source import Sweep
from profilers.sources import cpu_counters, make_source
from profilers.sources.cpu_counters import events_of
from profilers.sources.prometheus_text import metrics

LABELS = 'gpu="0",UUID="GPU-7",device="nvidia0",modelName="NVIDIA H100 80GB HBM3",Hostname="node7"'
OLD = f"""# HELP DCGM_FI_DEV_SM_CLOCK SM clock frequency (in MHz).
# TYPE DCGM_FI_DEV_SM_CLOCK gauge
DCGM_FI_DEV_SM_CLOCK{{{LABELS}}} 1755
DCGM_FI_DEV_GPU_UTIL{{{LABELS}}} 97
DCGM_FI_DEV_POWER_USAGE{{{LABELS}}} 612.345
DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{{{LABELS}}} 123456789
DCGM_FI_PROF_PIPE_TENSOR_ACTIVE{{{LABELS}}} 0.412
DCGM_FI_DEV_FB_USED{{{LABELS}}} 1024
DCGM_FI_DEV_MEMORY_TEMP{{{LABELS}}} 9223372036854775794
"""
NEW = f"""DCGM_FI_DEV_GPU_UTIL_RATIO{{{LABELS},GPU_I_ID="3"}} 97
DCGM_FI_DEV_BOARD_POWER_WATTS{{{LABELS},GPU_I_ID="3"}} 612.345
DCGM_FI_PROF_TENSOR_UTIL_RATIO{{{LABELS},GPU_I_ID="3"}} 0.412
DCGM_FI_PROF_MMA_CYCLES_ACTIVE_TOTAL{{{LABELS},GPU_I_ID="3"}} 123456
"""


@pytest.fixture
def exporter():
    """A web server whose page the test sets."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            page = server.page.encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.page = OLD
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    server.url = f"http://127.0.0.1:{server.server_port}/metrics"
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_dcgm_older_names(exporter):
    source = make_source("dcgm", {"url": exporter.url})
    source.open()
    (device,) = source.devices()
    assert (device.key, device.name, device.node) == (
        DeviceKey(uuid="GPU-7"),
        "NVIDIA H100 80GB HBM3",
        "node7",
    )
    (sample,) = source.sweep().samples
    told = sample.readings
    assert told["sm_clock_mhz"] == 1755
    assert told["gpu_util_permille"] == 970  # percent
    assert told["power_mw"] == 612_345  # W
    assert told["energy_mj"] == 123_456_789  # mJ already
    assert told["tensor_activity_permille"] == 412  # 0-1
    assert told["memory_used_bytes"] == 1 << 30  # MiB
    blank = told["memory_temperature_c"]
    assert isinstance(blank, Unavailable)
    assert blank.reason is Reason.ABSENT
    assert device.missing["mma_cycles_active"].reason is Reason.UNSUPPORTED


def test_dcgm_newer_names_mean_the_same_and_mig_is_its_own_device(exporter):
    exporter.page = NEW
    source = make_source("dcgm", {"url": exporter.url})
    source.open()
    samples = {sample.device: sample for sample in source.sweep().samples}
    board, part = DeviceKey(uuid="GPU-7"), DeviceKey(uuid="GPU-7", mig="MIG-3")
    assert set(samples) == {board, part}
    sample = samples[part]
    assert sample.readings["gpu_util_permille"] == 970  # still percent, whatever its name says
    assert samples[board].readings["power_mw"] == 612_345  # a board has one sensor
    assert "power_mw" not in sample.readings
    assert sample.readings["tensor_activity_permille"] == 412
    assert sample.readings["mma_cycles_active"] == 123_456


def test_a_repeated_scrape_speaks_for_no_time(exporter):
    source = make_source("dcgm", {"url": exporter.url})
    source.open()
    source.sweep()
    (again,) = source.sweep().samples
    assert again.period_ns == 0
    assert {r.reason for r in again.readings.values()} == {Reason.PENDING}
    exporter.page = OLD.replace(" 1755", " 1800")
    (fresh,) = source.sweep().samples
    assert fresh.period_ns > 0
    assert fresh.readings["sm_clock_mhz"] == 1800


def test_a_partition_is_not_idle_because_its_gauge_is_undefined(exporter):
    """The exporter writes 0 for it whatever it does; and each partition repeats its board's power."""
    lines = [
        f'DCGM_FI_DEV_GPU_UTIL{{{LABELS},GPU_I_ID="{part}"}} 0\n'
        f'DCGM_FI_DEV_POWER_USAGE{{{LABELS},GPU_I_ID="{part}"}} 300\n'
        for part in (1, 2)
    ]
    exporter.page = "".join(lines)
    source = make_source("dcgm", {"url": exporter.url})
    source.open()
    found = {str(sample.device): sample.readings for sample in source.sweep().samples}
    assert list(found) == ["GPU-7/MIG-1", "GPU-7", "GPU-7/MIG-2"]
    assert found["GPU-7"]["power_mw"] == 300_000
    assert {found[f"GPU-7/MIG-{n}"]["gpu_util_permille"].reason for n in (1, 2)} == {Reason.MIG}


def test_a_vanished_series_is_lost_and_not_zero(exporter):
    source = make_source("dcgm", {"url": exporter.url})
    source.open()
    exporter.page = "# nothing\n"
    (sample,) = source.sweep().samples
    assert {r.reason for r in sample.readings.values()} == {Reason.LOST}


def test_an_exporter_that_is_not_one_is_refused(exporter):
    exporter.page = "up 1\n"
    with pytest.raises(SourceError, match="no DCGM_FI_ metric"):
        make_source("dcgm", {"url": exporter.url}).open()
    with pytest.raises(SourceError, match="not a web address"):
        make_source("dcgm", {"url": "file:///etc/passwd"}).open()
    with pytest.raises(SourceError, match=r": .*Connection refused$") as found:
        make_source("dcgm", {"url": "http://127.0.0.1:1/metrics"}).open()
    assert "urlopen" not in str(found.value)


@given(st.text(max_size=300))
def test_no_text_breaks_the_reader(text):
    for metric in metrics(text):
        assert metric.value - metric.value == 0


def test_labels_with_quotes_and_commas():
    (metric,) = metrics('a{x="p,q}",y="say \\"hi\\""} 1 1700000000000')
    assert metric.labels == {"x": "p,q}", "y": 'say "hi"'}
    assert list(metrics('a{x="1"} NaN\na +Inf\nnonsense here at all\n')) == []


def test_amd_without_its_library_is_absent():
    with pytest.raises(SourceError) as caught:
        make_source("amd", {}).open()
    assert caught.value.unavailable.reason is Reason.ABSENT


def test_amd_with_a_library_that_knows_half(monkeypatch):
    """A module with AMD's function names: N/A, errors and numbers each become what they are."""
    smi = types.ModuleType("amdsmi")
    smi.amdsmi_init = smi.amdsmi_shut_down = lambda: None
    smi.amdsmi_get_processor_handles = lambda: ["h"]
    smi.amdsmi_get_gpu_device_uuid = lambda h: "amd-uuid"
    smi.amdsmi_get_gpu_asic_info = lambda h: {"market_name": "AMD Instinct MI300X"}
    smi.amdsmi_get_gpu_device_bdf = lambda h: "0000:0c:00.0"
    smi.amdsmi_get_gpu_activity = lambda h: {"gfx_activity": 88, "umc_activity": "N/A"}
    smi.amdsmi_get_power_info = lambda h: {"current_socket_power": 640}

    # 1,000,000 counts of 15.259 microjoules = 15,259 millijoules.
    smi.amdsmi_get_energy_count = lambda h: {
        "energy_accumulator": 1_000_000,
        "counter_resolution": 15.259,
    }

    def refuse(*_):
        raise RuntimeError("AMDSMI_STATUS_NO_PERM: permission denied")

    smi.amdsmi_get_gpu_memory_usage = refuse
    smi.AmdSmiMemoryType = types.SimpleNamespace(VRAM=0)
    monkeypatch.setitem(sys.modules, "amdsmi", smi)
    source = make_source("amd", {})
    source.open()
    (device,) = source.devices()
    assert device.name == "AMD Instinct MI300X"
    (sample,) = source.sweep().samples
    assert sample.readings == {
        "gpu_util_permille": 880,
        "power_mw": 640_000,
        "energy_mj": 15_259,
    }
    assert device.missing["memory_util_permille"].reason is Reason.UNSUPPORTED
    assert device.missing["memory_used_bytes"].reason is Reason.FORBIDDEN
    assert device.missing["sm_clock_mhz"].reason is Reason.UNSUPPORTED


def test_the_greatest_number_of_a_type_is_no_reading(monkeypatch):
    """An MI250 has no current power: 65,535 is not 65 kW, and its mean power is read instead."""
    smi = types.ModuleType("amdsmi")
    smi.amdsmi_init = smi.amdsmi_shut_down = lambda: None
    smi.amdsmi_get_processor_handles = lambda: ["h"]
    smi.amdsmi_get_gpu_device_uuid = smi.amdsmi_get_gpu_device_bdf = lambda h: None
    smi.amdsmi_get_gpu_asic_info = lambda h: {"market_name": "N/A"}
    smi.amdsmi_get_gpu_activity = lambda h: {"gfx_activity": 65_535, "umc_activity": math.nan}
    smi.amdsmi_get_power_info = lambda h: {
        "current_socket_power": 65_535,
        "average_socket_power": 410,
    }
    smi.amdsmi_get_energy_count = lambda h: {
        "energy_accumulator": 2**64 - 1,
        "counter_resolution": 15.3,
    }
    monkeypatch.setitem(sys.modules, "amdsmi", smi)
    source = make_source("amd", {})
    source.open()
    (device,) = source.devices()
    assert device.name is None
    assert source.sweep().samples[0].readings == {"power_mw": 410_000}
    gone = ("gpu_util_permille", "memory_util_permille", "energy_mj")
    assert {device.missing[name].reason for name in gone} == {Reason.UNSUPPORTED}


@pytest.mark.parametrize(
    ("family", "model", "mask"),
    [
        (23, 1, 0xFF),  # Zen 1: single and double precision have four bits each
        (23, 0x31, 0x0F),  # Zen 2
        (25, 0x01, 0x0F),  # Zen 3 (Milan)
        (25, 0x50, 0x0F),  # Zen 3 (Cezanne)
        (25, 0x11, 0x1F),  # Zen 4 (Genoa): BF16 multiply-adds are a bit of their own
        (25, 0xA0, 0x1F),  # Zen 4c (Bergamo)
        (26, 0x02, 0x0F),  # Zen 5 (Turin): higher bits choose a format
    ],
)
def test_what_amd_counts_as_all_flop(family, model, mask):
    cpu = {"vendor_id": "AuthenticAMD", "cpu family": str(family), "model": str(model)}
    assert events_of(cpu) == ((0x03 | mask << 8, 1),)


def test_what_intel_counts_is_weighted_by_its_elements():
    cpu = {"vendor_id": "GenuineIntel", "cpu family": "6", "model": str(0x8F)}
    # Bits: scalar double, scalar single, 128-bit double and single, 256-bit, 512-bit likewise.
    elements = [1, 1, 2, 4, 4, 8, 8, 16]
    seen = [None] * 8
    for code, weight in events_of(cpu):
        assert code & 0xFF == 0xC7
        for bit in range(8):
            if code >> 8 >> bit & 1:
                assert seen[bit] is None
                seen[bit] = weight
    assert seen == elements


@pytest.mark.parametrize(
    "cpu",
    [
        {"vendor_id": "GenuineIntel", "cpu family": "6", "model": str(0x97)},  # hybrid
        {"vendor_id": "GenuineIntel", "cpu family": "6", "model": str(0x3F)},  # before Broadwell
        {"vendor_id": "AuthenticAMD", "cpu family": "21", "model": "2"},
        {"vendor_id": "ARM", "cpu family": "x", "model": "y"},
        {},
    ],
)
def test_another_cpu_is_refused_because_its_event_means_something_else(cpu):
    with pytest.raises(SourceError, match="no event that counts FLOP"):
        events_of(cpu)


def test_cpu_counters_are_there_or_say_why():
    source = make_source("cpu", {})
    refusal = None
    try:
        source.open()
    except SourceError as error:
        refusal = error.unavailable.reason
    if refusal is not None:
        assert refusal in {Reason.UNSUPPORTED, Reason.FORBIDDEN, Reason.ABSENT}
        return
    before = source.sweep().samples[0].readings["cpu_retired_flop"]
    total = 0.0
    for number in range(200_000):
        total += number * 0.5
    after = source.sweep().samples[0].readings["cpu_retired_flop"]
    source.close()
    assert after - before >= 200_000


def test_an_unknown_source_names_the_known_ones():
    with pytest.raises(SourceError, match="nvml, dcgm, amd, cpu, replay"):
        make_source("nvidia", {})


def test_a_recording_can_be_an_instrument(nvml, record, tmp_path):
    nvml("device model=h100\nset 0 power 300000")
    record(0.5)
    source = make_source("replay", {"path": str(tmp_path / "run"), "speed": 1000.0})
    source.open()
    (device,) = source.devices()
    assert device.name == "NVIDIA H100 80GB HBM3"
    sweep = source.sweep()
    while not sweep.finished:
        assert all(s.readings["power_mw"] == 300_000 for s in sweep.samples)
        sweep = source.sweep()
    with pytest.raises(SourceError, match="cannot be replayed"):
        make_source("replay", {"path": str(Path("/nowhere"))}).open()


def test_the_schedule_is_absolute():
    now = [0]
    schedule = Schedule(100, clock=lambda: now[0])
    ticks = []
    for work in (10, 10, 250, 10, 10):  # the third sweep is slow: two ticks are skipped, no drift
        now[0] += schedule.wait_ns()
        ticks.append(now[0])
        now[0] += work
        schedule.advance()
    assert ticks == [0, 100, 200, 500, 600]


def test_a_stepped_clock_is_told_and_a_slewed_one_is_not():
    second = 1_000_000_000
    watch = StepWatch(ClockPair(monotonic_ns=0, wall_ns=0))
    # 500 ppm of slewing: half a millisecond a second.
    assert watch.look(ClockPair(monotonic_ns=second, wall_ns=second + 500_000)) is None
    assert watch.look(ClockPair(monotonic_ns=2 * second, wall_ns=3602 * second)) == (
        3600 * second - 500_000
    )
    assert watch.look(ClockPair(monotonic_ns=3 * second, wall_ns=3603 * second)) is None


@pytest.mark.parametrize(
    "answer", [b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"]
)
def test_an_exporter_that_speaks_no_http_is_a_source_that_failed(answer):
    """Not an end of the probe, which other instruments share."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(SourceError, match="127"):
            make_source("dcgm", {"url": f"http://127.0.0.1:{server.getsockname()[1]}/m"}).open()
        thread.join()


def test_an_exporter_is_asked_without_the_environments_proxy(exporter, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens there
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    source = make_source("dcgm", {"url": exporter.url})
    source.open()
    assert [device.key.uuid for device in source.devices()] == ["GPU-7"]


def test_counters_of_many_cpus_get_their_files(monkeypatch):
    """Five counters a CPU on 2 x 56 cores of two threads are 1,120 files; the usual limit is 1,024."""
    asked = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: asked.append(limits))
    cpu_counters._make_room(1120)
    assert asked == [(1120 + 256, 4096)]
    cpu_counters._make_room(100)  # 356 fit
    assert len(asked) == 1


class _Fake:
    """An instrument of one device whose behaviour a test chooses."""

    name = "fake"

    def __init__(self, uuid, faults=()):
        self._device = Device(key=DeviceKey(uuid=uuid), missing=_ALL_BUT_POWER)
        self._faults = list(faults)

    def open(self):
        pass

    def close(self):
        pass

    def devices(self):
        return [self._device]

    def sweep(self):
        fault = self._faults.pop(0) if self._faults else None
        if fault is not None:
            raise fault
        now = time.monotonic_ns()
        sample = Sample(
            device=self._device.key, monotonic_ns=now, wall_ns=now, period_ns=0,
            readings={"power_mw": 5000},
        )  # fmt: skip
        return Sweep(samples=(sample,))


_ALL_BUT_POWER = {
    name: Unavailable(reason=Reason.UNSUPPORTED) for name in SIGNALS if name != "power_mw"
}


@pytest.mark.parametrize(
    ("fault", "reason"),
    [(SourceError(Reason.LOST, "gone"), "lost"), (KeyError("a library's own"), "failed")],
)
def test_an_instrument_that_fails_beside_another_is_a_gap_of_its_devices(
    monkeypatch, fault, reason
):
    """The other one goes on, and no silence looks like an idle device."""
    made = {"one": _Fake("GPU-1"), "two": _Fake("GPU-2", [None, fault])}
    monkeypatch.setattr("profilers.attempt.make_source", lambda name, _: made[name])
    read, write = os.pipe()
    told = Probe({"sources": [{"name": "one"}, {"name": "two"}], "interval_ns": 1}, write)
    told.start()
    told.sweep([])
    told.sweep([])
    lines = os.read(read, 1 << 16).splitlines()
    os.close(read)
    os.close(write)
    devices, first, second = map(json.loads, lines)
    assert [device["uuid"] for device in devices["devices"]] == ["GPU-1", "GPU-2"]
    assert [(row[0], row[4]) for row in first["rows"]] == [(0, [5000]), (1, [5000])]
    assert [(row[0], row[4]) for row in second["rows"]] == [(0, [5000]), (1, [None])]
    assert second["rows"][1][5]["power_mw"][0] == reason
    assert [shut["name"] for shut in second["shut"]] == ["two"]

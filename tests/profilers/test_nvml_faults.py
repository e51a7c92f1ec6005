"""Everything that a driver can do to us, through the real pynvml on a stand-in library."""

import ctypes
import os
import signal
import time

import numpy as np
import psutil
import pytest

from profilers import DeviceKey, Reason, Unavailable
from profilers.integrals import mean_integral
from profilers.record import verify
from tests.profilers.conftest import build_stub

H100 = "GPU-00000000-0000-0000-0000-000000000001"
A100 = "GPU-00000000-0000-0000-0000-000000000002"
ONE = DeviceKey(uuid=H100)
TWO = DeviceKey(uuid=A100)


def reasons(trace, key, signal_name):
    """The reasons of the absent cells of one signal, in order and without repetition."""
    seen = trace.devices[key]
    found = [seen.reading(signal_name, row) for row in range(len(seen))]
    return list(dict.fromkeys(r.reason for r in found if isinstance(r, Unavailable)))


def numbers(trace, key, signal_name):
    return trace.devices[key].series[signal_name].masked.compressed().tolist()


def events(trace, kind):
    whole = list(trace.events) + [e for d in trace.devices.values() for e in d.events]
    return [e for e in whole if e.kind == kind]


def test_a_healthy_pair_is_covered_without_a_hole(nvml, record):
    nvml("device model=h100 file=3\ndevice model=a100\nset * util 37\nset 0 tensor 42.5")
    trace = record(1.0)
    assert set(trace.devices) == {ONE, TWO}
    places = [
        (trace.devices[k].device.index, trace.devices[k].device.file_number) for k in (ONE, TWO)
    ]
    assert places == [(0, 3), (1, 1)]  # /dev/nvidia3 may be a container's first
    for key in (ONE, TWO):
        seen = trace.devices[key]
        span = (seen.time_ns[-1] - seen.time_ns[0]) / 1e9
        assert seen.covered_seconds() == pytest.approx(span, abs=1e-5)  # 100 % of the time
        assert set(numbers(trace, key, "gpu_util_permille")) == {370}
    assert set(numbers(trace, ONE, "tensor_activity_permille")) == {425}
    assert reasons(trace, TWO, "tensor_activity_permille") == [Reason.UNSUPPORTED]
    assert trace.gaps == ()


def test_chained_gpm_means_cover_every_moment(nvml, record):
    # 100 % busy for exactly 0.35 s: the integral of chained means finds it wherever it falls.
    nvml("device model=h100\nset 0 tensor 100 0.9 1.25")
    trace = record(2.0, interval=0.13)
    seen = trace.devices[ONE]
    series = seen.series["tensor_activity_permille"]
    start, end = seen.spans("tensor_activity_permille")
    busy = float((series.masked * (end - start)).sum()) / 1e9 / 1000
    assert busy == pytest.approx(0.35, abs=0.005)


def test_a_mean_that_is_no_number_is_a_reason_and_stops_nothing(nvml, record):
    # GPM answers SUCCESS with NaN where it had nothing to divide by
    nvml("device model=h100\nset 0 tensor 42.5\nset 0 tensor nan 0.3 0.8")
    trace = record(1.5)
    assert Reason.FAILED in reasons(trace, ONE, "tensor_activity_permille")
    assert set(numbers(trace, ONE, "tensor_activity_permille")) == {425}
    assert len(numbers(trace, ONE, "sm_activity_permille")) >= 8
    assert events(trace, "sampler-restart") == []
    assert trace.gaps == ()


def test_no_library_at_all(record, monkeypatch, tmp_path):
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    trace = record(0.3)
    assert trace.devices == {}
    assert verify(tmp_path / "run") == []


def test_no_driver(nvml, record, tmp_path):
    nvml("device model=h100\ninit 9")
    assert record(0.3).devices == {}
    told = (next((tmp_path / "run/telemetry").iterdir()) / "journal.jsonl").read_text()
    assert "Driver Not Loaded" in told


def test_no_permission_for_one_signal_leaves_the_rest(nvml, record):
    nvml(
        "device model=h100\nfault 0 nvmlGpmSampleGet code=4\nfault 0 field83 code=4\n"
        "fault 0 nvmlDeviceGetTotalEnergyConsumption code=4"
    )
    trace = record(0.5)
    assert reasons(trace, ONE, "energy_mj") == [Reason.FORBIDDEN]
    assert reasons(trace, ONE, "tensor_activity_permille") == [Reason.FORBIDDEN]
    assert len(numbers(trace, ONE, "power_mw")) >= 4


def test_not_supported_is_asked_once(nvml, record):
    # Were it asked again, the hang from the second call on would show.
    nvml(
        "device model=h100\nfault 0 nvmlDeviceGetTotalEccErrors code=3 to=0.8\n"
        "fault 0 nvmlDeviceGetTotalEccErrors hang from=0.8"
    )
    trace = record(1.2)
    assert reasons(trace, ONE, "ecc_corrected") == [Reason.UNSUPPORTED]
    assert events(trace, "sampler-restart") == []


def test_a_missing_symbol_is_one_more_unsupported_signal(nvml, record, tmp_path):
    library = build_stub(tmp_path / "old", "-DOMIT_GPM", "-DOMIT_EVENT_REASONS")
    nvml("device model=h100\nset 0 reasons 4", library)
    trace = record(0.5)
    assert reasons(trace, ONE, "tensor_activity_permille") == [Reason.UNSUPPORTED]
    # The older name of the same symbol answers instead.
    assert set(numbers(trace, ONE, "event_reasons")) == {4}


def test_an_unknown_code_is_kept_and_told_once(nvml, record):
    nvml("device model=h100\nfault 0 nvmlDeviceGetTemperature code=4711 from=0.4")
    trace = record(1.0)
    assert Reason.FAILED in reasons(trace, ONE, "temperature_c")
    told = events(trace, "unknown-code")
    assert len(told) == 1
    assert "4711" in told[0].detail["why"]


def test_one_lost_gpu_leaves_the_other(nvml, record):
    nvml("device model=h100\ndevice model=a100\nfault 0 * code=15 from=0.9")
    trace = record(1.4)
    lost, other = trace.devices[ONE], trace.devices[TWO]
    assert reasons(trace, ONE, "power_mw") == [Reason.LOST]
    assert len(other) >= 12
    assert numbers(trace, TWO, "power_mw") == [70_000] * len(other)
    # Capacity counts to the loss, and the gap goes on to the end.
    (gap,) = lost.gaps
    assert gap.reason == "lost"
    dark = (int(other.time_ns[-1]) - gap.start_ns) / 1e9
    assert lost.covered_seconds() + dark == pytest.approx(other.covered_seconds(), abs=0.02)
    assert gap.end_ns >= trace.ended_ns


def test_all_gpus_lost_and_back(nvml, record):
    nvml("device model=h100\nfault 0 * code=15 from=0.7 to=1.4")
    trace = record(2.6)
    seen = trace.devices[ONE]
    assert [gap.reason for gap in seen.gaps] == ["lost"]
    length = (seen.gaps[0].end_ns - seen.gaps[0].start_ns) / 1e9
    assert 0.6 <= length <= 1.2
    assert events(trace, "sampler-restart") == []


def test_a_gpu_that_is_lost_before_we_start(nvml, record):
    nvml("device model=h100\ndevice model=a100\nfault 0 nvmlDeviceGetHandleByIndex_v2 code=15")
    trace = record(0.4)
    assert len(trace.devices[TWO]) >= 3
    assert [
        gap.reason for gap in trace.devices[DeviceKey(uuid=f"{os.uname().nodename}/0")].gaps
    ] == ["lost"]


def test_an_xid_is_an_event(nvml, record):
    nvml("device model=h100\ndevice model=a100\nxid 1 79 0.9")
    trace = record(1.2)
    told = events(trace, "xid")
    assert [(e.device, e.detail["code"]) for e in told] == [(TWO, 79)]


def test_mig_switched_on_is_a_new_device_and_never_a_zero(nvml, record):
    nvml("device model=h100\nset 0 util 50\nset 0 tensor 10\nmig 0 2 1.0")
    trace = record(1.8)
    parts = sorted(key.mig for key in trace.devices if key.mig)
    assert len(parts) == 2
    assert all(key.uuid == H100 for key in trace.devices)
    assert set(numbers(trace, ONE, "gpu_util_permille")) == {500}
    assert reasons(trace, ONE, "gpu_util_permille")[-1] is Reason.MIG
    part = trace.devices[DeviceKey(uuid=H100, mig=parts[0])]
    assert set(part.series["tensor_activity_permille"].masked.compressed().tolist()) == {100}
    assert "energy_mj" in part.device.missing
    assert part.device.missing["energy_mj"].reason is Reason.MIG


def test_a_slow_call_does_not_move_the_schedule(nvml, record):
    nvml("device model=h100\nfault 0 nvmlDeviceGetUtilizationRates delay=50 from=0.7")
    trace = record(1.5)
    stamps = trace.devices[ONE].time_ns
    late = stamps[stamps > stamps[0] + 600_000_000]
    # Without drift the sweeps stay on a 100 ms grid although each takes 50 ms.
    assert float(np.median(np.diff(late))) / 1e6 == pytest.approx(100, abs=8)


def test_an_endless_hang_is_killed_and_is_a_gap(nvml, record):
    nvml(
        "device model=h100\nfault 0 nvmlDeviceGetPowerUsage hang from=1.0 to=1.6\n"
        "fault 0 nvmlDeviceGetFieldValues hang from=1.0 to=1.6"
    )
    trace = record(3.0)
    assert [gap.reason for gap in trace.gaps] == ["timed_out"]
    length = (trace.gaps[0].end_ns - trace.gaps[0].start_ns) / 1e9
    assert 0.55 <= length <= 1.8
    restarts = events(trace, "sampler-restart")
    assert restarts
    assert "SIGKILL" in restarts[0].detail["detail"]
    seen = trace.devices[ONE]
    after = seen.time_ns >= trace.gaps[0].end_ns
    assert after.sum() >= 3
    # The counter ran on while nobody looked: it covers the gap.
    energy = numbers(trace, ONE, "energy_mj")
    drawn = (energy[-1] - energy[0]) / 1e6
    span = (seen.time_ns[-1] - seen.time_ns[0]) / 1e9
    assert drawn == pytest.approx(0.070 * span, abs=0.070 * 0.11)


def test_a_segfault_in_the_library_costs_a_gap_only(nvml, record):
    nvml("device model=h100\nfault 0 nvmlDeviceGetUtilizationRates segv from=0.9 to=1.0")
    trace = record(2.0)
    assert [gap.reason for gap in trace.gaps] == ["crashed"]
    assert "SIGSEGV" in trace.gaps[0].detail
    assert (trace.devices[ONE].time_ns >= trace.gaps[0].end_ns).sum() >= 3


def test_a_driver_reload_is_a_new_segment(nvml, record):
    nvml("device model=h100\nenergy_reset 0 0.95")
    trace = record(1.5)
    assert reasons(trace, ONE, "energy_mj") == [Reason.RESET]
    told = events(trace, "counter-reset")
    assert len(told) == 1
    assert told[0].detail["signal"] == "energy_mj"


def test_a_stuck_counter_is_stale(nvml, record):
    # 1e9 mJ at the start plus 70 W x 0.8 s = 56,000 mJ, and there it stays.
    nvml("device model=h100\nset 0 energy 1000056000 0.8")
    trace = record(6.6, interval=0.2)
    assert Reason.STALE in reasons(trace, ONE, "energy_mj")


def test_bad_samples_are_rejected_and_kept_beside(nvml, record):
    nvml("device model=h100\nset 0 util 255 0.8\nset 0 power 4e9 0.8\nset 0 sm_clock 65000 0.8")
    trace = record(1.2)
    seen = trace.devices[ONE]
    for name, raw in (
        ("gpu_util_permille", 2550),
        ("power_mw", 4_000_000_000),
        ("sm_clock_mhz", 65_000),
    ):
        last = seen.reading(name, len(seen) - 1)
        assert isinstance(last, Unavailable)
        assert (last.reason, last.raw) == (Reason.REJECTED, raw)
    # Once a signal: utilisation, both powers, clock, and the energy that such a power implies.
    assert len(events(trace, "rejected")) == 5


def test_a_device_that_appears_later(nvml, record):
    nvml("device model=h100\ndevice model=a100\nshow 1 0.9")
    trace = record(1.6)
    assert trace.devices[TWO].time_ns[0] > trace.devices[ONE].time_ns[0] + 200_000_000
    assert [e.device for e in events(trace, "device-appeared")] == [TWO]


def test_a_duplicate_uuid_is_never_counted_twice(nvml, record):
    nvml("device model=h100 uuid=GPU-same\ndevice model=h100 uuid=GPU-same")
    trace = record(0.4)
    assert list(trace.devices) == [DeviceKey(uuid="GPU-same")]
    assert len(events(trace, "duplicate-uuid")) == 1


def test_a_container_that_loses_nvml_gets_it_back(nvml, record):
    # Everything answers UNKNOWN, as after a daemon reload; then init works again.
    nvml("device model=h100\nfault * * code=999 from=0.7 to=1.3")
    trace = record(4.5)
    seen = trace.devices[ONE]
    assert seen.time_ns[-1] - seen.time_ns[0] > 3e9
    assert seen.covered_seconds() < (seen.time_ns[-1] - seen.time_ns[0]) / 1e9 - 0.4
    assert [gap.reason for gap in trace.gaps] == ["failed"]
    assert "999" in trace.gaps[0].detail
    assert numbers(trace, ONE, "power_mw")[-1] == 70_000


def test_kill_9_of_the_probe(nvml, record):
    nvml("device model=h100")

    def kill(sampler):
        time.sleep(0.5)
        (probe,) = psutil.Process(sampler.pid).children()
        probe.send_signal(signal.SIGKILL)

    trace = record(1.5, during=kill)
    assert [gap.reason for gap in trace.gaps] == ["crashed"]
    assert "SIGKILL" in trace.gaps[0].detail
    assert len(trace.devices[ONE]) >= 8


def test_the_binding_agrees_with_our_structs(stub_folder):
    """The sizes on which the C file relies, as the installed binding has them."""
    import pynvml

    sizes = {
        pynvml.c_nvmlUtilization_t: 8,
        pynvml.c_nvmlMemory_t: 24,
        pynvml.c_nvmlMemory_v2_t: 40,
        pynvml.c_nvmlSample_t: 16,
        pynvml.c_nvmlProcessInfo_v3_t: 24,
        pynvml.c_nvmlFieldValue_t: 40,
        pynvml.c_nvmlGpmMetric_t: 40,
        pynvml.c_nvmlProcessUtilizationSample_t: 32,
        pynvml.c_nvmlEventData_t: 32,
        pynvml.nvmlPciInfo_t: 68,
    }
    assert {kind.__name__: ctypes.sizeof(kind) for kind in sizes} == {
        kind.__name__: size for kind, size in sizes.items()
    }
    assert pynvml.c_nvmlGpmMetricsGet_t.metrics.offset == 24


CORE = """nvmlInitWithFlags nvmlShutdown nvmlErrorString nvmlSystemGetDriverVersion
nvmlDeviceGetCount_v2 nvmlDeviceGetHandleByIndex_v2 nvmlDeviceGetUUID nvmlDeviceGetName
nvmlDeviceGetUtilizationRates nvmlDeviceGetPowerUsage nvmlDeviceGetTotalEnergyConsumption
nvmlDeviceGetClockInfo nvmlDeviceGetMemoryInfo"""


def test_a_library_with_a_dozen_functions_still_gives_what_it_has(nvml, record, tmp_path):
    exported = tmp_path / "core.map"
    exported.write_text("{ global: " + "; ".join(CORE.split()) + "; local: *; };")
    library = build_stub(tmp_path / "core", f"-Wl,--version-script={exported}")
    nvml("device model=h100\nset 0 power 300000\nset 0 util 12", library)
    trace = record(0.8)
    assert set(numbers(trace, ONE, "power_mw")) == {300_000}
    assert set(numbers(trace, ONE, "gpu_util_permille")) == {120}
    assert set(numbers(trace, ONE, "memory_used_bytes")) == {600_000_000}
    assert len(numbers(trace, ONE, "energy_mj")) >= 6
    assert reasons(trace, ONE, "tensor_activity_permille") == [Reason.UNSUPPORTED]
    assert trace.devices[ONE].device.mig_mode is None


def test_a_device_that_this_user_may_not_open_is_forbidden(nvml, record):
    nvml("device model=h100\ndevice model=a100\nfault 0 nvmlDeviceGetHandleByIndex_v2 code=4")
    trace = record(0.5)
    closed = DeviceKey(uuid=f"{os.uname().nodename}/0")
    assert reasons(trace, closed, "power_mw") == [Reason.FORBIDDEN]
    assert [gap.reason for gap in trace.devices[closed].gaps] == ["forbidden"]
    assert trace.devices[closed].covered_seconds() == 0
    assert len(numbers(trace, TWO, "power_mw")) >= 4


@pytest.mark.parametrize(
    ("code", "words"), [(4, "Insufficient Permissions"), (4711, "NVML error 4711")]
)
def test_an_init_that_fails_is_kept_in_the_librarys_words(nvml, record, tmp_path, code, words):
    nvml(f"device model=h100\ninit {code}")
    assert record(0.3).devices == {}
    told = (next((tmp_path / "run/telemetry").iterdir()) / "journal.jsonl").read_text()
    assert words in told


def test_mig_switched_off_brings_the_whole_device_back(nvml, record):
    nvml("device model=h100\nset 0 util 50\nmig 0 2 -5000 1.0")
    trace = record(2.2)
    whole = trace.devices[ONE]
    parts = [key for key in trace.devices if key.mig]
    assert len(parts) == 2
    assert reasons(trace, ONE, "gpu_util_permille")[0] is Reason.MIG
    assert numbers(trace, ONE, "gpu_util_permille")[-1] == 500
    # The first number after the switch does not speak for the time in which there was none.
    start, _ = whole.spans("gpu_util_permille")
    assert whole.time_ns[0] + 500_000_000 < start[whole.series["gpu_util_permille"].present].min()
    assert Reason.PENDING not in reasons(trace, ONE, "gpu_util_permille")
    for key in parts:  # they end where the device is whole again
        assert trace.devices[key].time_ns[-1] < whole.time_ns[-1] - 500_000_000
    assert {event.device for event in events(trace, "device-vanished")} == set(parts)


def test_a_symbol_that_a_newer_library_has_is_found_after_a_restart(nvml, record, tmp_path):
    """The driver is replaced while we run; the old probe ends, the next one asks anew."""
    folder = build_stub(tmp_path / "driver", "-DOMIT_GPM")
    newer = build_stub(tmp_path / "newer")
    nvml("device model=h100\nset 0 tensor 25", folder)

    def replace(sampler):
        time.sleep(0.5)
        (newer / "libnvidia-ml.so.1").replace(folder / "libnvidia-ml.so.1")
        (probe,) = psutil.Process(sampler.pid).children()
        probe.send_signal(signal.SIGKILL)

    trace = record(2.5, during=replace)
    seen = trace.devices[ONE]
    first = seen.reading("tensor_activity_permille", 0)
    assert isinstance(first, Unavailable)
    assert first.reason is Reason.UNSUPPORTED
    assert numbers(trace, ONE, "tensor_activity_permille")[-1] == 250
    # 25 % of the time since the restart, and nothing of the time before it.
    known = mean_integral(seen, "tensor_activity_permille", seen.time_ns[0], seen.time_ns[-1])
    assert known.seconds < (seen.time_ns[-1] - seen.time_ns[0]) / 1e9 - 0.4


def test_a_call_longer_than_the_interval_is_lateness_on_record(nvml, record):
    # 250 ms a sweep where one is due every 100 ms: two of three ticks pass by.
    nvml("device model=h100\nfault 0 nvmlDeviceGetUtilizationRates delay=250 from=0.2")
    trace = record(2.0)
    assert trace.gaps == ()
    assert len(events(trace, "late")) == 1
    (total,) = events(trace, "late-total")
    assert total.detail["sweeps"] >= 3
    assert total.detail["skipped"] >= 6


def test_an_error_counter_that_goes_back_is_a_reset(nvml, record):
    nvml("device model=h100\nset 0 ecc_corrected 100 -5000 1.2\nset 0 ecc_corrected 5 1.2")
    trace = record(3.6)
    assert Reason.RESET in reasons(trace, ONE, "ecc_corrected")
    assert set(numbers(trace, ONE, "ecc_corrected")) == {100, 5}
    assert [e.detail["signal"] for e in events(trace, "counter-reset")] == ["ecc_corrected"]


def test_a_device_without_xids_leaves_those_of_the_others(nvml, record):
    nvml(
        "device model=h100\ndevice model=a100\nfault 0 nvmlDeviceRegisterEvents code=3\nxid 1 79 0.4"
    )
    trace = record(1.4)
    assert [(e.device, e.detail["code"]) for e in events(trace, "xid")] == [(TWO, 79)]

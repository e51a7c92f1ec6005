"""``.wandb`` files: one of the real library, and logs of our own with every kind of damage."""

import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profilers.importers import ImportFormatError, collect, open_recording
from profilers.importers import protobuf as wire
from profilers.importers.record_log import BLOCK, Damage, records
from profilers.importers.wandb_file import MAGIC
from profilers.trace import DeviceKey

REAL = Path(__file__).parent / "fixtures/run-fixture.wandb"
H100 = DeviceKey(uuid="GPU-00000000-0000-0000-0000-000000000001")
A100 = DeviceKey(uuid="GPU-00000000-0000-0000-0000-000000000002")


def read(path):
    _, recording = open_recording(path)
    return collect([recording]), recording


def cells(trace, key, name):
    seen = trace.devices[key]
    return [seen.reading(name, row) for row in range(len(seen))]


def test_a_run_of_the_real_library():
    """Recorded by wandb 0.31 on a stand-in NVML: 512.25 W and 301 W, tensor 42.5 %, SM 61 %."""
    trace, recording = read(REAL)
    assert set(trace.devices) == {H100, A100}
    assert trace.devices[H100].device.name == "NVIDIA H100 80GB HBM3"
    assert trace.devices[H100].device.memory_bytes == 85_520_809_984
    assert trace.devices[H100].device.node == "host-a"
    assert set(cells(trace, H100, "power_mw")) == {512_250}
    assert set(cells(trace, A100, "power_mw")) == {301_000}
    assert set(cells(trace, H100, "sm_clock_mhz")) == {1410}
    assert cells(trace, H100, "tensor_activity_permille")[1:] == [425] * 5
    assert cells(trace, H100, "sm_activity_permille")[1:] == [610] * 5
    # 512.25 W for the time between the first and the last look
    energy = cells(trace, H100, "energy_mj")
    seconds = (trace.devices[H100].time_ns[-1] - trace.devices[H100].time_ns[0]) / 1e9
    assert (energy[-1] - energy[0]) / 1000 == pytest.approx(512.25 * seconds, rel=0.01)
    assert "sampled-pair" in recording.findings.codes()


def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out) + bytes([number])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    raw = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(raw)) + raw


def stats(seconds, **items):
    body = field(2, field(1, seconds) + field(2, 250_000_000))
    for key, value in items.items():
        body += field(3, field(1, key.replace("__", ".")) + field(16, str(value)))
    return field(1, 1) + field(7, body)


def framed(messages):
    """LevelDB framing: pieces that never cross a 32 KiB block."""
    out = bytearray(len(MAGIC))
    for message in messages:
        rest, first = message, True
        while True:
            left = BLOCK - len(out) % BLOCK
            if left < 7:
                out += bytes(left)
                continue
            piece, rest = rest[: left - 7], rest[left - 7 :]
            kind = {(True, True): 1, (True, False): 2, (False, False): 3, (False, True): 4}[
                first, not rest
            ]
            crc = zlib.crc32(piece, zlib.crc32(bytes([kind])))
            out += struct.pack("<IHB", crc, len(piece), kind) + piece
            first = False
            if not rest:
                break
    return bytes(out)


def log(tmp_path, messages):
    data = bytearray(framed(messages))
    data[: len(MAGIC)] = MAGIC
    path = tmp_path / "log"
    path.write_bytes(data)
    return path


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=3 * BLOCK), max_size=6))
def test_framing_gives_back_what_was_framed(messages):
    assert list(records(framed(messages), len(MAGIC))) == messages


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=BLOCK), min_size=1, max_size=4), st.data())
def test_a_cut_or_a_flipped_bit_costs_only_what_follows(messages, data):
    whole = bytearray(framed(messages))
    place = data.draw(st.integers(len(MAGIC), len(whole) - 1))
    if data.draw(st.booleans()):
        whole = whole[:place]
    else:
        whole[place] ^= 1 << data.draw(st.integers(0, 7))
    found = list(records(bytes(whole), len(MAGIC)))
    good = [r for r in found if not isinstance(r, Damage)]
    assert good == messages[: len(good)]
    for damage in (r for r in found if isinstance(r, Damage)):
        assert damage is found[-1]
        assert damage.offset + damage.lost_bytes == len(whole)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_break_the_wire_reader(data):
    try:
        for number, value in wire.fields(data):
            assert number > 0
            assert isinstance(value, int | bytes)
    except wire.WireError:
        pass


def test_statistics_by_hand_and_a_torn_tail(tmp_path):
    looks = [stats(1_700_000_000 + 15 * i, gpu__0__powerWatts=600 + i) for i in range(5)]
    path = log(tmp_path, [*looks, b"\0" * 0 + stats(1_700_000_100, gpu__0__powerWatts=1)])
    path.write_bytes(path.read_bytes()[:-3])
    trace, recording = read(path)
    (key,) = trace.devices
    assert cells(trace, key, "power_mw") == [600_000 + 1000 * i for i in range(5)]
    assert trace.devices[key].time_ns[0] == 1_700_000_000_250_000_000
    assert trace.devices[key].period_ns.tolist() == [0, *[15 * 10**9] * 4]
    assert "torn-tail" in recording.findings.codes()


def test_one_instant_may_come_in_several_records(tmp_path):
    path = log(
        tmp_path,
        [stats(1_700_000_000, gpu__0__gpu=50), stats(1_700_000_000, gpu__0__powerWatts=300)],
    )
    trace, _ = read(path)
    (key,) = trace.devices
    assert len(trace.devices[key]) == 1
    assert cells(trace, key, "gpu_util_permille") == [500]
    assert cells(trace, key, "power_mw") == [300_000]


@pytest.mark.parametrize("value", ['"many"', "[1]", "{", "true"])
def test_a_figure_that_is_none_is_refused(tmp_path, value):
    with pytest.raises(ImportFormatError, match="no number"):
        read(log(tmp_path, [stats(1_700_000_000, gpu__0__gpu=value)]))


def test_a_log_without_devices_says_so(tmp_path):
    with pytest.raises(ImportFormatError, match="no statistic of a device"):
        read(log(tmp_path, [stats(1_700_000_000, cpu=3)]))


def test_a_later_version_is_not_guessed(tmp_path):
    path = log(tmp_path, [stats(1_700_000_000, gpu__0__gpu=1)])
    raw = bytearray(path.read_bytes())
    raw[6] = 9
    path.write_bytes(raw)
    with pytest.raises(ImportFormatError, match="version 9"):
        read(path)

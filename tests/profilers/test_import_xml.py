"""``nvidia-smi -q -x`` in a loop, written here in the form of its pages."""

import pytest

from profilers.importers import ImportFormatError, LimitError, collect, open_recording
from profilers.importers import nvidia_smi_xml as xml
from profilers.reading import Unavailable

UUID = "GPU-0a1b2c3d-0000-1111-2222-33334444555{}"
OLD = "<power_readings><power_draw>{watts} W</power_draw><power_limit>300.00 W</power_limit></power_readings>"
NEW = (
    "<gpu_power_readings><average_power_draw>{watts} W</average_power_draw><instant_power_draw>"
    "{watts} W</instant_power_draw></gpu_power_readings>"
)


def page(second, watts=(100, 200), power=OLD, util="50 %"):
    devices = "".join(
        f"""<gpu id="00000000:{place}0:00.0">
    <product_name>NVIDIA A100-PCIE-40GB</product_name>
    <uuid>{UUID.format(place)}</uuid>
    <fb_memory_usage><total>40960 MiB</total><used>1024 MiB</used></fb_memory_usage>
    <utilization><gpu_util>{util}</gpu_util></utilization>
    {power.format(watts=f"{each}.50")}
    <clocks><sm_clock>1410 MHz</sm_clock></clocks>
  </gpu>
"""
        for place, each in enumerate(watts)
    )
    return f"""<?xml version="1.0" ?>
<!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v12.dtd">
<nvidia_smi_log>
  <timestamp>Fri Oct  4 18:24:{second:02d} 2024</timestamp>
  <driver_version>535.129.03</driver_version>
  {devices}</nvidia_smi_log>

"""


def read(tmp_path, text):
    path = tmp_path / "gpu.xml"
    path.write_text(text)
    _, recording = open_recording(path)
    return collect([recording]), recording


@pytest.mark.parametrize("power", [OLD, NEW])
def test_page_after_page_is_a_recording(tmp_path, power):
    trace, recording = read(tmp_path, "".join(page(one, power=power) for one in (9, 14, 19)))
    assert {str(key) for key in trace.devices} == {UUID.format(0), UUID.format(1)}
    first = next(iter(trace.devices.values()))
    assert [first.reading("power_mw", row) for row in range(3)] == [100_500] * 3
    assert first.reading("gpu_util_permille", 0) == 500
    assert first.reading("memory_used_bytes", 0) == 1024 * 2**20
    assert first.device.memory_bytes == 40960 * 2**20
    assert first.time_ns[2] - first.time_ns[0] == 10 * 10**9
    assert "zone-unknown" in recording.findings.codes()
    assert ("power-scope-unknown" in recording.findings.codes()) == (power == OLD)


def test_a_partitioned_device_has_no_utilisation(tmp_path):
    trace, _ = read(tmp_path, page(9, util="N/A") + page(14, util="N/A"))
    first = next(iter(trace.devices.values()))
    assert isinstance(first.reading("gpu_util_permille", 0), Unavailable)


def test_a_page_that_was_cut_costs_itself_alone(tmp_path):
    trace, recording = read(tmp_path, page(9) + page(14) + page(19)[:600])
    assert [len(device) for device in trace.devices.values()] == [2, 2]
    assert "torn-tail" in recording.findings.codes()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (page(9), "one moment"),
        (page(9) + page(14).replace("100.50 W", "100,50 W"), "no figure in W"),
        (page(9) + page(14).replace("Fri Oct", "Ven ottobre"), "stamp"),
        (page(9) + page(14).replace("</gpu>", ""), "not valid XML"),
        (page(9) + page(14).replace('"nvsmi_device_v12.dtd"', '"x" [<!ENTITY a "b">]'), "entities"),
        (page(9) + page(14).replace("<gpu ", "<a>" * 40 + "<gpu ", 1), "too deep"),
    ],
)
def test_what_is_no_recording_is_refused(tmp_path, text, said):
    with pytest.raises(ImportFormatError, match=said):
        read(tmp_path, text)


def test_a_page_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(xml, "_PAGE_CHARACTERS", 500)
    with pytest.raises(LimitError, match="8 MiB"):
        read(tmp_path, page(9) + page(14))

"""Recordings beside a log are cut to the run's timed window."""

import bz2
import gzip
import json
import lzma

import pytest

from flopledger import logs
from flopledger.facts import Grade

from .conftest import codes

START = 1_700_000_000


def result(started=0, ended=100):
    return "".join(
        f':::MLLOG {{"key": "{key}", "time_ms": {(START + at) * 1000}, "value": null, '
        f'"metadata": {{"status": "success"}}}}\n'
        for key, at in (("run_start", started), ("run_stop", ended))
    )


def power(begin=-50, end=150, watts=1000.0):
    lines = [
        json.dumps(
            {
                "namespace": "",
                "time_ms": (START + at) * 1000,
                "event_type": "POINT_IN_TIME",
                "key": "power_reading",
                "value": watts,
                "metadata": {"file": "p", "lineno": 1},
            }
        )
        for at in range(begin, end + 1)
    ]
    return "".join(f":::MLLOG {line}\n" for line in lines)


@pytest.mark.parametrize(
    "packed",
    [gzip.compress, lzma.compress, bz2.compress, lambda text: text.decode().encode("utf-16")],
)
def test_telemetry_may_be_packed_as_logs_may(written, packed):
    rows = "".join(f"2026/01/01 00:00:{one:02d}.000, 0, 400.00 W\n" for one in range(10, 41))
    text = "timestamp, index, power.draw [W]\n" + rows
    # 30 s between the first row and the last at 400 W
    for content in (text.encode(), packed(text.encode())):
        facts = logs.assemble(written({"gpu.csv": content}))
        assert facts.energy_joules.number == pytest.approx(30 * 400)
    cut = written({"gpu.csv.gz": gzip.compress(text.encode())[:-9]})
    assert cut.telemetry == ()


def test_pages_of_xml_in_a_loop_are_telemetry_and_one_is_an_inventory(written):
    page = (
        '<?xml version="1.0" ?>\n<nvidia_smi_log>\n<timestamp>Fri Oct 11 18:24:{:02d} 2024</timestamp>\n'
        '<gpu id="00000000:10:00.0"><product_name>NVIDIA A100-PCIE-40GB</product_name>\n'
        "<power_readings><power_draw>200.00 W</power_draw></power_readings></gpu></nvidia_smi_log>\n"
    )
    loop = written({"loop.xml": "".join(page.format(one) for one in range(0, 60, 5))})
    assert [one.format for one in loop.sources.values()] == ["telemetry"]
    # 55 s at 200 W
    assert logs.assemble(loop).energy_joules.number == pytest.approx(55 * 200)
    one = written({"page.xml": page.format(0)})
    assert [source.format for source in one.sources.values()] == ["nvidia-smi-xml"]


def test_a_node_meter_is_integrated_inside_the_window(written):
    facts = logs.assemble(written({"result_0.txt": result(), "node_0.txt": power()}))
    # 1000 W x 100 s, not the 200 s that were recorded
    assert facts.energy_joules.number == pytest.approx(100_000, rel=0.02)
    assert facts.energy_boundary.value == "node"
    assert facts.energy_joules.facts[0].grade is Grade.GAUGE
    assert facts.accelerator_seconds is None  # a node's seconds are not its devices'


def test_nodes_add_up(written):
    files = {"result_0.txt": result(), "node_0.txt": power(), "node_1.txt": power(watts=500.0)}
    facts = logs.assemble(written(files))
    assert facts.energy_joules.number == pytest.approx(150_000, rel=0.02)


def test_half_a_recording_is_a_lower_bound(written):
    facts = logs.assemble(written({"result_0.txt": result(), "node_0.txt": power(end=50)}))
    assert facts.energy_joules.number == pytest.approx(50_000, rel=0.05)
    assert facts.energy_joules.bound == "at least"
    assert "coverage-gap" in codes(facts)


def test_a_recording_of_another_hour_is_not_used(written):
    log = result(started=7200, ended=7300)
    facts = logs.assemble(written({"result_0.txt": log, "node_0.txt": power()}))
    assert facts.energy_joules is None
    assert "clock-disagreement" in codes(facts)


def test_a_damaged_recording_is_named(written):
    zeus = "start_time,window_name,elapsed_time,gpu0_energy\n1.0,a,x,5.0\n2.0,b,1.0,5.0\n"
    facts = logs.assemble(written({"zeus.csv": zeus}))
    assert facts.energy_joules is None
    assert "evidence-unreadable" in codes(facts)


def smi(seconds, name="NVIDIA H100 80GB HBM3"):
    lines = ["timestamp, uuid, name, power.draw [W]"]
    lines += [
        f"2026/01/02 03:{at // 60:02d}:{at % 60:02d}.000, "
        f"GPU-11111111-2222-3333-4444-555555555501, {name}, 500.00 W"
        for at in seconds
    ]
    return "\n".join(lines) + "\n"


def test_a_hole_in_a_recording_is_said_without_a_window_too(written):
    holed = [at for at in range(301) if not 100 <= at < 200]
    facts = logs.assemble(written({"smi.csv": smi(holed)}))
    # 500 W over the 200 of 300 s that were seen: what the device did in between is not known.
    assert facts.energy_joules.number == pytest.approx(100_000, rel=0.02)
    assert facts.energy_joules.bound == "at least"
    assert facts.accelerator_seconds.number == pytest.approx(200, rel=0.02)
    assert facts.accelerator_seconds.bound == "at least"
    assert "coverage-gap" in codes(facts)
    whole = logs.assemble(written({"smi.csv": smi(range(301))}))
    assert whole.energy_joules.number == pytest.approx(150_000, rel=0.02)
    assert whole.energy_joules.bound == whole.accelerator_seconds.bound == "exact"
    assert "coverage-gap" not in codes(whole)


def counter(seconds):
    """Readings of an energy counter (mJ) that rises by 500 J a second."""
    lines = ["# TYPE DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION counter"]
    name = 'gpu="0",UUID="GPU-11111111-2222-3333-4444-555555555501"'
    for at in seconds:
        stamp = (1_767_225_600 + at) * 1000
        lines.append(f"DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{{{name}}} {500_000 * (at + 1)} {stamp}")
        lines.append(f"DCGM_FI_PROF_SM_ACTIVE{{{name}}} 0.9 {stamp}")
    return "\n".join(lines) + "\n"


def test_an_energy_counter_spans_the_hole_that_device_time_has(written):
    holed = [at for at in range(301) if not 100 <= at < 200]
    facts = logs.assemble(written({"dcgm.prom": counter(holed)}))
    # 500 J/s x 300 s, read off the counter before and after the hole.
    assert facts.energy_joules.number == pytest.approx(150_000, rel=0.02)
    assert facts.energy_joules.bound == "exact"
    assert facts.accelerator_seconds.number == pytest.approx(200, rel=0.02)
    assert facts.accelerator_seconds.bound == "at least"
    (said,) = [one for one in facts.findings if one.code == "coverage-gap"]
    assert "device time is a lower bound" in said.message


def test_the_driver_names_the_part(written):
    facts = logs.assemble(written({"smi.csv": smi(range(5))}))
    assert facts.accelerator.value == "NVIDIA H100 80GB HBM3"
    assert facts.accelerator.facts[0].file == "smi.csv"

"""Whatever is done to a recording, the answer is a trace or an ``ImportFormatError``."""

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from profilers.importers import ImportFormatError, Options, collect, open_recording
from profilers.reading import SIGNALS, is_number

FIXTURES = Path(__file__).parent / "fixtures"
UUID = "GPU-0a1b2c3d-0000-1111-2222-333344445550"
LABELS = f'{{gpu="0",UUID="{UUID}",Hostname="n1"}}'
RANGE = {
    "status": "success",
    "data": {
        "resultType": "matrix",
        "result": [
            {
                "metric": {"__name__": "DCGM_FI_DEV_POWER_USAGE", "gpu": "0", "UUID": UUID},
                "values": [[1700000000.5, "600.5"], [1700000015, "NaN"]],
            }
        ],
    },
}
SAMPLES = {
    "smi": "timestamp, index, power.draw [W], utilization.gpu [%], memory.total [MiB]\n"
    + "2026/03/07 00:20:37.071, 0, 612.34 W, 95 %, 81559 MiB\n" * 3,
    "smi-bare": "timestamp, index, power.draw [W], utilization.gpu [%]\n"
    "2026/03/07 00:20:37.071, 0, 612.34, 95\n2026/03/07 00:20:38.071, 0, [N/A], 95\n",
    "dmon": "#Date Time gpu pwr sm\n#YYYYMMDD HH:MM:SS Idx W %\n20260307 23:59:59 0 117 13\n",
    "prometheus": f"# HELP x\nDCGM_FI_DEV_POWER_USAGE{LABELS} 600.5 1700000000000\n"
    f"DCGM_FI_PROF_SM_ACTIVE{LABELS} 0.5 1700000000000\n",
    "range": json.dumps(RANGE),
    "zeus": "start_time,window_name,elapsed_time,gpu0_energy\n100.5,a,2.0,50.0\n103,b,1e1,6e1\n",
    "codecarbon": (FIXTURES / "codecarbon-3.3.2.csv").read_text(),
    "mlperf": ':::MLLOG {"key": "power_reading", "value": 7000.5, "time_ms": 1700000000000, '
    '"metadata": {"host": "n"}}\n',
    "amd": "timestamp,gpu,gfx_activity,socket_power\n1789515524,0,95,288\n1789515525,0,95,N/A\n",
    "events": '{"_timestamp": 1700000000.25, "system.gpu.0.gpu": 97}\n' * 2,
    "wandb": (FIXTURES / "run-fixture.wandb").read_bytes(),
}
PIECES = st.one_of(
    st.binary(max_size=6),
    st.sampled_from(
        b'nan|-1|1e400|999999999999999999999999999999|\n|,|"|\0|{|}|[|\xff|1e-400|0x10|'.split(b"|")
        + b"99999999999999|-| |GPU-|null|\r\n|2262".split(b"|")
    ),
)
EDITS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 12), PIECES), min_size=1, max_size=4)


@pytest.mark.parametrize("kind", SAMPLES)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(edits=EDITS, bulk=st.booleans())
def test_edited_recordings(tmp_path, kind, edits, bulk):
    sample = SAMPLES[kind]
    raw = bytearray(sample.encode() if isinstance(sample, str) else sample)
    for where, length, piece in edits:
        place = int(where * len(raw))
        raw[place : place + length] = piece
    path = tmp_path / "file"
    path.write_bytes(raw)
    try:
        _, recording = open_recording(path, Options(bulk=bulk))
        trace = collect([recording])
    except ImportFormatError:
        return
    for seen in trace.devices.values():
        for name in seen.series:
            for row in range(len(seen)):
                reading = seen.reading(name, row)
                if is_number(reading):  # what is believed is physically possible
                    rule = SIGNALS[name]
                    assert rule.low is None or reading >= rule.low
                    assert rule.high is None or reading <= rule.high


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(edits=EDITS)
def test_edited_mlflow_metrics(tmp_path, edits):
    run = tmp_path / "run"
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(FIXTURES / "mlflow-run", run)
    path = run / "metrics/system/node-a/gpu_0_power_usage_watts"
    raw = bytearray(path.read_bytes())
    for where, length, piece in edits:
        place = int(where * len(raw))
        raw[place : place + length] = piece
    path.write_bytes(raw)
    try:
        _, recording = open_recording(run)
        collect([recording])
    except ImportFormatError:
        pass


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 200_000,
        b'{"status":"success","data":{"resultType":"matrix","result":' + b"[" * 100_000,
        b":::MLLOG " + b"{" * 60_000 + b'"power_reading"\n',
        b"timestamp, index, power.draw [W]\n" + b"1" * 3_000_000,
        b'start_time,window_name,elapsed_time,gpu0_energy\n"' + b"x" * 200_000 + b"\n",
        b":W&B\xe1\xbe\x00" + b"\xff" * 100_000,
        b'{"_timestamp": 1, "system.gpu.0.gpu": ' + b"1" * 5000 + b"}\n",
    ],
)
def test_bombs_are_refused(tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(ImportFormatError):
        collect([open_recording(path)[1]])

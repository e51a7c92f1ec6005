"""Each sink against the real library, read back with a reader that is not the library's writer."""

import http.server
import json
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import pytest

from flopledger.errors import FlopledgerError
from flopledger.integrations import sinks
from flopledger.integrations.requirements import MissingPackageError, require
from flopledger.integrations.sinks import DeviceMetrics, StepMetrics

Need = Callable[[str, str], object]
#: More than 2**53 and odd: no double holds it.
TOTAL = 2**60 + 1
#: More than 64 bits hold.
HUGE = 10**25 + 1


def _step(number: int) -> StepMetrics:
    return StepMetrics(
        step=number,
        unix_seconds=1_700_000_000.0 + number,
        duration_seconds=0.5,
        wait_seconds=0.125,
        tokens=100,
        model_flop=5_000,
        hardware_flop=6_000,
        total_tokens=100 * number,
        total_model_flop=TOTAL + number,
        mfu=0.25,
        devices=(
            DeviceMetrics(uuid="GPU-a", name="NVIDIA H100", energy_joules=12.5, power_watts=400.0),
            DeviceMetrics(uuid="GPU-b", name="NVIDIA H100", utilisation=0.75),
        ),
    )


def test_rates_and_what_is_not_known() -> None:
    step = _step(1)
    # 5,000 FLOP and 100 tokens in 0.5 s of work and 0.125 s of waiting
    assert step.model_flop_per_second == 5_000 / 0.625
    assert step.tokens_per_second == 160
    bare = sinks.tagged(StepMetrics(step=1, unix_seconds=0.0))
    assert bare == {}
    assert "flopledger/hfu" not in sinks.tagged(step)


class Listed:
    name = "listed"

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.closed = False

    def emit(self, metrics: StepMetrics) -> None:
        self.steps.append(metrics.step)

    def close(self) -> None:
        self.closed = True


def test_everything_arrives_in_order() -> None:
    sink = Listed()
    out = sinks.Sinks(sink)
    for number in range(1, 501):
        out.emit(_step(number))
    (report,) = out.close()
    assert sink.steps == list(range(1, 501))
    assert sink.closed
    assert report.complete
    assert str(report) == "listed: 500 steps delivered"


def test_a_sink_that_hangs_costs_the_loop_nothing(caplog: pytest.LogCaptureFixture) -> None:
    release, gave_up, good = threading.Event(), threading.Event(), Listed()

    class Hangs(Listed):
        name = "hangs"

        def emit(self, metrics: StepMetrics) -> None:
            if not release.wait(300):
                gave_up.set()

    out = sinks.Sinks(Hangs(), good, capacity=10)
    for number in range(1, 1001):
        out.emit(_step(number))
        time.sleep(0)
    assert not gave_up.is_set()  # the loop is over, and the sink hangs still: nobody waited for it
    hung, fine = out.close(timeout_seconds=0.3)
    # One value is inside the sink and ten wait; or, where the thread was not yet up, ten wait.
    assert hung.handed == 1000
    assert hung.delivered == 0
    assert hung.waiting in (10, 11)
    assert hung.dropped == 1000 - hung.waiting
    assert fine.delivered + fine.dropped == 1000
    assert "hangs: 0 of 1000 steps delivered, 9" in caplog.text
    release.set()


def test_a_sink_that_raises_is_said_and_forgiven(caplog: pytest.LogCaptureFixture) -> None:
    class Raises(Listed):
        name = "raises"

        def emit(self, metrics: StepMetrics) -> None:
            if metrics.step % 2:
                raise ConnectionError("tracker went away")
            super().emit(metrics)

    sink = Raises()
    out = sinks.Sinks(sink)
    for number in range(1, 11):
        out.emit(_step(number))
    (report,) = out.close()
    assert sink.steps == [2, 4, 6, 8, 10]
    assert (report.delivered, report.failed) == (5, 5)
    assert report.error == "ConnectionError: tracker went away"
    assert "tracker went away" in caplog.text
    out.emit(_step(11))  # after the end: ignored
    assert sink.steps[-1] == 10


def test_a_missing_package_is_said_with_its_install_line() -> None:
    with pytest.raises(MissingPackageError, match=r'pip install "flopledger\[mlflow\]"'):
        require("no_such_package_at_all", extra="mlflow")
    with pytest.raises(ImportError):
        require("no_such_package_at_all.inner", extra="wandb")


def test_mlflow_against_a_real_server(need: Need, mlflow_server: str) -> None:
    need("mlflow", "mlflow")
    sink = sinks.MlflowSink(mlflow_server, experiment="sinks", run_name="night")
    out = sinks.Sinks(sink)
    for number in (1, 2, 3):
        out.emit(_step(number))
    (report,) = out.close(60)
    assert report.complete, report
    # Read back over plain HTTP, not through the client that wrote.
    url = f"{mlflow_server}/api/2.0/mlflow/"
    with urllib.request.urlopen(f"{url}runs/get?run_id={sink.run_id}") as answer:
        run = json.load(answer)["run"]
    last = {item["key"]: item["value"] for item in run["data"]["metrics"]}
    assert last["flopledger/total_tokens"] == 300
    assert last["flopledger/device/0/power_watts"] == 400
    assert "flopledger/hfu" not in last
    tags = {item["key"]: item["value"] for item in run["data"]["tags"]}
    assert tags["flopledger.total_model_flop"] == str(TOTAL + 3)  # exact, unlike the double
    assert run["info"]["status"] == "FINISHED"
    history = f"{url}metrics/get-history?run_id={sink.run_id}&metric_key=flopledger/total_tokens"
    with urllib.request.urlopen(history) as answer:
        points = json.load(answer)["metrics"]
    assert [(p["step"], p["value"], p["timestamp"]) for p in points] == [
        (n, 100 * n, (1_700_000_000 + n) * 1000) for n in (1, 2, 3)
    ]


def test_mlflow_server_that_is_not_there(need: Need, monkeypatch: pytest.MonkeyPatch) -> None:
    need("mlflow", "mlflow")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    out = sinks.Sinks(sinks.MlflowSink("http://127.0.0.1:1"))
    out.emit(_step(1))
    (report,) = out.close(30)
    assert (report.delivered, report.failed) == (0, 1)
    assert report.error is not None


def test_wandb_offline_read_back_by_our_own_reader(need: Need, tmp_path: Path) -> None:
    need("wandb", "wandb")
    from flopledger.logs import limits
    from flopledger.logs.document import Document
    from flopledger.logs.readers.wandb_records import _items
    from profilers.importers.protobuf import fields
    from profilers.importers.record_log import Damage, records

    out = sinks.Sinks(sinks.WandbSink(project="p", mode="offline", dir=str(tmp_path)))
    for number in (1, 2, 3):
        out.emit(_step(number))
    (report,) = out.close(60)
    assert report.complete, report
    (path,) = tmp_path.rglob("run-*.wandb")
    rows: list[dict[str, object]] = []
    deadline = time.monotonic() + 20  # W&B's own service writes the file, and in its own time
    while len(rows) < 3 and time.monotonic() < deadline:
        time.sleep(0.1)
        found = records(Document(path, path.name).bytes(limits.EVENT_FILE_BYTES), 7)
        rows = [
            _items(value)
            for record in found
            if not isinstance(record, Damage)
            for field, value in fields(record)
            if field == 2 and isinstance(value, bytes)
        ]
    assert [row["flopledger/step"] for row in rows] == [1, 2, 3]
    assert rows[2]["flopledger/total_model_flop"] == TOTAL + 3  # JSON keeps whole numbers whole
    assert rows[2]["flopledger/device/1/utilisation"] == 0.75


def test_wandb_beside_a_trainer_does_not_move_its_steps(need: Need, tmp_path: Path) -> None:
    wandb = need("wandb", "wandb")
    run = wandb.init(project="p", mode="offline", dir=str(tmp_path), reinit="create_new")  # type: ignore[attr-defined]
    out = sinks.Sinks(sinks.WandbSink(run))
    for number in (1, 2, 3):
        out.emit(_step(number))
        time.sleep(0.05)
        run.log({"loss": 1.0 / number}, step=number)
    assert out.close(30)[0].complete
    assert run.step == 3
    run.finish()


def test_tensorboard_read_back_by_our_own_reader(need: Need, tmp_path: Path) -> None:
    need("tensorboard", "tensorboard")
    from flopledger.logs.readers.tensorboard_events import _event
    from flopledger.logs.wire import Tail, tfrecords

    out = sinks.Sinks(sinks.TensorBoardSink(tmp_path))
    for number in (1, 2, 3):
        out.emit(_step(number))
    assert out.close(30)[0].complete
    (path,) = tmp_path.glob("events.out.tfevents.*")
    tail = Tail()
    with path.open("rb") as file:
        events = [_event(record) for record in tfrecords(file, tail)]
    assert tail.torn_at is None
    steps = [event for event in events if event.scalars]
    assert [event.step for event in steps] == [1, 2, 3]
    assert [event.wall_time for event in steps] == [1_700_000_001, 1_700_000_002, 1_700_000_003]
    assert steps[0].scalars is not None
    assert steps[0].scalars["flopledger/mfu"] == 0.25
    assert steps[0].scalars["flopledger/total_model_flop"] == float(TOTAL + 1)
    # TensorBoard itself reads them as a scalar series.
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    loaded = EventAccumulator(str(tmp_path)).Reload()
    assert loaded.SummaryMetadata("flopledger/mfu").plugin_data.plugin_name == "scalars"
    assert [event.step for event in loaded.Tensors("flopledger/mfu")] == [1, 2, 3]


def test_trackio_keeps_it_on_this_machine(
    need: Need, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path))
    need("trackio", "trackio")
    import sqlite3

    from trackio import sqlite_storage, utils

    for module in (utils, sqlite_storage):
        if hasattr(module, "TRACKIO_DIR"):
            monkeypatch.setattr(module, "TRACKIO_DIR", tmp_path)
    out = sinks.Sinks(sinks.TrackioSink("p", name="r"))
    for number in (1, 2, 3):
        out.emit(_step(number))
    (report,) = out.close(60)
    assert report.complete, report
    (path,) = tmp_path.rglob("*.db")
    with sqlite3.connect(path) as database:
        rows = database.execute("select step, metrics from metrics order by step").fetchall()
    assert [step for step, _ in rows] == [1, 2, 3]
    assert json.loads(rows[2][1])["flopledger/total_model_flop"] == TOTAL + 3
    with pytest.raises(FlopledgerError, match="name="):
        sinks.TrackioSink("p", run="r")


def test_totals_beyond_64_bits_are_doubles() -> None:
    found = sinks.tagged(replace(_step(1), total_model_flop=HUGE))
    assert found["flopledger/total_model_flop"] == float(HUGE)
    assert type(found["flopledger/total_model_flop"]) is float
    assert type(found["flopledger/total_tokens"]) is int


def test_prometheus_is_scraped_on_loopback(need: Need) -> None:
    need("prometheus_client", "prometheus")
    from prometheus_client.parser import text_string_to_metric_families

    sink = sinks.PrometheusSink(0, labels={"rank": "0"})
    out = sinks.Sinks(sink)
    assert sink.url is None  # nothing is known, so nothing is served, and no port is taken
    out.emit(_step(7))
    deadline = time.monotonic() + 10
    while sink.url is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert sink.url.startswith("http://127.0.0.1:")
    text = urllib.request.urlopen(sink.url).read().decode()
    found = {
        (sample.name, sample.labels.get("uuid")): sample
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert found["flopledger_model_flop_total", None].value == float(TOTAL + 7)
    assert found["flopledger_model_flop_total", None].labels == {"rank": "0"}
    assert found["flopledger_mfu", None].value == 0.25
    assert found["flopledger_step", None].value == 7
    assert found["flopledger_device_energy_joules_total", "GPU-a"].value == 12.5
    assert ("flopledger_device_energy_joules_total", "GPU-b") not in found
    assert ("flopledger_hfu", None) not in found
    assert out.close()[0].complete
    with pytest.raises(OSError):
        urllib.request.urlopen(sink.url, timeout=2)


def test_ranks_without_steps_open_nothing(need: Need, tmp_path: Path) -> None:
    """Every rank of a node runs the same line; only the first is handed steps."""
    need("prometheus_client", "prometheus")
    taken = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    made = [sinks.PrometheusSink(taken.server_port) for _ in range(2)]
    for module, kind, arguments in (
        ("tensorboard", "TensorBoardSink", (tmp_path / "board",)),
        ("opentelemetry.sdk", "OpenTelemetrySink", ()),
        ("wandb", "WandbSink", ()),
    ):
        need(module, module)
        made.append(getattr(sinks, kind)(*arguments))
    threads = threading.active_count()
    assert all(report.complete for report in sinks.Sinks(*made).close())
    assert threading.active_count() == threads
    assert list(tmp_path.iterdir()) == []
    # The one that is handed a step and finds its port taken says so, and the run goes on.
    out = sinks.Sinks(sinks.PrometheusSink(taken.server_port))
    out.emit(_step(1))
    (report,) = out.close()
    assert report.failed == 1
    assert "in use" in str(report.error)
    taken.server_close()


def test_opentelemetry_follows_the_hardware_conventions(need: Need) -> None:
    need("opentelemetry.sdk", "otel")
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.semconv._incubating.attributes import hw_attributes
    from opentelemetry.semconv._incubating.metrics import hw_metrics

    reader = InMemoryMetricReader()
    sink = sinks.OpenTelemetrySink(MeterProvider([reader]), attributes={"flopledger.rank": 0})
    assert reader.get_metrics_data() is None  # nothing before the first step
    sink.emit(_step(3))
    data = reader.get_metrics_data()
    assert data is not None
    found = {
        metric.name: metric
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    energy = found[hw_metrics.HW_ENERGY]
    assert energy.unit == "J"
    assert energy.data.is_monotonic  # type: ignore[union-attr]
    (point,) = energy.data.data_points  # GPU-b has no reading, so no point
    assert point.value == 12.5  # type: ignore[union-attr]
    assert dict(point.attributes or {}) == {
        hw_attributes.HW_ID: "GPU-a",
        hw_attributes.HW_TYPE: hw_attributes.HwTypeValues.GPU.value,
        hw_attributes.HW_NAME: "NVIDIA H100",
    }
    assert found[hw_metrics.HW_POWER].unit == "W"
    assert found[hw_metrics.HW_GPU_UTILIZATION].unit == "1"
    (busy,) = found[hw_metrics.HW_GPU_UTILIZATION].data.data_points
    task = hw_attributes.HwGpuTaskValues.GENERAL.value
    assert dict(busy.attributes or {})[hw_attributes.HW_GPU_TASK] == task
    assert hw_metrics.HW_GPU_MEMORY_USAGE not in found
    flop = found["flopledger.model.flop"]
    assert flop.unit == "{flop}"
    (total,) = flop.data.data_points
    assert total.value == float(TOTAL + 3)  # type: ignore[union-attr]
    assert dict(total.attributes or {}) == {"flopledger.rank": 0}
    assert "flopledger.hfu" not in found
    sink.close()


def test_opentelemetry_over_otlp(need: Need) -> None:
    need("opentelemetry.exporter.otlp.proto.http", "otel")
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
        ExportMetricsServiceRequest,
    )

    bodies: list[bytes] = []

    class Collector(http.server.BaseHTTPRequestHandler):
        status = 200

        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(self.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = http.server.HTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}/v1/metrics"
    out = sinks.Sinks(sinks.OpenTelemetrySink(endpoint=endpoint))
    out.emit(replace(_step(5), total_model_flop=HUGE))
    assert out.close(30)[0].complete
    request = ExportMetricsServiceRequest.FromString(bodies[-1])
    found = {
        metric.name: metric
        for resource in request.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    assert {"hw.energy", "hw.power", "hw.gpu.utilization"} <= set(found)
    (point,) = found["flopledger.model.flop"].sum.data_points
    assert point.as_double == float(HUGE)
    # The SDK only logs that nobody took it; the sink says so.
    Collector.status = 400
    out = sinks.Sinks(sinks.OpenTelemetrySink(endpoint=endpoint))
    out.emit(_step(5))
    (report,) = out.close(30)
    assert "did not take the last export" in str(report.error)
    server.shutdown()
    server.server_close()


SILENT = """
import socket
from flopledger.integrations import sinks
from flopledger.integrations.sinks.metrics import StepMetrics

server = socket.create_server(("127.0.0.1", 0))  # takes the call and never answers
endpoint = f"http://127.0.0.1:{server.getsockname()[1]}/v1/metrics"
out = sinks.Sinks(sinks.OpenTelemetrySink(endpoint=endpoint))
out.emit(StepMetrics(**{name: 1 for name in %r}))
print(out.close(0.5)[0].error)
"""


def test_a_collector_that_never_answers_is_told_once(need: Need) -> None:
    """The training's end waits for so long and no longer, and the interpreter's end adds nothing."""
    need("opentelemetry.exporter.otlp.proto.http", "otel")
    names = [one.name for one in fields(StepMetrics) if one.name != "devices"]
    done = subprocess.run(
        [sys.executable, "-c", SILENT % names],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "it did not close in time" in done.stdout
    assert "shutdown can only be called once" not in done.stderr

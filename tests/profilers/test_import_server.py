"""The range API against a real Prometheus, on loopback: a small exporter, scraped, then asked."""

import http.server
import shutil
import socket
import subprocess
import threading
import time
import urllib.request

import pytest

from profilers.importers import ImportFormatError, collect
from profilers.importers.prometheus_range import MAX_STEPS, _pieces, fetch
from profilers.trace import DeviceKey

UUID = "GPU-11111111-2222-3333-4444-555555555555"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Exporter(http.server.BaseHTTPRequestHandler):
    """Counts its scrapes: the energy counter grows by 1000 mJ at each."""

    scrapes = 0

    def do_GET(self):
        type(self).scrapes += 1
        labels = f'{{gpu="0",UUID="{UUID}",Hostname="n1",modelName="NVIDIA H100 80GB HBM3"}}'
        body = (
            "# TYPE DCGM_FI_DEV_POWER_USAGE gauge\n"
            f"DCGM_FI_DEV_POWER_USAGE{labels} 512.25\n"
            f"DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{labels} {self.scrapes * 1000}\n"
            f"DCGM_FI_PROF_PIPE_TENSOR_ACTIVE{labels} 0.425\n"
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory):
    binary = shutil.which("prometheus")
    if binary is None:
        pytest.skip("NO PROMETHEUS BINARY: the range API is not tested against a real server")
    folder = tmp_path_factory.mktemp("prometheus")
    exporter = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Exporter)
    threading.Thread(target=exporter.serve_forever, daemon=True).start()
    (folder / "prometheus.yml").write_text(
        "global: {scrape_interval: 200ms, scrape_timeout: 200ms}\n"
        "scrape_configs:\n- job_name: gpu\n  honor_labels: true\n  static_configs:\n"
        f"  - targets: ['127.0.0.1:{exporter.server_address[1]}']\n"
    )
    port = free_port()
    server = subprocess.Popen(
        [
            binary,
            f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(100):
            if server.poll() is not None:
                pytest.skip("THE PROMETHEUS BINARY DOES NOT START: the range API is not tested")
            try:
                urllib.request.urlopen(f"{url}/-/ready", timeout=1).read()
                break
            except OSError:
                time.sleep(0.1)
        first = Exporter.scrapes
        until = time.monotonic() + 20
        while Exporter.scrapes < first + 12 and time.monotonic() < until:
            time.sleep(0.1)
        yield url
    finally:
        server.terminate()
        server.wait(10)
        exporter.shutdown()
        exporter.server_close()


def test_a_real_server(prometheus):
    now = time.time_ns() // 10**9 * 10**9
    recording, digest = fetch(
        prometheus, start_ns=now - 20 * 10**9, end_ns=now + 10**9, step_ns=500_000_000
    )
    trace = collect([recording])
    seen = trace.devices[DeviceKey(uuid=UUID)]
    assert seen.device.name == "NVIDIA H100 80GB HBM3"
    assert seen.device.node == "n1"
    assert set(seen.series["power_mw"].masked.compressed().tolist()) == {512_250}
    assert set(seen.series["tensor_activity_permille"].masked.compressed().tolist()) == {425}
    energy = seen.series["energy_mj"].masked.compressed()
    assert (energy[1:] >= energy[:-1]).all()
    assert energy[-1] > energy[0]
    assert len(digest) == 64


def test_refusals_of_the_server_are_errors(prometheus):
    with pytest.raises(ImportFormatError, match="no series"):
        fetch(prometheus, start_ns=10**18, end_ns=10**18 + 10**9, step_ns=10**9)
    with pytest.raises(ImportFormatError, match="answered 400"):
        fetch(
            prometheus,
            start_ns=10**18,
            end_ns=10**18 + 10**9,
            step_ns=10**9,
            selector="not a selector",
        )


@pytest.mark.parametrize("url", ["ftp://host", "host:9090", "http://", "http://u:p@host:9090"])
def test_addresses_that_are_refused(url):
    with pytest.raises(ImportFormatError):
        fetch(url, start_ns=1, end_ns=2, step_ns=1)


def test_nobody_there():
    with pytest.raises(ImportFormatError, match="cannot be reached"):
        fetch(f"http://127.0.0.1:{free_port()}", start_ns=1, end_ns=2, step_ns=1, timeout_s=2)


def test_long_ranges_are_cut_into_pieces_that_share_no_step():
    pieces = list(_pieces(0, 25_000, 1))
    steps = [step for first, last in pieces for step in range(first, last + 1)]
    assert steps == list(range(25_001))
    assert all(last - first < MAX_STEPS for first, last in pieces)

"""What the tests against other people's libraries share.

Other libraries' deprecation warnings are theirs to mend, so here only warnings that name our own
modules are errors. A library that is not installed skips its tests, loudly, with the install line.
"""

import fcntl
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
# Before any library reads them: nothing may leave this machine.
os.environ.update(
    HF_HUB_OFFLINE="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    WANDB_MODE="offline",
    WANDB_SILENT="true",
    MLFLOW_DISABLE_TELEMETRY="true",
    MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false",
    DO_NOT_TRACK="1",
    TRACKIO_LOCAL_ONLY="1",
    CUDA_VISIBLE_DEVICES="",
    OMP_NUM_THREADS="1",  # the tests run beside each other; threads that wait for each other do not
)
if (loaded := sys.modules.get("torch")) is not None:
    loaded.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("default"))
            item.add_marker(pytest.mark.filterwarnings("error:::flopledger"))


@pytest.fixture(scope="session")
def need() -> Callable[[str, str], object]:
    """Import a library, or skip with the line that installs it."""

    def needed(module: str, extra: str) -> object:
        line = f'{module} is not installed: pip install "flopledger[{extra}]"'
        return pytest.importorskip(module, reason=line)

    return needed


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a real tracking server on loopback, one for all test processes; its address."""
    pytest.importorskip(
        "mlflow.server", reason="mlflow's server is not installed: pip install mlflow"
    )
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "mlflow-server"
    folder.mkdir(exist_ok=True)
    with _locked(folder) as state:
        if not state.get("users"):
            state |= _started(folder)
        state["users"] = state.get("users", 0) + 1
        address: str = state["address"]
    try:
        yield address
    finally:
        with _locked(folder) as state:
            state["users"] -= 1
            if not state["users"]:
                os.killpg(state["pid"], 15)


@contextmanager
def _locked(folder: Path) -> Iterator[dict[str, Any]]:
    """Read and write what test processes share about the server, one at a time."""
    with (folder / "state.json").open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        state = json.loads(file.read() or "{}")
        yield state
        file.truncate(0)
        file.write(json.dumps(state))


def _started(folder: Path) -> dict[str, Any]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    store = folder / f"store-{port}"
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port),
        "--workers", "1", "--backend-store-uri", f"sqlite:///{store}.db",
        "--artifacts-destination", str(store),
    ]  # fmt: skip
    with (folder / "log.txt").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    _wait_for(f"http://127.0.0.1:{port}/health", server, folder / "log.txt")
    server.returncode = 0  # it outlives this object on purpose: the last user ends its group
    return {"pid": server.pid, "address": f"http://127.0.0.1:{port}"}


def _wait_for(url: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    if server.poll() is None:
        os.killpg(server.pid, 9)
    pytest.fail(f"mlflow server did not come up:\n{log.read_text()[-2000:]}")

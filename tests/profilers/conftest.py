"""The stand-in NVML: compiled once a session, scripted by each test, used by the real pynvml."""

import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from profilers import Trace, read_record
from profilers.sampler import Sampler, SamplerSettings

STUB = Path(__file__).parent / "nvml_stub"


def build_stub(folder: Path, *defines: str) -> Path:
    """Compile the stand-in into a folder; return the folder (for LD_LIBRARY_PATH)."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("NO C COMPILER: the whole NVML fault list is not tested on this machine")
    folder.mkdir(parents=True, exist_ok=True)
    sources = [str(STUB / name) for name in ("script.c", "nvml.c")]
    flags = "-shared -fPIC -O1 -Wall -Wextra -Werror -std=gnu11 -Wl,-soname,libnvidia-ml.so.1"
    subprocess.run(
        [
            compiler,
            *flags.split(),
            *defines,
            "-o",
            str(folder / "libnvidia-ml.so.1"),
            *sources,
            "-lm",
        ],
        check=True,
    )
    return folder


@pytest.fixture(scope="session")
def stub_folder(tmp_path_factory) -> Path:
    return build_stub(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def nvml(stub_folder, tmp_path, monkeypatch) -> Callable[..., Path]:
    """Write a script and put the stand-in into the children's environment.

    The script's time 0 comes when a test calls ``start_clock``: a loaded machine starts processes
    late, and faults must not happen before anybody looks.
    """

    def install(script: str, library: Path = stub_folder) -> Path:
        path = tmp_path / "nvml-script.txt"
        path.write_text(f"epoch @{tmp_path / 'epoch'}\n{script}\n")
        monkeypatch.setenv("FLOPLEDGER_NVML_SCRIPT", str(path))
        monkeypatch.setenv("LD_LIBRARY_PATH", str(library))
        # Training libraries set it in whatever process they are imported into, such as this one.
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        return path

    return install


def start_clock(folder: Path) -> None:
    """Make this moment the script's time 0."""
    draft = folder / "epoch.part"
    draft.write_text(str(time.monotonic_ns()))
    draft.rename(folder / "epoch")


@pytest.fixture
def record(tmp_path) -> Callable[..., Trace]:
    """Record for some seconds with the real sampler processes and read the record back."""

    def run(
        seconds: float = 1.0,
        *,
        interval: float = 0.1,
        deadline: float = 0.5,
        during: Callable[[Sampler], None] | None = None,
        options: dict | None = None,
    ) -> Trace:
        sampler = Sampler(
            tmp_path / "run",
            SamplerSettings(
                interval_seconds=interval,
                deadline_seconds=deadline,
                start_deadline_seconds=30,
                sources=[{"name": "nvml", "options": options or {"rescan_seconds": 0.2}}],
                node="n1",
            ),
        )
        sampler.start()
        assert sampler.wait_ready(60)
        start_clock(tmp_path)
        sampler.mark("start", 5)
        until = time.monotonic() + seconds
        if during is not None:
            during(sampler)
        time.sleep(max(0, until - time.monotonic()))
        sampler.mark("end", 5)
        assert sampler.stop(60)
        return read_record(tmp_path / "run")

    return run

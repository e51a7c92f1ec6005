"""The stand-in is faithful: tools that know nothing of us read from it what the script says."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def _tool(name: str) -> str:
    beside = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    found = os.environ.get(f"FLOPLEDGER_{name.upper()}") or shutil.which(name, path=beside)
    if found is None:
        pytest.skip(f"{name} IS NOT INSTALLED: set FLOPLEDGER_{name.upper()} to its program")
    return found


SCRIPT = """device model=h100
device model=a100
set * util 73
set 0 power 612000
set 0 temp 61
set 0 mem_used 40e9"""


def test_nvitop_shows_what_the_script_says(nvml):
    program = _tool("nvitop")
    nvml(SCRIPT)
    environment = {**os.environ, "COLUMNS": "120"}
    done = subprocess.run(
        [program, "-1", "--no-unicode"],
        capture_output=True, text=True, timeout=60, check=True, env=environment,
    )  # fmt: skip
    for told in ("H100 80GB HBM3", "A100-SXM4-80GB", "612W / 700W", "61C", "73%", "580.65.06"):
        assert told in done.stdout


def test_gpustat_shows_what_the_script_says(nvml):
    program = _tool("gpustat")
    nvml(SCRIPT)
    done = subprocess.run(
        [program, "--no-color", "-P"], capture_output=True, text=True, timeout=60, check=True
    )
    assert "73 %,  612 / 700 W" in done.stdout
    assert "38146 / 81559 MB" in done.stdout  # 40e9 B and 85,520,809,984 B in MiB

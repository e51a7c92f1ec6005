"""How long the door takes to open, against ``python -c "import torch"`` in the same run.

    python benchmarks/startup.py [--rounds 9]

Whole processes, interleaved round by round so that a busy machine disturbs all alike; medians and
ratios are printed. All run from compiled bytecode, as installed packages do. Targets: help at most
0.15 of importing torch, closed-form audit at most a third. Exit code 1 if a target is missed, 3 if
torch is not there to compare with.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[1]
CASE = ROOT / "examples" / "opt-175b" / "case.toml"  # dimensions only: nothing is traced
DOOR = [sys.executable, "-m", "flopledger"]
COMMANDS = {
    "import torch": [sys.executable, "-c", "import torch"],
    "flopledger --help": [*DOOR, "--help"],
    "flopledger audit (closed form)": [*DOOR, "audit", str(CASE), "--json"],
}
#: A checkout may forbid bytecode; torch has its own beside it, so ours is kept in a folder apart.
_ENVIRONMENT = {
    **{key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"},
    "PYTHONPYCACHEPREFIX": str(Path(tempfile.gettempdir()) / "flopledger-startup-bytecode"),
}
TARGETS = {"flopledger --help": 0.15, "flopledger audit (closed form)": 1 / 3}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    if find_spec("torch") is None:
        print("torch is not installed: nothing to compare with")
        return 3
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(rounds + 1):
        for name, command in COMMANDS.items():
            times[name].append(_seconds(command))
    medians = {
        name: statistics.median(values[1:]) for name, values in times.items()
    }  # 1st warms up
    reference = medians["import torch"]
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}")
    missed = False
    for name, median in medians.items():
        target = TARGETS.get(name)
        verdict = "" if target is None else f"  target {target:.2f}"
        missed = missed or (target is not None and median / reference > target)
        print(f"{name:<32} {median * 1000:7.0f} ms  ratio {median / reference:.3f}{verdict}")
    return 1 if missed else 0


def _seconds(command: list[str]) -> float:
    start = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False, env=_ENVIRONMENT)
    if done.returncode == 2:
        sys.exit(done.stderr.decode())
    return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main())

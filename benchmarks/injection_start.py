"""What does the recorder cost a Python process before it trains?

    python benchmarks/injection_start.py [ROUNDS]

Starts interpreters in turn with and without the recorder's environment and compares the least time
of each, because whatever else the machine does can only add. Three cases: a process that imports no
torch, the same with byte code refused (a read-only installation), and one that imports torch and does
not train. The peer in each case is the plain interpreter.
"""

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from flopledger.injection import environment, prepare  # noqa: E402
from flopledger.injection.environment import SITE  # noqa: E402


def seconds(code: str, env: dict[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], env=env, check=True)
    return time.perf_counter() - began


def compare(name: str, code: str, watched: dict[str, str], rounds: int) -> None:
    plain = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    times: dict[str, list[float]] = {"plain": [], "watched": []}
    for _ in range(rounds):
        times["plain"].append(seconds(code, plain))
        times["watched"].append(seconds(code, watched))
    least = {which: 1e3 * min(found) for which, found in times.items()}
    middle = {which: 1e3 * statistics.median(found) for which, found in times.items()}
    print(
        f"{name:34} least {least['plain']:8.2f} -> {least['watched']:8.2f} ms "
        f"(+{least['watched'] - least['plain']:.2f})   median {middle['plain']:8.2f} -> "
        f"{middle['watched']:8.2f} ms"
    )


def main(rounds: int) -> None:
    print(f"Python {platform.python_version()}, {os.cpu_count()} CPUs, {rounds} rounds each")
    plain = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        watched = environment(plain, Path(folder))
        compare("no torch", "pass", watched, rounds)
        hidden = SITE / "__pycache__"
        aside = SITE.parent / "aside"
        hidden.rename(aside)
        try:
            refused = {**watched, "PYTHONDONTWRITEBYTECODE": "1"}
            compare("no torch, no byte code", "pass", refused, rounds)
        finally:
            aside.rename(hidden)
        compare("import torch, no training", "import torch", watched, max(3, rounds // 20))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)

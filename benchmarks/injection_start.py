"""What does the recorder cost a Python process before it trains?

    python benchmarks/injection_start.py [ROUNDS]

Starts interpreters in turn with and without the recorder's environment and compares the least
processor time of each, because whatever else the machine does can only add. Four cases: a process
that imports no torch; the same below a read-only installation without byte code; the same where byte
code is impossible; and one that imports torch and does not train. The peer in each case is the plain
interpreter.
"""

import contextlib
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from flopledger.injection import environment, prepare  # noqa: E402
from flopledger.injection.environment import SITE  # noqa: E402


def seconds(code: str, env: dict[str, str]) -> float:
    """Return the processor time of one interpreter; the wall clock is the machine's load."""
    pid = os.posix_spawn(sys.executable, [sys.executable, "-c", code], env)
    _, status, used = os.wait4(pid, 0)
    assert status == 0
    return used.ru_utime + used.ru_stime


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


@contextlib.contextmanager
def read_only_installation() -> Iterator[None]:
    """Put a file where byte code would go: not even root can write or read any then."""
    hidden, aside = SITE / "__pycache__", SITE.parent / "aside"
    hidden.rename(aside)
    hidden.touch()
    try:
        yield
    finally:
        hidden.unlink()
        aside.rename(hidden)


def main(rounds: int) -> None:
    print(f"Python {platform.python_version()}, {os.cpu_count()} CPUs, {rounds} rounds each")
    plain = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        watched = environment(plain, Path(folder))
        compare("no torch", "pass", watched, rounds)
        with read_only_installation():
            refused = {**environment(plain, Path(folder)), "PYTHONDONTWRITEBYTECODE": "1"}
            compare("no torch, read-only installation", "pass", refused, rounds)
            bare = {**refused, "PYTHONPATH": str(SITE)}
            compare("no torch, byte code impossible", "pass", bare, rounds)
        compare("import torch, no training", "import torch", watched, max(3, rounds // 40))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)

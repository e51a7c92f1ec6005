"""What does the recorder cost a Python process before it trains?

    python benchmarks/injection_start.py [ROUNDS]

Starts interpreters in turn: plain, with an *empty* ``sitecustomize`` in the same place, and with the
recorder's environment; compares the least processor time of each, because whatever else the machine
does can only add. Four cases: a process that imports no torch; the same below a read-only installation
without byte code; the same where byte code is impossible; and one that imports torch and does not
train. The empty file is the peer: what it costs is Python's price for any ``sitecustomize`` at all.
"""

import contextlib
import os
import platform
import py_compile
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


def compare(name: str, code: str, ways: dict[str, dict[str, str]], rounds: int) -> None:
    """Print the least processor time of each way to start, and what ours is above the empty one."""
    times: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(rounds):
        for way in list(ways) if turn % 2 else reversed(ways):
            times[way].append(seconds(code, ways[way]))
    least = {way: 1e3 * min(found) for way, found in times.items()}
    told = ", ".join(f"{way} {took:.2f}" for way, took in least.items())
    print(
        f"{name:34} {told} ms; above plain {least['ours'] - least['plain']:+.2f}, "
        f"above empty {least['ours'] - least['empty']:+.2f}",
        flush=True,
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


@contextlib.contextmanager
def empty_site(*, compiled: bool) -> Iterator[str]:
    """Make a folder with an empty ``sitecustomize``, with byte code or where none can be."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "sitecustomize.py"
        source.touch()
        if compiled:
            py_compile.compile(str(source), doraise=True)
        else:
            (Path(folder) / "__pycache__").touch()
        yield folder


def main(rounds: int) -> None:
    """Run the four cases."""
    print(f"Python {platform.python_version()}, {os.cpu_count()} CPUs, {rounds} rounds each")
    plain = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    still = {**plain, "PYTHONDONTWRITEBYTECODE": "1"}
    with tempfile.TemporaryDirectory() as folder, empty_site(compiled=True) as empty:
        prepare(Path(folder))
        peers = {"plain": plain, "empty": {**plain, "PYTHONPATH": empty}}
        ours = environment(plain, Path(folder))
        compare("no torch", "pass", {**peers, "ours": ours}, rounds)
        with read_only_installation(), empty_site(compiled=False) as uncompiled:
            peers = {"plain": still, "empty": {**still, "PYTHONPATH": empty}}
            ours = environment(still, Path(folder))
            compare("no torch, read-only installation", "pass", {**peers, "ours": ours}, rounds)
            peers["empty"] = {**still, "PYTHONPATH": uncompiled}
            ours["PYTHONPATH"] = str(SITE)
            compare("no torch, byte code impossible", "pass", {**peers, "ours": ours}, rounds)
        peers = {"plain": plain, "empty": {**plain, "PYTHONPATH": empty}}
        ours = environment(plain, Path(folder))
        few = max(3, rounds // 40)
        compare("import torch, no training", "import torch", {**peers, "ours": ours}, few)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)

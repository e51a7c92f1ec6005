"""What it costs a training step to be recorded, beside counters that are left on.

    python benchmarks/loop_overhead.py [--quick] [--only pairs|parts|hot|memory|processes] [--write]

Each method is compared with the plain loop in pairs of blocks that follow one another at once, in
one process, in an order that alternates; the figure is the median of the pairs' ratios with a 95 %
bootstrap interval, so that a shared machine's weather falls on both sides of each pair. Peers that
are not installed are named as missing. trainmeter wraps a whole process and cannot be switched on
and off inside one: it is compared process by process, plain and wrapped ones in turn, beside ours
on the same footing; each process times its own steps. ``parts`` (benchmarks/loop_parts.py) is the
sharpest: steps cut into pieces, with the recorder and without it every few steps in turn. ``hot`` is what
recording adds to steps whose forward is empty, for models of several sizes: least processor time, which a
busy machine changes least; good for comparing versions.
"""

from __future__ import annotations

import argparse
import datetime as dt
import gc
import importlib.util
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from torch import nn  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

import flopledger  # noqa: E402
from benchmarks.loop_models import HOT, LOOPS, SMALL, STEP, Loop, block_of, of_2500_us  # noqa: E402
from benchmarks.loop_parts import OWN, PIECES, hot_us, interval, pieces, quantile  # noqa: E402
from benchmarks.loop_target import switched  # noqa: E402
from flopledger.recording.totals import read_totals  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "loop_overhead.md"
WARM = 6


@contextmanager
def recorded(_loop: Loop) -> Iterator[Callable[[], None] | None]:
    with (
        tempfile.TemporaryDirectory() as folder,
        flopledger.record(Path(folder) / "run", sampler=False),
    ):
        yield None


@contextmanager
def counter_on(one: Loop) -> Iterator[Callable[[], None] | None]:
    def step() -> None:
        with FlopCounterMode(display=False):
            one.step()

    yield step


@contextmanager
def total_flos(one: Loop) -> Iterator[Callable[[], None] | None]:
    """The rule of Hugging Face's Trainer: 6 x tokens x parameters without embeddings, each step."""
    total = 0

    def step() -> None:
        nonlocal total
        one.step()
        size = sum(
            parameter.numel()
            for name, parameter in one.model.named_parameters()
            if "embed" not in name
        )
        total += 6 * one.batch.numel() * size

    yield step


@contextmanager
def deepspeed_on(one: Loop) -> Iterator[Callable[[], None] | None]:
    from deepspeed.profiling.flops_profiler import FlopsProfiler  # type: ignore[import-not-found]

    def step() -> None:
        profiler = FlopsProfiler(one.model)
        profiler.start_profile()
        one.step()
        profiler.stop_profile()
        profiler.end_profile()

    yield step


METHODS = {
    "flopledger.record": recorded,
    "FlopCounterMode on each step": counter_on,
    "Hugging Face total_flos": total_flos,
    "DeepSpeed profiler on each step": deepspeed_on,
}


def pairs(one: Loop, method: Any, steps: int, number: int) -> tuple[list[float], float]:
    """Ratios of method over plain, and the median plain step in milliseconds."""
    ratios, plain = [], []
    for place in range(number):
        times: dict[str, float] = {}
        for which in ("plain", "method") if place % 2 else ("method", "plain"):
            if which == "plain":
                block_of(one.step, 1)
                times[which] = block_of(one.step, steps)
            else:
                with method(one) as step:
                    # The first steps count and look for models; that is once in a run.
                    block_of(step or one.step, WARM)
                    times[which] = block_of(step or one.step, steps)
        ratios.append(times["method"] / times["plain"])
        plain.append(times["plain"] / steps)
    return ratios, 1e3 * statistics.median(plain)


def own_cost(quick: bool) -> list[str]:
    """Pieces of steps with and without the recorder, and whole steps with it switched on and off."""
    told = []
    (small, _), (large, _) = LOOPS.values()
    many, few = (20, 2) if quick else (250, 8)
    loops = {SMALL: (small, many), STEP: (of_2500_us, many), [*LOOPS][1]: (large, few)}
    for name, (make, rounds) in loops.items():
        found = pieces(make(), rounds)
        step = statistics.median(map(sum, found.plain))
        quarter, middle = found.more(0.25), found.more(0.5)
        told += [
            f"{name}: a plain step {step / 1e3:.2f} ms.",
            "",
            "| piece | plain | more when recorded, at the first quarter | at the median |",
            "|---|---|---|---|",
        ]
        for place, piece in enumerate(PIECES):
            plain = quantile([each[place] for each in found.plain], 0.5)
            told.append(
                f"| {piece} | {plain:,.0f} µs | {quarter[place]:+.1f} µs | {middle[place]:+.1f} µs |"
            )
        own = [sum(more[place] for place in OWN) for more in (quarter, middle)]
        told += [
            f"| where the recorder works | | {own[0]:+.1f} µs, {100 * own[0] / step:.2f} % "
            f"| {own[1]:+.1f} µs, {100 * own[1] / step:.2f} % |",
            f"| together | {step:,.0f} µs | {sum(quarter):+.1f} µs, {100 * sum(quarter) / step:.2f} % "
            f"| {sum(middle):+.1f} µs, {100 * sum(middle) / step:.2f} % |",
            "",
            f"With the steps that are looked at ({len(found.looked)} of "
            f"{len(found.looked) + len(found.recorded)}) and the folding ({found.folding:.1f} µs): "
            f"{found.mean:.0f} µs a step, {100 * found.mean / step:.2f} %.",
            "",
        ]
    told += [
        "The recorder switched on and off every 12 steps, without clocks inside, steps looked at left out:",
        "",
    ]
    for name, make in ((SMALL, small), (STEP, of_2500_us)):
        found = switched(make(), 30 if quick else 250)
        more, ratios = 1e6 * statistics.median(found.extra), found.usual
        low, high = interval(ratios)
        told += [
            f"- {name}: {more:.0f} µs of a step, ratio {statistics.median(ratios):.4f} "
            f"({low:.4f} to {high:.4f})"
        ]
    return told


def hot_paths(quick: bool) -> list[str]:
    """What recording adds to a step of several models by processor time alone."""
    lines = [
        "| model | modules | parameters | calls in a step | added to a step, least | median |",
        "|---|---|---|---|---|---|",
    ]
    for name, (make, calls) in HOT.items():
        one = make()
        least, median = hot_us(one, calls, 10 if quick else 150)
        lines.append(
            f"| {name} | {sum(1 for _ in one.model.modules())} "
            f"| {sum(1 for _ in one.model.parameters())} | {calls} | {least:.1f} µs | {median:.1f} µs |"
        )
        print(lines[-1], flush=True)
    return lines


def memory(steps: int) -> list[tuple[int, int, int]]:
    """Steps, traced bytes and resident bytes at three points of a long recording of a tiny model."""
    model = nn.Linear(4, 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    x = torch.randn(2, 4)
    found = []

    def step() -> None:
        model(x).sum().backward()
        optimizer.step()

    with tempfile.TemporaryDirectory() as folder:
        with flopledger.record(folder, sampler=False) as run:
            block_of(step, 1000)
            tracemalloc.start()
            done = 1000
            for mark in (steps // 10, steps // 2, steps):
                block_of(step, mark - done)
                done = mark
                run.flush()
                gc.collect()
                found.append((done, tracemalloc.get_traced_memory()[0], resident()))
            tracemalloc.stop()
        totals = read_totals(folder)
        assert totals is not None
        assert totals.steps == steps
    return found


CHILD = """
import os, sys, time
sys.path.insert(0, {root!r})
sys.path.insert(0, {root!r} + "/benchmarks")
import torch
torch.set_num_threads(1)
import loop_overhead
one = loop_overhead.LOOPS[loop_overhead.SMALL][0]()
loop_overhead.block_of(one.step, 60)
began = time.thread_time()
loop_overhead.block_of(one.step, {steps})
with open(os.environ["LOOP_SECONDS"], "w") as file:
    file.write(str((time.thread_time() - began) / {steps}))
"""


def processes(number: int, steps: int) -> list[str]:
    """Whole processes in turn: plain, under ``flopledger run``, under trainmeter's ``tm``."""
    run = [str(ROOT / "cli.py"), "run", "--out", "run", "--"]
    ways: dict[str, list[str]] = {"plain": [], "flopledger run": run}
    if importlib.util.find_spec("trainmeter") is not None:
        ways["trainmeter (tm)"] = ["-m", "trainmeter", "--no-web", "-q", "--"]
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(number):
        for way in list(ways) if turn % 2 else list(reversed(ways)):
            seconds[way].append(_process(ways[way], steps))
    lines = [
        "| process | processor time of a step, median | ratio to plain, median of turns |",
        "|---|---|---|",
    ]
    for way, found in seconds.items():
        ratios = [one / plain for one, plain in zip(found, seconds["plain"], strict=True)]
        low, high = interval(ratios)
        lines.append(
            f"| {way} | {1e3 * statistics.median(found):.3f} ms "
            f"| {statistics.median(ratios):.4f} ({low:.4f} to {high:.4f}) |"
        )
    if "trainmeter (tm)" not in ways:
        lines.append("| trainmeter | not installed | - |")
    return lines


def _process(prefix: list[str], steps: int) -> float:
    """Run the small loop in a process of its own; seconds of a step by its own clock."""
    with tempfile.TemporaryDirectory() as folder:
        script, answer = Path(folder) / "train.py", Path(folder) / "seconds"
        script.write_text(CHILD.format(root=str(ROOT), steps=steps), encoding="utf-8")
        command = [sys.executable, *prefix, *([sys.executable] if prefix else []), str(script)]
        environ = {**os.environ, "PYTHONPATH": str(ROOT), "LOOP_SECONDS": str(answer)}
        subprocess.run(command, cwd=folder, env=environ, check=True, capture_output=True)
        return float(answer.read_text(encoding="ascii"))


def resident() -> int:
    """Bytes of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


def table(quick: bool) -> list[str]:
    lines = [
        "| loop | method | plain step | ratio, median | 95 % interval |",
        "|---|---|---|---|---|",
    ]
    for name, (make, steps) in LOOPS.items():
        for method_name, method in METHODS.items():
            one = make()
            block_of(one.step, WARM)
            ours = method is recorded
            number = (25 if ours else 7) if steps < 10 else (61 if ours else 21)
            try:
                ratios, plain = pairs(one, method, steps, 3 if quick else number)
            except ImportError as error:
                lines.append(f"| {name} | {method_name} | - | not installed ({error.name}) | - |")
                continue
            low, high = interval(ratios)
            median = statistics.median(ratios)
            lines.append(
                f"| {name} | {method_name} | {plain:.1f} ms | {median:.4f} | {low:.4f} to {high:.4f} |"
            )
            print(lines[-1], flush=True)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="fewer pairs")
    parser.add_argument(
        "--only",
        choices=("pairs", "parts", "hot", "memory", "processes"),
        help="one part only",
    )
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.name}")
    options = parser.parse_args()
    torch.set_num_threads(1)
    told = [
        "# What it costs a step to be recorded",
        "",
        f"{dt.date.today().isoformat()}; {platform.machine()}, {os.cpu_count()} cores, one thread, "
        f"load average {os.getloadavg()[0]:.1f}; Python {platform.python_version()}, torch "
        f"{torch.__version__}; `python benchmarks/loop_overhead.py"
        f"{' --quick' if options.quick else ''}{f' --only {options.only}' if options.only else ''}`.",
        "",
    ]
    if options.only in (None, "pairs"):
        told += [*table(options.quick), ""]
    if options.only in (None, "parts"):
        told += [*own_cost(options.quick), ""]
    if options.only in (None, "hot"):
        told += [*hot_paths(options.quick), ""]
    if options.only in (None, "processes"):
        told += ["Processes in turn, the small loop:", ""]
        told += [*processes(2 if options.quick else 8, 400), ""]
    if options.only in (None, "memory"):
        told += ["| recorded steps of a tiny model | traced | resident |", "|---|---|---|"]
        told += [
            f"| {steps:,} | {traced / 1024:,.0f} KiB | {size / 1024:,.0f} KiB |"
            for steps, traced, size in memory(20_000 if options.quick else 100_000)
        ]
        told += [""]
    told += [
        "Equality with torch's counter on every step of twelve kinds of models is a test: "
        "`tests/recording/test_kinds.py` (models in `benchmarks/loop_kinds.py`), and of eleven "
        "unlike loops another: `tests/recording/test_strange.py`. Retired-FLOP counters are not "
        "granted on this machine and were not compared.",
    ]
    print("\n".join(told))
    if options.write:
        RESULTS.write_text("\n".join(told) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""What it costs to be watched: the sampler on a stand-in driver, beside the tools that install.

    python benchmarks/profiler_overhead.py [--quick] [--peers VENV] [--only cost pairs ...]

Everything is measured in one run on one machine, and ratios are interleaved. The stand-in's own
work is inside every figure, ours and the peers'. Peers are run from a virtual environment that has
them (`pip install nvitop gpustat codecarbon mlflow-skinny trainmeter psutil`).
"""

import argparse
import ctypes
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from profilers import Device, DeviceKey, Sample, read_record  # noqa: E402
from profilers.clocks import ClockPair  # noqa: E402
from profilers.journal import Journal  # noqa: E402
from profilers.record import verify  # noqa: E402
from profilers.sampler import Sampler, SamplerSettings  # noqa: E402

STUB = ROOT / "tests" / "profilers" / "nvml_stub"

PEERS = {
    "nvitop ResourceMetricCollector, 10 Hz": """
from nvitop import Device, ResourceMetricCollector
import time
collector = ResourceMetricCollector(Device.all(), interval=0.1)
collector.start("b"); print("ready", flush=True); time.sleep(SECONDS); collector.collect()
""",
    "gpustat query, 10 Hz": """
import gpustat, time
print("ready", flush=True)
until = time.monotonic() + SECONDS
while time.monotonic() < until:
    gpustat.new_query().jsonify(); time.sleep(0.1)
""",
    "codecarbon, its fastest 1 Hz": """
import logging; logging.disable(logging.CRITICAL)
from codecarbon import OfflineEmissionsTracker
import time
tracker = OfflineEmissionsTracker(country_iso_code="FRA", measure_power_secs=1,
    save_to_file=False, allow_multiple_runs=True)
tracker.start(); print("ready", flush=True); time.sleep(SECONDS); tracker.stop()
""",
    "trainmeter, 1 Hz": """
import os, sys, tempfile
os.chdir(tempfile.mkdtemp()); print("ready", flush=True)
tool = os.path.join(sys.prefix, "bin", "trainmeter")
words = ["--no-web", "--no-agent", "--no-tap", "-q", "--", "sleep", "SECONDS"]
os.execv(tool, [tool, *words])
""",
    "mlflow GPUMonitor, 10 Hz": """
from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
import time
monitor = GPUMonitor(); print("ready", flush=True)
until = time.monotonic() + SECONDS
while time.monotonic() < until:
    monitor.collect_metrics(); monitor.aggregate_metrics(); monitor.clear_metrics()
    time.sleep(0.1)
""",
}


def tied() -> None:
    """Let the kernel end this child when the benchmark ends, however it does."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


PR_SET_PDEATHSIG = 1


def build(folder: Path, script: str) -> None:
    """Compile the stand-in and point every child at it."""
    sources = [str(STUB / "script.c"), str(STUB / "nvml.c")]
    flags = ["-shared", "-fPIC", "-O2", "-std=gnu11", "-Wl,-soname,libnvidia-ml.so.1"]
    target = folder / "libnvidia-ml.so.1"
    subprocess.run(["cc", *flags, "-o", str(target), *sources, "-lm"], check=True)
    (folder / "script.txt").write_text(script)
    os.environ["LD_LIBRARY_PATH"] = str(folder)
    os.environ["FLOPLEDGER_NVML_SCRIPT"] = str(folder / "script.txt")


def cpu_seconds(processes: list[psutil.Process]) -> float:
    """Return the processor time of some processes, to the nanosecond where the kernel tells it."""
    return sum(_cpu_seconds(process) for process in processes)


def _cpu_seconds(process: psutil.Process) -> float:
    try:
        tasks = list(Path(f"/proc/{process.pid}/task").iterdir())
        # The usual figure counts ticks of 10 ms, which is a fifth of a percent of five seconds.
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9
    except (OSError, ValueError):
        return sum(process.cpu_times()[:2])


def sampler_cost(folder: Path, seconds: float, interval: float) -> tuple[float, list[float]]:
    """Return (percent of a core, resident MiB at four moments) of recorder and probe together."""
    sampler = Sampler(folder, SamplerSettings(interval_seconds=interval))
    sampler.start()
    sampler.wait_ready(60)
    recorder = psutil.Process(sampler.pid)
    processes = [recorder, *recorder.children()]
    time.sleep(1)
    before, start = cpu_seconds(processes), time.monotonic()
    resident = []
    for _ in range(4):
        time.sleep(seconds / 4)
        resident.append(sum(p.memory_info().rss for p in processes) / 2**20)
    spent = (cpu_seconds(processes) - before) / (time.monotonic() - start)
    sampler.stop()
    return 100 * spent, resident


def peer_cost(python: Path, program: str, seconds: float) -> tuple[float, float] | None:
    """Return (percent of a core, resident MiB) of a peer after it is ready."""
    code = program.replace("SECONDS", str(seconds + 6))
    peer = subprocess.Popen(
        [str(python), "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        preexec_fn=tied,
    )  # fmt: skip
    if "ready" not in peer.stdout.readline():
        return None
    time.sleep(2)
    process = psutil.Process(peer.pid)
    family = [process, *(p for p in process.children(recursive=True) if p.name() != "sleep")]
    before, start = cpu_seconds(family), time.monotonic()
    time.sleep(seconds)
    spent = (cpu_seconds(family) - before) / (time.monotonic() - start)
    resident = sum(p.memory_info().rss for p in family) / 2**20
    peer.kill()
    peer.wait()
    return 100 * spent, resident


def training_pairs(folder: Path, seconds: float, rate: float) -> tuple[list[float], bool]:
    """Return ratios of step time with the sampler to without, and whether the losses agree.

    One ratio comes from four stretches at once after each other, with, without, without, with (or
    the other way round): what drifts evenly meanwhile cancels. They are pinned to one core, while the
    sampler (on any core) is frozen or goes on; each holds a few sweeps, and its step time is the mean of
    all its steps by the wall clock, so that every interruption counts. Other guests of the machine
    disturb for longer than that, so that short stretches in turn see the same disturbance.
    """
    import torch

    torch.set_num_threads(1)
    generator = random.Random(7)
    model, optimizer, x = _small_training(torch)

    def block(steps: int) -> float:
        start = time.perf_counter()
        for _ in range(steps):
            _step(model, optimizer, x)
        return (time.perf_counter() - start) / steps

    # A long deadline: a frozen probe is not a hanging one.
    sampler = Sampler(folder, SamplerSettings(interval_seconds=1 / rate, deadline_seconds=600))
    sampler.start()
    sampler.wait_ready(60)
    recorder = psutil.Process(sampler.pid)
    processes = [*recorder.children(), recorder]
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    losses = set()
    ratios = []
    try:
        block(200)
        steps = max(10, round(max(STRETCH_SECONDS, SWEEPS_A_STRETCH / rate) / block(200)))
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            first = generator.random() < 0.5
            took = {True: 0.0, False: 0.0}
            for watched in (first, not first, not first, first):
                for process in processes:  # frozen: the same memory, the same caches, no samples
                    process.resume() if watched else process.suspend()
                block(steps // 10)  # whatever the switch disturbed has settled
                took[watched] += block(steps)
            ratios.append(took[True] / took[False])
        for watched in (True, False):
            for process in processes:
                process.resume() if watched else process.suspend()
            losses.add(_loss_curve(torch, 60))
    finally:
        os.sched_setaffinity(0, allowed)
        for process in processes:
            process.resume()
        sampler.stop()
    return ratios, len(losses) == 1


STRETCH_SECONDS = 0.05
SWEEPS_A_STRETCH = 2


def _small_training(torch):
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(128, 256), torch.nn.ReLU(), torch.nn.Linear(256, 128)
    )
    return model, torch.optim.SGD(model.parameters(), lr=0.01), torch.randn(128, 128)


def _step(model, optimizer, x):
    loss = ((model(x) - x) ** 2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss


def _loss_curve(torch, count: int) -> str:
    model, optimizer, x = _small_training(torch)
    digest = hashlib.sha256()
    for _ in range(count):
        digest.update(_step(model, optimizer, x).detach().numpy().tobytes())
    return digest.hexdigest()


def median_interval(ratios: list[float], draws: int = 2000) -> tuple[float, float, float]:
    """Return the median of some ratios and its 95 % bootstrap interval."""
    values = np.array(ratios)
    picks = np.random.default_rng(1).integers(0, len(values), (draws, len(values)))
    low, high = np.quantile(np.median(values[picks], axis=1), [0.025, 0.975])
    return float(np.median(values)), float(low), float(high)


def coverage_under_load(folder: Path, seconds: float) -> float:
    """Return the covered share of the time at 1 Hz while every core is busy."""
    hogs = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"], preexec_fn=tied)
        for _ in range(os.cpu_count())
    ]
    try:
        sampler = Sampler(folder, SamplerSettings(interval_seconds=1.0))
        sampler.start()
        sampler.wait_ready(60)
        time.sleep(seconds)
        sampler.stop()
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()
    traces = read_record(folder).devices.values()
    covered = sum(t.covered_seconds() for t in traces)
    return covered / sum((t.time_ns[-1] - t.time_ns[0]) / 1e9 for t in traces)


def kills(folder: Path, count: int) -> tuple[int, int, int]:
    """Kill a writing process at random moments; return (unreadable, sweeps lost at worst, all)."""
    random.seed(1)
    key = DeviceKey(uuid="GPU-1")
    anchor = ClockPair(monotonic_ns=0, wall_ns=10**18)
    unreadable = worst = total = 0
    for number in range(count):
        run = folder / str(number)
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            tied()
            book = Journal.open(run, node="n", boot="b", anchor=anchor)
            book.describe([Device(key=key)])
            for at in range(1, 10**6):
                readings = {"power_mw": at, "energy_mj": at}
                sample = Sample(
                    device=key, monotonic_ns=at * 10**9, wall_ns=None, period_ns=0,
                    readings=readings,
                )  # fmt: skip
                book.sweep([sample])
                os.write(write, at.to_bytes(4, "little"))
                if at % 50 == 0:
                    book.rotate()
        os.close(write)
        os.read(read, 4)
        time.sleep(random.random() * 0.03)
        os.kill(child, 9)
        os.waitpid(child, 0)
        acknowledged = b"\0\0\0\0"
        while data := os.read(read, 1 << 20):
            acknowledged = data[-4:]
        os.close(read)
        done = max(1, int.from_bytes(acknowledged, "little"))
        total += done
        try:
            rows = len(read_record(run).devices[key])
            problems = {p.code for p in verify(run)} - {"unsealed", "torn-tail"}
        except Exception as error:  # noqa: BLE001 - whatever it is, the record is unreadable
            print(f"    {type(error).__name__}: {error}")
            unreadable += 1
            continue
        unreadable += bool(problems)
        worst = max(worst, done - rows)
    return unreadable, worst, total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a quarter of the time")
    parser.add_argument("--peers", type=Path, help="virtual environment with the peers")
    parser.add_argument("--seconds", type=float, help="length of the pairs; 300 if not given")
    parser.add_argument(
        "--only", nargs="+", choices=list(PARTS), default=list(PARTS), help="some parts alone"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        device = "device model=h100\n"
        scene = (
            "set * util 97\nset * sm 80\nset * graphics 97\nset * tensor 41\nset * power 612000\n"
        )
        build(folder, device * 8 + scene)
        print(f"machine: {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
        for part in options.only:
            PARTS[part](folder, 0.25 if options.quick else 1.0, options)


def part_cost(folder: Path, scale: float, _options: argparse.Namespace) -> None:
    for rate in (1, 10):
        percent, resident = sampler_cost(folder / f"cost{rate}", 60 * scale, 1 / rate)
        print(f"sampler, 8 devices, {rate} Hz: {percent:.2f} % of a core, "
              f"{max(resident):.0f} MiB resident (recorder and probe)")  # fmt: skip
    percent, resident = sampler_cost(folder / "flat", 240 * scale, 0.01)
    flat = " ".join(f"{value:.1f}" for value in resident)
    print(f"100 Hz for {240 * scale:.0f} s ({24000 * scale:.0f} sweeps): {flat} MiB")


def part_peers(_folder: Path, scale: float, options: argparse.Namespace) -> None:
    if options.peers is None:
        print("peers: none without --peers VENV")
        return
    for peer, program in PEERS.items():
        cost = peer_cost(options.peers / "bin" / "python", program, 20 * scale)
        told = "does not run" if cost is None else f"{cost[0]:.2f} % of a core, "
        print(f"{peer}: {told}" + (f"{cost[1]:.0f} MiB" if cost else ""))


def part_pairs(folder: Path, scale: float, options: argparse.Namespace) -> None:
    """At 10 Hz, and at 100 Hz, where ten times the sweeps make ten times the difference."""
    seconds = (options.seconds or 300 * scale) / 2
    for rate in (10, 100):
        ratios, same = training_pairs(folder / f"train{rate}", seconds, rate)
        middle, low, high = median_interval(ratios)
        print(f"step time with / without, {rate} Hz: median {middle:.4f} of {len(ratios)} fours "
              f"(95 % interval {low:.4f} to {high:.4f}), losses identical: {same}")  # fmt: skip
        sweep = [(value - 1) / rate * 1e6 for value in (middle, low, high)]
        print(
            "  a sweep of 8 devices costs the loop {:.0f} us ({:.0f} to {:.0f})".format(*sweep),
            end="; ",
        )
        resolved = "below 0.5 %" if high <= 1.005 else "NOT RESOLVED to below 0.5 %"
        tenth = "" if rate == 10 else f", a tenth of it at 10 Hz: {(high - 1) * 10:.2f} % at most"
        print(f"the difference is {resolved}{tenth}")


def part_coverage(folder: Path, scale: float, _options: argparse.Namespace) -> None:
    share = coverage_under_load(folder / "load", 40 * scale)
    print(f"covered at 1 Hz with every core busy: {share:.3%}")


def part_kills(folder: Path, _scale: float, _options: argparse.Namespace) -> None:
    unreadable, worst, total = kills(folder / "kills", 200)
    print(f"200 x kill -9 ({total} sweeps): {unreadable} unreadable, at most {worst} lost")


PARTS = {
    "cost": part_cost, "peers": part_peers, "pairs": part_pairs, "coverage": part_coverage,
    "kills": part_kills,
}  # fmt: skip


if __name__ == "__main__":
    main()

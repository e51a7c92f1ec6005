"""How fast recorded telemetry becomes a record, in how much memory and how many bytes.

    python benchmarks/telemetry_store.py [--rows 2000000] [--flat 5000000] [--write RESULTS.md]
    python benchmarks/telemetry_store.py --only memory --flat 50000000   # 4 GB of CSV on disk

Four questions, each against what the field has:

- rows a second from CSV to a sealed run record, by shape of the table; beside it bare pyarrow
  (``read_csv`` and ``write_table`` of the same bytes, nothing checked) as the ceiling and
  ``csv.DictReader`` with ``float`` as what a script does;
- samples a second of Prometheus text; beside it prometheus_client's parser where it is installed;
- resident memory of an import of N and of 10 N rows (``--flat``), each in a process of its own;
- bytes a sample on disk.

Every rate is the best of interleaved rounds, given by wall clock and by processor time: on a shared
machine only the second one repeats.
"""

import argparse
import csv
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from profilers.importers import Options, import_files
from profilers.importers.opened import open_file
from profilers.importers.prometheus_text import read as read_prometheus

DEVICES = 8
CHUNK = 400_000
PARTS = ("rates", "prometheus", "bytes", "memory")
MAPPING = """schema = "flopledger/mapping/1"
[time]
column = "ms"
format = "unix-ms"
[device]
index = "gpu"
host = "node1"
"""
TWELVE = {
    "gpu_util_permille": "permille",
    "memory_util_permille": "permille",
    "power_mw": "mW",
    "energy_mj": "mJ",
    "sm_clock_mhz": "MHz",
    "memory_clock_mhz": "MHz",
    "memory_used_bytes": "MiB",
    "temperature_c": "C",
    "sm_activity_permille": "permille",
    "tensor_activity_permille": "permille",
    "dram_activity_permille": "permille",
    "fp32_activity_permille": "permille",
}


def columns(first: int, rows: int, seed: int) -> dict[str, np.ndarray]:
    """A busy node: every device of a sweep in turn, a sweep a second, figures that wander."""
    rng = np.random.default_rng(seed)
    number = np.arange(first, first + rows)
    sweep, gpu = number // DEVICES, number % DEVICES
    wander = np.clip(50 + np.cumsum(rng.normal(0, 0.5, rows)) % 50, 0, 100)
    return {
        "ms": 1_767_225_600_000 + sweep * 1000 + gpu,
        "gpu": gpu,
        "util": wander.astype(int) * 10,
        "memory_util": rng.integers(300, 700, rows),
        "power": (wander * 5000 + rng.integers(0, 20_000, rows)).astype(int) + 100_000,
        "energy": sweep * 400_000 + gpu * 7,
        "clock": 1980 - 15 * rng.integers(0, 8, rows),
        "memory_clock": np.full(rows, 2619),
        "used": 70_000 + gpu * 11,
        "temperature": 40 + (wander / 4).astype(int),
        "sm": rng.integers(400, 900, rows),
        "tensor": rng.integers(200, 600, rows),
        "dram": rng.integers(100, 500, rows),
        "fp32": rng.integers(0, 100, rows),
    }


def text(array: np.ndarray) -> pa.Array:
    return pa.array(array).cast(pa.string())


def civil(ms: np.ndarray) -> pa.Array:
    return pc.strftime(pa.array(ms).cast(pa.timestamp("ms")), format="%Y/%m/%d %H:%M:%S")


def smi_lines(c: dict[str, np.ndarray], *, units: bool) -> pa.Array:
    watts = pc.binary_join_element_wise(
        text(c["power"] // 1000),
        pc.utf8_lpad(text(c["power"] % 1000 // 10), 2, "0"),
        ".",
    )
    cells = [
        (civil(c["ms"]), ""),
        (text(c["gpu"]), ""),
        (text(c["util"] // 10), " %"),
        (text(c["memory_util"] // 10), " %"),
        (watts, " W"),
        (text(c["clock"]), " MHz"),
        (text(c["used"]), " MiB"),
        (text(c["temperature"]), ""),
    ]
    dressed = [
        pc.binary_join_element_wise(cell, unit, "") if units and unit else cell
        for cell, unit in cells
    ]
    return pc.binary_join_element_wise(*dressed, ", ")


SMI_HEADER = (
    "timestamp, index, utilization.gpu [%], utilization.memory [%], power.draw [W], "
    "clocks.current.sm [MHz], memory.used [MiB], temperature.gpu\n"
)


def own_lines(c: dict[str, np.ndarray]) -> pa.Array:
    return pc.binary_join_element_wise(*(text(column) for column in c.values()), ",")


def write_csv(path: Path, shape: str, rows: int) -> None:
    """Write a table; the bytes are those of an Arrow array of lines."""
    with path.open("wb") as stream:
        if shape == "own, 12 signals":
            stream.write(("ms,gpu," + ",".join(TWELVE) + "\n").encode())
        else:
            stream.write(SMI_HEADER.encode())
        for first in range(0, rows, CHUNK):
            count = min(CHUNK, rows - first)
            c = columns(first, count, seed=first)
            lines = own_lines(c) if shape.startswith("own") else smi_lines(c, units="with" in shape)
            whole = pc.binary_join_element_wise(lines, "\n", "")
            whole = whole.combine_chunks() if isinstance(whole, pa.ChunkedArray) else whole
            offsets = np.frombuffer(whole.buffers()[1], np.int32)
            stream.write(memoryview(whole.buffers()[2])[offsets[0] : offsets[len(whole)]])


def mapping_file(folder: Path) -> Path:
    path = folder / "mapping.toml"
    signals = "".join(
        f'[signals.{name}]\ncolumn = "{name}"\nunit = "{unit}"\n' for name, unit in TWELVE.items()
    )
    path.write_text(MAPPING + signals)
    return path


def timed(work: Callable[[], object]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def ours(path: Path, folder: Path) -> Callable[[], object]:
    def work() -> object:
        shutil.rmtree(folder / "run", ignore_errors=True)
        return import_files([str(path)], folder / "run", Options(mapping=mapping_file(folder)))

    return work


def bare(path: Path, folder: Path) -> Callable[[], object]:
    def work() -> object:
        table = pacsv.read_csv(path)
        pq.write_table(table, folder / "bare.parquet", compression="zstd", compression_level=1)
        return table

    return work


def naive(path: Path, limit: int) -> Callable[[], object]:
    def work() -> object:
        total = 0.0
        with path.open(newline="") as stream:
            for number, row in enumerate(csv.DictReader(stream, skipinitialspace=True)):
                if number >= limit:
                    break
                for cell in row.values():
                    word = cell.split(" ")[0]
                    if word.replace(".", "", 1).isdigit():
                        total += float(word)
        return total

    return work


def rate_table(folder: Path, rows: int, rounds: int) -> Iterator[str]:
    yield "| table | bytes a row | tool | rows/s | rows per processor second |"
    yield "|---|---|---|---|---|"
    for shape in ("nvidia-smi, bare figures", "nvidia-smi with units", "own, 12 signals"):
        path = folder / "table.csv"
        write_csv(path, shape, rows)
        script = min(rows, 200_000)
        tools = {
            "flopledger import": (ours(path, folder), rows),
            "pyarrow, unchecked": (bare(path, folder), rows),
            "csv.DictReader": (naive(path, script), script),
        }
        best: dict[str, tuple[float, float]] = {}
        for _ in range(rounds):
            for name, (work, _count) in tools.items():
                wall, cpu = timed(work)
                old = best.get(name, (1e9, 1e9))
                best[name] = (min(old[0], wall), min(old[1], cpu))
        size = path.stat().st_size / rows
        for name, (wall, cpu) in best.items():
            count = tools[name][1]
            yield f"| {shape} | {size:.0f} | {name} | {count / wall:,.0f} | {count / cpu:,.0f} |"


def bytes_a_sample(folder: Path, rows: int) -> str:
    path = folder / "table.csv"
    write_csv(path, "own, 12 signals", rows)
    ours(path, folder)()
    stored = sum(p.stat().st_size for p in (folder / "run").rglob("*") if p.is_file())
    return (
        f"{stored / rows:.1f} bytes a sample of twelve columns (whole record, {rows:,} rows; "
        f"the CSV had {path.stat().st_size / rows:.0f})"
    )


def prometheus_rate(folder: Path, samples: int, rounds: int) -> Iterator[str]:
    path = folder / "scrapes.prom"
    names = ["DCGM_FI_DEV_POWER_USAGE", "DCGM_FI_DEV_SM_CLOCK", "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE"]
    with path.open("w") as stream:
        for number in range(samples):
            gpu, name = number % DEVICES, names[number // DEVICES % 3]
            stamp = 1_767_225_600_000 + number // (DEVICES * 3) * 1000
            uuid = f"GPU-00000000-0000-0000-0000-00000000000{gpu}"
            value = (number * 7919 % 100_000) / 100_000  # hardly a figure comes twice
            line = f'{name}{{gpu="{gpu}",UUID="{uuid}",Hostname="n1"}} {value:.5f} {stamp}\n'
            stream.write(line)

    def mine() -> object:
        return sum(len(block) for block in read_prometheus(open_file(path), Options()).blocks)

    tools: dict[str, Callable[[], object]] = {"flopledger": mine}
    try:
        from prometheus_client.parser import text_string_to_metric_families
    except ImportError:
        yield "prometheus_client is not installed: no peer in this run."
    else:
        content = path.read_text()
        tools["prometheus_client parser"] = lambda: sum(
            len(family.samples) for family in text_string_to_metric_families(content)
        )
    best: dict[str, tuple[float, float]] = {}
    for _ in range(rounds):
        for name, work in tools.items():
            wall, cpu = timed(work)
            old = best.get(name, (1e9, 1e9))
            best[name] = (min(old[0], wall), min(old[1], cpu))
    yield "| Prometheus text | samples/s | samples per processor second |"
    yield "|---|---|---|"
    for name, (wall, cpu) in best.items():
        yield f"| {name} | {samples / wall:,.0f} | {samples / cpu:,.0f} |"


def peak_memory(path: Path, folder: Path) -> tuple[float, float]:
    """Import in a process of its own; return its peak resident MiB and its seconds."""
    shutil.rmtree(folder / "flat", ignore_errors=True)
    command = [sys.executable, __file__, "--child", str(path), str(folder)]
    start = time.perf_counter()
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(answer.stdout)["peak_kib"] / 1024, time.perf_counter() - start


def child(path: str, folder: str) -> None:
    mapping = mapping_file(Path(folder))
    import_files([path], Path(folder) / "flat", Options(mapping=mapping))
    # Not getrusage: its maximum is inherited from the parent across fork and exec.
    status = Path("/proc/self/status").read_text()
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    print(json.dumps({"peak_kib": int(peak.split()[1])}))


def memory_table(folder: Path, rows: int) -> Iterator[str]:
    yield "| rows | peak resident MiB | seconds |"
    yield "|---|---|---|"
    path = folder / "flat.csv"
    for count in (rows // 10, rows):
        write_csv(path, "own, 12 signals", count)
        peak, seconds = peak_memory(path, folder)
        yield f"| {count:,} | {peak:.0f} | {seconds:.0f} |"


def report(arguments: argparse.Namespace) -> str:
    lines = [
        "# Telemetry store",
        "",
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores ({platform.machine()}), "
        f"Python {platform.python_version()}, pyarrow {pa.__version__}, numpy {np.__version__}, "
        f"load average {os.getloadavg()[0]:.1f}",
        "",
        f"    python benchmarks/telemetry_store.py --rows {arguments.rows} "
        f"--flat {arguments.flat} --rounds {arguments.rounds} --only {' '.join(arguments.only)}",
        "",
    ]
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        for part in arguments.only:
            if part == "rates":
                lines += [*rate_table(folder, arguments.rows, arguments.rounds), ""]
            elif part == "prometheus":
                lines += [*prometheus_rate(folder, arguments.rows // 10, arguments.rounds), ""]
            elif part == "bytes":
                lines += [bytes_a_sample(folder, arguments.rows), ""]
            else:
                lines += [*memory_table(folder, arguments.flat), ""]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--flat", type=int, default=5_000_000, help="rows of the memory test")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="parts to measure")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", default=None, help="where the temporary files go")
    parser.add_argument("--write", type=Path, default=None)
    parser.add_argument("--child", nargs=2, default=None, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(*arguments.child)
        return
    result = report(arguments)
    print(result)
    if arguments.write is not None:
        arguments.write.write_text(result)


if __name__ == "__main__":
    main()

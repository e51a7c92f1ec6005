"""Device names through the peers' own functions and through ours: right, silently wrong, refused.

    python benchmarks/hardware_identification.py [--python PEERS_PYTHON] [--reference FILE.csv]

``--python`` is an interpreter in whose environment the peers are installed (torchtitan, lightning,
mosaicml, verl, ai2-olmo-core); a peer that is not there is said to be missing. Names are those that
drivers really print (tests/hardware_db/names.csv), for parts with a BF16 path. A number within 2 %
of the part's dense BF16 peak is right; a refusal is None, infinity or an exception. Names of parts
whose peak nobody published (laptop chips, boards without tensor cores) must be refused: a number
for one of them is counted apart.
``--reference`` compares our figures with a list of the same columns as tests/hardware_db/figures.csv.
"""

import argparse
import csv
import json
import math
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import hardware_db  # noqa: E402
from hardware_db.index import Index  # noqa: E402

TOLERANCE = 0.02
NAMES = ROOT / "tests" / "hardware_db" / "names.csv"
_WRAPPER = """
import json, sys, warnings, logging
warnings.simplefilter("ignore"); logging.disable(logging.CRITICAL)
names = json.load(sys.stdin)
{ask}
answers = []
for name in names:
    try:
        value = ask(name)
        answers.append(None if value is None else float(value))
    except Exception:
        answers.append(None)
print("ANSWERS" + json.dumps([a if a is not None and a != float("inf") else None for a in answers]))
"""
PEERS = {
    "torchtitan": "from torchtitan.tools.utils import get_peak_flops as ask",
    "lightning": """
import torch
from lightning.fabric.utilities.throughput import get_available_flops
def ask(name):
    torch.cuda.get_device_name = lambda device=None: name
    return get_available_flops(torch.device("cuda"), torch.bfloat16)
""",
    "mosaicml": """
import types, torch
from composer.callbacks.speed_monitor import get_gpu_flops_available
torch.cuda.is_available = lambda: True
def ask(name):
    torch.cuda.get_device_name = lambda device=None: name
    state = types.SimpleNamespace(precision=types.SimpleNamespace(value="amp_bf16"))
    return get_gpu_flops_available(state) or None
""",
    "verl": """
from verl.utils.flops_counter import get_device_flops
def ask(name):
    return get_device_flops("B", name)
""",
    "ai2-olmo-core": """
from olmo_core.train.callbacks.speed_monitor import get_device_peak_flops_per_second
def ask(name):
    return get_device_peak_flops_per_second(name, using_half_precision=True)
""",
}


def cases() -> tuple[list[tuple[str, float]], list[str]]:
    """Names with the dense BF16 peak of the part they mean, and names that must be refused."""
    known, other = [], []
    with NAMES.open() as file:
        rows = [r for r in csv.DictReader(file) if r["origin"] in ("driver", "nvml", "rocm")]
    for row in rows:
        if row["answer"] in ("unknown", "ambiguous"):
            other.append(row["name"])
            continue
        part = hardware_db.identify(row["answer"])
        if any(f.dtype == "bf16" for f in part.peaks):
            known.append((row["name"], part.peak_flop_per_second("bf16")))
    return known, other


def ours(name: str) -> float | None:
    try:
        return hardware_db.identify(name).peak_flop_per_second("bf16")
    except hardware_db.HardwareError:
        return None


def peer(python: str, ask: str, names: list[str]) -> list[float | None] | str:
    """A peer's answers, or why it gave none."""
    code = _WRAPPER.format(ask=ask)
    done = subprocess.run(
        [python, "-c", code], input=json.dumps(names), capture_output=True, text=True, check=False
    )
    line = next((x for x in done.stdout.splitlines() if x.startswith("ANSWERS")), None)
    if line is None:
        return (done.stderr.strip().splitlines() or ["no answer"])[-1]
    answers: list[float | None] = json.loads(line.removeprefix("ANSWERS"))
    return answers


def version(python: str, package: str) -> str:
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "missing"


def score(answers: list[float | None], truth: list[float]) -> tuple[int, int, int]:
    right = sum(
        a is not None and math.isfinite(a) and abs(a / t - 1) <= TOLERANCE
        for a, t in zip(answers, truth, strict=True)
    )
    refused = sum(a is None for a in answers)
    return right, len(truth) - right - refused, refused


def compare(path: Path) -> None:
    """Our figures against an independent list, where both have one."""
    columns = {
        "fp32_tflops": "fp32",
        "tf32_tflops": "tf32",
        "fp16_tflops": "fp16",
        "bf16_tflops": "bf16",
    }
    columns |= {
        "fp8_tflops": "fp8",
        "int8_tops": "int8",
        "fp4_tflops": "fp4",
        "fp64_tflops": "fp64",
    }
    near = total = 0
    with path.open() as file:
        for row in csv.DictReader(file):
            part = hardware_db.identify(row["id"])
            for column, dtype in columns.items():
                if row.get(column):
                    total += 1
                    ratio = part.peak_flop_per_second(dtype) / (float(row[column]) * 1e12)
                    near += abs(ratio - 1) <= TOLERANCE
    print(f"\nfigures within 2 % of the reference list: {near} of {total}")


def speed() -> None:
    """Loading and looking up, in CPU time, best of several: other work disturbs the clock."""
    loads, content = [], (ROOT / "hardware_db" / "data" / "index.json").read_bytes()
    for _ in range(9):
        start = time.process_time()
        index = Index(content)
        for part_id in index.ids:
            index.part(part_id)
        loads.append(time.process_time() - start)
    lookups = []
    for name in ("NVIDIA H100 80GB HBM3", "8x H100 SXM5 80GB"):
        start = time.process_time()
        for _ in range(200):
            hardware_db.identify(name)
        lookups.append((time.process_time() - start) / 200)
    print(
        f"\nall {len(index.ids)} parts loaded in {min(loads) * 1e3:.1f} ms of CPU time (best of 9)"
    )
    print(
        f"lookup: driver name {lookups[0] * 1e6:.0f} us, human spelling {lookups[1] * 1e6:.0f} us"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--reference", type=Path)
    options = parser.parse_args()
    known, other = cases()
    names, truth = [n for n, _ in known], [t for _, t in known]
    print(f"{len(names)} names with a known BF16 peak, {len(other)} names that must be refused\n")
    print("| tool | version | right | silently wrong | refused | numbers for names to refuse |")
    print("|---|---|---|---|---|---|")
    wrong: dict[str, list[str]] = {}
    for tool, ask in PEERS.items():
        answers = peer(options.python, ask, [*names, *other])
        if isinstance(answers, str):
            print(f"| {tool} | {version(options.python, tool)} | did not run: {answers} | | | |")
            continue
        right, bad, refused = score(answers[: len(names)], truth)
        made_up = sum(a is not None for a in answers[len(names) :])
        print(
            f"| {tool} | {version(options.python, tool)} | {right} | {bad} | {refused} | {made_up} |"
        )
        wrong[tool] = [
            f"{n} ({a / 1e12:g} for {t / 1e12:g})"
            for n, a, t in zip(names, answers, truth, strict=False)
            if a is not None and abs(a / t - 1) > TOLERANCE
        ]
    mine = [ours(n) for n in [*names, *other]]
    right, bad, refused = score(mine[: len(names)], truth)
    made_up = sum(a is not None for a in mine[len(names) :])
    print(f"| hardware_db | this tree | {right} | {bad} | {refused} | {made_up} |")
    for tool, listed in wrong.items():
        print(
            f"\nwrong in {tool}: " + "; ".join(listed[:12]) + (" ..." if len(listed) > 12 else "")
        )
    if options.reference:
        compare(options.reference)
    speed()


if __name__ == "__main__":
    main()

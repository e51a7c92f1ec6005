"""Telemetry of a part of a run, honest and not: is the honest one left in peace, is the lie seen?

    python benchmarks/partial_telemetry.py [--write benchmarks/results/partial_telemetry.md]

Three true runs (one launch on one node recorded whole; one node of four; ten minutes of ten hours), each
with several sets of evidence beside the recording. Each is told as it was, and with a lie about the
number of devices or the hours, with the tokens as they were or blown up alike. Tokens of the honest runs
come to 40 % of the dense peak, and the recorded devices work at 44 %.

    refuted   the verdict is inconsistent
    asked     the verdict is needs-explanation
    warned    the verdict is no other, but a warning about the recording's extent or pace names a document
    silent    none of these
"""

import argparse
import contextlib
import io
import json
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from flopledger import __version__
from flopledger.auditing import AuditReport, audit
from flopledger.cases.case import AuditCase
from flopledger.commands import main as flopledger
from profilers.steps.record.ledger import StepLedger

PEAK, FLOP_PER_TOKEN = 989.4e12, 6e9  # an H100, and a model of 1e9 parameters
NODE, SECONDS, STEP = 2, 600, 10  # devices of a node, seconds recorded, seconds a sample
START = 1_772_352_000
COUNTS, TIMES = (2, 3, 16), (2, 3, 10)
ABOUT_EXTENT = {
    "coverage-unproven", "coverage-unknown", "device-count-mismatch", "device-time-mismatch",
    "sample-pace-mismatch",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Told:
    """A run as a case tells it."""

    devices: int
    seconds: float
    tokens: float


def told(devices: int, seconds: float) -> Told:
    """Give a run at 40 % of the peak."""
    return Told(
        devices=devices,
        seconds=seconds,
        tokens=0.4 * PEAK * devices * seconds / FLOP_PER_TOKEN,
    )


#: What really happened; the recording is always of one node for ten minutes.
TRUTHS = {
    "recorded whole": told(NODE, SECONDS),
    "one node of four": told(4 * NODE, SECONDS),
    "ten minutes of ten hours": told(NODE, 60 * SECONDS),
}


def prometheus(*, tensor: bool, margins: bool) -> str:
    """What dcgm-exporter prints of one node; ``margins``: idle before and after."""
    lines = ["# TYPE DCGM_FI_DEV_SM_CLOCK gauge"]
    samples = SECONDS // STEP
    for index in range(samples + 1):
        idle = margins and not 3 <= index <= samples - 3
        for device in range(NODE):
            labels = (
                f'{{gpu="{device}",UUID="GPU-{device}",modelName="NVIDIA H100 80GB HBM3",'
                'Hostname="n0"}'
            )
            stamp = (START + index * STEP) * 1000
            values = {
                "DCGM_FI_DEV_SM_CLOCK": 1700,
                "DCGM_FI_DEV_GPU_UTIL": 0 if idle else 99,
                "DCGM_FI_DEV_POWER_USAGE": 90 if idle else 640,
            }
            if tensor:
                # 0.44 of the rated peak at 1700 MHz: 132 x 4096 FLOP a cycle
                values["DCGM_FI_PROF_PIPE_TENSOR_ACTIVE"] = (
                    0 if idle else round(0.44 * PEAK / (132 * 4096 * 1.7e9), 4)
                )
            lines += [f"{name}{labels} {value} {stamp}" for name, value in values.items()]
    return "\n".join(lines) + "\n"


def write_evidence(folder: Path, kind: str, truth: Told) -> list[str]:
    """Write what an honest operator would hand in; returns the names."""
    tensor = "tensor" in kind
    (folder / "dcgm.prom").write_text(prometheus(tensor=tensor, margins="margins" in kind))
    names = ["dcgm.prom"]
    if "record" in kind:
        quiet = ["import", str(folder / "dcgm.prom"), "--out", str(folder / "rec"), "--json"]
        with contextlib.redirect_stdout(io.StringIO()):
            flopledger(quiet)
        names = ["rec"]
        nodes = truth.devices // NODE
        shown = {"SLURM_JOB_NUM_NODES": str(nodes)} if nodes > 1 else {}
        manifest = {"command": ["python", "train.py"], "environment": {"shown": shown}}
        (folder / "rec" / "run.json").write_text(json.dumps(manifest))
        summary = {"exit_code": 0, "attribution": "processes", "duration_seconds": SECONDS}
        (folder / "rec" / "summary.json").write_text(json.dumps(summary))
    if "ledger" in kind:
        StepLedger.create(folder / "rec", rank=0, world_size=truth.devices).seal("finished", 0)
    if "scheduler" in kind:
        head = "JobIDRaw|State|ElapsedRaw|AllocTRES\n"
        job = f"77|COMPLETED|{truth.seconds:.0f}|gres/gpu={truth.devices},node=1\n"
        (folder / "sacct.txt").write_text(head + job)
        names.append("sacct.txt")
    return names


KINDS = (
    "clock and power",
    "with margins",
    "with tensor activity",
    "record of the launch",
    "record and its ledger",
    "with the scheduler's table",
    "record and the scheduler's table",
)


def lies(truth: Told) -> Iterator[tuple[str, Told]]:
    """Tell the run wrongly: devices or hours, with and without tokens to fit."""
    for what, factors in (("devices", COUNTS), ("seconds", TIMES)):
        for times in factors:
            lie = replace(truth, **{what: getattr(truth, what) * times})
            name = "devices" if what == "devices" else "hours"
            yield f"{name} x {times}", lie
            yield f"{name} and tokens x {times}", replace(lie, tokens=truth.tokens * times)


def audited(folder: Path, names: list[str], run: Told) -> AuditReport:
    """Audit the case with these words beside that evidence."""
    case = folder / "case.toml"
    case.write_text(
        'schema = "flopledger/case/1"\ntitle = "t"\n'
        f"[claim]\nflop = {run.tokens * FLOP_PER_TOKEN:.3e}\n"
        "[model.m]\nparameters = 1e9\n"
        f'[[run]]\nname = "r"\nmodel = "m"\nevidence = {json.dumps(names)}\n'
        'accelerator = "NVIDIA H100 80GB HBM3"\nprecision = "bf16"\n'
        f"accelerator_count = {run.devices}\nwall_clock_hours = {run.seconds / 3600:.8g}\n"
        f"tokens = {run.tokens:.8g}\n"
    )
    return audit(AuditCase.load(case), trace=False)


def outcome(report: AuditReport) -> str:
    """Say what the audit did."""
    verdict = str(report.verdict)
    if verdict in ("inconsistent", "needs-explanation"):
        return "refuted" if verdict == "inconsistent" else "asked"
    warned = any(one.code in ABOUT_EXTENT and one.severity == "warning" for one in report.findings)
    return "warned" if warned else "silent"


def table() -> list[dict[str, str]]:
    """Audit everything: one row a truth, set of evidence and way of telling it."""
    rows = []
    for name, truth in TRUTHS.items():
        for kind in KINDS:
            with tempfile.TemporaryDirectory() as scratch:
                folder = Path(scratch)
                names = write_evidence(folder, kind, truth)
                for lie, words in (("honest", truth), *lies(truth)):
                    found = outcome(audited(folder, names, words))
                    rows.append({"truth": name, "evidence": kind, "lie": lie, "outcome": found})
    return rows


def share(rows: list[dict[str, str]], *outcomes: str) -> str:
    """Count the outcomes among the rows."""
    return f"{sum(one['outcome'] in outcomes for one in rows)} of {len(rows)}"


def report(rows: list[dict[str, str]]) -> str:
    """Write the tables."""
    honest = [one for one in rows if one["lie"] == "honest"]
    told_wrongly = [one for one in rows if one["lie"] != "honest"]
    kinds = list(dict.fromkeys(one["lie"] for one in told_wrongly))
    lines = [
        "# Telemetry of a part of a run",
        "",
        f"{time.strftime('%Y-%m-%d')}, flopledger {__version__}, Python {platform.python_version()}, "
        f"{platform.machine()}; `python benchmarks/partial_telemetry.py`",
        "",
        f"Honest: refuted {share(honest, 'refuted')}, asked {share(honest, 'asked')}. Lies: passed in "
        f"silence {share(told_wrongly, 'silent')}, warned of only {share(told_wrongly, 'warned')}, "
        f"asked or refuted {share(told_wrongly, 'asked', 'refuted')}.",
        "",
        "| evidence beside the recording | honest | " + " | ".join(kinds) + " |",
        "|---|---|" + "---|" * len(kinds),
    ]
    for truth in TRUTHS:
        for kind in KINDS:
            mine = {
                one["lie"]: one["outcome"]
                for one in rows
                if one["truth"] == truth and one["evidence"] == kind
            }
            cells = " | ".join(mine[lie] for lie in ("honest", *kinds))
            lines.append(f"| {truth}, {kind} | {cells} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", type=Path, help="write the tables as Markdown")
    options = parser.parse_args()
    text = report(table())
    print(text)
    if options.write:
        options.write.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

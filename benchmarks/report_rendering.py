"""How long a report takes and how large it is, form by form.

    python -m benchmarks.report_rendering

Two cases: a usual one, and one with an hour of eight devices' telemetry at 1 Hz. Beside them, as a
yardstick on the same machine in the same run, plotly writing one figure as a page with its library
inlined. Every round measures all of them in turn, so that noise meets each alike; medians are printed.
Exit code 1 if a target is missed: 6 MB for a page, 3 s for a page from a fresh process.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import plotly.graph_objects as go

from flopledger.auditing import AuditReport, audit
from flopledger.cases.case import AuditCase
from flopledger.exports import FORMATS, render

ROOT = Path(__file__).parents[1]
ROUNDS = 7

_CASE = """schema = "flopledger/case/1"
title = "Eight devices, one hour"
[claim]
flop = 2.0e19
[model.m]
parameters = 1e9
[[run]]
name = "r"
model = "m"
tokens = 3.3e9
precision = "bf16"
accelerator = "NVIDIA H100 80GB HBM3"
evidence = ["dcgm.prom"]
"""


def with_telemetry(folder: Path) -> AuditReport:
    lines = []
    for second in range(3600):
        stamp = (1_700_000_000 + second) * 1000
        for gpu in range(8):
            who = (
                f'{{gpu="{gpu}",UUID="GPU-{gpu}",modelName="NVIDIA H100 80GB HBM3",Hostname="n0"}}'
            )
            lines.append(f"DCGM_FI_PROF_PIPE_TENSOR_ACTIVE{who} 0.4{second % 10} {stamp}")
            lines.append(f"DCGM_FI_DEV_POWER_USAGE{who} {600 + second % 50} {stamp}")
            lines.append(f"DCGM_FI_DEV_SM_CLOCK{who} 1755 {stamp}")
    (folder / "dcgm.prom").write_text("\n".join(lines) + "\n")
    (folder / "case.toml").write_text(_CASE)
    return audit(AuditCase.load(folder / "case.toml"), trace=False)


def plotly_page() -> str:
    figure = go.Figure(go.Scatter(x=[1, 2, 3], y=[1, 3, 2]))
    page: str = figure.to_html(include_plotlyjs=True, full_html=True)
    return page


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def rounds(reports: dict[str, AuditReport]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        found.setdefault("plotly", []).append(timed(plotly_page))
        for case, report in reports.items():
            for name in FORMATS:
                key = f"{case}/{name}"
                found.setdefault(key, []).append(timed(lambda r=report, n=name: render(r, n)))
    return found


def from_scratch(folder: Path) -> float:
    """Time the whole command in a fresh process: start, audit, page."""
    case = ROOT / "examples/opt-175b/case.toml"
    command = [
        sys.executable, "-m", "flopledger", "audit", str(case), "--no-trace", "--html",
        str(folder / "r.html"),
    ]  # fmt: skip
    return timed(lambda: subprocess.run(command, cwd=ROOT, capture_output=True, check=False))


def merges(folder: Path) -> list[tuple[int, float, int]]:
    """Time the page of a merge, bundle to page, for 4 and for 400 sites: (sites, seconds, bytes)."""
    from flopledger import bundle
    from flopledger.commands import _merge_page
    from tests.flopledger.reports.test_merge_document import sealed_site

    bundle.generate_key(folder / "keys")
    key = bundle.load_private(folder / "keys" / "flopledger.key")
    found = []
    for count in (4, 400):
        paths = [sealed_site(folder, key, f"site {number}") for number in range(count)]
        out = folder / f"{count}.zip"
        bundle.merge(paths, out=out, keys=[key])
        seconds = statistics.median(
            timed(lambda o=out: _merge_page.rendered(o, "html", ())) for _ in range(3)
        )
        found.append((count, seconds, len(_merge_page.rendered(out, "html", ()))))
    return found


def main() -> int:
    usual = audit(AuditCase.load(ROOT / "examples/opt-175b/case.toml"), trace=False)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        reports = {"usual": usual, "telemetry": with_telemetry(folder)}
        found = rounds(reports)
        whole = statistics.median(from_scratch(folder) for _ in range(3))
        merged = merges(folder)
    yardstick = statistics.median(found["plotly"])
    print(
        "| form | usual, ms | of plotly's page | with telemetry, ms | usual, kB | telemetry, kB |"
    )
    print("|---|---:|---:|---:|---:|---:|")
    for form in FORMATS:
        times = [statistics.median(found[f"{case}/{form}"]) for case in reports]
        made = [render(report, form) for report in reports.values()]
        sizes = [len(one if isinstance(one, bytes) else one.encode()) / 1000 for one in made]
        print(
            f"| {form} | {1000 * times[0]:.0f} | {times[0] / yardstick:.2f} | {1000 * times[1]:.0f} "
            f"| {sizes[0]:,.0f} | {sizes[1]:,.0f} |"
        )
    print(f"\nplotly's page: {1000 * yardstick:.0f} ms, {len(plotly_page()) / 1000:,.0f} kB")
    print(f"`flopledger audit --html` from a fresh process: {whole:.2f} s (target: 3 s)")
    for count, seconds, size in merged:
        print(
            f"a merge of {count} sites, checked and set as a page: {seconds:.2f} s, {size / 1000:,.0f} kB"
        )
    largest = max(len(render(report, "html")) for report in reports.values())
    return int(whole > 3 or largest > 6_000_000)


if __name__ == "__main__":
    sys.exit(main())

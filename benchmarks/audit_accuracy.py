"""How well an audit does on published models: accuracy, calibration, lies caught, false alarms.

    python benchmarks/audit_accuracy.py DISCLOSURES.json [--write benchmarks/results/audit_accuracy.md]
                                        [--plot lies.svg]

Every record becomes a case as an auditor would write it: dimensions or parameters, tokens, hours,
part, precision, utilisation; the published FLOP figure is the claim. Then each honest record is
falsified in one figure (claim, hours or tokens, times and over 1.5, 2, 3, 5, 10; another precision;
another part) and audited again. Closed forms only, so that no torch is needed.

Read with care: the priors were fitted on the same records. The calibration table therefore refits
them without the record under test.
"""

import argparse
import math
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fit_priors
import numpy as np
import records

from flopledger import __version__
from flopledger.auditing import AuditReport, audit
from flopledger.case import AuditCase
from flopledger.errors import FlopledgerError
from flopledger.methods import work
from flopledger.methods.priors import Prior
from flopledger.text import number

FACTORS = (1.5, 2.0, 3.0, 5.0, 10.0)
CAUGHT = {"inconsistent", "needs-explanation"}


@dataclass(slots=True)
class Tally:
    """Outcomes of one kind of lie at one size."""

    outcomes: list[str] = field(default_factory=list)

    def share(self, accepted: set[str]) -> float:
        """Share of the outcomes in ``accepted``; NaN without any."""
        if not self.outcomes:
            return math.nan
        return sum(one in accepted for one in self.outcomes) / len(self.outcomes)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("disclosures", type=Path)
    parser.add_argument("--write", type=Path, help="write the tables as Markdown")
    parser.add_argument("--plot", type=Path, help="write the detection curve as SVG")
    options = parser.parse_args()
    known = records.load(options.disclosures)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        honest = {one["id"]: bench.audit(records.case_text(one)) for one in known}
        lies = tell_lies(bench, known, honest)
    lines = [
        *header(options),
        *accuracy(known, honest),
        *verdicts(known, honest),
        *detection(lies),
        *calibration(options.disclosures),
        *speed(known),
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    if options.write:
        options.write.parent.mkdir(exist_ok=True)
        options.write.write_text(text)
    if options.plot:
        options.plot.write_text(curve(lies))
    return 0


class Bench:
    """Audits case texts from one scratch folder."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "case.toml"

    def audit(self, text: str) -> AuditReport | None:
        """Audit; ``None`` where the case is refused as bad input."""
        self.path.write_text(text)
        try:
            return audit(AuditCase.load(self.path), trace=False)
        except FlopledgerError as error:
            print(f"refused: {error}", file=sys.stderr)
            return None


def header(options: argparse.Namespace) -> list[str]:
    return [
        "# Audit accuracy",
        "",
        f"{time.strftime('%Y-%m-%d')}, flopledger {__version__}, Python {platform.python_version()}, "
        f"{platform.machine()}; `python benchmarks/audit_accuracy.py {options.disclosures.name}`",
        "",
    ]


def accuracy(known: list[dict[str, Any]], honest: dict[str, AuditReport | None]) -> list[str]:
    """Compare the architecture route with the published figure, by the publisher's convention."""
    rows, ratios, inside = [], [], []
    for record in known:
        report, claim = honest[record["id"]], record["disclosed_training_flop"]
        if report is None or not claim or not record["train_tokens_seen_count"]:
            continue
        route = next((one for one in report.estimates if one.method == "closed-form"), None)
        if route is None or not route.flop.best:
            continue
        known_ones = report.runs[0].conventions.items()
        options = {name: flop for name, flop in known_ones if name not in work.TRAPS}
        options["attention in full"] = route.flop.best
        name, figure = min(options.items(), key=lambda item: abs(math.log(claim / item[1])))
        ratios.append(abs(math.log(figure / claim)))
        inside.append(route.flop.contains(claim))
        trap = "; ".join(record["known_traps"]) if ratios[-1] > math.log(1.1) else ""
        rows.append(
            f"| {record['id']} | {number(claim)} | {number(figure)} | {name} | "
            f"{figure / claim - 1:+.1%} | {trap} |"
        )
    within = {
        limit: sum(r <= math.log1p(limit) for r in ratios) / len(ratios) for limit in (0.1, 0.3)
    }
    return [
        "## Architecture route against the published figure",
        "",
        f"{len(ratios)} records with tokens and a published FLOP figure. Median error "
        f"{math.expm1(statistics.median(ratios)):.1%}; within 10 %: {within[0.1]:.0%}; within 30 %: "
        f"{within[0.3]:.0%}.",
        "",
        "| record | published | ours | convention that matches best | difference | named traps |",
        "|---|---|---|---|---|---|",
        *rows,
        "",
    ]


def verdicts(known: list[dict[str, Any]], honest: dict[str, AuditReport | None]) -> list[str]:
    """List honest records that are not called consistent, with the finding that says why."""
    rows, tally = [], Tally()
    for record in known:
        report = honest[record["id"]]
        if report is None:
            continue
        tally.outcomes.append(str(report.verdict))
        if report.verdict in ("consistent", "undetermined"):
            continue
        code = next((f.code for f in report.findings if f.severity != "info"), "-")
        rows.append(f"| {record['id']} | {report.verdict} | {code} | {record['category']} |")
    counts = {name: tally.outcomes.count(name) for name in sorted(set(tally.outcomes))}
    return [
        "## Honest records",
        "",
        f"{len(tally.outcomes)} audited: {counts}. Called inconsistent: "
        f"{tally.share({'inconsistent'}):.1%}.",
        "",
        "| record | verdict | first finding | category |",
        "|---|---|---|---|",
        *rows,
        "",
    ]


def tell_lies(
    bench: Bench, known: list[dict[str, Any]], honest: dict[str, AuditReport | None]
) -> dict[tuple[str, str], Tally]:
    """Falsify each record that has two independent routes and is called consistent."""
    found: dict[tuple[str, str], Tally] = {}
    for record in known:
        report = honest[record["id"]]
        if report is None or report.verdict != "consistent" or not report.runs[0].pairs:
            continue
        for kind, size, text in falsified(record):
            lied = bench.audit(text)
            outcome = "refused" if lied is None else str(lied.verdict)
            found.setdefault((kind, size), Tally()).outcomes.append(outcome)
    return found


def falsified(record: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield (kind, size, case) for every lie that the record allows."""
    claim = record["disclosed_training_flop"] or records.six_nd(record)
    honest = {**record, "disclosed_training_flop": claim}
    for factor in FACTORS:
        for size, times in ((f"x {factor:g}", factor), (f"/ {factor:g}", 1 / factor)):
            for kind, key in (
                ("claim", "disclosed_training_flop"),
                ("hours", "chip_hours"),
                ("tokens", "train_tokens_seen_count"),
            ):
                yield kind, size, records.case_text({**honest, key: honest[key] * times})


def detection(lies: dict[tuple[str, str], Tally]) -> list[str]:
    """Tabulate the share of lies caught, by size."""
    rows = []
    for factor in FACTORS:
        for sign in ("x", "/"):
            size = f"{sign} {factor:g}"
            cells = [lies.get((kind, size), Tally()) for kind in ("claim", "hours", "tokens")]
            shown = (
                f"{one.share(CAUGHT):.0%} ({one.share({'inconsistent'}):.0%})" for one in cells
            )
            rows.append(f"| {size} | {' | '.join(shown)} |")
    number_of = max((len(one.outcomes) for one in lies.values()), default=0)
    return [
        "## Lies caught",
        "",
        f"{number_of} honest records with two independent routes, one figure falsified at a time. "
        "Share not called consistent (in brackets: called inconsistent).",
        "",
        "| lie | claim | hours | tokens |",
        "|---|---|---|---|",
        *rows,
        "",
    ]


def calibration(disclosures: Path) -> list[str]:
    """Count how often a 90 % prior interval holds the run that was left out of its fit."""
    known = {record["id"]: record for record in records.load(disclosures)}
    generator = np.random.default_rng(0)
    rows, inside, total = [], 0, 0
    groups = {
        name: fit_priors.utilisations(known, chips) for name, chips in fit_priors.CLASSES.items()
    }
    groups["goodput ratio"] = fit_priors.goodputs(known)
    for name, values in groups.items():
        classes = [values] if name == "goodput ratio" else list(groups.values())[:-1]
        held = [_holds(values, left_out, classes, generator) for left_out in values]
        inside, total = inside + sum(held), total + len(held)
        rows.append(f"| {name} | {len(held)} | {sum(held) / len(held):.0%} |")
    return [
        "## Calibration",
        "",
        f"Of the 90 % prior intervals, refitted without the run under test, {inside / total:.0%} hold it.",
        "",
        "| prior | runs | held |",
        "|---|---|---|",
        *rows,
        "",
    ]


def _holds(
    values: dict[str, float],
    left_out: str,
    classes: list[dict[str, float]],
    generator: np.random.Generator,
) -> bool:
    """Say whether the interval holds the run: median of its class, spread of all, both without it."""

    def without(group: dict[str, float]) -> dict[str, float]:
        return {name: value for name, value in group.items() if name != left_out}

    rest = without(values)
    prior = Prior(
        name="left out",
        median=math.exp(statistics.fmean(map(math.log, rest.values()))),
        n=len(rest),
        as_of="",
        **fit_priors.pooled(without(group) for group in classes),
    )
    low, high = np.quantile(prior.sample(generator, 100_000), [0.05, 0.95])
    return bool(low <= values[left_out] <= high)


def speed(known: list[dict[str, Any]]) -> list[str]:
    """Time one closed-form audit, 100,000 draws included."""
    record = next(one for one in known if one["id"] == "llama31-405b")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        times = []
        for _ in range(5):
            start = time.perf_counter()
            bench.audit(records.case_text(record))
            times.append(time.perf_counter() - start)
    return [
        "## Speed",
        "",
        f"One closed-form audit with 100,000 draws a quantity: {statistics.median(times):.2f} s "
        "(median of 5, imports done).",
    ]


def curve(lies: dict[tuple[str, str], Tally]) -> str:
    """Draw the share caught against the size of the lie."""
    width, height, left, top = 560, 320, 60, 20
    colours = {"claim": "#d9480f", "hours": "#3b82c4", "tokens": "#6d4aff"}

    def place(factor: float, share: float) -> tuple[float, float]:
        x = left + math.log(factor) / math.log(10) * (width - left - 90)
        return x, top + (1 - share) * (height - top - 50)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="#fff"/>'
    ]
    for share in (0, 0.25, 0.5, 0.75, 1):
        _, y = place(1.0, share)
        parts.append(
            f'<line x1="{left}" x2="{width - 90}" y1="{y}" y2="{y}" stroke="#ddd"/>'
            f'<text x="{left - 8}" y="{y + 4}" text-anchor="end">{share:.0%}</text>'
        )
    for factor in FACTORS:
        x, y = place(factor, 0)
        parts.append(f'<text x="{x}" y="{y + 18}" text-anchor="middle">{factor:g}</text>')
    parts.append(
        f'<text x="{left}" y="{height - 8}">size of the lie (factor, up and down together)</text>'
    )
    for index, (kind, colour) in enumerate(colours.items()):
        points = []
        for factor in FACTORS:
            both = [lies.get((kind, f"{sign} {factor:g}"), Tally()) for sign in ("x", "/")]
            merged = Tally([outcome for one in both for outcome in one.outcomes])
            points.append(place(factor, merged.share(CAUGHT)))
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(
            f'<text x="{width - 82}" y="{top + 16 + 18 * index}" fill="{colour}">{kind}</text>'
        )
    return "".join([*parts, "</svg>\n"])


if __name__ == "__main__":
    sys.exit(main())

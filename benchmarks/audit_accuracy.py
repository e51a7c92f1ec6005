"""How well an audit does on published models: accuracy, calibration, lies caught, false alarms.

    python benchmarks/audit_accuracy.py DISCLOSURES.json [--write benchmarks/results/audit_accuracy.md]
                                        [--plot lies.svg]

Every record becomes a case as an auditor would write it: dimensions or parameters, tokens, hours,
part, precision, utilisation; the published FLOP figure is the claim. Then each honest record is
falsified in one figure (`falsehoods.py`) and audited again. Closed forms only, so that no torch is
needed.

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
from pathlib import Path
from typing import Any

import falsehoods
import fit_priors
import numpy as np
import records
from falsehoods import Tally

from flopledger import __version__
from flopledger.auditing import AuditReport, audit
from flopledger.cases.case import AuditCase
from flopledger.errors import FlopledgerError
from flopledger.methods import work
from flopledger.methods.priors import Prior
from flopledger.text import number


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
        lies = falsehoods.tell(bench.verdict, known, honest)
    lines = [
        *header(options),
        *accuracy(known, honest),
        *verdicts(known, honest),
        *falsehoods.table(lies),
        *calibration(options.disclosures),
        *speed(known),
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    if options.write:
        options.write.parent.mkdir(exist_ok=True)
        options.write.write_text(text)
    if options.plot:
        options.plot.write_text(falsehoods.curve(lies))
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

    def verdict(self, text: str) -> str:
        """The verdict on a case; "refused" for bad input, which is caught, too."""
        report = self.audit(text)
        return "refused" if report is None else str(report.verdict)


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


if __name__ == "__main__":
    sys.exit(main())

"""Fit the utilisation of runs that train on images, from MLPerf Training logs.

    python benchmarks/fit_images.py FOLDER... --as-of DATE [--write flopledger/methods/data/images.toml]

Each folder holds one submission: ``result_0.txt`` and ``system.json``. Runs of ResNet-50, Stable
Diffusion and FLUX.1 that ended in success count, one value a submission: model FLOP over the timed
part's device-seconds at the dense 16-bit peak. The disclosures that the other priors rest on are of
language models, which convolutions are far below.
"""

import argparse
import math
import statistics
import tempfile
from pathlib import Path

from flopledger.auditing import audit
from flopledger.cases.case import AuditCase
from flopledger.errors import FlopledgerError

BENCHMARKS = {"resnet", "stable_diffusion", "flux1"}
CASE = """schema = "flopledger/case/1"
title = "fit"
[[run]]
name = "r"
evidence = ["{folder}/result_0.txt", "{folder}/system.json"]
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--as-of", required=True)
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    found = [value for folder in options.folders if (value := utilisation(folder)) is not None]
    text = render(found, options.as_of)
    print(text)
    if options.write:
        options.write.write_text(text)


def utilisation(folder: Path) -> float | None:
    """Of one submission; ``None`` where it trained on text, was aborted, or names no known part."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "case.toml"
        path.write_text(CASE.format(folder=folder.resolve()))
        try:
            report = audit(AuditCase.load(path, allow_outside=True), trace=False)
        except FlopledgerError:
            return None
    (run,) = report.runs
    names = {str(fact.value).lower() for fact in run.facts if fact.name == "benchmark"}
    used = run.utilisation.get("bf16") or run.utilisation.get("fp16")
    if not names & BENCHMARKS or run.figures.status != "success" or used is None:
        return None
    return used.best or used.low


def render(values: list[float], as_of: str) -> str:
    logs = [math.log(value) for value in values]
    return "\n".join(
        [
            "# Fitted by benchmarks/fit_images.py on MLPerf Training logs; do not edit by hand.",
            "# Model FLOP utilisation at 16 bit of runs that train on images, a lognormal.",
            "",
            "[utilisation]",
            f"median = {math.exp(statistics.fmean(logs)):.4f}",
            f"sigma = {statistics.stdev(logs):.3f}",
            f"n = {len(logs)}",
            f'as_of = "{as_of}"',
            "",
        ]
    )


if __name__ == "__main__":
    main()

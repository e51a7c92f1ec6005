"""The priors are what the fit gives, and the fit is what it was."""

import json
import math
import runpy
from pathlib import Path

import pytest

from flopledger.methods import priors


def test_the_data_file_is_the_fit(root: Path, shared: Path) -> None:
    script = runpy.run_path(str(root / "benchmarks/fit_priors.py"))
    fitted = script["fit"](json.loads((shared / "data/disclosures.json").read_text()))
    assert priors.utilisation("hopper_gh100").median == fitted["utilisation.hopper"]["median"]
    assert priors.goodput_ratio().sigma == fitted["goodput_ratio"]["sigma"]


@pytest.mark.parametrize(
    ("architecture", "median", "n"),
    [("ampere_ga100", 0.364, 23), ("hopper_gh100", 0.261, 5), ("tpu_mxu128", 0.304, 3)],
)
def test_known_classes(architecture: str, median: float, n: int) -> None:
    prior = priors.utilisation(architecture)
    assert prior.median == pytest.approx(median, abs=0.001)
    assert prior.n == n


@pytest.mark.parametrize("architecture", [None, "blackwell_gb100", "cdna3"])
def test_a_part_without_runs_gets_the_wide_prior(architecture: str | None) -> None:
    wide = priors.utilisation(architecture)
    assert wide.predictive_sigma > 1.5 * priors.utilisation("ampere_ga100").predictive_sigma


def test_classes_share_one_spread_and_few_runs_blur_the_median(root: Path, shared: Path) -> None:
    fit = runpy.run_path(str(root / "benchmarks/fit_priors.py"))
    # Two classes about medians e and e^3: squares 0.5 + 2, freedom 1 + 2, sigma sqrt(2.5 / 3).
    groups = [
        {"a": math.exp(0.5), "b": math.exp(1.5)},
        {"c": math.exp(2), "d": math.exp(3), "e": math.exp(4)},
    ]
    assert fit["pooled"](groups) == {"sigma": 0.913, "freedom": 3}
    hopper = priors.utilisation("hopper_gh100")
    ampere = priors.utilisation("ampere_ga100")
    assert hopper.sigma == ampere.sigma == 0.229
    assert hopper.freedom == 28  # 23 + 5 + 3 runs less 3 medians
    # 0.229 * sqrt(1 + 1/5) = 0.251, and no utilisation prior is narrower than 0.30.
    assert hopper.predictive_sigma == 0.30
    assert "5 published runs" in hopper.describe()

"""Fit the utilisation and goodput priors from published disclosures.

    python benchmarks/fit_priors.py DISCLOSURES.json [--write flopledger/methods/data/priors.toml]

Two quantities are fitted, each as a lognormal with its sample size (the audit draws from the
Student-t predictive distribution, so a small sample widens by itself):

- **whole-run utilisation** of one hardware class: ``6 N D / (device-hours x 3600 x dense peak)``,
  dense decoders only, downtime included;
  The classes have medians of their own and one spread: the handful of runs of a class does not show
  how far runs lie from their class's median, all of them together do;
- **goodput ratio** rho: ``device-hours x 3600 x peak x disclosed MFU / 6 N D``. It is above 1
  because an MFU is quoted from steady state while hours are billed in full.

Selections and exclusions are data in this file, each with its reason.
"""

import argparse
import hashlib
import json
import math
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

#: Left out by name, with the reason; everything else is selected by rule.
EXCLUDED = {
    "phi-2": "implied utilisation above every comparable run: hours or tokens understated",
    "minerva-540b": "hours are a time share of a shared cluster, 2.5 times what 6ND asks for",
    "pythia-70m": "3.7 times more embedding than other weights: 6ND does not describe it",
}
#: rho needs hours and MFU that were measured apart; elsewhere one was derived from the other.
INDEPENDENT_MFU = (
    "llama31-405b", "palm-540b", "gopher-280b", "tinyllama-1.1b", "glm-130b", "skywork-13b",
    "nemotron4-15b", "smollm3-3b",
)  # fmt: skip
CLASSES = {
    "ampere-datacentre": ("NVIDIA A100 SXM", "NVIDIA A800 SXM"),
    "hopper": ("NVIDIA H100 SXM", "NVIDIA H800 SXM", "NVIDIA H200 SXM"),
    "tpu": ("Google TPU v3", "Google TPU v4"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("disclosures", type=Path)
    parser.add_argument("--write", type=Path, help="the data file to write; without it, print")
    options = parser.parse_args()
    content = options.disclosures.read_bytes()
    text = render(fit(json.loads(content)), hashlib.sha256(content).hexdigest())
    if options.write:
        options.write.write_text(text)
        print(f"wrote {options.write}")
    else:
        print(text)


def fit(disclosures: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Fit every prior; each value has median, sigma, n, records and the date of the data."""
    records = {record["id"]: record for record in disclosures["records"]}
    groups = {name: utilisations(records, chips) for name, chips in CLASSES.items()}
    spread = pooled(groups.values())
    fitted = {f"utilisation.{name}": _lognormal(group) | spread for name, group in groups.items()}
    everything = tuple(chip for chips in CLASSES.values() for chip in chips)
    # A part that no class covers: the spread of all classes together, doubled, since none of these
    # runs used it.
    other = _lognormal(utilisations(records, everything))
    fitted["utilisation.other"] = other | {"sigma": round(2 * other["sigma"], 3)}
    fitted["goodput_ratio"] = _lognormal(goodputs(records))
    for value in fitted.values():
        value["as_of"] = disclosures["as_of"]
    return fitted


def utilisations(records: dict[str, Any], chips: tuple[str, ...]) -> dict[str, float]:
    """Whole-run utilisation by record id, for the parts in ``chips``."""
    return {
        name: _six_nd(record) / _ceiling(record)
        for name, record in records.items()
        if record["chip_name"] in chips and _is_usable(record) and name not in EXCLUDED
    }


def goodputs(records: dict[str, Any]) -> dict[str, float]:
    """Ratio rho by record id."""
    return {
        name: _ceiling(record) * record["disclosed_mfu_fraction"] / _six_nd(record)
        for name, record in records.items()
        if name in INDEPENDENT_MFU and record["chip_hours"]
    }


def pooled(groups: Iterable[dict[str, float]]) -> dict[str, Any]:
    """Spread about the medians of the groups, and its degrees of freedom: runs less groups."""
    kept = [[math.log(value) for value in group.values()] for group in groups if len(group) > 1]
    squares = sum((one - statistics.fmean(logs)) ** 2 for logs in kept for one in logs)
    freedom = sum(len(logs) - 1 for logs in kept)
    return {"sigma": round(math.sqrt(squares / freedom), 3), "freedom": freedom}


def _is_usable(record: dict[str, Any]) -> bool:
    """Keep dense decoders with hours and tokens: 6ND does not describe the others."""
    return (
        record["objective"] == "decoder"
        and record["params_active_per_token_count"] is None
        and bool(record["chip_hours"])
        and bool(record["train_tokens_seen_count"])
    )


def _six_nd(record: dict[str, Any]) -> float:
    return float(6 * record["params_total_count"] * record["train_tokens_seen_count"])


def _ceiling(record: dict[str, Any]) -> float:
    return float(record["chip_hours"] * 3600 * record["peak_dense_flop_per_s_per_chip"])


def _lognormal(values: dict[str, float]) -> dict[str, Any]:
    logs = [math.log(value) for value in values.values()]
    return {
        "median": round(math.exp(statistics.fmean(logs)), 4),
        "sigma": round(statistics.stdev(logs), 3),
        "n": len(logs),
        "freedom": len(logs) - 1,
        "records": sorted(values),
    }


def render(fitted: dict[str, dict[str, Any]], digest: str) -> str:
    """Write the priors as TOML, with where they come from."""
    lines = [
        "# Fitted by benchmarks/fit_priors.py; do not edit by hand. A lognormal each: median and",
        "# sigma (standard deviation of the logarithm) over n published runs. The classes share one",
        "# sigma, about their own medians; freedom: degrees of freedom behind sigma.",
        f'disclosures_sha256 = "{digest}"',
    ]
    for name, value in fitted.items():
        lines += ["", f"[{name}]"]
        lines += [f"{key} = {json.dumps(entry)}" for key, entry in value.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()

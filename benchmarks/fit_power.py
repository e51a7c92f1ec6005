"""Fit the share of board power that a training node draws, from MLPerf power submissions.

    python benchmarks/fit_power.py FOLDER... [--write flopledger/methods/data/power.toml]

Each folder holds one submission: its result log (``result*.txt``), its ``system.json`` and the power
logs of its nodes (``node*.txt``). The share is mean node power inside the timed part, over the rated
board power (TDP) of the node's accelerators: fans, processors and supplies included, so it may exceed
1. Only the covered part of the window counts. One value a submission, whatever its nodes.
"""

import argparse
import json
import math
import statistics
from pathlib import Path

import hardware_db
from flopledger.logs import EvidenceFile, assemble, read
from profilers.importers import collect, open_recording
from profilers.integrals import energy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--as-of", required=True, help="date of the newest submission")
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    shares = {folder.name: share(folder) for folder in sorted(options.folders)}
    text = render({name: one for name, one in shares.items() if one is not None}, options.as_of)
    print(text)
    if options.write:
        options.write.write_text(text)


def share(folder: Path) -> float | None:
    """Mean node power over the TDP of its accelerators; ``None`` where a document is missing."""
    names = [*sorted(folder.glob("result*.txt")), folder / "system.json"]
    evidence = read([EvidenceFile(path=path, name=path.name) for path in names if path.exists()])
    found = assemble(evidence)
    each = next((fact.value for fact in evidence.named("accelerators_per_node")), None)
    started, ended = evidence.named("started"), evidence.named("ended")
    if found.accelerator is None or not each or len(started) != 1 or len(ended) != 1:
        return None
    window = round(float(started[0].value) * 1e9), round(float(ended[0].value) * 1e9)
    watts = []
    for path in sorted(folder.glob("node*.txt")):
        (device,) = collect([open_recording(path)[1]]).devices.values()
        drawn = energy(device, *window)
        if drawn is not None and drawn.seconds > 0:
            watts.append(drawn.joules / drawn.seconds)
    tdp = hardware_db.identify(str(found.accelerator.value)).tdp_w
    return statistics.fmean(watts) / (int(each) * tdp) if watts and tdp else None


def render(shares: dict[str, float], as_of: str) -> str:
    logs = [math.log(value) for value in shares.values()]
    return "\n".join(
        [
            "# Fitted by benchmarks/fit_power.py on MLPerf Training power submissions; do not edit by",
            "# hand. Mean power of a node in training over the TDP of its accelerators, a lognormal.",
            "",
            "[node_share]",
            f"median = {math.exp(statistics.fmean(logs)):.4f}",
            f"sigma = {statistics.stdev(logs):.3f}",
            f"n = {len(logs)}",
            f"records = {json.dumps(sorted(shares))}",
            f'as_of = "{as_of}"',
            "",
        ]
    )


if __name__ == "__main__":
    main()

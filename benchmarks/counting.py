"""How exact, how complete and how fast flopcount is, beside other counters, in one run.

    python benchmarks/counting.py cases                  # every case of counts/derived/
    python benchmarks/counting.py coverage transformers  # or: auto, timm, diffusers
    python benchmarks/counting.py speed                  # Llama-3.1-405B, DeepSeek-V3

Peers run where they can be imported; a peer that cannot is named. Each part writes its section to
``benchmarks/results/counting-<part>.md``.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.counts.cases import run_cases
from benchmarks.counts.coverage import run_coverage
from benchmarks.counts.libraries import LIBRARIES
from benchmarks.counts.peers import declare_torchvision
from benchmarks.counts.speed import run_speed


def main():
    """Choose a part."""
    logging.disable(logging.CRITICAL)
    declare_torchvision()
    parser = argparse.ArgumentParser(description=__doc__)
    parts = parser.add_subparsers(required=True)
    parts.add_parser("cases").set_defaults(run=run_cases)
    coverage = parts.add_parser("coverage")
    coverage.add_argument("library", choices=LIBRARIES)
    coverage.add_argument("--start", type=int, default=0)
    coverage.add_argument("--end", type=int, default=1 << 30)
    coverage.add_argument("--every", type=int, default=1)
    coverage.add_argument("--minutes", type=float, default=600)
    coverage.add_argument("--seconds", type=float, default=60, help="of the processor, a model")
    coverage.add_argument("--resume", help="a file of answers, read first and added to")
    coverage.add_argument("--only", nargs="*", help="names to examine again")
    coverage.set_defaults(run=run_coverage)
    speed = parts.add_parser("speed")
    speed.add_argument("--only")
    speed.set_defaults(run=run_speed)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()

"""Known matrix products against what the instruments say. Needs an NVIDIA GPU and torch with CUDA.

    python benchmarks/gpu_checks.py [--seconds 10] [--out checks.json]

The same products as `flopledger doctor --calibrate`, and nothing else. Exit codes: 0 every truth lies
inside its bounds, 1 one does not, 3 no check was possible here.
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from flopledger.profiling.known_products import examine


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    answer = examine(options.seconds)
    if not answer["tried"]:
        print(f"no GPU check is possible here: {answer['reason']}")
        return 3
    text = json.dumps(answer, indent=2)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")
    return 1 if any(one["inside"] is False for one in answer["checks"]) else 0


if __name__ == "__main__":
    sys.exit(main())

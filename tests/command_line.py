"""The command line as a user calls it from a checkout: in a process of its own, with its own variables."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
CLI = str(ROOT / "cli.py")


def flopledger(*words, variables=None, timeout=120, **more) -> subprocess.CompletedProcess[str]:
    """Run ``flopledger WORDS``; ``variables`` are added to this process' own."""
    return subprocess.run(
        [sys.executable, CLI, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env={**os.environ, **(variables or {})},
        **more,
    )

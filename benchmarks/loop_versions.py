"""What recording a small step costs in two versions of this project, in turn within the same minutes.

    git worktree add ../before COMMIT
    python benchmarks/loop_versions.py ../before . [--rounds 50]

A shared machine's speed changes by half from minute to minute, and with it what a recorder costs. So one
process for each version times a quarter of a second of steps, with its recorder and without it, then the
other, and so on. Each is timed by its own tree's ``benchmarks/loop_parts.py``. A tree that was not installed
has no compiled part: copy it from where it was built (``profilers/*.so``), or build it by ``pip install``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

STEPS, LEFT_OUT = 12, 2
"""Steps with the recorder or without it; of these, the first ones find other caches."""
TURNS = 8
WARM = 80
QUANTILES = (0.1, 0.25, 0.5)


def work(tree: Path) -> None:
    """Time steps whenever somebody asks for some, by a line."""
    sys.path.insert(0, str(tree))
    import torch

    import flopledger
    from benchmarks import loop_parts
    from benchmarks.loop_models import LOOPS, SMALL

    if not str(flopledger.__file__).startswith(str(tree)):
        raise SystemExit(f"{flopledger.__file__} is not of {tree}")
    torch.set_num_threads(1)
    one = LOOPS[SMALL][0]()
    stamped = loop_parts._Stamped(one)
    with tempfile.TemporaryDirectory() as folder, flopledger.record(folder, sampler=False):
        for _ in range(WARM):
            stamped.step()
        switch = loop_parts.Switch(one.model)
        print(json.dumps(loop_parts.OWN), flush=True)
        for _ in sys.stdin:
            found: dict[bool, list[Any]] = {True: [], False: []}
            for turn in range(TURNS):
                for on in (True, False) if turn % 2 else (False, True):
                    switch.turn(on=on)
                    for number in range(STEPS):
                        looked = on and loop_parts.LOOKING[0]
                        step = stamped.step()
                        if number >= LEFT_OUT and not looked:
                            found[on].append(step)
            print(json.dumps([found[True], found[False]]), flush=True)
        switch.turn(on=True)
    stamped.close()


class Version:
    """One version's process, and what it timed."""

    def __init__(self, tree: Path) -> None:
        self.tree = tree
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--worker", str(tree)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tree,
        )  # fmt: skip
        self.own: list[int] = self._answer()
        self.recorded: list[list[float]] = []
        self.plain: list[list[float]] = []

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def turn(self) -> None:
        """Time some more."""
        assert self.process.stdin is not None
        self.process.stdin.write("more\n")
        self.process.stdin.flush()
        recorded, plain = self._answer()
        self.recorded += recorded
        self.plain += plain

    def row(self) -> str:
        """What it costs, as a row of a table."""
        own, whole = [], []
        for part in QUANTILES:
            columns = zip(
                zip(*self.recorded, strict=True), zip(*self.plain, strict=True), strict=True
            )
            more = [quantile(a, part) - quantile(b, part) for a, b in columns]
            plain = quantile(list(map(sum, self.plain)), part)
            recorded = quantile(list(map(sum, self.recorded)), part)
            mine = sum(more[place] for place in self.own)
            own.append(f"{mine:.0f} µs, {mine / plain:.2%}")
            whole.append(f"{recorded - plain:.0f} µs, {recorded / plain - 1:.2%}")
        return f"| {self.tree.name} | {' / '.join(own)} | {' / '.join(whole)} |"


def quantile(values: Any, part: float) -> float:
    """The value below which a part of all lie."""
    return float(sorted(values)[int(part * len(values))])


def main() -> None:
    """Compare two trees."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trees", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    trees = [tree.resolve() for tree in options.trees]
    if options.worker:
        work(trees[0])
        return
    with ExitStack() as stack:
        versions = [Version(tree) for tree in trees]
        for version in versions:
            stack.callback(version.process.kill)
        for _ in range(options.rounds):
            for version in versions:
                version.turn()
        told = " / ".join(f"{part:.0%}" for part in QUANTILES)
        print(
            f"| version | where the recorder works, at {told} of the steps | whole steps, likewise |"
        )
        print("|---|---|---|")
        for version in versions:
            print(version.row())


if __name__ == "__main__":
    main()

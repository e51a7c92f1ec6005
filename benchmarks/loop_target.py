"""Whether being recorded costs a step of 2.5 ms less than 2 %: many processes, whole steps, no clocks inside.

    python benchmarks/loop_target.py [--processes 12] [--rounds 300]

What recording costs a small step is what lies cold in the caches, and that hangs on where a process
happens to have its memory: two processes of the same code differ by more than either's own interval
says. So each process is one observation. It finds the text on which a plain step of the small GPT
takes 2.5 ms, switches the recorder on and off every 12 steps, and answers the median ratio of such
pairs of blocks. The figure is the median of the processes, with a 95 % bootstrap interval over them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

import flopledger  # noqa: E402
from benchmarks.loop_models import Loop, block_of, of_2500_us  # noqa: E402
from benchmarks.loop_parts import Switch, interval  # noqa: E402
from profilers.steps.backward.passes import LOOKING  # noqa: E402

STEPS, LEFT_OUT = 12, 2
"""Steps with the recorder or without it; of these, the first ones find other caches."""
WARM = 60
TARGET = 1.02


@dataclass
class Switched:
    """Steps with the recorder and without it, in turn within one recording.

    Steps that are looked at come sixteen a second: half of the time they are twice as many of the
    recorded ones as in a loop that is always recorded. So there is a ratio with them and one without.
    """

    plain: list[float] = field(default_factory=list)
    """Seconds of steps without it."""
    extra: list[float] = field(default_factory=list)
    """Seconds that a usual step takes longer, one of each pair of blocks; and so on."""
    usual: list[float] = field(default_factory=list)
    every: list[float] = field(default_factory=list)
    looked: int = 0
    recorded: int = 0

    def add(self, plain: list[float], recorded: list[tuple[bool, float]]) -> None:
        """Take a pair of blocks; a recorded step stands behind whether it is looked at."""
        usual = [seconds for looked, seconds in recorded if not looked]
        self.plain += plain
        self.recorded += len(recorded)
        self.looked += len(recorded) - len(usual)
        if len(usual) < STEPS // 2:
            return
        middle = statistics.median(plain)
        self.extra.append(statistics.median(usual) - middle)
        self.usual.append(statistics.median(usual) / middle)
        self.every.append(statistics.median(seconds for _, seconds in recorded) / middle)


def switched(one: Loop, rounds: int) -> Switched:
    """Switch the recorder of a loop on and off every few steps.

    Finer than blocks with their own beginning and end, so a busy machine's weather matters less.
    """
    found = Switched()
    with tempfile.TemporaryDirectory() as folder, flopledger.record(folder, sampler=False):
        block_of(one.step, WARM)
        switch = Switch(one.model)

        def block(*, on: bool) -> list[tuple[bool, float]]:
            switch.turn(on=on)
            return [(on and LOOKING[0], block_of(one.step, 1)) for _ in range(STEPS)][LEFT_OUT:]

        for turn in range(rounds):
            blocks = {on: block(on=on) for on in ((True, False) if turn % 2 else (False, True))}
            found.add([seconds for _, seconds in blocks[False]], blocks[True])
        switch.turn(on=True)
    return found


def work(rounds: int) -> dict[str, float]:
    """What one process finds: microseconds of a plain step, ratios, the share that is looked at."""
    torch.set_num_threads(1)
    one = of_2500_us()
    found = switched(one, rounds)
    return {
        "step": 1e6 * statistics.median(found.plain),
        "usual": statistics.median(found.usual),
        "all": statistics.median(found.every),
        "looked": found.looked / found.recorded,
        "tokens": float(one.batch.shape[1] - 1),
    }


def asked(rounds: int) -> dict[str, float]:
    """The same of a new process."""
    command = [sys.executable, __file__, "--worker", "--rounds", str(rounds)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    found: Any = json.loads(done.stdout.splitlines()[-1])
    return dict(found)


def told(name: str, ratios: list[float]) -> str:
    """A line of what was found."""
    low, high = interval(ratios)
    side = "below" if high < TARGET else "above" if low > TARGET else "not told apart from"
    return f"{name}: {statistics.median(ratios):.4f} ({low:.4f} to {high:.4f}), {side} {TARGET}"


def main() -> None:
    """Ask one process after another."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--processes", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(work(options.rounds)))
        return
    print(f"load average {os.getloadavg()[0]:.1f}")
    line = "{step:,.0f} µs, {tokens:.0f} tokens: usual {usual:.4f}, all {all:.4f}"
    found = []
    for _ in range(options.processes):
        found.append(asked(options.rounds))
        print(line.format(**found[-1]), flush=True)
    print(told("steps that are not looked at", [each["usual"] for each in found]))
    share = statistics.median(each["looked"] for each in found)
    print(told(f"all, {share:.0%} of them looked at", [each["all"] for each in found]))


if __name__ == "__main__":
    main()

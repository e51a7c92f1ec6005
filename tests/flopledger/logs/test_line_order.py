"""Logs whose lines or pieces were put in another order, told apart from restarts by their stamps."""

import random
from pathlib import Path

import pytest

from flopledger import logs

HEAD = "  seq_length ...................................... 2048\n"


def _line(step: int, second: int) -> str:
    stamp = f"2024-01-01 {second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"
    return (
        f" [{stamp}] iteration {step:8d}/    1000 | consumed samples: {512 * step:12d} | "
        "elapsed time per iteration (ms): 6000.0 | learning rate: 1.0E-4 | global batch size:   512 | "
        f"lm loss: {9 - step / 1000:.6E} |\n"
    )


#: 40 prints, one in a minute: 400 steps of 6 s.
LINES = [_line(10 * count, 60 * count) for count in range(1, 41)]


@pytest.fixture
def read(tmp_path: Path):
    def run(lines: list[str]) -> logs.RunFacts:
        path = tmp_path / "train.log"
        path.write_text(HEAD + "".join(lines))
        return logs.assemble(logs.read([logs.EvidenceFile(path=path, name=path.name)]))

    return run


def codes(run: logs.RunFacts) -> set[str]:
    return {one.code for one in run.findings}


def figures(run: logs.RunFacts) -> tuple[float, float]:
    assert run.samples is not None
    assert run.timed_seconds is not None
    return run.samples.number, run.timed_seconds.number


@pytest.mark.parametrize("order", ["shuffled", "second piece first", "backwards"])
def test_moved_lines_are_read_by_their_stamps(read, order: str) -> None:
    lines = list(LINES)
    if order == "shuffled":
        random.Random(1).shuffle(lines)
    elif order == "backwards":
        lines.reverse()
    else:
        lines = lines[25:] + lines[:25]
    run = read(lines)
    # 400 steps x 512 sequences, and 400 x 6 s
    assert figures(run) == (204_800, 2_400)
    assert "lines-out-of-order" in codes(run)
    assert not {"repeated-steps", "resumed-run"} & codes(run)


def test_a_restart_is_work_done_again(read) -> None:
    # 300 steps, then from step 201 on again, an hour later
    again = [_line(10 * count, 3600 + 60 * count) for count in range(21, 41)]
    run = read(LINES[:30] + again)
    assert figures(run) == (204_800, (300 + 200) * 6)
    assert codes(run) >= {"repeated-steps"}
    assert "lines-out-of-order" not in codes(run)


def test_a_clock_that_goes_back_to_winter_time_moves_no_line(read) -> None:
    # Step 400 at second 2,400; the restart comes a minute after, and the clock an hour back.
    before = [_line(10 * count, 3600 + 60 * count) for count in range(1, 41)]
    again = [_line(10 * count, 3600 + 60 * (count + 12) - 1800) for count in range(31, 51)]
    run = read(before + again)
    assert figures(run) == (256_000, (400 + 200) * 6)
    assert "repeated-steps" in codes(run)
    assert "lines-out-of-order" not in codes(run)

"""The ledger of one process: what is written comes back, and what is wrong is said."""

from __future__ import annotations

import json
import os
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flopledger.recording.totals import read_totals
from profilers.steps.record.check import check_steps
from profilers.steps.record.ledger import StepLedger, read_process, read_steps, run_lengths

if TYPE_CHECKING:
    from pathlib import Path


def written(run: Path, **options: Any) -> StepLedger:
    ledger = StepLedger.create(run, versions={"python": "3"}, **options)
    ledger.resume(10)
    ledger.device("cuda", name="NVIDIA H100 80GB HBM3", memory_bytes=80 << 30)
    train = ledger.cost(
        model="GPT",
        mode="train",
        inputs=["int64[8, 128]"],
        flop={"forward": 100, "backward": 200, "recompute": 50},
        by_dtype={"bf16": 300},
        recompute_by_dtype={"bf16": 50},
        share=(1, 2),
        how="meta",
    )
    unknown = ledger.cost(
        model="Odd", mode="forward", inputs=[], flop=None, how="unknown", reason="it raised"
    )
    ledger.steps(
        first=11,
        end_us=[10, 20, 31],
        duration_us=[8, 8, 8],
        wait_us=[2, 2, 3],
        optimizer=["AdamW", "AdamW", "SGD"],
        tokens=[1024, 1024, None],
        tokens_from=["inputs", "inputs", None],
        samples=[8, 8, 8],
        calls=[[(train, 2)], [(train, 2)], [(train, 1), (unknown, 1)]],
    )
    ledger.span("evaluation", start_us=31, end_us=40, calls=[(unknown, 3)])
    ledger.note("odd", "warning", "something odd")
    return ledger


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    written(tmp_path, rank=3, local_rank=1, world_size=4, mesh={"tp": 2}).seal("finished", 3)
    (process,) = read_steps(tmp_path)
    assert (process.rank, process.local_rank, process.world_size) == (3, 1, 4)
    assert process.mesh == {"tp": 2}
    assert process.sealed == "finished"
    assert process.problems == ()
    assert process.resumes[0].step == 10
    assert process.devices[0].name == "NVIDIA H100 80GB HBM3"
    steps = list(process.steps())
    assert [step.number for step in steps] == [11, 12, 13]
    assert [step.tokens for step in steps] == [1024, 1024, None]
    assert steps[2].calls == ((0, 1), (1, 1))
    assert steps[2].optimizer == "SGD"
    assert process.spans[0].calls == ((1, 3),)


def test_a_share_divides_the_whole_model(tmp_path: Path) -> None:
    written(tmp_path).close()
    (process,) = read_steps(tmp_path)
    # Half of 100 + 200, and half of 100 + 200 + 50.
    assert process.costs[0].model_flop == Fraction(150)
    assert process.costs[0].hardware_flop == Fraction(175)
    assert process.costs[1].model_flop is None
    assert not process.costs[1].known


def test_a_kill_loses_the_line_in_flight_only(tmp_path: Path) -> None:
    ledger = written(tmp_path)
    ledger.close()
    path = ledger.folder / "ledger.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    (process,) = read_steps(tmp_path)
    assert process.sealed is None
    assert len(process.blocks) == 1
    assert process.notes == ()
    assert "cut short" in process.problems[0]


def test_a_changed_line_breaks_the_chain(tmp_path: Path) -> None:
    ledger = written(tmp_path)
    ledger.seal("finished", 3)
    path = ledger.folder / "ledger.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"tokens": [[2, 1024]', b'"tokens": [[2, 9024]'))
    (process,) = read_steps(tmp_path)
    assert "changed" in process.problems[0]
    assert process.sealed is None


def test_each_start_is_a_ledger_of_its_own(tmp_path: Path) -> None:
    written(tmp_path).seal("finished", 3)
    written(tmp_path).seal("finished", 3)
    assert len(read_steps(tmp_path)) == 2


def test_losses_come_back_and_are_believed_no_further_than_they_are_numbers(tmp_path: Path) -> None:
    ledger = StepLedger.create(tmp_path / "good")
    ledger.losses([(10, 2.5), (20, None)])
    ledger.seal("finished", 0)
    (process,) = read_steps(tmp_path / "good")
    assert (process.losses[0].at_us, process.losses[0].value) == ((10, 20), (2.5, None))
    for place, (at, value) in enumerate(
        [([1], [1]), ([1], [True]), ([1], ["2"]), ([1], [1e300]), ([1, 2], [1.0]), ([-1], [1.0])]
    ):
        ledger = StepLedger.create(tmp_path / str(place))
        ledger._ledger.append({"kind": "losses", "at_us": at, "value": value})
        ledger.close()
        (process,) = read_steps(tmp_path / str(place))
        assert process.problems
        assert not process.losses


def test_no_steps_no_ledgers(tmp_path: Path) -> None:
    assert read_steps(tmp_path) == ()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"end_us": [1, 2]}, "entries"),
        ({"tokens": [[4, 1]]}, "exceed"),
        ({"tokens": [[2, 1]]}, "cover 2 of 3"),
        ({"tokens": [[3, -1]]}, "whole number"),
        ({"tokens": [[3, 1e3]]}, "whole number"),
        ({"tokens": [[3, True]]}, "whole number"),
        ({"calls": [[3, [[9, 1]]]]}, "cost 9"),
        ({"calls": [[3, [[[], 1]]]]}, "whole number"),
        ({"end_us": []}, "column"),
        ({"first": 10**30}, "whole number"),
        ({"optimizer": [[3, "x" * 5000]]}, "text"),
    ],
)
def test_a_block_that_does_not_fit_is_refused(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    ledger = StepLedger.create(tmp_path)
    ledger.cost(
        model="m",
        mode="train",
        inputs=[],
        flop={"forward": 1, "backward": 2, "recompute": 0},
        how="meta",
    )
    block = {
        "kind": "steps",
        "first": 0,
        "end_us": [1, 2, 3],
        "duration_us": [1, 1, 1],
        "wait_us": [0, 0, 0],
        "optimizer": [[3, None]],
        "tokens": [[3, 1]],
        "tokens_from": [[3, None]],
        "samples": [[3, None]],
        "calls": [[3, [[0, 1]]]],
    }
    ledger._ledger.append({**block, **change})
    ledger.close()
    (process,) = read_steps(tmp_path)
    assert process.blocks == ()
    assert said in process.problems[0]


@pytest.mark.parametrize(
    "change",
    [
        {"share": [3, 2]},
        {"share": [0, 1]},
        {"share": None},
        {"mode": "guess"},
        {"bounds": [5, 1]},
        {"flop": {"forward": 1}},
        {"flop": {"forward": 10**60, "backward": 0, "recompute": 0}},
        {"flop": {"forward": -1, "backward": 0, "recompute": 0}},
        {"by_dtype": [1]},
    ],
)
def test_a_cost_that_does_not_fit_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    ledger = StepLedger.create(tmp_path)
    cost = {
        "kind": "cost",
        "id": 0,
        "model": "m",
        "mode": "train",
        "inputs": [],
        "flop": {"forward": 1, "backward": 2, "recompute": 0},
        "by_dtype": {},
        "share": [1, 1],
        "how": "meta",
        "bounds": None,
        "uncounted": [],
        "reason": None,
    }
    ledger._ledger.append({**cost, **change})
    ledger.close()
    (process,) = read_steps(tmp_path)
    assert process.costs == {}
    assert len(process.problems) == 1


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
KINDS = st.sampled_from(["header", "cost", "steps", "span", "note", "seal", "resume", "device"])
FIELDS = st.sampled_from(
    ["id", "flop", "calls", "end_us", "share", "bounds", "tokens", "first", "what", "clock", "step"]
)


@settings(max_examples=60, deadline=None)
@given(kind=KINDS, fields=st.dictionaries(FIELDS, JSON, max_size=6))
def test_no_line_makes_the_reader_raise(
    tmp_path_factory: pytest.TempPathFactory, kind: str, fields: dict[str, Any]
) -> None:
    run = tmp_path_factory.mktemp("run")
    ledger = StepLedger.create(run)
    ledger._ledger.append({"kind": kind, **fields})
    ledger.close()
    (process,) = read_steps(run)
    assert process.rank == 0


@given(st.lists(st.sampled_from([None, 1, 2])))
def test_runs_say_the_same_as_the_column(column: list[int | None]) -> None:
    runs = run_lengths((1, value) for value in column)
    assert [value for count, value in runs for _ in range(count)] == column
    assert all(a[1] != b[1] for a, b in pairwise(runs))
    assert run_lengths(runs) == runs


def test_bytes_that_are_no_ledger_are_none(tmp_path: Path) -> None:
    folder = tmp_path / "steps" / "rank=00000-x-1-1"
    folder.mkdir(parents=True)
    (folder / "ledger.jsonl").write_text(json.dumps({"kind": "header"}) + "\n", encoding="utf-8")
    assert read_process(folder) is None
    assert read_steps(tmp_path) == ()


HEADER = (
    '"kind": "header", "schema": "flopledger/steps/1", "local_rank": 0, "node": "n", "pid": 1, '
    '"clock": {"monotonic_ns": 1, "wall_ns": 1}'
)
FIRST_LINES = {
    "no-header": '"kind": "steps"',
    "not-a-number": HEADER + ', "rank": NaN, "world_size": 1',
    "deep": '"kind": ' + "[" * 100_000 + "]" * 100_000,
    "long-number": '"rank": ' + "9" * 100_000,
    "world": HEADER + f', "rank": 0, "world_size": {2**61}',  # ranks that would be named one by one
    "rank": HEADER + ', "rank": 8, "world_size": 8',
}


@pytest.mark.parametrize("kind", ["folder", "pipe", "link", "linked-folder", "long", *FIRST_LINES])
def test_a_ledger_that_cannot_be_read_makes_totals_lower_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Beside one that can: nothing waits for a pipe, nothing leaves the folder, nothing is silent."""
    from profilers.steps.record import reading

    good = _small(tmp_path, pid=1)
    bad = tmp_path / "steps" / "rank=00000-host-2-1"
    bad.mkdir()
    ledger = bad / "ledger.jsonl"
    if kind == "folder":
        ledger.mkdir()
    elif kind == "pipe":
        os.mkfifo(ledger)
    elif kind == "link":
        ledger.symlink_to(good / "ledger.jsonl")
    elif kind == "linked-folder":
        bad.rmdir()
        bad.symlink_to(good)
    elif kind == "long":
        size = (good / "ledger.jsonl").stat().st_size
        ledger.write_bytes(b" " * (size + 1))
        monkeypatch.setattr(reading, "MOST_BYTES", size)
    else:
        ledger.write_text('{"seq": 0, "prev": "' + "0" * 64 + '", ' + FIRST_LINES[kind] + "}\n")
    totals = read_totals(tmp_path)
    assert totals is not None
    assert (totals.steps, totals.model_flop, totals.model_bounds) == (1, None, (3, None))
    assert next((f.code, f.severity) for f in totals.findings) == ("ledger-unread", "error")
    assert {problem.code for problem in check_steps(tmp_path)} - {"unsealed"} or "folder" in kind


def test_a_folder_that_a_kill_left_without_a_ledger_is_nothing(tmp_path: Path) -> None:
    _small(tmp_path, pid=1)
    for number, text in enumerate(["", '{"seq": 0']):
        folder = tmp_path / "steps" / f"rank=00000-host-{number + 2}-1"
        folder.mkdir()
        (folder / "ledger.jsonl").write_text(text)
    (tmp_path / "steps" / "rank=00000-host-9-1").mkdir()
    totals = read_totals(tmp_path)
    assert totals is not None
    assert (totals.model_flop, totals.findings) == (3, ())


def test_a_ledger_says_that_the_disk_takes_no_more(tmp_path: Path) -> None:
    """What comes after all says the contrary."""
    folder = _small(tmp_path, pid=1, refused=True)
    process = read_process(folder)
    assert process is not None
    assert process.refused == "No space left on device"
    assert not list(folder.glob("reserve"))  # given back to make room for that line
    totals = read_totals(tmp_path)
    assert totals is not None
    assert (totals.model_flop, totals.model_bounds) == (None, (3, None))
    assert {finding.code for finding in totals.findings} >= {"steps-lost"}
    again = _small(tmp_path / "again", pid=1, refused=True, more=True)
    found = read_process(again)
    assert found is not None
    assert found.refused is None
    assert not list(again.glob("reserve"))


def _small(run: Path, *, pid: int, refused: bool = False, more: bool = False) -> Path:
    """A ledger of one step of 3 FLOP, sealed unless the disk refused to the end."""
    with mock.patch("os.getpid", return_value=pid):
        ledger = StepLedger.create(run)
    assert (ledger.folder / "reserve").stat().st_size == 4096
    flop = {"forward": 1, "backward": 2, "recompute": 0}
    cost = ledger.cost(model="M", mode="train", inputs=[], flop=flop, how="meta")
    for number in range(1, 2 + more):
        if number == 2 and refused:
            ledger.refused("No space left on device")
        ledger.steps(
            first=number, end_us=[number], duration_us=[1], wait_us=[0], optimizer=["S"],
            tokens=[1], tokens_from=["inputs"], samples=[1], calls=[[(cost, 1)]],
        )  # fmt: skip
    if refused and not more:
        ledger.refused("No space left on device")
        ledger.close()
    else:
        ledger.seal("finished", 1)
    return ledger.folder

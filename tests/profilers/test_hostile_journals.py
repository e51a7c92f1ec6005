"""A journal of an audited party: its chain holds, for anybody can write one, and its lines say anything."""

import copy
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from profilers.errors import ProfilersError
from profilers.ledger import Ledger
from profilers.record import RecordError, read_record, verify
from profilers.tail import RecordTail

SECOND = 10**18
LINES: list[dict[str, Any]] = [
    {
        "kind": "header", "schema": "flopledger/journal/1", "node": "host", "boot_id": "boot", "pid": 1,
        "clock": {"monotonic_ns": 1, "wall_ns": SECOND},
    },
    {
        "kind": "devices", "time_ns": SECOND,
        "devices": [{"uuid": "GPU-1", "name": "A", "missing": {"power_mw": ["lost", "gone"]}}],
    },
    {"kind": "gap", "start_ns": 1, "end_ns": 2, "reason": "lost", "device": "GPU-1"},
    {"kind": "event", "time_ns": 3, "event": "xid", "device": "GPU-1"},
    {"kind": "run", "what": "start", "time_ns": 5},
    {"kind": "segment-open", "file": "samples-000001.arrows"},
    {"kind": "segment", "file": "samples-000001.arrows", "sha256": "0" * 64},
    {
        "kind": "compacted", "file": "samples-000001.parquet", "sha256": "0" * 64, "rows": 3,
        "of": ["samples-000001.arrows"],
    },
    {"kind": "seal", "reason": "stopped", "unwritten_sweeps": 0},
]  # fmt: skip
ODD: list[Any] = [
    None, "x", -1, 1.5, True, 10**30, [], {}, [1], [[]], {"a": 1}, "x" * 300, "a\x00b", "\ud800",
    "/etc/hostname", "../../../secret",
]  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inside = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in inside:
        yield (*path, key)
        if isinstance(item, dict | list):
            yield from places(item, (*path, key))


def with_odd(line: dict[str, Any], path: tuple[Any, ...]) -> Iterator[dict[str, Any]]:
    """The line with anything in one place, and with nothing there."""
    for odd in [*ODD, ...]:
        other = copy.deepcopy(line)
        holder: Any = other
        for key in path[:-1]:
            holder = holder[key]
        if odd is ...:
            del holder[path[-1]]
        else:
            holder[path[-1]] = odd
        yield other


def journal(run_dir: Path, lines: list[dict[str, Any]]) -> Path:
    """Write a journal whose chain holds; answers its folder."""
    folder = run_dir / "telemetry/node=host-boot"
    folder.mkdir(parents=True)
    ledger = Ledger.open(folder / "journal.jsonl")
    for line in lines:
        ledger.append(line)
    ledger.close()
    return folder


@pytest.mark.parametrize("number", range(len(LINES)), ids=lambda at: str(LINES[at]["kind"]))
def test_whatever_a_line_says_has_a_word_of_ours(tmp_path: Path, number: int) -> None:
    (tmp_path / "secret").write_text("somebody's")
    tried = 0
    for path in places(LINES[number]):
        for line in with_odd(LINES[number], path):
            tried += 1
            run_dir = tmp_path / str(tried)
            journal(run_dir, [*LINES[:number], line, *LINES[number + 1 :]])
            problems = []
            with suppress(ProfilersError):
                problems = verify(run_dir)
            assert not [one for one in problems if "secret" in one.file or "etc" in one.file]
            with suppress(ProfilersError):
                read_record(run_dir)
            with suppress(ProfilersError):
                RecordTail(run_dir).news()
    assert tried >= 2 * len(ODD)


def test_a_line_that_is_none_is_an_altered_record(tmp_path: Path) -> None:
    journal(tmp_path, [*LINES[:2], {"kind": "gap", "start_ns": 1}])
    found = [one for one in verify(tmp_path) if one.code == "broken-chain"]
    assert [(one.line, one.detail) for one in found] == [
        (3, "line 3: a line of kind 'gap' that is none (KeyError: 'end_ns')")
    ]


@pytest.mark.parametrize(
    "name", ["journal.jsonl", "samples-000001.arrows", "samples-000001.parquet", "spool.jsonl"]
)
def test_a_pipe_in_a_files_place_is_not_waited_for(tmp_path: Path, name: str) -> None:
    entry = {**LINES[7], "of": ["samples-000000.arrows"]}
    folder = journal(tmp_path, [LINES[0], LINES[1], entry] if "parquet" in name else LINES[:2])
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    with suppress(RecordError):
        assert verify(tmp_path)
    RecordTail(tmp_path).news()
    with suppress(RecordError):
        assert not any(len(device) for device in read_record(tmp_path).devices.values())


def test_samples_that_are_none_have_a_word_of_ours(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    folder = journal(tmp_path, [LINES[0], LINES[1], LINES[5]])
    table = pa.table({"device": ["GPU-1"], "time_us": ["yesterday"]})
    with pa.ipc.new_stream(str(folder / "samples-000001.arrows"), table.schema) as stream:
        stream.write_table(table)
    with pytest.raises(RecordError, match="node=host-boot: samples that cannot be read"):
        read_record(tmp_path)
    with pytest.raises(RecordError, match="node=host-boot: samples that cannot be read"):
        RecordTail(tmp_path).news()

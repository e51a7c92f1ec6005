"""A ledger in a process that closes what it did not open: nobody else's file gets our lines."""

import os
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from profilers.ledger import Ledger, LedgerError, Line, append_whole, read_ledger


def entries(path: Path) -> list[int]:
    found = list(read_ledger(path))
    assert all(isinstance(one, Line) for one in found)
    return [int(one.entry["n"]) for one in found if isinstance(one, Line)]


def test_a_descriptor_that_became_the_programs_file_is_left_alone(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "ledger.jsonl")
    ledger.append({"n": 1})
    number = ledger._descriptor
    os.close(number)  # as a program does that becomes a daemon
    own = os.open(tmp_path / "checkpoint", os.O_RDWR | os.O_CREAT)
    assert own == number
    ledger.append({"n": 2})
    ledger.sync()
    with pytest.raises(LedgerError):  # the lock went with the first descriptor and is held again
        Ledger.open(tmp_path / "ledger.jsonl")
    os.close(ledger._descriptor)
    other = os.open(tmp_path / "log", os.O_RDWR | os.O_CREAT)
    ledger.close()
    os.fstat(other)  # still open
    os.close(own)
    os.close(other)
    assert (tmp_path / "checkpoint").read_bytes() == (tmp_path / "log").read_bytes() == b""
    assert entries(tmp_path / "ledger.jsonl") == [1, 2]


def test_a_file_that_took_the_ledgers_place_gets_no_line(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    ledger = Ledger.open(path)
    ledger.append({"n": 1})
    os.close(ledger._descriptor)
    path.rename(tmp_path / "moved")
    path.write_text("somebody else's\n")
    with pytest.raises(OSError, match="another file has taken its place"):
        ledger.append({"n": 2})
    assert path.read_text() == "somebody else's\n"
    (tmp_path / "moved").replace(path)
    ledger.append({"n": 2})
    ledger.close()
    assert entries(path) == [1, 2]


def test_a_closed_standard_stream_does_not_become_the_ledger(tmp_path: Path) -> None:
    code = (
        "import os, sys; sys.path.insert(0, sys.argv[1]); os.close(1); os.close(2)\n"
        "from pathlib import Path; from profilers.ledger import Ledger\n"
        "ledger = Ledger.open(Path('ledger.jsonl'))\n"
        "for number in (1, 2):\n"
        "    try: os.write(number, b'a warning of C')\n"
        "    except OSError: pass\n"
        "ledger.append({'n': 1})\n"
    )
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code, str(root)], cwd=tmp_path, check=True)
    assert entries(tmp_path / "ledger.jsonl") == [1]


class OutError(Exception):
    """What a handler of a signal raises, between any two lines of ours."""


def test_an_append_that_a_signal_breaks_off_anywhere_leaves_the_chain_whole(tmp_path: Path) -> None:
    files = {Ledger.append.__code__, append_whole.__code__}
    for moment in range(100):
        path = tmp_path / f"{moment}.jsonl"
        ledger = Ledger.open(path)
        ledger.append({"n": 0})
        left = [moment]

        def trace(frame: FrameType, event: str, _: Any, left: list[int] = left) -> Any:
            if event == "line" and frame.f_code in files:
                left[0] -= 1
                if left[0] == -1:
                    raise OutError
            return trace

        sys.settrace(trace)
        try:
            ledger.append({"n": 1})
        except OutError:
            pass
        finally:
            sys.settrace(None)
        ledger.append({"n": 2})
        ledger.close()
        assert entries(path) in ([0, 2], [0, 1, 2])
        if left[0] >= 0:
            assert moment > 10  # it was broken off at each of its lines before
            return
    pytest.fail("an append has a hundred lines")


def test_a_line_that_lacks_its_end_alone_is_a_line(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    ledger = Ledger.open(path)
    for n in (1, 2):
        ledger.append({"n": n})
    ledger.close()
    path.write_bytes(path.read_bytes()[:-1])  # a kill behind the last byte but one
    ledger = Ledger.open(path)
    assert len(ledger.earlier) == 2
    ledger.append({"n": 3})
    ledger.close()
    assert entries(path) == [1, 2, 3]

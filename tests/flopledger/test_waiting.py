"""Long work on a terminal says what it does; a pipe hears nothing of it."""

import os
import pty
import subprocess
import sys

from tests.command_line import CLI, ROOT, flopledger

CASE = "examples/opt-175b/case.toml"


def _on_a_terminal(*words: str) -> tuple[int, str]:
    """Run the command line with a terminal as its stderr; give exit code and what it was shown."""
    ours, theirs = pty.openpty()
    command = [sys.executable, CLI, *words]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=theirs, cwd=ROOT,
        env={**os.environ, "TERM": "xterm"},
    ) as process:  # fmt: skip
        os.close(theirs)
        seen = b""
        try:
            while piece := os.read(ours, 4096):
                seen += piece
        except OSError:  # how Linux tells that the other end is closed
            pass
    os.close(ours)
    return process.returncode, seen.decode("utf-8", "replace")


def test_an_audit_says_on_a_terminal_what_it_does():
    code, seen = _on_a_terminal("audit", CASE, "--no-trace")
    assert code == 3
    assert f"auditing {CASE} ..." in seen
    # The last thing written takes the line away again.
    assert seen.endswith("\x1b[2K")


def test_a_pipe_hears_nothing_of_it():
    done = flopledger("audit", CASE, "--no-trace", cwd=ROOT)
    assert done.returncode == 3
    assert done.stderr == ""

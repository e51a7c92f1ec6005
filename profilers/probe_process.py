"""Our other processes: how they are started, and the probe as its supervisor sees it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MAX_LINE = 8 << 20
"""Longer than any sweep; a probe that says more talks nonsense."""


def spawn(module: str, *arguments: str, **more: Any) -> "subprocess.Popen[bytes]":
    """Start one of our modules with this interpreter, from where this package lies."""
    home = str(Path(__file__).resolve().parent.parent)
    path = os.pathsep.join(p for p in (home, os.environ.get("PYTHONPATH", "")) if p)
    # -P: the folder we happen to run in is the user's, not a place to import from.
    command = [sys.executable, "-P", "-m", module, *arguments]
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.Popen(command, env=environment, **more)  # noqa: S603 - our own module


class ProbeProcess:
    """The supervised probe: its pipes, its words, its end."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """Start it."""
        self._process = spawn(
            "profilers.probe",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # a Ctrl-C in the terminal is for the training, not for us
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.out = self._process.stdout.fileno()
        os.set_blocking(self.out, False)
        self._buffer = b""
        self._begun = False
        self.pid = self._process.pid
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(settings).encode() + b"\n")
            self._process.stdin.flush()

    def mark(self, name: str) -> None:
        """Ask for a sweep at once. A probe that is stuck does not read: never wait for it."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            os.write(self._process.stdin.fileno(), f"mark {name}\n".encode())

    def lines(self) -> list[bytes] | None:
        """Return the whole lines that it said since the last look; None when it ended."""
        ended = False
        while True:
            try:
                data = os.read(self.out, 1 << 16)
            except BlockingIOError:
                break
            if not data:
                ended = True
                break
            self._buffer = self._buffer + data if self._buffer else data
            if len(self._buffer) > MAX_LINE:
                return None
            if len(data) < 1 << 16:
                break  # that was all; asking once more would only say so
        *found, self._buffer = self._buffer.split(b"\n")
        while found and not self._begun:
            # A user's own sitecustomize may print before our module begins.
            self._begun = found[0].startswith(b"{")
            if not self._begun:
                del found[0]
        return found if found or not ended else None

    def messages(self) -> list[dict[str, Any]] | None:
        """Return the same, parsed. Raises ``ValueError`` for nonsense."""
        found = self.lines()
        return None if found is None else [json.loads(line) for line in found]

    def kill(self) -> str:
        """End it for good; return how it ended."""
        self._process.kill()
        try:
            code = self._process.wait(2)
        except subprocess.TimeoutExpired:
            # Stuck inside the kernel. It holds nothing of ours; leave it behind.
            return f"process {self.pid} ignores SIGKILL (stuck in the kernel) and was abandoned"
        finally:
            for pipe in (self._process.stdin, self._process.stdout):
                with contextlib.suppress(OSError):
                    if pipe is not None:
                        pipe.close()
        if code < 0:
            return f"ended by {signal.Signals(-code).name}"
        return f"ended with exit code {code}"

"""The handle that a program holds on its node's sampler: start, mark, stop; never wait long.

All work happens in two other processes: the recorder (``profilers.recorder``) keeps the journal,
and the probe (``profilers.probe``) touches the drivers. The program that trains only owns a pipe.

This is also the seam for a recorder inside a training loop: every rank may ``start`` a sampler on
the same run folder; on each node one of them records and the others learn that it is ``shared``.
"""

import contextlib
import json
import os
import platform
import selectors
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from profilers.errors import ProfilersError
from profilers.probe_process import spawn


class SamplerError(ProfilersError):
    """A sampler that cannot record where it was told to."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SamplerSettings:
    """How a node is sampled."""

    interval_seconds: float = 1.0
    """Time between sweeps; 0.01 to 3600."""
    deadline_seconds: float = 3.0
    """How late a sweep may be before the probe is killed and started again."""
    start_deadline_seconds: float = 30.0
    """The same for the first sweep: a driver without persistence mode starts slowly."""
    sources: Sequence[Mapping[str, Any]] = field(default_factory=lambda: [{"name": "nvml"}])
    """Instruments by name, with their options: ``{"name": "dcgm", "options": {"url": ...}}``."""
    node: str = field(default_factory=platform.node)
    """The name of this node in the record."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """Anything else for the journal's header, as plain JSON."""

    def __post_init__(self) -> None:
        if not 0.01 <= self.interval_seconds <= 3600:
            raise SamplerError(
                f"a sampling interval of {self.interval_seconds:g} s; give 0.01 s to 3600 s"
            )


class Sampler:
    """One node's recording, seen from the program that wants it. Not shared across a fork."""

    def __init__(self, run_dir: Path, settings: SamplerSettings | None = None) -> None:
        """Name the run's folder; nothing starts yet."""
        self.run_dir = run_dir
        self.settings = settings or SamplerSettings()
        self.shared = False
        """True when another process of this node records into the same folder already."""
        self.sources: list[dict[str, Any]] = []
        """What became of each source, once ready: name, open, and the reason when it is not."""
        self.trouble: list[str] = []
        """What went wrong before the first sweep."""
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = os.getpid()
        self._buffer = bytearray()

    def start(self) -> None:
        """Start the recorder and return at once. Raises ``SamplerError`` if no process starts."""
        s = self.settings
        message = {
            "run_dir": str(self.run_dir.absolute()),
            "node": s.node,
            "interval_ns": round(s.interval_seconds * 1e9),
            "deadline_ns": round(s.deadline_seconds * 1e9),
            "start_deadline_ns": round(s.start_deadline_seconds * 1e9),
            "sources": list(s.sources),
            "about": {"interval_seconds": s.interval_seconds, **s.about},
        }
        try:
            self._process = spawn(
                "profilers.recorder",
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise SamplerError(f"the sampler's process does not start: {error}") from error
        # A forked child (a data loader) must not keep our pipe open after we are gone.
        os.register_at_fork(after_in_child=self._forget)
        assert self._process.stdin is not None
        # It may be gone already: `wait_ready` and `stop` tell.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()

    def wait_ready(self, timeout: float) -> bool:
        """Wait for the first sweep; False when it has not come by then (recording goes on)."""
        return self._await(lambda m: m["t"] in {"ready", "shared", "refused"}, timeout)

    def mark(self, name: str, timeout: float = 0.0) -> bool:
        """Record this moment under a name and sweep at once; wait for that sweep if told to."""
        name = " ".join(name.split())  # one line: the next one would be an order of its own
        self._tell(f"mark {name}")
        if self.shared or timeout <= 0:
            return False
        return self._await(lambda m: m["t"] == "marked" and m["mark"] == f"{name}-sweep", timeout)

    def stop(self, timeout: float = 150.0) -> bool:
        """Seal the record and wait for it; False when the recorder had to be left behind."""
        process = self._process
        if process is None or os.getpid() != self._owner:
            return True
        self._tell("stop")
        self._process = None
        try:
            process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            return False
        return process.returncode == 0

    @property
    def pid(self) -> int | None:
        """The recorder's process id while it runs."""
        return self._process.pid if self._process else None

    def _tell(self, line: str) -> None:
        if self._process is None or self._process.stdin is None:
            return
        with contextlib.suppress(OSError):
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()

    def _await(self, wanted: Any, timeout: float) -> bool:
        process = self._process
        if process is None or process.stdout is None:
            return False
        until = time.monotonic() + timeout
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while (left := until - time.monotonic()) > 0:
                if not selector.select(left):
                    continue
                data = os.read(process.stdout.fileno(), 65536)
                if not data:
                    return False
                self._buffer += data
                *lines, rest = bytes(self._buffer).split(b"\n")
                self._buffer = bytearray(rest)
                # A user's own sitecustomize may print before our module begins.
                messages = [json.loads(line) for line in lines if line.startswith(b"{")]
                for message in messages:
                    self._learn(message)
                if any(wanted(message) for message in messages):
                    return True
        return False

    def _learn(self, message: Mapping[str, Any]) -> None:
        if message["t"] == "ready":
            self.sources = list(message["sources"])
        elif message["t"] == "shared":
            self.shared = True
        elif message["t"] == "trouble":
            self.trouble.append(f"{message['reason']}: {message['detail']}")
        elif message["t"] == "refused":
            raise SamplerError(
                f"no record can be written into {self.run_dir}: {message['detail']}; "
                "choose another folder with --out"
            )

    def _forget(self) -> None:
        """In a forked child: close our ends, so that the recorder sees the parent's end."""
        process, self._process = self._process, None
        if process is None:
            return
        process.returncode = 0  # waiting for it is the parent's; else Python warns here
        for pipe in (process.stdin, process.stdout):
            # The raw file: a buffer's lock may be a thread's that is not here, and a descriptor
            # closed behind a file's back makes its finaliser complain (aloud since Python 3.13).
            with contextlib.suppress(OSError):
                if pipe is not None:
                    getattr(pipe, "raw", pipe).close()

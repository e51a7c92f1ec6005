"""The process that turns closed segments into Parquet, seen from the recorder that starts it."""

import json
import subprocess
import time

from profilers.journal import Journal
from profilers.probe_process import spawn
from profilers.values import Event


class Compaction:
    """At most one compaction at a time; one that fails leaves the streams readable as they are."""

    def __init__(self, journal: Journal) -> None:
        """Nothing starts yet."""
        self._journal = journal
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def runs(self) -> bool:
        """True while one is under way."""
        return self._process is not None

    def begin(self) -> None:
        """Start one over everything that is closed, if there is anything."""
        names = self._journal.closed_segments()
        if not names or self.runs:
            return
        try:
            self._process = spawn(
                "profilers.compact",
                str(self._journal.folder),
                *names,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError:
            self._process = None  # no process to be had

    def look(self) -> None:
        """Take in the result if it is there; begin one if segments wait."""
        if self._process is not None:
            if self._process.poll() is not None:
                self.end()
        elif self._journal.has_closed:
            self.begin()

    def end(self, timeout: float | None = None) -> None:
        """Wait for the one under way and record it; give it up after ``timeout`` seconds."""
        process, self._process = self._process, None
        if process is None:
            return
        try:
            answer, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return
        if process.returncode == 0:
            # The last line: a user's own sitecustomize may print before.
            self._journal.compacted(**json.loads(answer.splitlines()[-1]))
            return
        now = self._journal.axis.at(time.monotonic_ns())
        detail = {"code": process.returncode}
        self._journal.event(Event(time_ns=now, kind="compaction-failed", detail=detail))

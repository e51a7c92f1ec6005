"""A command under observation: start the sampler, run it, pass signals and exit code, sum up.

This process does nothing but wait (``flopledger.profiling.child``): drivers are asked by others
(``profilers.sampler``), and the answer is worked out when the command is over.
"""

import contextlib
import datetime as dt
import json
import os
import re
import shlex
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flopledger.errors import FlopledgerError
from flopledger.profiling.child import AWAITED, Ended, run_child
from flopledger.profiling.launches import continued, earlier_summary, manifest_name, one_at_a_time
from flopledger.profiling.manifest import manifest
from flopledger.profiling.process_tree import LAUNCHERS, attribute
from flopledger.profiling.steps import add_steps
from flopledger.profiling.summary import RunFacts, save, summarise
from flopledger.secret_values import redacted
from flopledger.unseen import visible
from profilers.sampler import Sampler, SamplerError, SamplerSettings

if TYPE_CHECKING:
    from profilers.trace import Trace

READY_SECONDS = 15.0
MARK_SECONDS = 2.0
TAIL_SECONDS = 0.11


class RunError(FlopledgerError):
    """A run that cannot be recorded as asked."""


def parse_interval(text: str) -> float:
    """Return seconds from ``1s``, ``250ms``, ``2m`` or a bare number of seconds."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*(ms|s|m|min)?\s*", text)
    factors = {"ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, None: 1.0}
    seconds = float(found[1]) * factors[found[2]] if found else 0.0
    if not 0.01 <= seconds <= 3600:
        raise RunError(f"--interval {text}: give a time from 10ms to 60m, such as 1s or 250ms")
    return seconds


def check_address(url: str, said: str) -> None:
    """Refuse an exporter's address that is none. Raises ``RunError``."""
    if not url.startswith(("http://", "https://")):
        raise RunError(f"{said}: not a web address; give one like http://HOST:9400/metrics")


def parse_sources(words: Sequence[str] | None) -> list[dict[str, Any]]:
    """Return the sampler's sources from ``nvml`` or ``dcgm=URL``.

    Raises ``RunError`` for what is misspelt: a long run would be recorded without its devices.
    """
    from profilers.sources import SOURCES

    sources: list[dict[str, Any]] = []
    for word in words or ["nvml"]:
        name, equals, value = word.partition("=")
        if name not in SOURCES:
            raise RunError(
                f"--source {word}: no instrument of this name; known: {', '.join(SOURCES)}"
            )
        if name == "dcgm" and equals:
            check_address(value, f"--source {word}")
        elif name == "replay" and not value:
            raise RunError(f"--source {word}: give the record to replay, as in replay=RUN_DIR")
        elif equals and name not in {"dcgm", "replay"}:
            raise RunError(f"--source {word}: {name} takes no value; write --source {name}")
        options = {"path" if name == "replay" else "url": value} if equals else {}
        sources.append({"name": name, "options": options})
    return sources


class ProfiledRun:
    """One command, recorded into one folder."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        folder: Path | None,
        interval_seconds: float,
        sources: Sequence[dict[str, Any]],
        steps: bool = True,
        append: bool = False,
    ) -> None:
        """Check everything that can be checked before anything starts.

        ``steps``: bring the recorder of training steps into Python children. ``append``: continue
        the record that the folder holds.
        """
        if not command:
            raise RunError("no command: write `flopledger run -- COMMAND...`")
        if not command[0]:
            raise RunError(
                "the command's name is empty: a variable of the shell that is not set, perhaps"
            )
        if append and folder is None:
            raise RunError("--append: say which record goes on, with --out DIR")
        self.command = list(command)
        self.folder = folder if folder is not None else _fresh_folder(command[0])
        self._settings = SamplerSettings(
            interval_seconds=interval_seconds,
            deadline_seconds=max(3.0, interval_seconds),
            sources=list(sources),
        )
        self._steps = steps
        self._append = append
        self._earlier = self._take_folder(append=append)

    def run(self) -> dict[str, Any]:
        """Run it to its end; return the summary, which is also in ``summary.json``."""
        about = manifest(self.command, os.environ)
        path = self.folder / "run.json"
        try:
            path = self.folder / manifest_name(self.folder, append=self._append)
            path.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        except FileExistsError:
            raise RunError(_taken(self.folder, path.name)) from None
        except OSError as error:
            raise RunError(
                f"{path}: cannot be written ({error.strerror}), so the command was not started; make "
                "room, or choose another --out"
            ) from error
        sampler = Sampler(self.folder, self._settings)
        # Blocked from here on: nothing may end us between the child's start and the record's end.
        previous = signal.pthread_sigmask(signal.SIG_BLOCK, AWAITED)
        try:
            sampler.start()
            sampler.wait_ready(READY_SECONDS)
            sampler.mark("start", MARK_SECONDS)
            found = self._observe(sampler, previous)
            # An impatient Ctrl-C while we sum up does not take the exit code of a command that is over.
            while signal.sigtimedwait(AWAITED, 0) is not None:
                pass
            return found
        except SamplerError as error:
            raise RunError(str(error)) from error
        finally:
            sampler.stop()
            signal.pthread_sigmask(signal.SIG_SETMASK, previous)

    def _observe(self, sampler: Sampler, mask: Any) -> dict[str, Any]:
        started = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
        start_ns = time.monotonic_ns()
        own = [sampler.pid] if sampler.pid is not None else []
        ended = run_child(self.command, mask=mask, environment=self._environment(), not_ours=own)
        end_ns = time.monotonic_ns()
        if ended.trouble:
            _tell(ended.trouble)
        sampler.mark("end", MARK_SECONDS)
        # Means need 100 ms between two samples: one more, so that the last moments are covered too.
        time.sleep(TAIL_SECONDS)
        sampler.mark("tail", MARK_SECONDS)
        sealed = sampler.stop()
        trouble = list(sampler.trouble)
        if not sealed:
            trouble.append("the recorder did not end in order; the record is whole up to its end")
        try:
            return self._sum_up(sampler, ended, (started, start_ns, end_ns), trouble)
        except Exception as error:  # noqa: BLE001 - days of work ended with this exit code, not with ours
            if os.environ.get("FLOPLEDGER_DEBUG"):
                traceback.print_exc()
            _tell(
                f"summary.json could not be made ({type(error).__name__}: {error}); the record is there: "
                f"flopledger report {shlex.quote(str(self.folder))}"
            )
            return {"exit_code": ended.code}

    def _environment(self) -> dict[str, str]:
        """Return the child's environment, with the recorder of steps in it if that is wanted."""
        from flopledger.injection import as_given, environment, prepare

        given = as_given(os.environ)
        if not self._steps:
            return given
        prepare(self.folder)
        return environment(given, self.folder)

    def _sum_up(
        self,
        sampler: Sampler,
        ended: Ended,
        times: tuple[str, int, int],
        trouble: list[str],
    ) -> dict[str, Any]:
        started, start_ns, end_ns = times
        trace, offset, unwritten = self._read_back(trouble)
        attribution = attribute(trace, ended.tree, os.environ)
        facts = RunFacts(
            command=redacted(self.command),
            exit_code=ended.code,
            started=started,
            duration_seconds=(end_ns - start_ns) / 1e9,
            start_ns=start_ns + offset,
            end_ns=end_ns + offset,
            interval_seconds=self._settings.interval_seconds,
            attribution=attribution,
            sources=sampler.sources,
            trouble=trouble,
            left_running=ended.left,
            job_nodes=1 if ended.tree is None else ended.tree.nodes,
            elsewhere=_elsewhere(self.command, ended),
            unwritten_sweeps=unwritten,
        )
        own = summarise(facts, trace)
        summary = own
        try:
            with one_at_a_time(self.folder):
                # Read now: a launch on another node may have ended while this one ran.
                summary = continued(self._latest(), own)
                add_steps(summary, self.folder, ended.tree, wanted=self._steps)
                save(summary, self.folder)
        except OSError as error:
            _tell(f"summary.json could not be written into {self.folder}: {error.strerror}")
        return summary

    def _read_back(self, trouble: list[str]) -> "tuple[Trace, int, int]":
        """Return this node's samples, its clock's distance from Unix time (ns), and the sweeps lost.

        The launches of other nodes in the same record count their own devices.
        """
        from profilers.clocks import boot_id
        from profilers.errors import ProfilersError
        from profilers.journal import node_folder
        from profilers.record import read_node, read_node_trace
        from profilers.trace import Trace

        try:
            node = read_node(node_folder(self.folder, self._settings.node, boot_id()))
            trace = read_node_trace(node)
            clock = node.header["clock"]
            return trace, clock["wall_ns"] - clock["monotonic_ns"], node.unwritten_sweeps
        except (ProfilersError, LookupError, OSError) as error:
            trouble.append(f"the record cannot be read back: {error}")
            return Trace(devices={}), 0, 0

    def _latest(self) -> dict[str, Any] | None:
        """Return what the launches that are over have summed up."""
        try:
            return earlier_summary(self.folder) or self._earlier
        except FlopledgerError as error:
            _tell(str(error))
            return self._earlier

    def _take_folder(self, *, append: bool) -> dict[str, Any] | None:
        """Create the folder, or refuse one that already holds a record.

        Returns the summary of the record that is continued; None for a new one.
        """
        for name in ("telemetry", "steps", "summary.json", "run.json"):
            if not append and (self.folder / name).exists():
                raise RunError(_taken(self.folder, name))
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            probe = self.folder / ".writable"
            probe.touch()
            probe.unlink()
        except OSError as error:
            why = "it is no folder" if isinstance(error, FileExistsError) else error.strerror
            raise RunError(
                f"{self.folder}: cannot hold a record ({why}); choose another --out"
            ) from error
        return earlier_summary(self.folder) if append else None


def _taken(folder: Path, name: str) -> str:
    """Return what is said of a folder that another run has."""
    return (
        f"{folder}: holds a record already ({name}); choose another --out, or continue it with "
        "--append"
    )


def _elsewhere(command: Sequence[str], ended: Ended) -> frozenset[str]:
    """Return the launchers whose work was not seen; the command itself may end before a look."""
    seen = set() if ended.tree is None else ended.tree.elsewhere
    jobs = set() if ended.tree is None else ended.tree.jobs
    own = Path(command[0]).name
    if own in LAUNCHERS and not (own == "srun" and (jobs or "SLURM_JOB_ID" in os.environ)):
        seen = seen | {own}
    return frozenset(seen)


def _fresh_folder(program: str) -> Path:
    """Make a folder that no run has yet, named by moment and program."""
    moment = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%SZ")
    name = re.sub(r"[^A-Za-z0-9._-]", "_", Path(program).name)[:40] or "run"
    folder = Path("runs") / f"{moment}-{name}"
    number = 1
    # Made here and not only looked for: two runs of one second have a folder each.
    with contextlib.suppress(OSError):  # what is in the way is told where the folder is taken
        while True:
            try:
                folder.mkdir(parents=True)
            except FileExistsError:
                if not folder.parent.is_dir():
                    break
                number += 1
                folder = Path("runs") / f"{moment}-{name}-{number}"
            else:
                break
    return folder


def _tell(message: str) -> None:
    if sys.stderr is None:  # closed by the caller; `print` would then take standard output
        return
    with talking():
        print(f"flopledger: {visible(message)}", file=sys.stderr)  # noqa: T201 - talk goes to stderr


@contextlib.contextmanager
def talking() -> Iterator[None]:
    """Talk on stderr, if somebody listens: the command's exit code does not hang on it."""
    try:
        yield
    except (OSError, SystemExit):  # rich turns a broken pipe into the second
        # What is left unsaid would be tried again, and cost the exit code, when Python ends.
        with contextlib.suppress(OSError, AttributeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())

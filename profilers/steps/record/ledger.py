"""The ledger of one training process: what it did, step by step, in lines that only grow.

Each process writes a file of its own (``steps/rank=.../ledger.jsonl`` in the run's folder), so that
ranks never wait for one another and a restart adds to the folder and changes nothing in it. The
format is in design/070. Reading is in :mod:`profilers.steps.record.reading` and offered here.
"""

import errno
import os
import platform
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import repeat
from pathlib import Path
from typing import Any

from profilers.clocks import ClockPair, boot_id
from profilers.ledger import Ledger
from profilers.steps.record.reading import StepsError, Unread, read_process, read_run, read_steps
from profilers.steps.record.values import (
    MAYBE_BACK,
    MODES,
    WENT_BACK,
    Calls,
    ProcessSteps,
    Step,
    StepBlock,
    StepCost,
    StepDevice,
    StepLoaded,
    StepLosses,
    StepNote,
    StepResume,
    StepSaved,
    StepSpan,
    StepWeights,
    unrolled,
)

__all__ = [
    "MAYBE_BACK",
    "MODES",
    "SCHEMA",
    "STEPS",
    "WENT_BACK",
    "Calls",
    "ProcessSteps",
    "Step",
    "StepBlock",
    "StepCost",
    "StepDevice",
    "StepLedger",
    "StepLoaded",
    "StepLosses",
    "StepNote",
    "StepResume",
    "StepSaved",
    "StepSpan",
    "StepWeights",
    "StepsError",
    "Unread",
    "check_room",
    "read_process",
    "read_run",
    "read_steps",
    "unrolled",
]

SCHEMA = "flopledger/steps/1"
STEPS = "steps"
LEDGER = "ledger.jsonl"
RESERVE = "reserve"
RESERVE_BYTES = 4096
"""Given back where the disk is full, so that there is room to say so."""


Runs = Iterable[tuple[int, Any]]
"""A column as ``(how many, value)``."""


def run_lengths(runs: Runs) -> list[list[Any]]:
    """Return ``[[how many, value], ...]`` of a column, with neighbours that are equal as one."""
    joined: list[list[Any]] = []
    for number, value in runs:
        if joined and joined[-1][1] == value:
            joined[-1][0] += number
        else:
            joined.append([number, value])
    return joined


def check_room(run_dir: Path) -> None:
    """Raise ``OSError`` where no ledger can be written below a run's folder.

    A full disk is no reason: it may have room again before the run is over.
    """
    try:
        folder = run_dir / STEPS
        folder.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # its length is what is asked for
            (_folder(run_dir, 0, platform.node(), ClockPair.now()) / LEDGER).stat()
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise


def _pid_namespace() -> str | None:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return None


def _folder(run_dir: Path, rank: int, node: str, clock: ClockPair) -> Path:
    """Return where this process's ledger lies."""
    host = re.sub(r"[^A-Za-z0-9.]", "_", node)[:64] or "host"
    return run_dir / STEPS / f"rank={rank:05d}-{host}-{os.getpid()}-{clock.wall_ns:x}"


class StepLedger:
    """The writing end. Each method writes one whole line and raises ``OSError`` on a full disk."""

    def __init__(self, folder: Path, ledger: Ledger) -> None:
        self.folder = folder
        self._ledger = ledger
        self._next_cost = 0
        self._reserved = False

    @classmethod
    def create(
        cls,
        run_dir: Path,
        *,
        rank: int = 0,
        local_rank: int = 0,
        world_size: int = 1,
        node: str | None = None,
        mesh: Mapping[str, int] | None = None,
        versions: Mapping[str, str] | None = None,
        clock: ClockPair | None = None,
    ) -> "StepLedger":
        """Start a new ledger in the run's folder.

        Args:
            run_dir: The run's folder; made where it is missing.
            rank: Rank among all processes of the job.
            local_rank: Rank on this node.
            world_size: Processes of the job.
            node: Name of the host; by default its own.
            mesh: Size by name of the device mesh's dimensions.
            versions: Of Python, torch and whatever else decides what runs.
            clock: Both clocks at the recording's start; by default now.

        """
        node = platform.node() if node is None else node
        clock = clock or ClockPair.now()
        folder = _folder(run_dir, rank, node, clock)
        folder.mkdir(parents=True, exist_ok=True)  # a full disk may have left one without a header
        made = cls(folder, Ledger.open(folder / LEDGER))
        try:
            made._ledger.append(
                {
                    "kind": "header",
                    "schema": SCHEMA,
                    "rank": rank,
                    "local_rank": local_rank,
                    "world_size": world_size,
                    "node": node,
                    "boot_id": boot_id(),
                    "pid": os.getpid(),
                    "pid_namespace": _pid_namespace(),
                    "clock": {"monotonic_ns": clock.monotonic_ns, "wall_ns": clock.wall_ns},
                    "mesh": dict(mesh) if mesh else None,
                    "versions": dict(versions or {}),
                }
            )
        except OSError:
            made.close()
            raise
        made.reserve()
        return made

    def reserve(self) -> None:
        """Keep some room for one line."""
        if not self._reserved:
            with suppress(OSError):
                # Zeros may take no room.
                (self.folder / RESERVE).write_bytes(os.urandom(RESERVE_BYTES))
                self._reserved = True

    def refused(self, reason: str) -> None:
        """Say that the disk takes no more from here on; what it takes after all says the contrary."""
        self._release()
        self._ledger.append({"kind": "refused", "reason": reason[:200]})

    def _release(self) -> None:
        with suppress(OSError):
            (self.folder / RESERVE).unlink(missing_ok=True)
        self._reserved = False

    @property
    def in_place(self) -> bool:
        """Whether the ledger still lies where it was begun."""
        return self._ledger.in_place

    def resume(self, step: int, source: str = "explicit", at: int | None = None) -> None:
        """Say that this process goes on after ``step``; ``at``: from the step of this number on, perhaps."""
        line = {"kind": "resume", "step": step, "source": source}
        self._ledger.append(line if at is None else {**line, "at": at})

    def saved(
        self, step: int, optimizer: str, layout: str, values: str | None, source: str = "state-dict"
    ) -> None:
        """Say that an optimizer's state was saved after ``step``, and what it looked like."""
        self._state("saved", optimizer, layout, values, step=step, source=source)

    def loaded(self, optimizer: str, layout: str, values: str | None, source: str = "seen") -> None:
        """Say that this process goes on with a state that does not say after which step.

        ``source`` is ``stateless`` where nobody saw one loaded, and there would be nothing to see, and
        ``own`` where it is like the one that the optimizer had itself.
        """
        self._state("loaded", optimizer, layout, values, source=source)

    def weights(
        self, what: str, step: int, layout: str, values: str | None, loaded: str | None = None
    ) -> None:
        """Say what an optimizer's parameters looked like when they were ``saved``, or at the ``begin``.

        ``loaded`` is a digest of what was loaded into the model before its first step.
        """
        about = {"what": what, "step": step, "layout": layout, "values": values, "loaded": loaded}
        self._ledger.append({"kind": "weights", **about})

    def _state(
        self, kind: str, optimizer: str, layout: str, values: str | None, **more: Any
    ) -> None:
        about = {"optimizer": optimizer[:200], "layout": layout, "values": values}
        self._ledger.append({"kind": kind, **about, **more})

    def device(
        self,
        kind: str,
        *,
        name: str | None = None,
        uuid: str | None = None,
        memory_bytes: int | None = None,
        index: int | None = None,
    ) -> None:
        """Say what this process computes on: each of its devices once."""
        about = {"type": kind, "name": name, "uuid": uuid, "memory_bytes": memory_bytes}
        self._ledger.append({"kind": "device", **about, "index": index})

    def cost(
        self,
        *,
        model: str,
        mode: str,
        inputs: Sequence[str],
        flop: Mapping[str, int] | None,
        how: str,
        by_dtype: Mapping[str, int] | None = None,
        recompute_by_dtype: Mapping[str, int] | None = None,
        share: tuple[int, int] = (1, 1),
        bounds: tuple[int, int | None] | None = None,
        uncounted: Sequence[str] = (),
        reason: str | None = None,
    ) -> int:
        """Write what one kind of call costs; return the id by which steps refer to it.

        Args:
            model: Class name of the module.
            mode: One of ``MODES``.
            inputs: Shapes and dtypes as text.
            flop: ``forward``, ``backward`` and ``recompute``; None where nobody knows.
            how: How the figure was found.
            by_dtype: Model FLOP by dtype.
            recompute_by_dtype: Recomputed FLOP by dtype.
            share: This rank's part of the call.
            bounds: Least and greatest hardware FLOP where the figure is not exact.
            uncounted: Operations that no rule covers.
            reason: Why there is no figure, or why it has bounds.

        """
        number = self._next_cost
        self._ledger.append(
            {
                "kind": "cost",
                "id": number,
                "model": model,
                "mode": mode,
                "inputs": list(inputs),
                "flop": None if flop is None else dict(flop),
                "by_dtype": dict(by_dtype or {}),
                "recompute_by_dtype": dict(recompute_by_dtype or {}),
                "share": list(share),
                "how": how,
                "bounds": None if bounds is None else list(bounds),
                "uncounted": list(uncounted),
                "reason": reason,
            }
        )
        self._next_cost = number + 1
        return number

    def steps(
        self,
        *,
        first: int,
        end_us: Sequence[int],
        duration_us: Sequence[int],
        wait_us: Sequence[int],
        optimizer: Sequence[str | None],
        tokens: Sequence[int | None],
        tokens_from: Sequence[str | None],
        samples: Sequence[int | None],
        calls: Sequence[Sequence[tuple[int, int]]],
    ) -> None:
        """Write a block of consecutive steps, given as columns with a value for each step."""
        self.block(
            first=first,
            end_us=end_us,
            duration_us=duration_us,
            wait_us=wait_us,
            optimizer=zip(repeat(1), optimizer),
            tokens=zip(repeat(1), tokens),
            tokens_from=zip(repeat(1), tokens_from),
            samples=zip(repeat(1), samples),
            calls=zip(repeat(1), calls),
        )

    def block(
        self,
        *,
        first: int,
        end_us: Sequence[int],
        duration_us: Sequence[int],
        wait_us: Sequence[int],
        optimizer: Runs,
        tokens: Runs,
        tokens_from: Runs,
        samples: Runs,
        calls: Runs,
    ) -> None:
        """Write a block of consecutive steps; what seldom changes comes as runs of equal values."""
        self._ledger.append(
            {
                "kind": "steps",
                "first": first,
                "end_us": list(end_us),
                "duration_us": list(duration_us),
                "wait_us": list(wait_us),
                "optimizer": run_lengths(optimizer),
                "tokens": run_lengths(tokens),
                "tokens_from": run_lengths(tokens_from),
                "samples": run_lengths(samples),
                "calls": run_lengths(calls),
            }
        )

    def span(
        self,
        what: str,
        *,
        start_us: int,
        end_us: int,
        calls: Sequence[tuple[int, int]] = (),
        source: str = "explicit",
    ) -> None:
        """Write a stretch of time that is no training, or that the user named."""
        about = {"what": what, "start_us": start_us, "end_us": end_us, "source": source}
        self._ledger.append({"kind": "span", **about, "calls": [list(pair) for pair in calls]})

    def losses(self, told: Sequence[tuple[int, float | None]]) -> None:
        """Write losses that the program told: when (us), and what; None where it is not finite."""
        at, value = [at for at, _ in told], [value for _, value in told]
        self._ledger.append({"kind": "losses", "at_us": at, "value": value})

    def note(self, code: str, severity: str, message: str) -> None:
        """Write something that a reader must know."""
        about = {"code": code, "severity": severity, "message": message}
        self._ledger.append({"kind": "note", **about})

    def seal(self, reason: str, steps: int) -> None:
        """Write that the recording ended in order, and close the file."""
        self._ledger.append({"kind": "seal", "reason": reason, "steps": steps})
        self._ledger.sync()
        self._release()
        self.close()

    def close(self) -> None:
        """Let go of the file without a seal; a forked child does this with its parent's."""
        self._ledger.close()

"""Starts the recorder in a child, in the moment in which it turns out to be a training.

Importing torch is no training: launchers, data-loader workers and compile workers do it too. The
first optimizer that a process makes is the first sign of one, and it comes before the first step;
until then nothing of the recorder is loaded, hooked or written.
"""

import atexit
import contextlib
import functools
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from threading import current_thread, main_thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flopledger.recording import Recording

Say = Callable[..., None]
_recordings: "list[Recording]" = []
"""The recording of this process, once there is one."""


def start(run_dir: str, say: Say) -> None:
    """Record from the first optimizer on, in this process and in forks of it that train."""
    _wait_for_optimizer(run_dir, say)
    os.register_at_fork(after_in_child=lambda: _after_fork(run_dir, say))


def _wait_for_optimizer(run_dir: str, say: Say) -> None:
    """Begin as soon as an optimizer is made, or comes out of a pickle."""
    from torch.optim import Optimizer

    made = {name: vars(Optimizer)[name] for name in ("__init__", "__setstate__")}
    first = [True]

    def begins() -> None:
        if not first:
            return
        first.clear()
        for name, ours in placed.items():
            # What somebody put around it since then stays: another recording, a library's own hook.
            if vars(Optimizer)[name] is ours:
                setattr(Optimizer, name, made[name])
        _begin(run_dir, say)

    placed = {name: _First(original, begins) for name, original in made.items()}
    for name, ours in placed.items():
        setattr(Optimizer, name, ours)


class _First:
    """In a method's place until it is asked for: whatever it raises then shows no frame of ours."""

    def __init__(self, method: Callable[..., None], begins: Callable[[], None]) -> None:
        self._method = method
        self._begins = begins

    def __get__(self, instance: Any, owner: type | None = None) -> Callable[..., None]:
        if instance is not None:
            if not isinstance(instance, type):  # ``inspect`` of Python 3.13 binds it to the class
                self._begins()
            return self._method.__get__(instance, owner)  # type: ignore[no-any-return]

        @functools.wraps(self._method)
        def called_by_name(*arguments: Any, **options: Any) -> None:
            self(*arguments, **options)

        return called_by_name

    def __call__(self, *arguments: Any, **options: Any) -> None:
        """Stand in for the method where it is called by name, or by what wraps it."""
        self._begins()
        self._method(*arguments, **options)


def _after_fork(run_dir: str, say: Say) -> None:
    """Leave the parent's recording to the parent; a fork that trains gets one of its own."""
    if _recordings:
        _recordings.clear()
        _wait_for_optimizer(run_dir, say)
        _wait_for_step(run_dir, say)


def _wait_for_step(run_dir: str, say: Say) -> None:
    """Begin where the fork goes on with its parent's optimizer, as a daemon does.

    The calls of that first step were seen by nobody: it has no figure, and the others have.
    """
    from torch.optim.optimizer import register_optimizer_step_pre_hook

    first = [True]

    # It stays where it is: torch is walking over its hooks when it calls this one.
    def begins(*_: Any) -> None:
        if first and not _recordings:
            _begin(run_dir, say)
        first.clear()

    register_optimizer_step_pre_hook(begins)


def _begin(run_dir: str, say: Say) -> None:
    from torch.utils.data import get_worker_info

    if get_worker_info() is not None:
        return  # a worker feeds a training and is none
    try:
        from flopledger.recording import record

        recording = record(Path(run_dir), sampler=False).start()
        _recordings.append(recording)
        atexit.register(_end, recording)
        _end_with_the_program(recording)
        if "multiprocessing.util" in sys.modules:
            from multiprocessing.util import Finalize

            # A forked process of multiprocessing ends without atexit, but not without this.
            Finalize(None, _end, args=(recording,), exitpriority=0)
        say(run_dir, "recording")
    except Exception as error:  # noqa: BLE001 - nothing of ours may end a run
        if os.environ.get("FLOPLEDGER_DEBUG"):
            traceback.print_exc()
        say(run_dir, "refused", reason=f"{type(error).__name__}: {error}")


def _end_with_the_program(recording: "Recording") -> None:
    """Close the ledger where a program ends without its interpreter's end.

    ``os._exit`` runs nothing any more, and all of ``os.exec...`` end in ``execv`` or ``execve``. One
    that fails (``execvp`` tries each folder of ``PATH``) leaves a training that may go on: what cannot
    be executed closes nothing.
    """
    for name in ("execv", "execve", "_exit"):
        leave = getattr(os, name)

        @functools.wraps(leave)
        def closing(*words: Any, leave: Any = leave, **named: Any) -> Any:
            ends = leave.__name__ == "_exit" or _is_program(*words[:1])
            # Not from a watchdog's thread: the training's own may hold what the ledger needs.
            if not (ends and recording.active and current_thread() is main_thread()):
                return leave(*words, **named)
            with contextlib.suppress(Exception):
                recording.stop("exit")
            try:
                return leave(*words, **named)
            finally:
                with contextlib.suppress(Exception):
                    recording.start()  # only reached if the program goes on

        setattr(os, name, closing)


def _is_program(path: Any = None) -> bool:
    try:
        return isinstance(path, int) or (Path(path).is_file() and os.access(path, os.X_OK))
    except (TypeError, ValueError, OSError):
        return False


def _end(recording: "Recording") -> None:
    """Close the ledger with the reason for which the process ends."""
    error = getattr(sys, "last_type", None)
    recording.stop("finished" if error is None else f"raised {error.__name__}")

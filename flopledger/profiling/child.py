"""The command of a profiled run as a child process: signals passed on, its whole family in sight.

The child keeps its terminal, its process group and its signal mask: what the terminal sends reaches
it directly, what somebody sends to us is passed on. While it runs we adopt what it orphans (Linux's
child subreaper), so that a program that forks twice to become a daemon stays in the process tree.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flopledger.profiling.process_tree import ProcessTree

OURS = {
    signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD,  # nobody can pass them on, or they speak of the child
    signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP, signal.SIGSYS,
    signal.SIGPIPE, signal.SIGTTIN, signal.SIGTTOU, signal.SIGXFSZ,
}  # fmt: skip
"""Signals that tell a process of what it did itself."""
PASSED = signal.valid_signals() - OURS
"""All others are meant for the command: a scheduler's warning may be SIGXCPU, SIGALRM or any number."""
AWAITED = {*PASSED, signal.SIGCHLD}
"""Signals that must be blocked while a child runs: they are taken one by one."""
FROM_TERMINAL = {
    signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTSTP, signal.SIGCONT, signal.SIGWINCH,
}  # fmt: skip
FROM_KERNEL = 0x80
"""``si_code`` of a signal that the terminal sent to the whole foreground group."""
FIRST_LOOK_SECONDS, LAST_LOOK_SECONDS = 0.05, 2.0
"""Time between two looks at the process tree; it doubles from the first to the last."""
GRACE_SECONDS = 0.5
"""In which helper processes may notice that the command is over."""
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """What is known of a command when it is over."""

    code: int
    """The exit code to pass on: its own, 128 + N for signal N, 127 not found, 126 not runnable."""
    tree: ProcessTree | None
    """The processes that it started; None: it never ran."""
    trouble: str = ""
    """Why it could not be run, for people."""
    left: int = 0
    """Processes that it left running."""


def run_child(
    command: Sequence[str],
    *,
    mask: Any,
    environment: Mapping[str, str] | None = None,
    not_ours: Collection[int] = (),
) -> Ended:
    """Run a command to its end, with ``AWAITED`` blocked in this process and ``mask`` in the child.

    ``not_ours`` are children of this process that do not belong to the command.
    """
    _adopt_orphans(on=True)
    try:
        # In the child, between fork and exec: give it the signal mask that we were given.
        child = subprocess.Popen(  # noqa: S603 - running the user's command is the purpose
            command,
            env=environment,
            close_fds=False,  # ``<(...)`` and what a launcher handed down; Python's own never pass exec
            preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_SETMASK, mask),
        )
    except FileNotFoundError:
        return Ended(code=127, tree=None, trouble=f"{command[0]}: command not found")
    except OSError as error:
        return Ended(code=126, tree=None, trouble=f"{command[0]}: cannot be run: {error.strerror}")
    tree = ProcessTree(child.pid)
    next_look, pause = time.monotonic(), FIRST_LOOK_SECONDS
    while child.poll() is None:
        if time.monotonic() >= next_look:
            tree.look(_adopted(child.pid, not_ours))
            next_look = time.monotonic() + pause
            pause = min(2 * pause, LAST_LOOK_SECONDS)
        got = signal.sigtimedwait(AWAITED, max(0.01, next_look - time.monotonic()))
        if got is not None and got.si_signo != signal.SIGCHLD:
            _pass_on(child, got)
        if got is not None and _stopped(child.pid):
            _stop_too()
    left = _left_running(child.pid, not_ours)
    tree.look(left)
    _adopt_orphans(on=False)
    return Ended(
        code=child.returncode if child.returncode >= 0 else 128 - child.returncode,
        tree=tree,
        left=len(left),
    )


def _left_running(child: int, not_ours: Collection[int]) -> set[int]:
    """Return the orphans that do not end with the command, as multiprocessing's helpers do."""
    deadline = time.monotonic() + GRACE_SECONDS
    while left := _adopted(child, not_ours):
        if time.monotonic() >= deadline:
            break
        time.sleep(0.01)
    return left


def _pass_on(child: "subprocess.Popen[bytes]", got: signal.struct_siginfo) -> None:
    # The terminal already told the whole group, the child included; an alarm was set for us alone.
    told = got.si_code == FROM_KERNEL and got.si_signo in FROM_TERMINAL
    if not told and child.poll() is None:
        child.send_signal(got.si_signo)


def _stopped(child: int) -> bool:
    """Whether the command has been stopped by a terminal's ^Z, or its like; told once a stop."""
    with contextlib.suppress(ChildProcessError):
        found = os.waitid(os.P_PID, child, os.WSTOPPED | os.WNOHANG)
        return found is not None and found.si_status == signal.SIGTSTP
    return False


def _stop_too() -> None:
    # As without us; not by SIGSTOP, which a group without a shell would not survive. A command that
    # handles the signal, and goes on or ends, is waited for as ever. Sent while it is blocked, it is
    # one with the terminal's own, which may be waiting: two would stop us anew after `fg`.
    os.kill(os.getpid(), signal.SIGTSTP)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTSTP})
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTSTP})


def _adopt_orphans(*, on: bool) -> None:
    """Become, or stop being, the parent of what the command orphans. Not every system can."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(on), 0, 0, 0)


def _adopted(child: int, not_ours: Collection[int]) -> set[int]:
    """Return our living children beside the command itself; bury those that ended."""
    known = {child, *not_ours}
    orphans = ProcessTree.children(os.getpid()) - known
    living = set()
    for pid in orphans:
        with contextlib.suppress(ChildProcessError):
            if os.waitpid(pid, os.WNOHANG) == (0, 0):
                living.add(pid)
    return living

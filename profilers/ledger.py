"""A file of JSON lines in which each line carries the digest of the line before it.

Whoever changes, drops or inserts a line breaks the chain at that place, and ``read_ledger`` names
it. A line that a crash cut short is told apart from a broken chain: it has no end of line, or is
followed by a line that continues from the last good one.
"""

import errno
import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from profilers.errors import ProfilersError

GENESIS = "0" * 64
MAX_LINE_BYTES = 4 << 20


class LedgerError(ProfilersError):
    """A ledger that cannot be continued: somebody else writes it, or its chain is broken."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One good line of a ledger."""

    number: int
    """Its place in the file, from 1."""
    entry: Mapping[str, Any]
    digest: str
    """SHA-256 of its bytes without the end of line, in hexadecimal."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Torn:
    """Bytes that a crash left half-written."""

    number: int
    offset: int
    length: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Broken:
    """The first place at which the chain does not hold."""

    number: int
    reason: str


def read_ledger(path: Path) -> Iterator[Line | Torn | Broken]:
    """Walk over a ledger; stop after the first ``Broken``. Raises ``OSError`` for what is no file."""
    last, offset, number, expected = GENESIS, 0, 0, 0
    with open_regular(path) as file:
        while raw := file.readline(MAX_LINE_BYTES):
            number += 1
            start, offset = offset, offset + len(raw)
            entry = _parsed(raw)
            if entry is None:
                if len(raw) == MAX_LINE_BYTES:
                    yield Broken(number=number, reason=f"longer than {MAX_LINE_BYTES} bytes")
                    return
                if raw.strip():
                    yield Torn(number=number, offset=start, length=len(raw))
                continue
            if entry.get("prev") != last or entry.get("seq") != expected:
                reason = "does not continue from the line before it: changed, dropped or inserted"
                yield Broken(number=number, reason=reason)
                return
            last, expected = hashlib.sha256(raw.rstrip(b"\n")).hexdigest(), expected + 1
            yield Line(number=number, entry=entry, digest=last)


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading; a pipe, a device or a folder in its place is refused and never waited for."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "is no regular file", str(path))
    return os.fdopen(descriptor, "rb")


def _parsed(raw: bytes) -> dict[str, Any] | None:
    """Return the entry of a whole line; None where it is cut short."""
    if not raw.endswith(b"\n"):
        return None
    try:
        entry = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None


class Ledger:
    """The writing end. Appends whole lines with one system call each."""

    def __init__(
        self, path: Path, descriptor: int, *, seq: int, prev: str, entries: list[Line]
    ) -> None:
        self._path = path
        self._descriptor = descriptor
        self._file = _identity(descriptor)
        self._next: tuple[int, str, int | None] = (seq, prev, None)
        """Number of the next line, digest of the last one; and, while a line is being appended, where it
        begins. All three change at once: a signal's handler may raise between any two of our own lines."""
        self.earlier = entries
        """The good lines that were there when it was opened."""

    @classmethod
    def open(cls, path: Path) -> "Ledger":
        """Open for appending; raise ``LedgerError`` if another process has it or it is broken."""
        import fcntl

        descriptor = _opened(path, os.O_CREAT)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise LedgerError(f"{path} is being written by another recorder") from None
        except OSError:
            pass  # a file system without locks: the recorder's own election must do
        try:
            # First, for the line that a crash left open may lack nothing but its end.
            if (size := os.fstat(descriptor).st_size) and not _ends_with_newline(descriptor, size):
                os.write(descriptor, b"\n")
            entries = list(_good_lines(path))
        except BaseException:
            os.close(descriptor)
            raise
        prev = entries[-1].digest if entries else GENESIS
        return cls(path, descriptor, seq=len(entries), prev=prev, entries=entries)

    def append(self, entry: Mapping[str, Any]) -> None:
        """Add one entry. Raises ``OSError`` when the disk is full, and then nothing was added."""
        seq, prev, begun = self._next
        raw = json.dumps({"seq": seq, "prev": prev, **entry}, allow_nan=False).encode()
        digest = hashlib.sha256(raw).hexdigest()
        descriptor = self._ours()
        if begun is not None:  # the last one was broken off, and whoever wanted it knows that
            os.ftruncate(descriptor, begun)
        self._next = seq, prev, os.lseek(descriptor, 0, os.SEEK_END)
        append_whole(descriptor, raw + b"\n")
        self._next = seq + 1, digest, None

    def sync(self) -> None:
        """Wait until the disk has everything."""
        os.fsync(self._ours())

    def close(self) -> None:
        """Let go of the file and of its lock."""
        if self._is_ours():
            os.close(self._descriptor)
        self._descriptor = -1

    def _ours(self) -> int:
        """Return the descriptor, of a file that is opened anew where somebody closed it.

        A program that becomes a daemon closes whatever is open, and the next file that it opens gets
        our number: its checkpoint must not get our lines. The lock went with the file and is taken
        again, unless a fork still holds it.
        """
        import fcntl

        if not self._is_ours():
            # Removed, it raises FileNotFoundError here, too.
            descriptor = _opened(self._path)
            if _identity(descriptor) != self._file:
                os.close(descriptor)
                raise OSError(errno.ESTALE, "another file has taken its place", str(self._path))
            with suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._descriptor = descriptor
        elif os.fstat(self._descriptor).st_nlink == 0:  # what is written here, nobody can read
            raise FileNotFoundError(errno.ENOENT, "the ledger was removed", str(self._path))
        return self._descriptor

    @property
    def empty(self) -> bool:
        """Whether it has no line yet."""
        return self._next[0] == 0

    @property
    def removed(self) -> bool:
        """Whether nobody can read any more what is written here; moved to another place it still is."""
        try:
            return self._is_ours() and os.fstat(self._descriptor).st_nlink == 0
        except OSError:
            return False

    @property
    def in_place(self) -> bool:
        """Whether its path still leads to it; a folder may be moved or removed meanwhile."""
        try:
            found = self._path.stat()
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self._file

    def _is_ours(self) -> bool:
        try:
            return self._descriptor >= 0 and _identity(self._descriptor) == self._file
        except OSError:
            return False


def _good_lines(path: Path) -> Iterator[Line]:
    for found in read_ledger(path):
        if isinstance(found, Broken):
            raise LedgerError(
                f"{path}, line {found.number}: {found.reason}; record into a new folder"
            )
        if isinstance(found, Line):
            yield found


def _opened(path: Path, flags: int = 0) -> int:
    """Open for appending, never as one of the streams that a program has closed."""
    import fcntl

    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | flags, 0o644)
    if descriptor > 2:
        return descriptor
    try:
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3)
    finally:
        os.close(descriptor)


def _identity(descriptor: int) -> tuple[int, int]:
    found = os.fstat(descriptor)
    return found.st_dev, found.st_ino


def append_whole(descriptor: int, data: bytes) -> None:
    """Append all of it or nothing: what a full disk took of it is cut off again."""
    before = os.lseek(descriptor, 0, os.SEEK_END)
    try:
        written = os.write(descriptor, data)
        while written < len(data):
            written += os.write(descriptor, data[written:])
    except OSError:
        os.ftruncate(descriptor, before)
        raise


def _ends_with_newline(descriptor: int, size: int) -> bool:
    return os.pread(descriptor, 1, size - 1) == b"\n"

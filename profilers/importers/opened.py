"""A file of the audited party, opened with care: regular, bounded, read once, digested."""

import hashlib
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from profilers.importers import identity
from profilers.importers.errors import ImportFormatError, LimitError
from profilers.importers.packed import Unpacked, unpack

HEAD_BYTES = 64 * 1024
MAX_BYTES = 256 * 1024**3
MAX_LINE = 1024 * 1024
_CHUNK = 256 * 1024
MAX_WHOLE = 1024**3
"""Largest file that an importer without a streaming path will read into memory."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """A file or folder whose content is about to be recognised."""

    path: Path
    size: int
    """Bytes of the file when it was opened; 0 for a folder. What is appended later is not read."""
    head: bytes
    """The first 64 KiB; empty for a folder."""
    continues: str | None = None
    """The mark of an earlier recording that this one continues."""
    packed: Path | None = None
    """The archive that the content was unpacked from; all else here speaks of the content."""
    held: Unpacked | None = None
    """The temporary file at ``path`` that lives as long as this does; None for a file as it came."""

    @property
    def mark(self) -> str:
        """What stands for the host where nobody names it."""
        return self.continues or identity.mark(self.head)

    @property
    def name(self) -> str:
        """The path as the user gave it, for messages."""
        return str(self.packed or self.path)

    @property
    def is_folder(self) -> bool:
        """True for a folder (MLflow's file store is one)."""
        return self.path.is_dir()

    @property
    def lines(self) -> list[str]:
        """The whole lines of the head as text, without their ends; empty for binary content."""
        if b"\0" in self.head:
            return []
        text = self.head.decode("utf-8-sig", errors="replace")
        # Not `splitlines`, which ends lines at other characters, too: the readers do not.
        found = [line.rstrip("\r") for line in text.split("\n")]
        if not found[-1]:
            return found[:-1]
        return found if self.size <= len(self.head) or len(found) < 2 else found[:-1]

    @property
    def ends_a_line(self) -> bool:
        """True where the last byte ends a line: nothing was cut off behind it."""
        return self._last_byte == b"\n"

    @property
    def ends_in_a_figure(self) -> bool:
        """True where the last byte belongs to a number, of which more may have been cut off."""
        return self._last_byte in {*(b"%d" % digit for digit in range(10)), b"."}

    @property
    def _last_byte(self) -> bytes:
        with self.path.open("rb") as stream:
            stream.seek(max(self.size - 1, 0))
            return stream.read(1)

    def text_lines(self) -> Iterator[tuple[int, str]]:
        """Walk over all lines with their numbers; refuses a line beyond 1 MiB."""
        number, left = 0, self.size
        with self.path.open("rb") as stream:
            rest = b""
            while chunk := stream.read(min(_CHUNK, left)):
                left -= len(chunk)
                data = rest + chunk
                cut = data.rfind(b"\n") + 1
                rest = data[cut:]
                for line in self._decoded(data[:cut], number) if cut else ():
                    number += 1
                    yield number, line
                if len(rest) > MAX_LINE:
                    raise self._too_long(number + 1)
        for line in self._decoded(rest + b"\n", number) if rest else ():
            number += 1
            yield number, line

    def _decoded(self, data: bytes, before: int) -> Iterator[str]:
        """Return whole lines as text, without their ends and without a byte order mark."""
        text = data.decode("utf-8", errors="replace")
        if before == 0:
            text = text.removeprefix("\ufeff")
        for line in text[:-1].split("\n"):
            if len(line) > MAX_LINE:
                raise self._too_long(None)
            yield line.rstrip("\r")

    def _too_long(self, line: int | None) -> LimitError:
        return LimitError(
            "the line is longer than 1 MiB; this is not a telemetry log", file=self.name, line=line
        )

    def whole(self, limit: int = MAX_WHOLE) -> bytes:
        """Read everything; refuses a file beyond the limit."""
        if self.size > limit:
            raise LimitError(
                f"{self.size} bytes are more than this format's reader takes ({limit}); "
                "split the file or export fewer series",
                file=self.name,
            )
        with self.path.open("rb") as stream:
            return stream.read(self.size)

    def digest(self) -> str:
        """Return the SHA-256 of the content; of a folder, of its files' names and digests."""
        if not self.is_folder:
            return _digest(self.path, self.size)
        total = hashlib.sha256()
        for path in sorted(p for p in self.path.rglob("*") if p.is_file() and not p.is_symlink()):
            total.update(f"{_digest(path)}  {path.relative_to(self.path).as_posix()}\n".encode())
        return total.hexdigest()


def open_file(path: Path) -> Opened:
    """Look at a path: a regular file, unpacked where it is gzip or zstd, or a folder; never a pipe."""
    try:
        status = path.stat()
    except OSError as error:
        raise ImportFormatError(f"cannot be read: {error.strerror}", file=str(path)) from error
    if stat.S_ISDIR(status.st_mode):
        return Opened(path=path, size=0, head=b"")
    if not stat.S_ISREG(status.st_mode):
        raise ImportFormatError(
            "is neither a file nor a folder (pipes and devices are refused)", file=str(path)
        )
    if status.st_size > MAX_BYTES:
        raise LimitError(f"{status.st_size} bytes are more than {MAX_BYTES}", file=str(path))
    if status.st_size == 0:
        raise ImportFormatError("is empty", file=str(path))
    try:
        with path.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
        held = unpack(path, head)
    except OSError as error:
        raise ImportFormatError(f"cannot be read: {error.strerror}", file=str(path)) from error
    if held is None:
        return Opened(path=path, size=status.st_size, head=head)
    content = held.path
    size = content.stat().st_size
    if size == 0:
        raise ImportFormatError("is an archive of nothing", file=str(path))
    with content.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
    return Opened(path=content, size=size, head=head, packed=path, held=held)


def _digest(path: Path, size: int | None = None) -> str:
    """Return the SHA-256 of a file, or of its first ``size`` bytes where it may still grow."""
    total = hashlib.sha256()
    left = path.stat().st_size if size is None else size
    with path.open("rb", buffering=0) as stream:
        while chunk := stream.read(min(_CHUNK, left)):
            total.update(chunk)
            left -= len(chunk)
    return total.hexdigest()

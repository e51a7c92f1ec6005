"""One file of evidence, read within bounds."""

import builtins
import codecs
import hashlib
import json
import pathlib
import re
from collections.abc import Iterator
from functools import cached_property
from io import BufferedReader
from typing import Any

from flopledger.logs import disguises, limits, packed, torn_end
from flopledger.logs.evidence import EvidenceError

#: What launchers set before each line: torchrun's ranks, Ray's workers. The rank is no part of the line.
_LAUNCHER = re.compile(
    # One launcher may run inside another: torchrun in Ray's workers, Ray below srun.
    r"^(?:\s{0,3}(?:\[(?:rank|default|Rank )\d{1,5}\]: ?|"
    r"\(\w{1,60} pid=\d{1,9}(?:, ip=[\d.]{7,15})?\) )){1,3}"
)
#: srun --label sets the task's number, padded to one width.
_LABEL = re.compile(r"^\s{0,5}\d{1,6}: ")
_LABELLED_SHARE = 0.9
_PIECE = 1 << 20
_LABELLED_BYTES = 1 << 16
#: What Python holds for what follows each mark of JSON, roughly: "{}," are 3 bytes of text and 72 of memory.
_HELD_BYTES = {"{": 200, "[": 64, ",": 48, ":": 25}
_ANSI = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")


class Document:
    """A file that a reader may look into. Everything it gives is bounded."""

    def __init__(self, path: pathlib.Path, name: str) -> None:
        self.path = path
        self.name = name
        try:
            self.size_bytes = path.stat().st_size
        except OSError as error:
            raise EvidenceError(f"{name}: cannot be read ({error.strerror})") from None
        self._magic = self._first_bytes()
        #: Packed or in a wide encoding: what readers see is not what lies on the disk.
        self.is_packed = packed.is_packed(self._magic)
        self._wide = packed.wide_encoding(self._magic)
        self.skipped_lines = 0  #: lines above the length limit, after ``lines`` has run
        self.disguised_lines = (
            0  #: lines whose figures or labels are not what they look like, likewise
        )
        #: What is to be said of a last line without its end, and its number, after ``lines`` has run.
        self.torn_line: tuple[str, int] | None = None
        self._is_open = False  #: whether what was read last had no end, likewise
        self.by_stamps = False  #: step lines are to be given in the order of their stamps

    @cached_property
    def head(self) -> bytes:
        """The first bytes, and the last ones of a longer file."""
        with self.open() as file:
            head = file.read(limits.HEAD_BYTES)
            if self.is_plain and self.size_bytes > limits.HEAD_BYTES + limits.TAIL_BYTES:
                file.seek(-limits.TAIL_BYTES, 2)
                head += b"\n" + file.read(limits.TAIL_BYTES)
        return head

    @cached_property
    def _has_labels(self) -> bool:
        return _is_labelled(self.head[:_LABELLED_BYTES].decode("utf-8", "replace"))

    @cached_property
    def printed_head(self) -> bytes:
        """The head as ``lines`` would give it: without colours and what launchers set before lines."""
        head = self.head.removeprefix(codecs.BOM_UTF8)
        if self.is_binary or not self._is_dressed(head):
            return head
        lines = (_clean(one) for one in head.splitlines())
        plain = (_unlabelled(one) for one in lines) if self._has_labels else lines
        return "\n".join(plain).encode()

    def _is_dressed(self, head: bytes) -> bool:
        beginning = head[:_LABELLED_BYTES]
        return (
            self._has_labels
            or b"\x1b[" in beginning
            or b" pid=" in beginning
            or re.search(rb"(?m)^\s{0,3}\[(?:rank|default|Rank )\d{1,5}\]:", beginning) is not None
        )

    @property
    def is_binary(self) -> bool:
        """Whether its beginning holds zero bytes, as no text does."""
        return b"\0" in self.head[:4096]

    @property
    def is_plain(self) -> bool:
        """Whether readers see the very bytes of the file."""
        return not self.is_packed and self._wide is None

    def _first_bytes(self) -> bytes:
        with self._open_raw() as file:
            return file.read(64)

    def _open_raw(self) -> BufferedReader:
        try:
            return self.path.open("rb")
        except OSError as error:
            raise EvidenceError(f"{self.name}: cannot be opened ({error.strerror})") from None

    def open(self) -> BufferedReader:
        """Open the file for reading bytes: unpacked, and in UTF-8 where it was UTF-16."""
        if self.is_packed:
            return packed.unpacked(self._open_raw(), self.name)
        if self._wide is not None:
            return packed.narrowed(self._open_raw(), self._wide)
        return self._open_raw()

    def sha256(self) -> str | None:
        """Hash the whole file as it lies there, or give ``None`` above the limit."""
        if self.size_bytes > limits.HASH_BYTES:
            return None
        digest, left = hashlib.sha256(), self.size_bytes
        with self._open_raw() as file:
            while left > 0 and (piece := file.read(min(_PIECE, left))):
                digest.update(piece)
                left -= len(piece)
        return digest.hexdigest()

    def lines(self) -> Iterator[tuple[int, str]]:
        """Give ``(line number, text)``, with colour codes, NULs and bad UTF-8 taken out.

        What a launcher set before every line (``[rank0]:``, ``(Worker pid=1)``) is taken off, too.
        A carriage return ends a piece of a line too: progress bars rewrite one line many times, for hours.
        A last line that was cut is left out, and remembered.
        """
        self.torn_line = None
        return torn_end.kept(
            self._texts(),
            is_open=lambda: self._is_open,
            tell=lambda words, number: setattr(self, "torn_line", (words, number)),
        )

    def _texts(self) -> Iterator[tuple[int, str]]:
        self._require(limits.TEXT_BYTES, "a log")
        self.skipped_lines = self.disguised_lines = 0
        labelled = self._has_labels
        count = 0
        with self.open() as file:
            for number, piece in self._pieces(file):
                for part in filter(None, piece.split(b"\r")) if b"\r" in piece else (piece,):
                    count += 1
                    if count > limits.LINES:
                        raise EvidenceError(f"{self.name}: more than {limits.LINES:,} lines")
                    text = self._plain(_clean(part))
                    yield number, _unlabelled(text) if labelled else text

    def _pieces(self, file: BufferedReader) -> Iterator[tuple[int, "builtins.bytes"]]:
        """Give lines, and what carriage returns part of a line that is longer than any.

        What is appended while the file is read is neither read nor in its digest.
        """
        number, kept = 1, b""
        left = self.size_bytes if self.is_plain else limits.UNPACKED_BYTES + 1
        while True:
            got = file.readline(min(limits.LINE_CHARACTERS + 1 - len(kept), left))
            left -= len(got)
            piece = kept + got
            if not piece:
                return
            if number == 1:
                piece = piece.removeprefix(codecs.BOM_UTF8)
            kept = b""
            if len(piece) <= limits.LINE_CHARACTERS or piece.endswith(b"\n"):
                if piece.endswith(b"\n") or left or not self._has_grown:
                    self._is_open = not piece.endswith((b"\n", b"\r"))
                    yield number, piece.rstrip(b"\r\n")
                number += 1
            elif (cut := piece.rfind(b"\r")) >= 0:
                yield number, piece[:cut]
                kept = piece[cut + 1 :]
            else:
                self.skipped_lines += 1
                left -= _skip_line(file)
                number += 1

    @property
    def _has_grown(self) -> bool:
        """Whether a line that ends at the end may be half a line: its writer is still at it."""
        return self.is_plain and self.path.stat().st_size > self.size_bytes

    def text(self, limit: int = limits.SMALL_BYTES) -> str:
        """Give the whole file as text, without characters that nobody sees."""
        self.disguised_lines = 0
        found = self._text(limit)
        if found.isascii():
            return found
        return "".join(self._plain(one) for one in found.splitlines(keepends=True))

    def bytes(self, limit: int = limits.DOCUMENT_BYTES) -> bytes:
        """Give the whole file."""
        return self._whole(limit, "a file of this kind")

    def json(self, limit: int = limits.DOCUMENT_BYTES) -> Any:
        """Decode the file as JSON, with ``NaN`` and ``Infinity`` as ``None``."""
        return decode_json(self._text(limit), self.name)

    def _text(self, limit: int) -> str:
        found = self._whole(limit, "a text of this kind")
        return found.decode("utf-8-sig", "replace").replace("\0", "")

    def _whole(self, limit: int, what: str) -> "builtins.bytes":
        """Read the file to its end: what is packed may be longer than what lies on the disk."""
        self._require(limit, what)
        with self.open() as file:
            found = file.read(min(limit + 1, self.size_bytes) if self.is_plain else limit + 1)
        if len(found) > limit:
            raise EvidenceError(
                f"{self.name}: unpacks to more than {limit:,} bytes, and {what} is read up to that; "
                "hand in an extract, and say so"
            )
        return found

    def _plain(self, text: str) -> str:
        """Take out what nobody sees, and digits of other scripts; count the lines that had such figures."""
        if text.isascii() or not disguises.stand_in(text):
            return text
        self.disguised_lines += disguises.mislead(text)
        return disguises.plain(text)

    def table(self) -> dict[str, Any]:
        """Decode the file as a JSON object, which it has to be."""
        table = self.json()
        if not isinstance(table, dict):
            raise EvidenceError(f"{self.name}: not a table of keys")
        return table

    def _require(self, limit: int, what: str) -> None:
        if self.size_bytes > limit:
            raise EvidenceError(
                f"{self.name}: {self.size_bytes:,} bytes, and {what} is read up to {limit:,}; "
                "hand in an extract, and say so"
            )


def decode_json(text: str, name: str) -> Any:
    """Decode JSON of the audited party: bounded depth and memory, no infinities, no digit bombs."""
    held = sum(text.count(mark) * size for mark, size in _HELD_BYTES.items())
    if held > limits.JSON_MEMORY_BYTES:
        raise EvidenceError(
            f"{name}: JSON of about {text.count(','):,} values, which would take more memory than is given "
            "to one file; hand in an extract, and say so"
        )
    try:
        plain = text.lstrip("\ufeff")
        return json.loads(plain, parse_constant=lambda _: None, object_pairs_hook=_table)
    except RecursionError:
        raise EvidenceError(f"{name}: JSON nested too deep") from None
    except ValueError as error:
        raise EvidenceError(f"{name}: not valid JSON ({error})") from None


def _table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build one table; a key that stands twice says two things, and readers of JSON differ in which."""
    table = dict(pairs)
    if len(table) < len(pairs):
        keys = [key for key, _ in pairs]
        again = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {again[:80]!r} stands twice in one table")
    return table


def _skip_line(file: BufferedReader) -> int:
    """Go to the next line; say how many bytes were passed over."""
    passed = 0
    while piece := file.readline(_PIECE):
        passed += len(piece)
        if piece.endswith(b"\n"):
            break
    return passed


def _clean(piece: bytes) -> str:
    text = piece.decode("utf-8", "replace")
    if "\0" in text:
        text = text.replace("\0", "")
    text = _ANSI.sub("", text) if "\x1b" in text else text
    if "]:" in text[:20] or " pid=" in text[:80]:
        text = _LAUNCHER.sub("", text)
    return text


def _unlabelled(text: str) -> str:
    """Take off a task's number, and what a launcher below it set behind."""
    return _LAUNCHER.sub("", _LABEL.sub("", text))


def _is_labelled(head: str) -> bool:
    """Say whether nearly every line of a beginning bears a task's number."""
    lines = [text for text in head.splitlines()[:400] if text.strip()]
    labelled = sum(_LABEL.match(text) is not None for text in lines)
    return len(lines) > 2 and labelled >= _LABELLED_SHARE * len(lines)

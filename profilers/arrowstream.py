"""A writer of Arrow IPC streams that fits into a sampler: one write a batch, no pyarrow in memory.

pyarrow is 45 MiB of resident memory and is needed to *read* and to compact, not to append eight
rows a second. The stream format is a published standard: a flatbuffer with the schema, then one
flatbuffer and a body for each batch. Any Arrow reader reads the result; the tests use pyarrow's.
Format: https://arrow.apache.org/docs/format/Columnar.html#ipc-streaming-format.
"""

import functools
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"
_SCHEMA, _RECORD_BATCH, _VERSION_5 = 1, 3, 4
_INT, _DOUBLE, _UTF8 = 2, 3, 5

Column = Sequence[int | None] | Sequence[float | None] | Sequence[str | None]


@dataclass(frozen=True, slots=True)
class _Scalar:
    code: str  # of the struct module
    value: int
    mark: str = ""  # its place is remembered under this name


@dataclass(frozen=True, slots=True)
class _Vector:
    items: Sequence["_Table"] = ()
    structs: bytes | None = None  # the packed structs, for a vector of structs
    count: int = 0
    mark: str = ""


@dataclass(frozen=True, slots=True)
class _Table:
    fields: Mapping[int, "_Scalar | _Vector | _Table | str"]


@dataclass(slots=True)
class _Flatbuffer:
    """Lays tables out front to back: parents before children, so that all offsets are positive."""

    data: bytearray = field(default_factory=lambda: bytearray(4))
    marks: dict[str, int] = field(default_factory=dict)

    def finish(self, root: _Table) -> bytes:
        struct.pack_into("<I", self.data, 0, self._table(root))
        self._align(8)
        return bytes(self.data)

    def _align(self, size: int, ahead: int = 0) -> None:
        self.data.extend(bytes(-(len(self.data) + ahead) % size))

    def _table(self, table: _Table) -> int:
        slots = max(table.fields, default=-1) + 1
        # The widest fields first keeps the padding small; every field starts at its own alignment.
        sizes = {s: struct.calcsize("<" + _code(v)) for s, v in table.fields.items()}
        order = sorted(table.fields, key=lambda s: -sizes[s])
        offsets, end = {}, 4
        for slot in order:
            end += -end % sizes[slot]
            offsets[slot] = end
            end += sizes[slot]
        vtable = 4 + 2 * slots
        self._align(8, ahead=vtable)
        self.data.extend(
            struct.pack(f"<{2 + slots}H", vtable, end, *(offsets.get(s, 0) for s in range(slots)))
        )
        start = len(self.data)
        self.data.extend(struct.pack("<i", vtable) + bytes(end - 4))
        for slot in order:
            self._field(table.fields[slot], start + offsets[slot])
        return start

    def _field(self, value: "_Scalar | _Vector | _Table | str", place: int) -> None:
        if isinstance(value, _Scalar):
            struct.pack_into("<" + value.code, self.data, place, value.value)
            if value.mark:
                self.marks[value.mark] = place
            return
        if isinstance(value, str):
            target = self._string(value)
        elif isinstance(value, _Vector):
            target = self._vector(value)
        else:
            target = self._table(value)
        struct.pack_into("<I", self.data, place, target - place)

    def _string(self, text: str) -> int:
        self._align(4)
        raw = text.encode()
        start = len(self.data)
        self.data.extend(struct.pack("<I", len(raw)) + raw + b"\0")
        return start

    def _vector(self, vector: _Vector) -> int:
        self._align(8, ahead=4)
        start = len(self.data)
        if vector.structs is not None:
            self.data.extend(struct.pack("<I", vector.count) + vector.structs)
            self.marks[vector.mark] = start + 4
            return start
        self.data.extend(struct.pack("<I", len(vector.items)) + bytes(4 * len(vector.items)))
        for number, item in enumerate(vector.items):
            place = start + 4 + 4 * number
            struct.pack_into("<I", self.data, place, self._table(item) - place)
        return start


def _code(value: object) -> str:
    return value.code if isinstance(value, _Scalar) else "I"


def _message(header_type: int, header: _Table, flat: _Flatbuffer) -> bytes:
    metadata = flat.finish(
        _Table(
            {
                0: _Scalar("h", _VERSION_5),
                1: _Scalar("B", header_type),
                2: header,
                3: _Scalar("q", 0, mark="body"),
            }
        )
    )
    return b"\xff\xff\xff\xff" + struct.pack("<i", len(metadata)) + metadata


def _pairs(metadata: Mapping[str, str]) -> _Vector:
    return _Vector([_Table({0: key, 1: value}) for key, value in metadata.items()])


def _column_field(name: str, code: str) -> _Table:
    kinds: dict[str, tuple[int, _Table]] = {
        "q": (_INT, _Table({0: _Scalar("i", 64), 1: _Scalar("B", 1)})),
        "d": (_DOUBLE, _Table({0: _Scalar("h", 2)})),
        "s": (_UTF8, _Table({})),
    }
    type_code, type_table = kinds[code]
    return _Table(
        {
            0: name,
            1: _Scalar("B", 1),
            2: _Scalar("B", type_code),
            3: type_table,
            5: _Vector(),
        }
    )


class StreamEncoder:
    """Turns rows into the bytes of one Arrow stream. It opens and writes no file."""

    def __init__(self, columns: Mapping[str, str], metadata: Mapping[str, str]) -> None:
        """Fix the schema: column name to ``q`` (int64), ``d`` (float64) or ``s`` (utf8)."""
        self.columns = dict(columns)
        self._metadata = dict(metadata)
        buffers = sum(3 if code == "s" else 2 for code in columns.values())
        flat = _Flatbuffer()
        batch = _Table(
            {
                0: _Scalar("q", 0, mark="rows"),
                1: _Vector(structs=bytes(16 * len(columns)), count=len(columns), mark="nodes"),
                2: _Vector(structs=bytes(16 * buffers), count=buffers, mark="buffers"),
            }
        )
        self._template = _message(_RECORD_BATCH, batch, flat)
        self._heads: dict[tuple[int, ...], bytes] = {}
        self._marks = {name: place + 8 for name, place in flat.marks.items()}

    def head(self) -> bytes:
        """Return the schema message, which opens the stream."""
        fields = _Vector([_column_field(name, code) for name, code in self.columns.items()])
        schema = _Table({0: _Scalar("h", 0), 1: fields, 2: _pairs(self._metadata)})
        return _message(_SCHEMA, schema, _Flatbuffer())

    def batch(self, cells: Mapping[str, Column]) -> bytes:
        """Return one record batch: a cell for each column and row, None where there is none."""
        rows = len(next(iter(cells.values())))
        body: list[bytes] = []
        sizes: list[int] = []
        absent: list[int] = []
        for name, code in self.columns.items():
            column = cells[name]
            missing = column.count(None)
            absent.append(missing)
            if code == "s":
                parts = [_validity(column) if missing else b"", *_strings(column)]
            elif not missing:
                parts = [b"", _packer(rows, code).pack(*column)]
            elif missing == rows:
                parts = _nothing(rows)
            else:
                known = [0 if cell is None else cell for cell in column]
                parts = [_validity(column), _packer(rows, code).pack(*known)]
            for part in parts:
                size = len(part)
                sizes.append(size)
                body.append(part if size % 8 == 0 else part + bytes(-size % 8))
        layout = (rows, *absent, *sizes)
        head = self._heads.get(layout)
        if head is None:
            if len(self._heads) > 64:
                self._heads.clear()
            head = self._heads[layout] = self._batch_head(rows, absent, sizes)
        return head + b"".join(body)

    def _batch_head(self, rows: int, absent: Sequence[int], sizes: Sequence[int]) -> bytes:
        """Return the message before the body; the same layout has the same head."""
        nodes = [number for missing in absent for number in (rows, missing)]
        buffers: list[int] = []
        at = 0
        for size in sizes:
            buffers.extend((at, size))
            at += size + -size % 8
        message = bytearray(self._template)
        struct.pack_into("<q", message, self._marks["rows"], rows)
        struct.pack_into(f"<{len(nodes)}q", message, self._marks["nodes"], *nodes)
        struct.pack_into(f"<{len(buffers)}q", message, self._marks["buffers"], *buffers)
        struct.pack_into("<q", message, self._marks["body"], at)
        return bytes(message)


@functools.cache
def _packer(rows: int, code: str) -> struct.Struct:
    return struct.Struct(f"<{rows}{code}")


@functools.cache
def _nothing(rows: int) -> list[bytes]:
    """Return the buffers of a numeric column without a single number."""
    return [bytes((rows + 7) // 8), bytes(8 * rows)]


def _strings(column: Column) -> list[bytes]:
    """Return the offsets and the bytes of a text column."""
    texts = [str(cell).encode() if cell is not None else b"" for cell in column]
    ends = [0]
    for text in texts:
        ends.append(ends[-1] + len(text))
    return [struct.pack(f"<{len(ends)}i", *ends), b"".join(texts)]


def _validity(column: Column) -> bytes:
    return _bits(bytes([cell is not None for cell in column]))


@functools.lru_cache(maxsize=256)
def _bits(present: bytes) -> bytes:
    """Pack one byte a row into one bit a row. The same few patterns come again and again."""
    bits = 0
    for row, there in enumerate(present):
        bits |= there << row
    return bits.to_bytes((len(present) + 7) // 8, "little")

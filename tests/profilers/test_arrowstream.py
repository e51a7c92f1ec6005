"""Our small Arrow writer, read back by pyarrow."""

import io

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from profilers.arrowstream import END_OF_STREAM, StreamEncoder

CELLS = {
    "q": st.none() | st.integers(-(2**63), 2**63 - 1),
    "d": st.none() | st.floats(allow_nan=False),
    "s": st.none() | st.text("aµ€𝄞 \n", max_size=12),
}
TYPES = {"q": pa.int64(), "d": pa.float64(), "s": pa.string()}


@st.composite
def tables(draw):
    codes = draw(st.lists(st.sampled_from("qds"), min_size=1, max_size=12))
    rows = draw(st.lists(st.integers(1, 20), min_size=1, max_size=4))
    columns = {f"c{number}-µ": code for number, code in enumerate(codes)}
    batches = [
        {
            name: draw(st.lists(CELLS[code], min_size=count, max_size=count))
            for name, code in columns.items()
        }
        for count in rows
    ]
    return columns, batches


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tables(), st.dictionaries(st.text("abc", min_size=1), st.text("xyz"), max_size=3))
def test_pyarrow_reads_what_we_wrote(table, metadata):
    columns, batches = table
    encoder = StreamEncoder(columns, metadata)
    stream = b"".join([encoder.head(), *map(encoder.batch, batches), END_OF_STREAM])
    with pa.ipc.open_stream(io.BytesIO(stream)) as reader:
        assert reader.schema.names == list(columns)
        assert [f.type for f in reader.schema] == [TYPES[code] for code in columns.values()]
        found = {k.decode(): v.decode() for k, v in (reader.schema.metadata or {}).items()}
        assert found == metadata
        read = reader.read_all()
    read.validate(full=True)
    expected = {name: [cell for batch in batches for cell in batch[name]] for name in columns}
    assert read.to_pydict() == expected


def test_every_message_starts_on_eight_bytes():
    encoder = StreamEncoder({"a": "q", "b": "s"}, {"k": "v"})
    assert len(encoder.head()) % 8 == 0
    assert len(encoder.batch({"a": [1, None, 3], "b": ["x", None, "zzz"]})) % 8 == 0


def test_an_unknown_column_type_is_refused():
    with pytest.raises(KeyError):
        StreamEncoder({"a": "x"}, {}).head()

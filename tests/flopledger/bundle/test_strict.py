"""JSON from strangers."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopledger.bundle import BundleError, strict
from tests.flopledger.bundle import attacks

_TEXT = st.text(st.characters(exclude_categories=["Cs"]))
_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**40), 10**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(_TEXT, inner),
    max_leaves=30,
)


@given(_VALUES)
def test_what_is_written_is_read_again(value: object) -> None:
    assert strict.loads(strict.dumps(value), what="it") == value
    assert strict.loads(strict.line(value), what="it") == value


@pytest.mark.parametrize(
    ("what", "data"),
    [one for one in attacks.sealed_json() if one[0] not in {"no object", "a million keys"}],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_hostile_json_is_refused_at_once(what: str, data: bytes) -> None:
    began = time.process_time()
    with pytest.raises(BundleError):
        strict.loads(data, what="it")
    assert time.process_time() - began < 1


def test_brackets_in_strings_are_no_depth() -> None:
    value = {"message": '[[{"\\' * 1000, "list": [[["\\"]]]}
    assert strict.loads(json.dumps(value).encode(), what="it") == value


def test_depth_is_counted_beside_strings() -> None:
    data = b'["]]]]\\"]",' * 65 + b"1" + b"]" * 65
    with pytest.raises(BundleError, match="nested"):
        strict.loads(data, what="it")


def test_size_is_bounded() -> None:
    with pytest.raises(BundleError, match="at most 10"):
        strict.loads(b" " * 11, what="it", max_bytes=10)


@given(st.binary(max_size=200))
def test_nothing_else_escapes(data: bytes) -> None:
    try:
        strict.loads(data, what="it")
    except BundleError:
        return

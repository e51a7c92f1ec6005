"""Times that somebody states."""

import pytest

from flopledger.errors import CaseError
from flopledger.stamps import stated


def test_a_time_is_given_in_utc():
    # 14:30 two hours ahead of UTC is 12:30.
    assert stated("2026-01-31T14:30:00+02:00", "--at", CaseError) == "2026-01-31T12:30:00+00:00"


@pytest.mark.parametrize(
    ("time", "words"),
    [
        ("yesterday", "--at: found 'yesterday'; expected 2026-01-31T12:00:00Z"),
        ("2026-01-31T12:00:00", "has no time zone"),
        # In UTC it would be the year 0, and the year 10000.
        ("0001-01-01T00:00:00+10:00", "--at: found '0001"),
        ("9999-12-31T23:59:59-10:00", "--at: found '9999"),
    ],
)
def test_what_is_no_time_is_said(time: str, words: str):
    with pytest.raises(CaseError, match=words):
        stated(time, "--at", CaseError)

"""Tests here trace models; without torch there is nothing to test."""

import pytest

pytest.importorskip("torch")


@pytest.fixture(autouse=True)
def _no_remembered_counts(tmp_path_factory, monkeypatch):
    """Nothing of the machine's own store of counts is read or written."""
    monkeypatch.setenv("FLOPLEDGER_CACHE", str(tmp_path_factory.mktemp("counts")))

"""A scaffold that nobody filled in says nothing, and every example in it is a key that exists."""

import re

import pytest

import flopledger as roof
from tests.command_line import flopledger


@pytest.fixture
def scaffold(tmp_path):
    path = tmp_path / "case.toml"
    assert flopledger("case", "new", path, "--title", "Example 7B").returncode == 0
    return path


def test_untouched_it_states_no_figure_and_gives_no_verdict(scaffold):
    report = roof.audit(roof.AuditCase.load(scaffold))

    assert report.verdict == "undetermined"
    assert report.claim is None
    assert report.estimates == []
    assert [one for one in report.standings if one.probability_exceeded is not None] == []


@pytest.mark.parametrize("key", ["flop = 8.4e22", "accelerator_hours = 1.0e5"])
def test_no_example_figure_stands_as_one(scaffold, key):
    assert f"# {key}" in scaffold.read_text()
    assert not re.search(rf"(?m)^{re.escape(key)}", scaffold.read_text())


def test_with_its_examples_uncommented_it_is_a_case_that_can_be_audited(scaffold):
    # Of evidence and [release] alone: no file lies there, and no provider does.
    text = scaffold.read_text()
    keys = re.sub(r"(?m)^# (?=\[|[a-z_]+ = )(?!evidence)", "", text)
    scaffold.write_text(keys)

    report = roof.audit(roof.AuditCase.load(scaffold), trace=False)

    # 6 x 1.3e9 active parameters x 2e12 tokens = 1.56e22
    assert report.estimates[0].flop.best == pytest.approx(1.56e22, rel=1e-6)
    assert report.claim is not None

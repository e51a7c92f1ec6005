"""A machine's calibration as evidence: comparisons and findings, never a figure of the run."""

import json

import pytest

from flopledger.facts import Finding
from flopledger.logs.document import Document
from flopledger.logs.notes import Notes
from flopledger.logs.reading import recognise


def told(tmp_path, text) -> Notes:
    path = tmp_path / "calibration.json"
    path.write_text(text if isinstance(text, str) else json.dumps(text, indent=2))
    document = Document(path, "calibration.json")
    reader = recognise(document)
    assert reader is not None
    assert reader.format == "flopledger-doctor"
    notes = Notes("calibration.json")
    reader.read(document, notes)
    return notes


def answer(flop=4e15, counter=505.0, power=500.0):
    check = {"precision": "bf16", "flop": flop, "bounds": {"low": 3e15, "high": 5e15}}
    device = {"energy": {"counter_watts": counter, "power_watts": power}}
    return {
        "schema": "flopledger/doctor/1",
        "sources": [{"name": "nvml", "devices": [device]}],
        "products": {"checks": [check]},
    }


def codes(findings: list[Finding]) -> set[str]:
    return {one.code for one in findings}


def test_comparisons_are_facts(tmp_path):
    notes = told(tmp_path, answer())
    values = {fact.name: fact.value for fact in notes.facts}
    assert values == {
        "energy_counter_over_power": pytest.approx(505 / 500),
        "known_product_low_over_true": pytest.approx(3 / 4),
        "known_product_high_over_true": pytest.approx(5 / 4),
    }
    assert codes(notes.findings) == {"calibration-read"}


@pytest.mark.parametrize("flop", [2.9e15, 5.2e15])
def test_the_ends_of_a_window_are_no_disagreement(tmp_path, flop):
    assert codes(told(tmp_path, answer(flop=flop)).findings) == {"calibration-read"}


@pytest.mark.parametrize("flop", [2.8e15, 5.3e15])
def test_a_product_outside_is_a_warning(tmp_path, flop):
    notes = told(tmp_path, answer(flop=flop))
    (warning,) = [one for one in notes.findings if one.severity == "warning"]
    assert warning.code == "calibration-disagrees"
    assert "bf16" in warning.message


@pytest.mark.parametrize(
    "text",
    [
        '{"schema": "flopledger/doctor/1"}',
        {"schema": "flopledger/doctor/1", "sources": 3, "products": [1]},
        {"schema": "flopledger/doctor/1", "products": {"checks": [{"flop": -1, "bounds": 2}]}},
        answer(flop=0, counter=None),
    ],
)
def test_nothing_compared_is_said(tmp_path, text):
    notes = told(tmp_path, text)
    assert notes.facts == []
    assert codes(notes.findings) == {"calibration-read"}

"""The store of counts: equal answers, never a stale one, and nothing that a stranger wrote."""

import dataclasses
import json
import os
import zlib
from pathlib import Path

import pytest

from flopcount.count import Coverage, Entry, Experts, RankCount, Term, Uncounted
from flopcount.model_files import remembered
from flopcount.model_files.counted_model import CountedModel, count_config

TINY = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 100,
}
QUESTION = {"batch": 1, "sequence": 8}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(TINY))
    return path


@pytest.fixture
def store(tmp_path, monkeypatch):
    folder = tmp_path / "store"
    monkeypatch.setenv("FLOPLEDGER_CACHE", str(folder))
    return folder


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """A count with every field filled."""
    path = tmp_path_factory.mktemp("full") / "config.json"
    path.write_text(json.dumps(TINY))
    counted = count_config(path, sequence=8)
    count = dataclasses.replace(
        counted.count,
        uncounted=(Uncounted(op="a.b", calls=2, shapes=("(2,) -> (3,)",), upper_bound=None),),
        coverage=Coverage(counted_ops=1, zero_by_rule=2, unknown=("a.b",), zero_reasons={"x": 2}),
        flop_bounds=(5, None),
        explained=(Term(name="t", flop=-3, reason="r"),),
        per_rank=RankCount(forward=1, backward=2, recompute=0, world_size=4),
        experts=Experts(products=3, rows=4, padded=0, exact=False),
        entries=(*counted.count.entries, Entry(module="m", op="o", dtype="bf16",
                 phase="recompute", calls=1, flop=10**40, masked=10**40)),
        optimizer=7,
    )  # fmt: skip
    return dataclasses.replace(counted, count=count, assumptions=("one",))


def test_every_field_comes_back_equal(store, file, full):
    remembered.remember(full, file, b"x", QUESTION)
    assert remembered.recall(CountedModel, file, b"x", QUESTION) == full
    (kept,) = store.glob("*.count")
    assert kept.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("change", ["content", "path", "question", "program", "library"])
def test_anything_that_may_matter_asks_anew(store, file, full, monkeypatch, change):
    remembered.remember(full, file, b"x", QUESTION)
    content, path, question = b"x", file, QUESTION
    if change == "content":
        content = b"y"
    elif change == "path":
        path = file.parent / "other.json"
    elif change == "question":
        question = {**QUESTION, "batch": 2}
    elif change == "program":
        monkeypatch.setattr(remembered, "_program", lambda: "another")
    else:
        monkeypatch.setattr(remembered, "_version", lambda name: "0")
    assert remembered.recall(CountedModel, path, content, question) is None


@pytest.mark.parametrize(
    "damage", ["cut", "noise", "wrong type", "missing key", "bomb", "writable"]
)
def test_a_file_that_does_not_fit_is_as_good_as_absent(store, file, full, damage, monkeypatch):
    remembered.remember(full, file, b"x", QUESTION)
    (kept,) = store.glob("*.count")
    whole = zlib.decompress(kept.read_bytes())
    answer = json.loads(whole)
    if damage == "cut":
        kept.write_bytes(kept.read_bytes()[:-20])
    elif damage == "noise":
        kept.write_bytes(os.urandom(100))
    elif damage == "wrong type":
        answer["count"]["forward"] = "many"
        kept.write_bytes(zlib.compress(json.dumps(answer).encode()))
    elif damage == "missing key":
        del answer["count"]["forward"]
        kept.write_bytes(zlib.compress(json.dumps(answer).encode()))
    elif damage == "bomb":
        monkeypatch.setattr(remembered, "LARGEST", 1000)
    else:
        kept.chmod(0o666)
    assert remembered.recall(CountedModel, file, b"x", QUESTION) is None


def test_nothing_is_kept_when_told_so_or_where_it_cannot_be(file, full, monkeypatch, tmp_path):
    monkeypatch.setenv("FLOPLEDGER_CACHE", "off")
    remembered.remember(full, file, b"x", QUESTION)
    assert remembered.recall(CountedModel, file, b"x", QUESTION) is None
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the folder should be")
    monkeypatch.setenv("FLOPLEDGER_CACHE", str(blocked / "store"))
    remembered.remember(full, file, b"x", QUESTION)
    assert remembered.recall(CountedModel, file, b"x", QUESTION) is None


def test_the_oldest_are_forgotten(store, file, full, monkeypatch):
    monkeypatch.setattr(remembered, "MOST_FILES", 3)
    for batch in range(5):
        remembered.remember(full, file, b"x", {"batch": batch})
    assert len(list(store.glob("*.count"))) == 3
    assert not list(store.glob(".draft*"))


def test_weights_beside_the_file_are_compared_every_time(store, file):
    """The store keeps the trace; what lies in the folder may change under the same config."""
    import torch
    from safetensors.torch import save_file

    step = {"sequence": 8, "remembered": True}
    assert count_config(file, **step).findings == ()
    save_file({"w": torch.zeros(3)}, Path(file).parent / "model.safetensors")
    counted = count_config(file, **step)
    assert "remembered" in counted.count.notes[0]
    assert [finding.code for finding in counted.findings] == ["config-weights-mismatch"]

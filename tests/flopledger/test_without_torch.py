"""What an audit says of a model where torch is not installed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from flopledger import AuditCase, audit
from flopledger.methods import counted

CASE = """\
schema = "flopledger/case/1"
title = "t"
[model.base]
config = "config.json"
[[run]]
name = "r"
model = "base"
tokens = 1e9
sequence_length = 8
"""
LLAMA = {
    "model_type": "llama", "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
    "num_key_value_heads": 2, "intermediate_size": 16, "vocab_size": 32,
}  # fmt: skip


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (LLAMA, "the closed form stands alone"),
        ({"model_type": "of-nobody"}, "there is no closed form either: .*of-nobody"),
    ],
)
def test_it_says_what_stands_in_for_the_trace(
    tmp_path: Path, monkeypatch: Any, config: dict[str, Any], words: str
) -> None:
    (tmp_path / "case.toml").write_text(CASE)
    (tmp_path / "config.json").write_text(json.dumps(config))
    monkeypatch.setattr(counted, "find_spec", lambda name: None)
    report = audit(AuditCase.load(tmp_path / "case.toml"))
    (said,) = [one for one in report.findings if one.code == "trace-missing"]
    assert re.search(words, said.message)

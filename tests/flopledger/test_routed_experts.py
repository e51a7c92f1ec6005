"""A mixture whose class in the library computes every expert for every token, in an audit."""

import json
from pathlib import Path

import pytest

from flopledger.auditing import audit
from flopledger.cases.case import AuditCase

pytest.importorskip("torch")
pytest.importorskip("transformers")

CONFIG = {
    "model_type": "llama4_text",
    "architectures": ["Llama4ForCausalLM"],
    "hidden_size": 64,
    "intermediate_size": 128,
    "intermediate_size_mlp": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "num_local_experts": 16,
    "num_experts_per_tok": 1,
    "interleave_moe_layer_step": 1,
    "vocab_size": 512,
    "tie_word_embeddings": False,
}
CASE = """schema = "flopledger/case/1"
title = "t"
[claim]
flop = {claim}
[model.m]
config = "config.json"
[[run]]
name = "r"
model = "m"
tokens = 1e9
"""
#: A layer: queries and outputs 2 x 64^2, keys and values 2 x 64 x 32, router 64 x 16, the shared and one
#: routed expert 2 x 3 x 64 x 128; the head 64 x 512.
MET = 2 * (2 * 64**2 + 2 * 64 * 32 + 64 * 16 + 2 * 3 * 64 * 128) + 64 * 512


@pytest.mark.parametrize(("factor", "verdict"), [(1, "consistent"), (4, "inconsistent")])
def test_only_what_a_router_sends_is_held_against_a_claim(
    tmp_path: Path, factor: float, verdict: str
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    case = tmp_path / "case.toml"
    case.write_text(CASE.format(claim=f"{factor * 6 * MET * 1e9:.3e}"))
    report = audit(AuditCase.load(case))
    (counted,) = [one for one in report.runs[0].estimates if one.method == "counted"]
    assert counted.flop.best == pytest.approx(6 * MET * 1e9, rel=0.01)
    assert any("no router sends" in one for one in counted.assumptions)
    assert str(report.verdict) == verdict


LONGCAT = {
    "model_type": "longcat_flash", "architectures": ["LongcatFlashForCausalLM"],
    "hidden_size": 64, "num_layers": 2, "num_attention_heads": 4, "vocab_size": 500,
    "ffn_hidden_size": 96, "expert_ffn_hidden_size": 480, "n_routed_experts": 8,
    "zero_expert_num": 8, "moe_topk": 4, "kv_lora_rank": 16, "q_lora_rank": 24, "head_dim": 8,
    "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 16, "num_key_value_heads": 4,
}  # fmt: skip
#: A choice passes 3 matrices of 64 x 480; none to four of a layer's four choices have weights.
CHOICES = 2 * 4 * 3 * 64 * 480


def test_experts_without_weights_span_the_estimate(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LONGCAT))
    case = tmp_path / "case.toml"
    case.write_text(CASE.format(claim="1e15") + "sequence_length = 64\n")
    report = audit(AuditCase.load(case))
    (counted,) = [one for one in report.runs[0].estimates if one.method == "counted"]
    low, high = counted.flop.low, counted.flop.high
    assert low is not None
    assert high is not None
    assert high - low > 0.9 * 6 * CHOICES * 1e9
    assert "routing-unknown" in {one.code for one in report.findings}

"""Public disclosures as case files, for the benchmarks."""

import json
from pathlib import Path
from typing import Any

#: Key of a record's ``arch`` -> key of a case's ``architecture``.
_DIMENSIONS = {
    "n_layers": "layers",
    "d_model": "hidden",
    "n_heads": "heads",
    "n_kv_heads": "kv_heads",
    "head_dim": "head_dim",
    "d_ff": "ffn",
    "ffn_matrices": "ffn_matrices",
    "vocab_size": "vocabulary",
    "tied_embeddings": "tied_embeddings",
}


def load(path: Path) -> list[dict[str, Any]]:
    """Read the records."""
    found: list[dict[str, Any]] = json.loads(path.read_text())["records"]
    return found


def six_nd(record: dict[str, Any]) -> float | None:
    """6 x active parameters x tokens."""
    count = record["params_active_per_token_count"] or record["params_total_count"]
    tokens = record["train_tokens_seen_count"]
    return 6 * count * tokens if count and tokens else None


def case_text(record: dict[str, Any]) -> str:
    """Write the record as an auditor would: what is known, nothing that was derived from it.

    A record with ``clock`` (keys of a case) is written with those in place of its device-hours.
    """
    lines = ['schema = "flopledger/case/1"', f"title = {json.dumps(record['name'])}"]
    if record["disclosed_training_flop"]:
        lines += ["[claim]", f"flop = {_number(record['disclosed_training_flop'])}"]
    lines += ["[model.m]", *_model(record), "[[run]]", 'name = "training"', 'model = "m"']
    figures = {
        "tokens": record["train_tokens_seen_count"],
        **(record.get("clock") or {"accelerator_hours": record["chip_hours"]}),
        "mfu": record["disclosed_mfu_fraction"],
        "hfu": record["disclosed_hfu_fraction"],
    }
    lines += [f"{key} = {_number(value)}" for key, value in figures.items() if value]
    if record["arch"] and record["arch"].get("train_seq_len_tokens"):
        lines.append(f"sequence_length = {record['arch']['train_seq_len_tokens']}")
    if record["chip_name"]:
        lines.append(f"accelerator = {json.dumps(record['chip_name'])}")
    if record["train_precision"]:
        lines.append(f"precision = {json.dumps(record['train_precision'])}")
    return "\n".join(lines) + "\n"


def _model(record: dict[str, Any]) -> list[str]:
    lines = [f"parameters = {_number(record['params_total_count'])}"]
    if record["params_active_per_token_count"]:
        lines.append(f"active_parameters = {_number(record['params_active_per_token_count'])}")
    arch = record["arch"]
    is_decoder = record["objective"] == "decoder" and not record["params_active_per_token_count"]
    if arch and is_decoder and all(arch.get(key) for key in ("n_layers", "d_model", "vocab_size")):
        known = {_DIMENSIONS[key]: arch[key] for key in _DIMENSIONS if arch.get(key) is not None}
        inner = ", ".join(f"{key} = {json.dumps(value)}" for key, value in known.items())
        lines.append(f"architecture = {{ {inner} }}")
    return lines


def _number(value: float) -> str:
    return f"{value:.6g}"

"""The trainable weights of a LoRA adapter, from its rank, its targets and the shape of its base.

rank x (inputs + outputs) a target and layer
"""

from collections.abc import Mapping

from flopledger.logs.evidence import Evidence
from flopledger.logs.run_facts import Resolved

_ALL = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def trainable(evidence: Evidence, shape: Mapping[str, int | str | bool] | None) -> Resolved | None:
    """Count them; ``None`` where a target is not one of a plain decoder's matrices."""
    ranks, targets = evidence.named("adapter_rank"), evidence.named("adapter_targets")
    if not ranks or not targets or shape is None or evidence.named("modules_to_save"):
        return None
    sizes = _sizes(shape)
    if sizes is None or len({str(fact.value) for fact in targets}) > 1:
        return None
    names = str(targets[0].value).split(",")
    names = list(_ALL) if names == ["all-linear"] else names
    if not names or any(name not in sizes for name in names):
        return None
    rank, layers = int(ranks[0].value), int(shape["layers"])
    total = layers * sum(rank * sum(sizes[name]) for name in names)
    return Resolved(
        value=total,
        unit="parameters",
        facts=(ranks[0], targets[0]),
        derivation=f"{layers} layers x rank {rank} x (inputs + outputs) of {', '.join(names)}",
    )


def _sizes(shape: Mapping[str, int | str | bool]) -> dict[str, tuple[int, int]] | None:
    """Inputs and outputs of each matrix of a gated or plain decoder."""
    keys = ("layers", "hidden", "heads", "kv_heads", "head_dim", "ffn")
    if any(not isinstance(shape.get(key), int) for key in keys):
        return None
    hidden, ffn = int(shape["hidden"]), int(shape["ffn"])
    queries = int(shape["heads"]) * int(shape["head_dim"])
    keys_out = int(shape["kv_heads"]) * int(shape["head_dim"])
    return {
        "q_proj": (hidden, queries),
        "k_proj": (hidden, keys_out),
        "v_proj": (hidden, keys_out),
        "o_proj": (queries, hidden),
        "gate_proj": (hidden, ffn),
        "up_proj": (hidden, ffn),
        "down_proj": (ffn, hidden),
        "query_key_value": (hidden, queries + 2 * keys_out),
        "c_attn": (hidden, queries + 2 * keys_out),
    }

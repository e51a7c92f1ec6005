"""Counting the parameters of a built model: total, trainable, met by one token."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_TOP_K = (
    "num_experts_per_tok", "num_experts_per_token", "experts_per_token", "moe_topk", "moe_top_k",
    "top_k_experts", "moe_k", "num_selected_experts", "expert_top_k",
)  # fmt: skip
_FIXED = {"switch_transformers": 1, "nllb-moe": 2}
_NESTED = ("text_config", "llm_config", "language_config", "ffn_config", "thinker_config")


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterCount:
    """Numbers of parameters of a model; a tied weight counts once."""

    total: int
    trainable: int | None
    """Parameters that require a gradient; None where only files were read."""
    active: int | None
    """Parameters that one token meets; None where it is unknown which experts it passes."""
    total_without_embeddings: int | None
    """``total`` less the lookup tables; a head tied to one goes with it. None: names unknown."""
    active_without_embeddings: int | None


def count_parameters(model: Any, config: Mapping[str, Any]) -> ParameterCount:
    """Count the parameters of a built model.

    A mixture's experts are recognised as a module that stores their weights in one tensor with an
    axis of ``num_experts``, or as a list ``experts`` of equal modules. How many of them a token
    passes is read from ``config``.
    """
    import torch

    distinct = {id(p): p for p in model.parameters()}
    tables = {
        id(module.weight): module.weight.numel()
        for module in model.modules()
        if isinstance(module, torch.nn.Embedding | torch.nn.EmbeddingBag)
    }
    total = sum(p.numel() for p in distinct.values())
    embedded = sum(tables.values())
    experts = list(expert_groups(model))
    chosen = experts_per_token(config)
    active: int | None = total
    if (experts and chosen is None) or _has_unknown_experts(model):
        active = None
    elif experts and chosen is not None:
        active = total - sum(size - size * min(chosen, n) // n for size, n in experts)
    return ParameterCount(
        total=total,
        trainable=sum(p.numel() for p in distinct.values() if p.requires_grad),
        active=active,
        total_without_embeddings=total - embedded,
        active_without_embeddings=None if active is None else active - embedded,
    )


def experts_per_token(config: Mapping[str, Any]) -> int | None:
    """Return the number of routed experts that a token passes, as the config names it."""
    for name in _TOP_K:
        value = config.get(name)
        if isinstance(value, list) and value and all(item == value[0] for item in value):
            value = value[0]  # one number a layer
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    for name in _NESTED:
        inner = config.get(name)
        if isinstance(inner, Mapping):
            found = experts_per_token(inner)
            if found is not None:
                return found
    # Families that have no key for it: their routers choose one, or two, and nothing else.
    return _FIXED.get(str(config.get("model_type")))


def expert_groups(model: Any) -> Iterator[tuple[int, int]]:
    """Yield (parameters of all experts, number of experts) of each group of routed experts."""
    for _, stored, number in expert_modules(model):
        yield stored, number


def expert_modules(model: Any) -> Iterator[tuple[str, int, int]]:
    """Yield the module's name before what :func:`expert_groups` says of it."""
    import torch

    for name, module in model.named_modules():
        kind, number = type(module).__name__, _number_of_experts(module)
        stored = sum(
            p.numel()
            for p in module.parameters(recurse=False)
            if number is not None and p.ndim >= 2 and p.shape[0] % number == 0
        )
        if "Expert" in kind and stored and number is not None:
            yield name, stored, number
        elif name.rpartition(".")[2] == "experts" and isinstance(
            module, torch.nn.ModuleList | torch.nn.ModuleDict
        ):
            members = [sum(p.numel() for p in member.parameters()) for member in module.children()]
            sizes = [size for size in members if size]  # a dropout beside them is no expert
            if len(sizes) > 1 and len(set(sizes)) == 1:
                yield name, sum(sizes), len(sizes)


def _has_unknown_experts(model: Any) -> bool:
    """Whether experts store weights that :func:`expert_modules` makes nothing of.

    LongCat's are one tensor of real and of empty experts: how many a token passes is data.
    """
    known = {name for name, _, _ in expert_modules(model)}
    for name, module in model.named_modules():
        if "Expert" not in type(module).__name__ or "Shared" in type(module).__name__:
            continue
        own = any(p.ndim >= 3 for p in module.parameters(recurse=False))
        if own and name not in known:
            return True
    return False


def _number_of_experts(module: Any) -> int | None:
    """The number that a module holding all experts in one tensor gives itself.

    The tensor's first axis is the expert, or (DBRX) experts and their rows in one.
    """
    for name in ("num_experts", "moe_num_experts"):
        number = getattr(module, name, None)
        if isinstance(number, int) and not isinstance(number, bool) and number > 1:
            return number
    return None

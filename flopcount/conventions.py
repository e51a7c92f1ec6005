"""One trace, every convention. No torch.

``dense``, ``masked`` and ``hardware`` read the ledger; ``torch`` charges what torch's own counter
charges for the same ops; the other presets are rules of the field, written in a model's dimensions,
and reproduced to the FLOP with each step from the dense figure named.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from flopcount.count import Convention, FlopCount, Term
from flopcount.errors import ConventionError
from flopcount.facts import Facts, facts_of

Rule = Callable[[Facts], int]


def six_nd(facts: Facts) -> int:
    """``6·N·D``: every parameter, every token (Kaplan et al., 2020, arXiv:2001.08361)."""
    return 6 * facts.parameters.total * facts.tokens


def hf_trainer(facts: Facts) -> int:
    """``6 · tokens · parameters outside lookup tables``; a tied head disappears with its table.

    Source: transformers, ``Trainer.floating_point_ops``.
    """
    return 6 * facts.parameters.hf_counted * facts.tokens


def nanogpt(facts: Facts) -> int:
    """``6·N + 12·L·H·Q·T`` a token, N without position tables.

    Source: nanoGPT, ``GPT.estimate_mfu``; after appendix B of arXiv:2204.02311.
    """
    layers, heads, head = facts.need("nanogpt", "layers", "heads", "head_dim")
    counted = facts.parameters.total - facts.parameters.position
    return facts.tokens * (6 * counted + 12 * layers * heads * head * facts.sequence)


def torchtitan(facts: Facts) -> int:
    """``6 · active parameters + 6·L·H·(Dqk + Dv)·S`` a token.

    Lookup tables count only when they are also the head; experts by the share that is chosen; a
    sliding window shortens the attended length. Source: torchtitan, ``models/utils.py``.
    """
    layers, heads, head, value = facts.need(
        "torchtitan", "layers", "heads", "head_dim", "value_dim"
    )
    parameters = facts.parameters
    active = parameters.total - parameters.embedding - parameters.experts
    if facts.experts:
        (chosen,) = facts.need("torchtitan", "experts_per_token")
        active += parameters.experts * chosen // facts.experts
    length = min(facts.sequence, facts.window or facts.sequence)
    return facts.tokens * (6 * active + 6 * layers * heads * (head + value) * length)


def megatron(facts: Facts) -> int:
    """Projections, feed-forward layers, head and half the attention, three times the forward.

    No router, no recomputation; latent attention counts one more per compressed channel for its
    norms. Source: Megatron-LM, ``num_floating_point_operations`` in ``training.py``.
    """
    layers, hidden, ffn, vocabulary = facts.need(
        "megatron", "layers", "hidden", "ffn", "vocabulary"
    )
    dense_layers = layers - facts.expert_layers
    widths = ffn * dense_layers
    if facts.experts:
        expert_ffn, chosen = facts.need("megatron", "expert_ffn", "experts_per_token")
        widths += (expert_ffn * chosen + facts.shared_ffn) * facts.expert_layers
    a_token = hidden * widths * facts.ffn_matrices
    a_token += layers * _megatron_projections(facts) + hidden * vocabulary
    heads, head, value = facts.need("megatron", "heads", "head_dim", "value_dim")
    halves = layers * heads * (head + value) * facts.sequence
    return facts.tokens * (6 * a_token + 3 * halves)


def _megatron_projections(facts: Facts) -> int:
    """Weights of one attention layer, as Megatron counts them."""
    hidden, heads, head, value = facts.need("megatron", "hidden", "heads", "head_dim", "value_dim")
    if facts.kv_lora_rank is None:
        (kv_heads,) = facts.need("megatron", "kv_heads")
        return hidden * head * (heads + 2 * kv_heads) + heads * head * hidden
    (rope,) = facts.need("megatron", "rope_dim")
    queries = hidden * heads * head
    if facts.q_lora_rank is not None:
        queries = facts.q_lora_rank * (hidden + heads * head + 1)
    keys = facts.kv_lora_rank * (hidden + heads * (head - rope + value) + 1)
    return queries + keys + hidden * rope + heads * value * hidden


RULES: dict[str, tuple[Rule, Convention]] = {
    "megatron": (
        megatron,
        Convention(name="megatron", causal_attention="half", source="Megatron-LM training.py"),
    ),
    "torchtitan": (
        torchtitan,
        Convention(name="torchtitan", source="torchtitan models/utils.py"),
    ),
    "nanogpt": (
        nanogpt,
        Convention(name="nanogpt", embeddings="included", source="nanoGPT model.py"),
    ),
    "hf-trainer": (
        hf_trainer,
        Convention(name="hf-trainer", causal_attention="none", source="transformers trainer.py"),
    ),
    "6nd": (
        six_nd,
        Convention(
            name="6nd",
            causal_attention="none",
            embeddings="included",
            source="arXiv:2001.08361",
        ),
    ),
}
MOST_APART = 20
"""A rule's dimensions may miss one of so many FLOP of a traced forward pass."""
NAMES = ("dense", "masked", "hardware", "torch", *RULES)


def check(convention: str) -> None:
    """Refuse an unknown name before anything is traced.

    Raises:
        ConventionError: for a name that is none of ours.

    """
    if convention not in NAMES:
        raise ConventionError(
            f"there is no convention {convention!r}; choose one of {', '.join(NAMES)}"
        )


def state(
    dense: FlopCount, convention: str, model: Any, args: Any, kwargs: Any, *, backward: bool
) -> FlopCount:
    """The same trace stated by another convention, with the way there explained.

    Raises:
        ConventionError: when the rule does not fit the model.

    """
    if convention == "dense":
        return dense
    if convention in RULES:
        if not backward:
            raise ConventionError(
                f"the rule {convention!r} states a training step; found backward=False; "
                "use convention='dense' for a forward pass"
            )
        rule, stated = RULES[convention]
        facts = facts_of(model, args, kwargs, convention)
        if stated.causal_attention != "none" and not dense.attention_flop:
            raise ConventionError(
                f"the rule {convention!r} charges attention; the trace found none in the model; "
                "use convention='dense'"
            )
        total = rule(facts)
        if convention == "megatron":
            _check_dimensions(dense, facts, total)
        terms = rule_terms(dense, facts, convention, total)
    else:
        stated, terms = _from_ledger(dense, convention)
        total = dense.total + sum(term.flop for term in terms)
    bounds = dense.flop_bounds if convention in ("masked", "hardware") else None
    if bounds is not None:
        low, high = bounds
        move = total - dense.total
        bounds = low + move, None if high is None else high + move
    return replace(
        dense, total=total, convention=stated, explained=tuple(terms), flop_bounds=bounds
    )


def _check_dimensions(dense: FlopCount, facts: Facts, total: int) -> None:
    """Hold a forward pass by the rule's dimensions against the forward pass that was traced.

    Half the attention and the router are what the rule leaves out. Heads of encoders move a figure by
    2%; more means that the model multiplies what no dimension of the rule tells.

    Raises:
        ConventionError: the two are further apart.

    """
    forward = [entry for entry in dense.entries if entry.phase == "forward"]
    found = sum(entry.flop for entry in forward)
    left_out = sum(entry.attention for entry in forward) // 2
    if facts.experts:
        left_out += 2 * facts.tokens * facts.experts * (facts.hidden or 0) * facts.expert_layers
    stated = total // 3
    if abs(stated - (found - left_out)) * MOST_APART > found:
        raise ConventionError(
            f"the rule 'megatron' does not know this architecture: by its dimensions a forward pass is "
            f"{stated:.4g} FLOP, traced without the router and half the attention it is "
            f"{found - left_out:.4g}; use convention='dense'"
        )


def _from_ledger(dense: FlopCount, convention: str) -> tuple[Convention, list[Term]]:
    if convention == "masked":
        terms = [
            Term(
                name="masked pairs",
                flop=dense.masked_total - dense.total,
                reason="query-key pairs that a mask forbids are left out",
            )
        ]
        return Convention(name="masked", causal_attention="masked"), _present(terms)
    if convention == "hardware":
        terms = [
            Term(name="recomputation", flop=dense.recompute, reason="checkpoints run again"),
            Term(
                name="scores again",
                flop=dense.rescored,
                reason="fused attention kernels compute the scores again in their backward",
            ),
        ]
        return Convention(name="hardware", recompute="included"), _present(terms)
    sums: dict[str, int] = {}
    for entry in dense.entries:
        if entry.torch != entry.flop:
            sums[entry.op] = sums.get(entry.op, 0) + entry.torch - entry.flop
    terms = [Term(name="recomputation", flop=dense.recompute, reason="not told apart")]
    terms += [
        Term(name=op, flop=flop, reason=TORCH_REASONS.get(op, "torch has no formula for it"))
        for op, flop in sorted(sums.items(), key=lambda item: -abs(item[1]))
    ]
    return (
        Convention(name="torch", recompute="included", source="torch.utils.flop_counter"),
        _present(terms),
    )


TORCH_REASONS = {
    "aten.convolution_backward": "its weight gradient is multiplied by the number of groups",
    "aten._scaled_dot_product_flash_attention_backward": "it counts the scores twice",
    "aten._scaled_dot_product_efficient_attention_backward": "it counts the scores twice",
    "aten._scaled_dot_product_cudnn_attention_backward": "it counts the scores twice",
}


def rule_terms(dense: FlopCount, facts: Facts, rule: str, total: int) -> list[Term]:
    """From the dense trace to a rule, each step named; what no name covers is said last."""
    six, parameters = 6 * facts.tokens, facts.parameters
    terms: list[Term] = []

    def add(name: str, flop: int, reason: str) -> None:
        terms.append(Term(name=name, flop=flop, reason=reason))

    if rule in ("hf-trainer", "6nd"):
        add("attention", -dense.attention_flop, "scores and values have no parameters")
    if rule == "megatron":
        pairs = facts.need(rule, "layers", "heads", "head_dim", "value_dim")
        half = 3 * facts.tokens * pairs[0] * pairs[1] * (pairs[2] + pairs[3]) * facts.sequence
        add("causal half", half - dense.attention_flop, "attention counts as S²/2")
        if facts.experts:
            router = six * facts.experts * (facts.hidden or 0) * facts.expert_layers
            add("router", -router, "the router's projection is left out")
        if facts.kv_lora_rank is not None:
            norms = six * (facts.layers or 0) * (facts.kv_lora_rank + (facts.q_lora_rank or 0))
            add("latent norms", norms, "norms of the latent channels count as products")
    if rule != "megatron":
        add("vectors", six * parameters.vectors, "norm scales and biases count as matrices")
    if rule in ("nanogpt", "6nd"):
        left_out = parameters.position if rule == "nanogpt" else 0
        add(
            "lookup tables",
            six * (parameters.embedding - left_out),
            "embedding tables count as matrices",
        )
    if rule == "hf-trainer":
        add("tied head", -six * parameters.tied_embedding, "the head goes with its tied table")
    if rule in ("nanogpt", "6nd", "hf-trainer") and facts.experts:
        idle = parameters.experts - parameters.experts * (facts.experts_per_token or 0) // max(
            facts.experts, 1
        )
        add("idle experts", six * idle, "experts count whether chosen or not")
    terms = _present(terms)
    rest = total - dense.total - sum(term.flop for term in terms)
    if rest:
        reason = (
            "what the trace did otherwise, e.g. gradients that nothing needed, towers without input"
        )
        terms = [*terms, Term(name="rest", flop=rest, reason=reason)]
    return terms


def _present(terms: list[Term]) -> list[Term]:
    return [term for term in terms if term.flop]


def explain(first: FlopCount, second: FlopCount) -> tuple[Term, ...]:
    """From one stated figure to another of the same trace, term by term; the terms sum to the gap.

    Raises:
        ConventionError: when the counts are not of the same trace.

    """
    if first.entries != second.entries:
        raise ConventionError(
            "two conventions can be explained only on one trace; found counts of different steps; "
            "count the same model and inputs for both"
        )
    steps: dict[tuple[str, str], int] = {}
    for term in first.explained:
        key = (term.name, term.reason)
        steps[key] = steps.get(key, 0) - term.flop
    for term in second.explained:
        key = (term.name, term.reason)
        steps[key] = steps.get(key, 0) + term.flop
    return tuple(
        Term(name=name, flop=flop, reason=reason) for (name, reason), flop in steps.items() if flop
    )

"""Notices a class that sends every token through every expert and multiplies the result by zero.

What executes is counted, but no trainer of such a model executes it: the routed work is what its
mathematics needs, and for many experts a small part of the count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flopcount.findings import Finding
from flopcount.parameters import expert_modules, experts_per_token

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flopcount.count import FlopCount


def idle_experts(
    model: Any, config: Mapping[str, Any], count: FlopCount, tokens: int, source: object
) -> Finding | None:
    """Compare the rows that experts multiplied with those that a router sends to them."""
    groups = list(expert_modules(model))
    chosen = experts_per_token(config)
    number = max((number for _, _, number in groups), default=0)
    if chosen is None or chosen >= number:
        return None
    forward = total = 0
    for name, _, _ in groups:
        for entry in count.entries:
            if entry.module == name or entry.module.startswith(f"{name}."):
                total += entry.flop
                forward += entry.flop if entry.phase == "forward" else 0
    # A stored weight costs 2 FLOP a row; rows of every expert are the tokens where all compute.
    if forward < 2 * tokens * sum(stored for _, stored, _ in groups) * 9 // 10:
        return None
    idle = total - total * chosen // number
    return Finding(
        code="experts-all-computed",
        severity="warning",
        message=(
            f"the library's class sends every token through all {number} experts of a layer, of "
            f"which {chosen} count; {idle:,} FLOP of this count are multiplied by zero, and a "
            f"trainer that routes tokens spends {count.forward + count.backward - idle:,}"
        ),
        evidence=(str(source),),
    )

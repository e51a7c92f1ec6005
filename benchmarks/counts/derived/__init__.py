"""Cases whose exact FLOP follow from arithmetic on paper, written beside each, by family of ops.

``F`` is the forward, ``B`` the backward. A product of ``m×k`` by ``k×n`` is ``2·m·k·n``.
"""

from __future__ import annotations

from benchmarks.counts.derived import (
    algebra,
    attention,
    control,
    convolutions,
    free,
    products,
    recurrent,
)

CASES = [
    case
    for family in (products, convolutions, attention, recurrent, algebra, control, free)
    for case in family.CASES
]

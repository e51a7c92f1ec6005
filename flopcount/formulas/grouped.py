"""Grouped matrix products: the experts of a mixture. Every row meets its own group's matrix only.

The FLOP therefore depend on how many rows lie inside a group and not on the number of groups. The
group ends (``offs``) are data: on real tensors the last one is read; without data it may follow from
how the routing was computed (:mod:`flopcount.routing`); else every row counts, which is an upper
bound, and none is the lower one.
"""

from __future__ import annotations

from typing import Any

from flopcount.registry import Call, Cost, call_formula
from flopcount.routing import last_of


@call_formula("aten::_grouped_mm", "aten::_scaled_grouped_mm", "aten::_scaled_grouped_mm_v2")
def grouped_mm(call: Call) -> Cost:
    """Four layouts of ``a x b``.

    ``(t, k) x (g, k, n)``: ``2·t·k·n``. ``(g, m, k) x (k, t)``: ``2·m·k·t``.
    ``(m, t) x (t, n)``, the weight gradient, ``t`` split into groups: ``2·m·t·n``.
    ``(g, m, k) x (g, k, n)``: ``2·g·m·k·n``.
    """
    a, b = call.shape("self"), call.shape("mat2")
    offsets = call.get("offs")
    packed = 2 if "float4" in str(call.arguments["self"].dtype) else 1
    if len(a) == 2 and len(b) == 3:
        rows, exact = used_rows(offsets, a[0])
        return Cost(2 * packed * rows * a[1] * b[2], rows=rows, padded=a[0] - rows, exact=exact)
    if len(a) == 3 and len(b) == 2:
        rows, exact = used_rows(offsets, b[1])
        return Cost(2 * packed * a[1] * a[2] * rows, rows=rows, padded=b[1] - rows, exact=exact)
    if len(a) == 2:
        rows, exact = used_rows(offsets, a[1])
        return Cost(2 * packed * a[0] * rows * b[1], exact=exact)
    return Cost(2 * packed * a[0] * a[1] * a[2] * b[2])


def used_rows(offsets: Any, rows: int) -> tuple[int, bool]:
    """Rows that lie inside a group, and whether that was read from real routing."""
    if offsets is None:
        return rows, True
    if offsets.device.type == "cpu" and type(offsets).__name__ == "Tensor":
        return min(rows, int(offsets[-1])), True
    proven = last_of(offsets)
    return (rows, False) if proven is None else (min(rows, proven), True)

"""Every derived case: ours, torch's counter and the peers beside the arithmetic on paper."""

from __future__ import annotations

from collections import Counter

import flopcount
from benchmarks.counts.derived import CASES
from benchmarks.counts.page import plot, write
from benchmarks.counts.peers import (
    RUNNERS,
    Wrapped,
    full_step,
    has_parameters,
    quiet,
    unpatched,
)


def run_cases(_options):
    """Each case: ours and torch's forward and backward, the peers' forward."""
    rows, exact, raised = [], Counter(), Counter()
    names = ["ours", "torch, forward and backward", *RUNNERS]
    for case in CASES:
        truth = case.forward + case.backward
        model, args = case.make()
        ours = quiet(lambda m, a, o: flopcount.count(m, *a, **o), model, args, case.options)
        right = not isinstance(ours, str) and (ours.forward, ours.backward) == (
            case.forward,
            case.backward,
        )
        marks = ["exact" if right else str(ours)]
        model, args = case.make()
        theirs = quiet(full_step, model, args)
        whole = truth + case.recompute
        marks.append(ratio(theirs, whole))
        for runner in RUNNERS.values():
            model, args = case.make()
            module = model if has_parameters(model) else Wrapped(model)
            with unpatched():
                marks.append(ratio(quiet(runner, module, args), case.forward))
        exact.update(name for name, mark in zip(names, marks, strict=True) if mark == "exact")
        raised.update(n for n, mark in zip(names, marks, strict=True) if mark.isidentifier())
        rows.append(f"| {case.name} | {case.forward:,} | {case.backward:,} | {' | '.join(marks)} |")
    table = [
        f"| case | forward | backward | {' | '.join(names)} |",
        "|---" * (len(names) + 3) + "|",
    ]
    best = ", ".join(f"{name} {exact[name]}" for name in names)
    raised.subtract(exact)
    raised = Counter({name: number for name, number in raised.items() if number > 0})
    failed = ", ".join(f"{name} {number}" for name, number in raised.items())
    bars = [
        (n, {"exact": exact[n], "raised": raised[n], "wrong": len(CASES) - exact[n] - raised[n]})
        for n in names
    ]
    plot("cases", f"Exact of {len(CASES)} derived cases, forward FLOP", bars, len(CASES))
    write(
        "cases",
        f"Exact of {len(CASES)}: {best}. Peers are asked for the forward only and MACs are "
        f"doubled.\n\nRaised (so neither right nor wrong; a missing import counts here): {failed}."
        "\n\n" + "\n".join(table + rows),
    )


def ratio(found, truth):
    """``exact``, the ratio, or the error's name."""
    if isinstance(found, str):
        return found
    if found == truth:
        return "exact"
    return f"{found / truth:.3g}" if truth else f"{found} for 0"

"""Chooses how to trace. The tool decides and says what it did; the user never has to.

``meta`` (no storage), ``fake`` (no storage, but a device), ``cpu`` (real numbers, for control flow
that depends on data), ``cpu-scaled`` (the same on a smaller batch and length, extended by an exact
polynomial), ``meta-invented`` (no storage; questions about unknown values get random answers, for
routing in models too large to run). A rung is left when the model raises on it.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from flopcount.doubles import SIZES, CpuDoubles, FakeDoubles, MetaDoubles
from flopcount.errors import CountError
from flopcount.known_values import KnownValues
from flopcount.ledger import INVENTED
from flopcount.rescale import scaled
from flopcount.trace import Step, StepError, trace, trace_on_meta

if TYPE_CHECKING:
    from flopcount.ledger import Ledger

MOST_CPU_FLOP = 2 * 10**12
"""A step that costs more is not run on the CPU at full size."""


def climb(step: Step) -> tuple[Ledger, str, tuple[str, ...]]:
    """The ledger of a step, the rung that gave it, and why earlier rungs were left.

    Raises:
        CountError: when every rung fails; the message names the module that raised.

    """
    notes: list[str] = []
    first: StepError | None = None
    for name in ("meta", "fake", "cpu", "cpu-scaled", "meta-invented"):
        try:
            ledger, more = _rung(name, step)
        except StepError as failure:
            notes.append(f"{name}: {_said(failure)}")
            if first is not None and name == "fake" and _certain(first, failure):
                break
            first = first or failure
            continue
        return ledger, name, (*notes, *more)
    assert first is not None
    raise CountError(
        f"the model raised on every way of tracing it; {'; '.join(notes)}; "
        "check that it runs on these inputs by itself"
    ) from first.error


def _rung(name: str, step: Step) -> tuple[Ledger, tuple[str, ...]]:
    if name == "meta":
        return trace_on_meta(step), ()
    if name == "fake":
        return trace(step, FakeDoubles(KnownValues())), ()
    if name == "cpu-scaled":
        return scaled(step), ("cpu-scaled: extended exactly from smaller sizes",)
    if name == "meta-invented":
        ledger = trace(step, MetaDoubles(KnownValues(inventing=True)))
        return ledger, ("meta-invented: control flow that depends on data got random answers",)
    doubles = CpuDoubles(KnownValues())
    ledger = trace(step, doubles, most_flop=MOST_CPU_FLOP)
    if not doubles.invented:
        return ledger, ()
    told = "cpu: weights or inputs without values were replaced by invented ones"
    found = {_flop(ledger)}
    for draw in range(1, len(SIZES)):
        with suppress(StepError):  # larger numbers may overflow
            other = trace(step, CpuDoubles(KnownValues(), draw=draw), most_flop=MOST_CPU_FLOP)
            found.add(_flop(other))
    if len(found) == 1:
        return ledger, (told,)
    ledger.is_one_draw = True
    return ledger, (
        told,
        f"{INVENTED}: inventions cost between {min(found)} and "
        f"{max(found)} FLOP; give weights and inputs with values",
    )


def _flop(ledger: Ledger) -> int:
    return sum(tally.flop for tally in ledger.lines.values())


def _certain(first: StepError, second: StepError) -> bool:
    """Two kinds of tensors, one complaint, raised by the model's own Python: real ones change nothing.

    A question about values is complained of differently on meta and on fake tensors.
    """
    plain = (TypeError, AttributeError, KeyError, IndexError, NameError, ValueError)
    return (
        isinstance(first.error, plain)
        and type(first.error) is type(second.error)
        and str(first.error) == str(second.error)
    )


def _said(failure: StepError) -> str:
    """One line of an error, with the module that raised it."""
    text = " ".join(str(failure.error).split())[:200]
    where = f" in {failure.where}" if failure.where else ""
    return f"{type(failure.error).__name__}{where}: {text}"

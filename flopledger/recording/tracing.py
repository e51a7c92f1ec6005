"""A call run once more on tensors without storage, as it was made: what did it compute?"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from contextvars import copy_context
from dataclasses import replace
from itertools import repeat
from typing import TYPE_CHECKING, Any

from flopcount.errors import FlopcountError
from flopcount.live.deadline import SLOWER
from flopcount.live.passes import Pass, Wanted
from profilers.steps.backward.passes import found_by
from profilers.steps.calls.unlike import UNLIKE
from profilers.steps.deciders.functions import may_compute, may_replace
from profilers.steps.observer import Variant, output_tensors

if TYPE_CHECKING:
    from flopcount.live.counting import LiveCount
    from flopledger.recording.families import Data
    from flopledger.recording.spending import Spending

Note = Callable[[str, str, str], None]
"""Code, severity, message."""

SECONDS = 60.0
"""A single count may take so long."""
TRIAL_SECONDS = 5.0
"""The same, where another value of an attribute is tried; or a few times what the count itself took."""
NOTHING: Mapping[Any, Any] = {}


class Tracing:
    """Traces calls, as long as that does not slow the run."""

    def __init__(self, spending: Spending, tell: Note) -> None:
        """Take who knows how long counting took, and who is told what a reader must know."""
        self._spending = spending
        self._tell = tell
        self._took = 0.0
        """Processor time of the last count of a call as it was made."""

    def trace(
        self,
        variant: Variant,
        wanted: Sequence[Wanted | None],
        changed: Mapping[tuple[int, Any], Any] = NOTHING,
    ) -> LiveCount:
        """Count a call as it was made, but for attributes that are changed on purpose."""
        held = variant.kind.state
        state = held() if held is not None else None
        if state is None and held is not None:
            raise FlopcountError("what the model's attributes were is forgotten")
        kind = variant.kind
        values = {**kind.switches, **changed}
        as_it_was = nullcontext(copy_context()) if state is None else state.restored(values)
        with as_it_was as context:  # a variable that the forward sets is none of the program's
            if changed:  # it follows the count that it is compared with
                seconds = max(TRIAL_SECONDS, SLOWER * self._took)
                found = context.run(self._counted, variant, wanted, seconds)
            else:
                began = time.thread_time()
                found = context.run(self._counted, variant, wanted, SECONDS)
                self._took = time.thread_time() - began
            seam = kind.seam()
            if seam is not None:
                seam.attributes.told(found.asked)
                kind.switches = seam.attributes.switches.asked(kind.switches)
        if not changed and not _is_confirmed(variant, found):
            # What was put back for the count may be what decides: once more with everything as it is now.
            found = copy_context().run(self._counted, variant, wanted, SECONDS)
            if not _is_confirmed(variant, found):
                found = replace(found, bounds=(0, None), reason=UNLIKE)
        return self._with_hooks(variant, found)

    def _counted(
        self, variant: Variant, wanted: Sequence[Wanted | None], seconds: float
    ) -> LiveCount:
        from flopcount.live.counting import count_call, count_chain
        from flopcount.live.model import foreign_hooks

        data: Data = variant.kind.data
        module = data.model()
        if data.call is None or module is None:
            raise FlopcountError("the call was forgotten before it was known what became of it")
        if self._spending.too_much:
            raise FlopcountError("too many kinds of calls: counting them would slow the run")
        hooks = [name for name, _ in foreign_hooks(module)]
        if hooks:
            text = f"forward hooks of the program are not part of the count: {', '.join(hooks)}"
            self._tell("hooks-not-counted", "info", text[:1000])
        data.call.model = module
        data.call.whole = variant.kind.expected >= 0
        if variant.stopped:
            from flopcount.live.checkpoint import count_stopped

            return count_stopped(data.call, seconds=seconds)
        if variant.doubled:
            return count_chain(data.call, _chain_of(variant, wanted), seconds=seconds)
        passes = [_outputs_at(places) for places in variant.passes]
        return count_call(data.call, passes, wanted, seconds=seconds)

    def _with_hooks(self, variant: Variant, found: LiveCount) -> LiveCount:
        """With open ends where hooks of the program, which are left out, may compute products.

        Where one may hand on something else than it was given, nothing is known.
        """
        from flopcount.live.model import HOOKS, foreign_hooks

        module = variant.kind.data.model()
        others = {name for name, hook in foreign_hooks(module) if may_replace(hook)}
        hooks = foreign_hooks(module, HOOKS)
        names = [name for name, hook in hooks if name in others or may_compute(hook)]
        if not names:
            return found
        low = found.bounds[0] if found.bounds else found.forward + found.backward + found.recompute
        if others:
            low = 0
        reasons = [*([found.reason] if found.reason else ()), f"hooks: {', '.join(names)}"]
        return replace(found, bounds=(low, None), reason="; ".join(reasons)[:1000])


def _is_confirmed(variant: Variant, found: LiveCount) -> bool:
    """Whether a count adds as many nodes as its call, where calls that look alike differ in that.

    Not where the count knows why, or where hooks of the program may add some, which it does not run.
    """
    from flopcount.live.model import foreign_hooks

    expected = variant.kind.expected
    if expected < 0 or found.nodes == expected or found.bounds is not None or found.decided:
        return True
    return bool(foreign_hooks(variant.kind.data.model()))


def _chain_of(variant: Variant, wanted: Sequence[Wanted | None]) -> list[Pass]:
    """The passes through a call of which some can themselves be differentiated."""
    bent = {
        found[0]
        for places in variant.passes
        for place in places
        if (found := found_by(place)) is not None and not found[1]
    }
    derived = 0
    chain: list[Pass] = []
    for places, asked, doubled in zip(
        variant.passes, wanted or repeat(None), variant.doubled, strict=False
    ):
        used = Counter(found[0] for place in places if (found := found_by(place)) is not None)
        chain.append(
            Pass(
                outputs=_outputs_at(places),
                gradients=dict(used),
                linear=not (doubled and derived in bent),
                wanted=asked,
                differentiable=doubled,
            )
        )
        derived += doubled
    return chain


def _outputs_at(places: tuple[int, ...]) -> Callable[[Any], list[Any]]:
    def chosen(out: Any) -> list[Any]:
        found = output_tensors(out)
        return [found[place] for place in places if place < len(found)]

    return chosen

"""Which calls belong to which step? Raw facts in the order in which they happened, told as steps.

The hot path only notes facts (:mod:`profilers.steps.calls.seam`); about once a second they are replayed
here. Each arrival of a gradient carries its time, so the outcome is the same whenever the replay
happens. No torch is imported here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from profilers.steps.folding.equal import UNHOOKED, equal_steps, references
from profilers.steps.folding.events import FIRING, Call, Event, Kind, Said, Variant
from profilers.steps.folding.late import Late
from profilers.steps.folding.listener import AlikeSeen, AsideSeen, Found, Listener, StepSeen
from profilers.steps.folding.open import Open, end_of, most_of

ASIDE_NS = 10_000_000_000
"""A long evaluation is written down in pieces of this length."""
FOREVER = 1 << 62


class Folding:
    """The state between two replays."""

    def __init__(
        self,
        listener: Listener,
        *,
        is_trained: Callable[[Kind], bool],
        any_trained: Callable[[], bool],
        ends_by_word: Callable[[Iterable[Kind]], bool],
        differentiated: Callable[[Kind], object] = bool,
    ) -> None:
        """Take who is told, three questions, and who hears of backward passes.

        Args:
            listener: Who is told.
            is_trained: Whether an optimizer trains the model of a kind of call.
            any_trained: Whether any optimizer is known.
            ends_by_word: Whether a step of these kinds of calls ends when the program says so, since
                no optimizer will show it.
            differentiated: Told of kinds of calls through which a backward went.

        """
        self.listener = listener
        self.differentiated = differentiated
        self.is_trained = is_trained
        self.any_trained = any_trained
        self.ends_by_word = ends_by_word
        self.step = Open()
        self.aside = Open()
        self.spans: list[tuple[str, Open]] = []
        self.stepped_at = 0
        """When an optimizer stepped; 0 while none did since the last boundary."""
        self.stepped_by: dict[str, None] = {}
        self.ended = 0
        """End of the last step that was told."""
        self.unseen = False
        """A step had no calls."""
        self._said: dict[str, int | None] = {}
        self._late = Late()

    # ------------------------------------------------------------ replay

    def replay(self, events: Sequence[Event]) -> None:
        """Take what happened since the last replay."""
        self._late.look_back()
        place, number = 0, len(events)
        while place < number:
            event = events[place]
            if len(event) == 4:
                taken = self._alike(events, place)
                if taken:
                    place += taken
                    continue
                self._called(event)
            elif event[0] is None:
                self._word(event[1], event[2])
            else:
                self._stepped(event[0], event[1])
            place += 1
        if self._late:
            self._go_back(FOREVER)

    def _alike(self, events: Sequence[Event], place: int) -> int:
        """Take steps that are all alike at once, as most are; answers how many facts they were.

        Such a step is one or more calls of one kind, one backward through each, and an optimizer's
        step that ends it, for a further call follows. Whatever else happens is told one by one.
        """
        first: Any = events[place]
        usual = first[0].usual
        if usual is None or self.spans or self._late or self._said or self.aside.calls:
            return 0
        if self.stepped_at:
            if any(
                any(when > self.stepped_at for when in call[1][2::FIRING])
                for call in self.step.pending
            ):
                return 0  # a backward ran on after the optimizer: it belongs to the next step
        elif self.step.start or not self.step.empty:
            return 0
        times = 1
        number = len(events)
        while place + times < number and events[place + times][0] is first[0]:
            times += 1
        if place + times >= number:
            return 0
        name = events[place + times][0]
        if type(name) is not str:
            return 0
        starts, ends = equal_steps(events, place, times, usual, name)
        if not starts:
            return 0
        if self.stepped_at:
            self.close(self.stepped_at)
        before, self.ended = self.ended, ends[-1]
        kind = usual.kind
        self.listener.alike(
            AlikeSeen(
                calls={usual: times},
                optimizer=name,
                before_us=before // 1000,
                starts_us=[
                    min(start, end) // 1000 for start, end in zip(starts, ends, strict=True)
                ],
                ends_us=[end // 1000 for end in ends],
                tokens=None if kind.tokens is None else times * kind.tokens,
                tokens_from=None if kind.tokens is None else "inputs",
                samples=None if kind.samples is None else times * kind.samples,
            )
        )
        return len(starts) * (times + 1)

    def _called(self, call: Call) -> None:
        kind, fired, began, again = call
        if self._late:
            self._go_back(began)
        if self.stepped_at and not again:
            self.close(self.stepped_at)
        if self.spans:
            here = self.spans[-1][1]
        elif kind.aside and not again:
            here = self.aside
        else:
            here = self.step
        if not here.start:
            here.start = began
        if kind.watched:
            here.pending.append(call)
            return
        mark = fired if fired and fired[0] < 0 else ()
        here.add(kind.became(mark, again=again))
        here.last = fired
        long = end_of(here, began) - here.start > ASIDE_NS
        if here is self.aside and long and self.any_trained():
            self._resolve_aside()  # a reference model may well take so long
            self._close_aside()

    def _stepped(self, name: str, at: int) -> None:
        if self._late:
            self._go_back(at)
        if self.stepped_at:
            before = self.stepped_at
            if self._another_began(before, at):
                self._cut()  # a backward began after the optimizer before: another step's
                self._go_back(at)
            elif name in self.stepped_by:
                self.close(self.stepped_at)  # the next one is of a model whose calls are not seen
        self.stepped_by[name] = None
        self.stepped_at = at

    def _another_began(self, before: int, at: int) -> bool:
        """Whether a backward came to a call in that time (ns) that had come to none until then.

        One that had goes on: where optimizers step in hooks on gradients, those of the last model step first.
        """
        known: set[int] = set()
        fresh: set[int] = set()
        for _, fired, _, _ in self.step.pending:
            for task, when in zip(fired[::FIRING], fired[2::FIRING], strict=False):
                if when <= before:
                    known.add(task)
                elif when <= at:
                    fresh.add(task)
        return not fresh <= known

    def _word(self, said: Said, at: int) -> None:
        if self._late:
            self._go_back(at)
        if not self.stepped_at and self.step.empty:
            self.listener.said(*said)
            return
        tokens, samples, number = said
        for name, value in (("tokens", tokens), ("samples", samples)):
            if value is not None:
                self._said[name] = (self._said.get(name) or 0) + value
        if number is not None:
            self._said["number"] = number
        if self.stepped_at:
            self.close(self.stepped_at)
        elif self.ends_by_word(self.called_kinds()):
            self.close(at)

    def called_kinds(self) -> set[Kind]:
        """Kinds of calls of the step that is open."""
        step = self.step
        return {variant.kind for variant in step.calls} | {call[0] for call in step.pending}

    def _go_back(self, until: int) -> None:
        """Put late passes up to a time into the step in which they ran."""
        for late in self._late.until(until):
            if self.stepped_at and late.at > self.stepped_at:
                self._cut()
            self.step.add(late.variant)
            self.step.start = self.step.start or late.at

    # ------------------------------------------------------------ the end of a step

    def close(self, at: int) -> None:
        """Close the step that is open."""
        self.stepped_at = self.stepped_at or at
        if self.aside.calls:
            self._resolve_aside()
        self._cut()
        if self.aside.calls:
            self._close_aside()

    def _cut(self) -> None:
        """Tell the open step as it was when the optimizer stepped."""
        step, by, said, at = self.step, self.stepped_by, self._said, self.stepped_at
        self.step, self.stepped_by, self._said, self.stepped_at = Open(), {}, {}, 0
        tokens, samples = self._settle(step, at)
        source = None if tokens is None else "inputs"
        if said.get("tokens") is not None:
            tokens, source = said["tokens"], "explicit"
        if said.get("samples") is not None:
            samples = said["samples"]
        if all(type(variant.kind.key) is Found for variant in step.calls):
            self.unseen = True
        before, self.ended = self.ended, at
        self.listener.step(
            StepSeen(
                calls=step.calls,
                optimizer="+".join(by) or None,
                before_us=before // 1000,
                start_us=min(step.start or at, at) // 1000,
                end_us=at // 1000,
                tokens=tokens,
                tokens_from=source,
                samples=samples,
                number=said.get("number"),
            )
        )

    def _settle(self, open_: Open, until: int) -> tuple[int | None, int | None]:
        """Turn pending calls into counts; return the tokens and samples that were trained on."""
        pending, open_.pending = open_.pending, []
        tokens: dict[tuple[bool, int], int] = {}
        samples: dict[tuple[bool, int], int] = {}
        for call in pending:
            kind, fired, _, again = call
            known = len(fired)
            while known >= FIRING and fired[known - FIRING + 2] > until:
                known -= FIRING
            variant = kind.became(fired if known == len(fired) else fired[:known], again=again)
            open_.calls[variant] = open_.calls.get(variant, 0) + 1
            if known < len(fired):
                self._late.arrived(call, known)
                known = len(fired)
            if references(call) > UNHOOKED + 1:  # one more: the local name ``fired``
                self._late.lingering.append((call, known))
            if variant.passes:
                self.differentiated(kind)
                place = (bool(kind.trained), kind.place)
                if kind.tokens is not None:
                    tokens[place] = tokens.get(place, 0) + kind.tokens
                if kind.samples is not None:
                    samples[place] = samples.get(place, 0) + kind.samples
        return most_of(tokens), most_of(samples)

    # ------------------------------------------------------------ beside training

    def _resolve_aside(self) -> None:
        """Calls without gradients of a model that nobody trains belong to the step."""
        aside, step = self.aside, self.step
        for variant in [v for v in aside.calls if not self.is_trained(v.kind)]:
            step.add(variant, aside.calls.pop(variant))
            if aside.start:
                step.start = min(step.start or aside.start, aside.start)
        if not aside.calls:
            self.aside = Open()

    def _close_aside(self, *, final: bool = False) -> None:
        if not self.aside.calls or not (final or self.any_trained()):
            return
        aside, self.aside = self.aside, Open()
        self._settle(aside, FOREVER)
        self._tell_aside("evaluation", aside, "seen", end_of(aside, aside.start))

    def _tell_aside(self, what: str, open_: Open, source: str, end: int) -> None:
        start = open_.start or end
        self.listener.aside(
            AsideSeen(
                what=what,
                calls=open_.calls,
                start_us=start // 1000,
                end_us=max(start, end) // 1000,
                source=source,
            )
        )

    def begin_span(self, what: str, at: int) -> Open:
        """Calls from now on belong to a span."""
        open_ = Open(start=at)
        self.spans.append((what, open_))
        return open_

    def end_span(self, open_: Open, at: int) -> None:
        """The span is over."""
        what = next((name for name, item in self.spans if item is open_), "span")
        self.spans = [item for item in self.spans if item[1] is not open_]
        self._settle(open_, FOREVER)
        self._tell_aside(what, open_, "explicit", at)

    def finish(self, at: int) -> None:
        """Tell everything that is open."""
        if self.stepped_at:
            self.close(self.stepped_at)
        rest, self.step = self.step, Open()
        self._settle(rest, FOREVER)
        if rest.calls:
            # Calls after the last optimizer step; perhaps a step that was broken off.
            self._tell_aside("unfinished", rest, "seen", at)
        self._close_aside(final=True)

    @property
    def wary(self) -> bool:
        """Whether a backward may still come for a call that had none."""
        return any(not call[1] for call in self.step.pending) or any(
            not known for _, known in self._late.lingering
        )

    def open_calls(self) -> list[tuple[Call, int]]:
        """Calls to which gradients may still come, and how far what came was told."""
        opened = [self.step, self.aside, *(open_ for _, open_ in self.spans)]
        return [*self._late.lingering, *((call, 0) for open_ in opened for call in open_.pending)]

    def doubt(self, doubtful: Callable[[Kind], Kind], since: int) -> None:
        """Of what is not told yet, calls of some kinds since some time (ns) are of others."""

        def other(call: Call) -> Call:
            return (doubtful(call[0]) if call[2] > since else call[0]), *call[1:]

        for open_ in (self.step, self.aside, *(open_ for _, open_ in self.spans)):
            open_.pending = list(map(other, open_.pending))
            # Of those without a backward it is not known when they were.
            calls, open_.calls = open_.calls, {}
            for variant, times in calls.items():
                open_.add(doubtful(variant.kind).as_of(variant), times)
        late = self._late
        late.lingering = [(other(call), known) for call, known in late.lingering]

    def exchange(self, call: Call, other: Call) -> bool:
        """Take a call for what it turned out to be; answers whether it is still open."""
        for open_ in (self.step, self.aside, *(open_ for _, open_ in self.spans)):
            for place in reversed(range(len(open_.pending))):
                if open_.pending[place] is call:
                    open_.pending[place] = other
                    return True
        return False

    def open_variants(self) -> list[Variant]:
        """What became so far of the calls that are not told yet."""
        pending = [
            kind.became(list(fired), again=again) for kind, fired, _, again in self.step.pending
        ]
        return [*pending, *self.step.calls, *self.aside.calls]

"""Raw facts into steps: only their times decide, not when they are replayed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from profilers.steps.folding.events import RAISED, Call, Kind, Variant, apart, together
from profilers.steps.folding.steps import Folding

if TYPE_CHECKING:
    from profilers.steps.folding.listener import AlikeSeen, AsideSeen, StepSeen


class Heard:
    """A listener that keeps everything."""

    def __init__(self) -> None:
        self.steps: list[StepSeen] = []
        self.asides: list[AsideSeen] = []
        self.words: list[Any] = []
        self.at_once = 0

    def step(self, seen: StepSeen) -> None:
        self.steps.append(seen)

    def alike(self, seen: AlikeSeen) -> None:
        self.at_once += len(seen.ends_us)
        self.steps += seen.each()

    def aside(self, seen: AsideSeen) -> None:
        self.asides.append(seen)

    def said(self, *word: Any) -> None:
        self.words.append(word)


def kind(
    *, trained: bool = True, graded: bool = True, aside: bool = False, tokens: int = 7
) -> Kind:
    made = Kind("Model", ())
    made.trained = (1,) if trained else (2,)
    made.graded = made.watched = graded
    made.aside = aside
    made.tokens, made.samples, made.place = tokens, 1, id(made)
    return made


def folding(heard: Heard) -> Folding:
    return Folding(
        heard,  # type: ignore[arg-type]
        is_trained=lambda kind: kind.trained == (1,),
        any_trained=lambda: True,
        ends_by_word=lambda _: False,
    )


def call(kind: Kind, at: int, *backwards: int, again: bool = False) -> Call:
    """A call at a time (µs), and the times at which a gradient arrived, each in a pass of its own."""
    fired: list[int] = []
    for time in backwards:
        fired += [time, False, time * 1000, 0, 0]
    return kind, fired, at * 1000, again


def step(name: str, at: int) -> tuple[str, int]:
    return name, at * 1000


def told(calls: dict[Variant, int]) -> list[tuple[str, int]]:
    return sorted((variant.mode, times) for variant, times in calls.items())


def test_a_plain_loop() -> None:
    heard, model = Heard(), kind()
    fold = folding(heard)
    fold.replay([call(model, 10, 12), step("SGD", 15), call(model, 20, 22), step("SGD", 25)])
    fold.finish(30_000)
    assert [(s.before_us, s.start_us, s.end_us) for s in heard.steps] == [(0, 10, 15), (15, 20, 25)]
    assert [told(s.calls) for s in heard.steps] == [[("train", 1)]] * 2
    assert [(s.tokens, s.tokens_from, s.optimizer) for s in heard.steps] == [
        (7, "inputs", "SGD")
    ] * 2


def test_a_gradient_that_arrives_after_the_step_belongs_to_the_next() -> None:
    heard, model, other = Heard(), kind(), kind()
    fold = folding(heard)
    kept = call(model, 10, 33)
    fold.replay([kept, call(other, 11, 12), step("SGD", 15), call(other, 30, 31), step("SGD", 40)])
    fold.finish(50_000)
    assert told(heard.steps[0].calls) == [("forward", 1), ("train", 1)]
    assert told(heard.steps[1].calls) == [("backward", 1), ("train", 1)]


def test_a_backward_between_two_optimizers_parts_their_steps() -> None:
    heard, model, other = Heard(), kind(), kind()
    fold = folding(heard)
    fold.replay([call(model, 10, 12), call(other, 11, 17), step("A", 15), step("B", 20)])
    fold.finish(30_000)
    assert [s.optimizer for s in heard.steps] == ["A", "B"]
    assert told(heard.steps[1].calls) == [("backward", 1)]
    assert heard.steps[1].start_us == 17


def test_optimizers_without_anything_between_share_a_step() -> None:
    heard, model = Heard(), kind()
    fold = folding(heard)
    fold.replay([call(model, 10, 12), step("A", 15), step("B", 16)])
    fold.finish(30_000)
    assert [s.optimizer for s in heard.steps] == ["A+B"]


def test_an_optimizer_that_steps_again_without_a_call_is_an_unseen_step() -> None:
    heard, model = Heard(), kind()
    fold = folding(heard)
    fold.replay([call(model, 10, 12), step("A", 15), step("A", 25)])
    fold.finish(30_000)
    assert [told(s.calls) for s in heard.steps] == [[("train", 1)], []]
    assert fold.unseen


def test_evaluation_is_apart_and_a_reference_is_not() -> None:
    heard, model = Heard(), kind()
    evaluation = kind(graded=False, aside=True)
    reference = kind(trained=False, graded=False, aside=True)
    fold = folding(heard)
    ended = call(evaluation, 17)
    ended[1].append(19_000)
    events = [call(model, 10, 12), step("A", 15), ended, call(reference, 20), call(model, 21, 22)]
    fold.replay([*events, step("A", 25)])
    fold.finish(30_000)
    assert told(heard.steps[1].calls) == [("forward", 1), ("train", 1)]
    assert [(a.what, told(a.calls), a.start_us) for a in heard.asides] == [
        ("evaluation", [("forward", 1)], 17)
    ]


def test_a_reference_that_takes_long_belongs_to_the_step_and_a_long_evaluation_does_not() -> None:
    """Both in pieces, of which the whole takes more than the ten seconds of one evaluation's line."""
    second = 1_000_000
    heard, model = Heard(), kind()
    reference = kind(trained=False, graded=False, aside=True)
    evaluated = kind(graded=False, aside=True)

    def ended(made: Kind, at: int) -> Call:
        return made, [(at + second) * 1000], at * 1000, False

    fold = folding(heard)
    fold.replay(
        [
            *(ended(reference, number * 4 * second) for number in range(1, 9)),
            *(ended(evaluated, number * 4 * second) for number in range(9, 12)),
            call(model, 50 * second, 51 * second), step("SGD", 52 * second),
        ]
    )  # fmt: skip
    fold.finish(60 * second * 1000)
    (only,) = heard.steps
    assert told(only.calls) == [("forward", 8), ("train", 1)]
    assert only.start_us == 4 * second
    assert sum(times for seen in heard.asides for _, times in told(seen.calls)) == 3
    assert min(seen.start_us for seen in heard.asides) >= 32 * second


def test_a_call_that_raised_is_told_apart() -> None:
    heard, model = Heard(), kind()
    fold = folding(heard)
    failed = call(model, 9)
    failed[1].append(RAISED)
    fold.replay([failed, call(model, 10, 12), step("A", 15)])
    fold.finish(30_000)
    (seen,) = heard.steps
    assert sorted(variant.raised for variant in seen.calls) == [False, True]
    assert seen.tokens == 7


def test_words_add_up_and_a_late_word_is_of_the_last_step() -> None:
    heard, model = Heard(), kind()
    fold = folding(heard)
    fold.replay(
        [
            call(model, 10, 11), (None, (100, None, None), 12_000),
            call(model, 13, 14), step("A", 15), (None, (100, None, 8), 16_000),
            (None, (5, None, None), 17_000),
        ]
    )  # fmt: skip
    assert [(s.tokens, s.tokens_from, s.number) for s in heard.steps] == [(200, "explicit", 8)]
    assert heard.words == [(5, None, None)]


@settings(max_examples=200, deadline=None)
@given(pattern=st.lists(st.sampled_from([1, 1, 1, 2, 3]), min_size=3, max_size=40))
def test_equal_steps_are_taken_at_once_and_told_as_one_by_one(pattern: list[int]) -> None:
    def replayed(*, at_once: bool) -> Heard:
        heard, model = Heard(), kind()
        fold = folding(heard)
        events: list[Any] = []
        at = 0
        for calls in pattern:
            for _ in range(calls):
                events.append(call(model, at + 10, at + 12))
                at += 10
            events.append(step("SGD", at + 5))
            at += 10
        for piece in [events] if at_once else [[event] for event in events]:
            fold.replay(piece)
        fold.finish(1000 * at)
        return heard

    whole, pieces = replayed(at_once=True), replayed(at_once=False)
    assert pieces.at_once == 0
    # The first one is told, and so its kind's usual outcome known, when the second began; the last one
    # may still get a word.
    assert whole.at_once == len(pattern) - 3
    assert whole.steps == [
        replace(seen, calls=dict(zip(whole.steps[0].calls, seen.calls.values(), strict=True)))
        for seen in pieces.steps
    ]


EVENTS = st.lists(
    st.tuples(st.sampled_from(["call", "kept", "A", "B", "eval"]), st.integers(1, 60)),
    max_size=24,
)


@settings(max_examples=400, deadline=None)
@given(events=EVENTS, cuts=st.sets(st.integers(0, 24)), held=st.booleans())
def test_when_it_is_replayed_changes_nothing(
    events: list[tuple[str, int]], cuts: set[int], held: bool
) -> None:
    def replayed(cuts: set[int]) -> list[Any]:
        heard = Heard()
        fold = folding(heard)
        kinds = {"call": kind(), "kept": kind(), "eval": kind(graded=False, aside=True)}
        calls = []
        for place, (what, later) in enumerate(events):
            at = 10 * place + 1
            made: Any = step(what, at)
            if what in kinds:
                # A kept call's gradient arrives some steps later.
                backwards = {"call": (at + 5,), "kept": (at + 5 + later,), "eval": ()}[what]
                made = call(kinds[what], at, *backwards)
            calls.append(made)
        arrived = [list(made[1]) if len(made) == 4 else [] for made in calls]
        for made in calls:
            if len(made) == 4:
                made[1].clear()
        # As autograd's graph does; freed, it holds the lists of those alone that still wait.
        hooks = [
            made[1].extend
            for made, (what, _) in zip(calls, events, strict=True)
            if len(made) == 4 and (held or what == "kept")
        ]
        batch: list[Any] = []
        for place, made in enumerate(calls):
            now = 10 * place + 1
            if place in cuts:
                _arrive(calls, arrived, now)
                fold.replay(batch)
                batch = []
            batch.append(made)
        _arrive(calls, arrived, 10**6)
        fold.replay(batch)
        fold.finish(10**9)
        assert len(hooks) <= len(calls)
        return [(s.optimizer, s.start_us, s.end_us, told(s.calls)) for s in heard.steps]

    assert replayed(cuts) == replayed(set())


def _arrive(calls: list[Any], arrived: list[list[int]], now: int) -> None:
    """Gradients up to a moment are there."""
    for made, facts in zip(calls, arrived, strict=True):
        if facts and not made[1] and facts[2] <= now * 1000:
            made[1].extend(facts)


@given(st.sets(st.integers(0, 300), min_size=1))
def test_several_places_are_one_number(places: set[int]) -> None:
    assert apart(together(sorted(places))) == tuple(sorted(places))


def test_one_pass_to_several_outputs_is_usual_where_that_is_usual() -> None:
    both = Kind("Model", ())
    both.arrived = together((0, 3))
    #       task, grad mode, time, place, asked for: both at once, and each by a hook of its own
    at_once = [5, 0, 10, together((0, 3)), 0]
    one_by_one = [5, 0, 10, 0, 0, 5, 0, 11, 3, 0]
    usual = both.became(at_once, again=False)
    assert usual.passes == ((0, 3),)
    assert both.became(one_by_one, again=False) is usual is both.usual
    assert both.became([5, 0, 10, 3, 0], again=False).passes == ((3,),)
    both.arrived = 0
    assert both.became(at_once, again=True).passes == ((0, 3),)

"""Joins what is seen (profilers.steps), what it costs (flopcount) and where it is kept (the book).

Everything here runs in the training process between two of its calls; nothing raises into it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from operator import sub
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flopcount.live.signals import MARK, held_back
from flopledger.recording.beside import Beside
from flopledger.recording.blocks import numbered
from flopledger.recording.book import Book
from flopledger.recording.cost import Cost
from flopledger.recording.costs import Costs
from flopledger.recording.heartbeat import Heartbeat
from flopledger.recording.numbering import Numbers
from flopledger.recording.own_products import OwnProducts
from flopledger.recording.rows import Row
from flopledger.recording.stated import Stated
from flopledger.recording.states import States
from flopledger.recording.told import WronglyToldError, whole, whole_or_none
from profilers.sampler import Sampler, SamplerSettings
from profilers.steps.calls.losses import UnreadableError, read_loss
from profilers.steps.observer import (
    AlikeSeen,
    AsideSeen,
    Found,
    Kind,
    Observer,
    StepSeen,
    Variant,
    now_us,
)
from profilers.steps.record.devices import computing_on
from profilers.steps.record.identity import mesh_of
from profilers.steps.standing.handlers import is_the_programs

if TYPE_CHECKING:
    from profilers.steps.folding.listener import Price
    from profilers.steps.products.outside import Product
    from profilers.steps.record.ledger import StepLedger

DRIVERS = (Path("/proc/driver/nvidia/version"), Path("/dev/nvidiactl"))
SAMPLER_STOP_SECONDS = 20.0
ELSEWHERE = "its model is trained by a thread that still ran when the recording ended"


class Recorder:
    """The inside of one recording."""

    def __init__(self, run_dir: Path, *, automatic: bool, watch_products: bool) -> None:
        """Name the run's folder; nothing starts yet."""
        self._began = time.monotonic()
        self.run_dir = run_dir
        self.book = Book(run_dir)
        self.costs = Costs(self.note)
        self.besides = Beside(self.costs.tell, self.costs.fill)
        self.observer = Observer(self, automatic=automatic, watch_products=watch_products)
        self.active = False
        self._sampler: Sampler | None = None
        self.numbers = Numbers(self)
        self.stated = Stated(self.costs, self.observer, self.besides)
        self.states = States(self)
        self._own_products = OwnProducts(self.costs.tell, watched=watch_products)
        self._heartbeat = Heartbeat(self._beat)

    # ------------------------------------------------------------ beginning and end

    def start(self, models: Sequence[Any]) -> None:
        """Begin to watch."""
        self.observer.start(tuple(models))
        self.active = True
        self.states.start()
        self.observer.optimizers.begins.append(self._first_step_of)
        self._heartbeat.start()
        self.costs.spending.spend(self._began)

    def sample(
        self,
        wanted: bool | None,
        sources: Sequence[Mapping[str, Any]] | None,
        interval_seconds: float,
    ) -> None:
        """Have this node's devices sampled, by one process of the node."""
        if wanted is False or (sources is None and not wanted and not _has_driver()):
            return
        if os.environ.get("LOCAL_RANK", "0") != "0":
            return  # the node's first rank does it; should it be missing, so is the sampling
        began = time.monotonic()
        try:
            settings = SamplerSettings(interval_seconds=interval_seconds)
            if sources is not None:
                settings = SamplerSettings(interval_seconds=interval_seconds, sources=list(sources))
            sampler = Sampler(self.run_dir, settings)
            sampler.start()
        except Exception as error:  # noqa: BLE001 - a run without samples is still a run
            self.note("sampler-trouble", "warning", f"devices are not sampled: {error}")
            return
        self._sampler = sampler
        self.costs.spending.spend(began)

    def stop(self, reason: str) -> None:
        """End and seal."""
        if not self.active:
            return
        self.costs.last = True
        with held_back():  # a Ctrl-C arrives when the ledger is sealed
            self._stop(reason)

    def _stop(self, reason: str) -> None:
        self._heartbeat.stop()
        # What they know of their models is still asked for.
        seams = list(self.observer.modules.seams)
        try:
            self.observer.stop()
            self._own_products.ends()
        except Exception as error:  # noqa: BLE001 - never into the program
            self.trouble("the end", error)
        self.states.stop()
        self.active = False
        try:
            self.book.seal(reason, self.settle)
        except Exception as error:  # noqa: BLE001 - never into the program
            self.observer.trouble("sealing", error)
        del seams
        if self._sampler is not None:
            with suppress(Exception):  # its record is whole up to here
                self._sampler.stop(SAMPLER_STOP_SECONDS)

    def forget(self) -> None:
        """In a forked child."""
        self.active = False
        self.observer.forked()
        self.book.forget()

    # ------------------------------------------------------------ what the observer tells

    def new_kind(self, kind: Kind, module: Any, args: Any, kwargs: Any) -> None:
        """A call of a kind that was not seen before is about to run."""
        # Who this is comes first: whoever writes beside the program begins a ledger as soon as a line waits.
        self.book.meet()
        mesh = mesh_of(module.parameters())
        if mesh is not None and len(mesh) > len(self.book.mesh or ()):
            self.book.mesh = mesh
        seam = kind.seam()
        parameters = module.parameters() if seam is None else seam.parameters
        self.lies(module, parameters, (args, kwargs))
        self.states.look(module)
        self.costs.see(kind, module, args, kwargs)

    def lies(self, module: Any, parameters: Iterable[Any], given: Any = None) -> None:
        """A model that is called was looked at: its parameters may lie on other devices than before."""
        places = computing_on(module, parameters, given)
        if self.costs.knows(places):
            return
        self.book.meet()
        for facts in self.costs.devices(places):
            self.book.device(facts)

    def outside(
        self, variant: Variant, products: tuple[Product, ...], other: tuple[str, ...]
    ) -> None:
        """The program computed this itself."""
        self._own_products.reached(products)
        self.costs.outside(variant, products, other)

    def price_of(self, func: Any) -> Price | None:
        """How to ask what calls of one of torch's ops cost."""
        from flopcount.live.products import price_of

        return price_of(func)

    def beside(self, variant: Variant, found: Found) -> None:
        """The program computed this, and no graph shows it."""
        variant.data = found  # priced when its step is over, since the program may say it by itself

    def settle(self, variant: Variant) -> Cost | None:
        """Count what became of a call; not of one whose model another thread may run just now."""
        if not isinstance(variant.data, Cost) and self.observer.threads.is_elsewhere(variant.kind):
            return self.costs.give_up(variant, ELSEWHERE) if self.costs.last else None
        if self.observer.threads.several:
            from flopcount.live.watching import SEVERAL

            SEVERAL[0] = True
        return self.costs.settle(variant)

    def step(self, seen: StepSeen) -> None:
        """A step is over."""
        row = Row()
        row.number = self.numbers.of(seen.optimizer, 1, seen.number)
        row.ends_us = [seen.end_us]
        row.durations_us = [seen.end_us - seen.start_us]
        row.waits_us = [self._waited(seen.before_us, seen.start_us)]
        row.optimizer = seen.optimizer
        row.tokens, row.tokens_from = seen.tokens, seen.tokens_from
        row.samples = seen.samples
        calls = (*self.besides.priced(seen.calls), *self.stated.take())
        if all(isinstance(variant.kind.key, Found) for variant in seen.calls) and not calls:
            calls = self.stated.unseen()
        row.calls = (*calls, *self.besides.of(seen.optimizer, seen.calls, 1))
        row.said = seen.tokens_from == "explicit" or seen.number is not None
        self.book.add(row)

    def alike(self, seen: AlikeSeen) -> None:
        """Several equal steps are over."""
        if self.stated.waiting or self.costs.spending.remembered:
            for one in seen.each():
                self.step(one)
            return
        row = Row()
        starts, ends = seen.starts_us, seen.ends_us
        row.number = self.numbers.of(seen.optimizer, len(ends))
        row.ends_us = ends
        row.durations_us = list(map(sub, ends, starts))
        row.waits_us = [max(0, us) for us in map(sub, starts, [seen.before_us, *ends[:-1]])]
        row.optimizer = seen.optimizer
        row.tokens, row.tokens_from = seen.tokens, seen.tokens_from
        row.samples = seen.samples
        row.calls = (
            *seen.calls.items(),
            *self.besides.of(seen.optimizer, seen.calls, len(ends)),
        )
        self.book.add(row)

    def _waited(self, before_us: int, start_us: int) -> int:
        """The program's waiting before a step; what counting took is none of it."""
        return max(0, start_us - before_us - self.costs.spending.between(before_us, start_us))

    def said(self, tokens: int | None, samples: int | None, number: int | None) -> None:
        """The program said something while no step is open: of the last one, or a step of its own."""
        last = self.book.last
        if last is not None and not last.said and not self.stated.waiting:
            if tokens is not None:
                last.tokens, last.tokens_from = tokens, "explicit"
            if samples is not None:
                last.samples = samples
            if number is not None:
                last.number = self.numbers.said(number)
            last.said = True
            return
        at = now_us()
        self.step(
            StepSeen(
                calls={}, optimizer=None, before_us=at, start_us=at, end_us=at, tokens=tokens,
                tokens_from=None if tokens is None else "explicit", samples=samples, number=number,
            )
        )  # fmt: skip

    def aside(self, seen: AsideSeen) -> None:
        """Calls that belong to no step are over."""
        calls = [
            *self.besides.priced(seen.calls),
            *(self.stated.take() if seen.source == "explicit" else ()),
        ]
        book = self.book

        def write(ledger: StepLedger) -> None:
            ledger.span(
                seen.what[:200],
                start_us=seen.start_us,
                end_us=seen.end_us,
                calls=numbered(ledger, calls),
                source=seen.source,
            )

        book.line(write, calls)

    @property
    def due(self) -> bool:
        """Whether it is time to write."""
        return self.book.due

    def doubt(self, other: Callable[[Variant], Variant], since_us: int) -> None:
        """What was told and is not written may have cost something else."""
        self.book.doubt(other, since_us)

    def folded(self, *, counting: bool, begun: bool) -> None:
        """Everything up to now was told: write it, when it is time."""
        if counting:
            self.book.price(self.settle)
        if not counting or self.book.due:
            # Once the next step has begun, nothing more can be said of the last one.
            self.book.flush(self.settle if counting else None, keep=0 if begun else 1)

    def _beat(self) -> None:
        """Once a second, in a thread beside the program."""
        try:
            if self.book.due:
                self.observer.fold_beside()
        except Exception as error:  # noqa: BLE001 - never into the program
            self.observer.trouble("writing beside the program", error)

    def flush(self) -> None:
        """Write everything that is over."""
        self.observer.due = 0
        self.observer.fold()
        self.book.flush(self.settle)

    @property
    def steps(self) -> int:
        """Steps that are over."""
        if self.active:
            self.observer.fold(counting=False)
        return self.book.steps

    def _first_step_of(self, optimizer: Any) -> None:
        try:
            self._own_products.begins(optimizer)
            self._own_products.exchanges(optimizer, self.observer.modules.known())
        except Exception as error:  # noqa: BLE001 - never into the program
            self.observer.trouble("a loop's code", error)

    def resumed(self, step: int) -> None:
        """An optimizer's own state says that it stepped before."""
        self.numbers.resumed(step)

    @property
    def open_to_words(self) -> int:
        """How many of the last steps stay unwritten, since the program may say more about them."""
        last = self.book.last
        return int(last is not None and not last.said)

    def undisturbed(self) -> AbstractContextManager[None]:
        """Signals wait while steps are made and written."""
        return held_back()

    def trouble(self, where: str, error: BaseException) -> None:
        """Something of ours failed; the program did not notice."""
        if hasattr(error, MARK) and not self.costs.last:
            raise error  # a timeout of the program's, which waited until we were done
        text = f"{where} was not recorded: {type(error).__name__}: {error}"
        self.note("recorder-trouble", "error", text[:1000])
        if os.environ.get("FLOPLEDGER_DEBUG"):
            import traceback

            traceback.print_exception(error)
        if not self.costs.last and is_the_programs(error):
            raise error

    # ------------------------------------------------------------ what the program tells

    def say(self, tokens: int | None, samples: int | None, number: int | None) -> None:
        """What the step that just ended processed."""
        try:
            said = (tokens, "tokens"), (samples, "samples"), (number, "number")
            self.observer.say(*(self._told(value, what) for value, what in said))
            if not self.observer.optimizers.any_stepped:
                self._own_products.ends_by_word()
        except Exception as error:  # noqa: BLE001 - never into the program
            self.trouble("step()", error)

    def _told(self, value: Any, what: str) -> int | None:
        """A number that the program says; None, with a note, where it is none."""
        try:
            return whole_or_none(value, what)
        except WronglyToldError as error:
            self.costs.tell("stated-wrongly", "warning", f"step(): {error}; it is left out")
            return None

    def loss(self, value: Any) -> None:
        """The loss as the program knows it now."""
        try:
            self.book.loss(now_us(), read_loss(value))
        except UnreadableError as error:
            text = f"a loss was told as {error}; hand over a number, as you log it"
            self.costs.tell("loss-unread", "info", text)
        except Exception as error:  # noqa: BLE001 - never into the program
            self.trouble("loss()", error)

    @contextmanager
    def span(self, what: str) -> Iterator[None]:
        """Calls inside belong to no step."""
        open_ = self.observer.begin_span(str(what))
        try:
            yield
        finally:
            try:
                self.observer.end_span(open_)
            except Exception as error:  # noqa: BLE001 - never into the program
                self.trouble("a span", error)

    def resume(self, step: int) -> None:
        """The program says after which step it goes on; its own word comes first."""
        try:
            step = whole(step, "the step")
        except WronglyToldError as error:
            self.costs.tell("stated-wrongly", "warning", f"resume(): {error}; it is left out")
            return
        self.numbers.resume(step)

    def note(self, code: str, severity: str, message: str) -> None:
        """Something that a reader must know."""
        self.book.line(
            lambda ledger: ledger.note(str(code)[:200], str(severity)[:200], str(message)[:4000])
        )


def _has_driver() -> bool:
    return any(path.exists() for path in DRIVERS)

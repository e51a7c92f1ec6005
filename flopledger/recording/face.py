"""``flopledger.record``: one line around a training loop.

A recording sees optimizer steps and model calls by itself, counts each kind of call once and writes
a ledger of the process. It never raises into the loop, never talks to another rank and never waits
for a device.
"""

from __future__ import annotations

import functools
import os
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from flopledger.errors import FlopledgerError

if TYPE_CHECKING:
    from flopledger.integrations.feed import Feed
    from flopledger.integrations.sinks import Delivered, Sink
    from flopledger.recording.recorder import Recorder

_F = TypeVar("_F", bound=Callable[..., Any])


class RecordError(FlopledgerError):
    """A recording that cannot be made as asked."""


def record(
    path: str | Path,
    model: Any = None,
    *,
    sampler: bool | None = None,
    sources: Sequence[Mapping[str, Any]] | None = None,
    interval_seconds: float = 1.0,
    automatic: bool = True,
    watch_products: bool = False,
    sinks: Sequence[Sink] = (),
) -> Recording:
    """Record the training that runs inside: ``with flopledger.record("runs/today"): ...``.

    Also a decorator of a training function, and an object with ``start`` and ``stop``.

    Args:
        path: The run's folder. Each process of the run gives the same one; a restarted run too.
        model: The model, or a list of models. By default every outermost call of any module is
            seen; a model that is named here stays watched even while others call it.
        sampler: Whether to sample this node's devices; by default where an NVIDIA driver is loaded.
            On each node one process samples.
        sources: The sampler's instruments, as in ``profilers.sampler.SamplerSettings``.
        interval_seconds: Time between two samples of the devices.
        automatic: Whether optimizer steps are seen by themselves. Without it ``step()`` ends one.
        watch_products: Whether some steps are watched op by op, by a mode of torch's dispatcher, for
            matrix products that no model's call and no graph shows: an optimizer's own (Muon's), distances
            to a codebook. Without it a note says where the code names such products.
        sinks: Where the first process's steps go besides, as ``flopledger.integrations.sinks`` makes them:
            MLflow, W&B, Prometheus ... None of them can hold up or break the loop.

    Raises:
        RecordError: when a sink is none; by ``start``, when torch is missing or the folder cannot hold a
            record.

    """
    return Recording(
        Path(path),
        model,
        sampler=sampler,
        sources=sources,
        interval_seconds=interval_seconds,
        automatic=automatic,
        watch_products=watch_products,
        sinks=sinks,
    )


class Recording:
    """One recording of one process. Use it as a context manager, a decorator, or start and stop."""

    def __init__(
        self,
        path: Path,
        model: Any = None,
        *,
        sampler: bool | None = None,
        sources: Sequence[Mapping[str, Any]] | None = None,
        interval_seconds: float = 1.0,
        automatic: bool = True,
        watch_products: bool = False,
        sinks: Sequence[Sink] = (),
    ) -> None:
        """See :func:`record`."""
        self.path = path
        self.delivered: tuple[Delivered, ...] = ()
        """What became of the sinks' steps, once the recording has stopped."""
        self._sinks = _checked(sinks)
        self._feed: Feed | None = None
        self._models = _listed(model)
        self._sampler = sampler
        self._sources = sources
        self._interval_seconds = interval_seconds
        self._automatic = automatic
        self._watch_products = watch_products
        self._recorder: Recorder | None = None

    @property
    def active(self) -> bool:
        """Whether it records now, in this process."""
        return self._recorder is not None and self._recorder.active

    @property
    def steps(self) -> int:
        """Optimizer steps of this process that are over, as far as was seen."""
        return self._recorder.steps if self._recorder is not None else 0

    def start(self) -> Recording:
        """Begin. Starting twice changes nothing; starting again after a stop is a new ledger."""
        if self.active:
            return self
        try:
            from flopledger.recording.recorder import Recorder
            from profilers.steps.record.ledger import check_room
        except ImportError as error:
            raise RecordError(
                f"recording a training loop needs torch ({error}); "
                'install it: pip install "flopledger[trace]"'
            ) from error
        try:
            self.path = self.path.absolute()  # the program may go elsewhere
            self.path.mkdir(parents=True, exist_ok=True)
            check_room(self.path)
        except OSError as error:
            raise RecordError(
                f"{self.path}: cannot hold a record ({error.strerror}); choose another folder"
            ) from error
        begun = time.time_ns()
        self._recorder = Recorder(
            self.path, automatic=self._automatic, watch_products=self._watch_products
        )
        self._recorder.start(self._models)
        self._recorder.sample(self._sampler, self._sources, self._interval_seconds)
        self._follow(begun)
        _LIVE.add(self)
        return self

    def _follow(self, begun: int) -> None:
        """Let the sinks follow the ledger that this process writes from ``begun`` on."""
        if not self._sinks:
            return
        try:
            from flopledger.integrations.feed import Feed

            self._feed = Feed(self.path, *self._sinks, since_ns=begun, first_only=True)
        except Exception as error:  # noqa: BLE001 - figures for a screen must not end a training
            self.note("recorder-trouble", f"the sinks get nothing: {error!r}", "warning")

    def stop(self, reason: str = "finished") -> None:
        """End and seal the ledger with a reason. Stopping twice changes nothing."""
        if self._recorder is not None:
            self._recorder.stop(reason)
        if self._feed is not None:
            feed, self._feed = self._feed, None
            self.delivered = feed.close()

    def step(
        self,
        tokens: int | None = None,
        samples: int | None = None,
        number: int | None = None,
        loss: Any = None,
    ) -> None:
        """Say what the step that just ended processed on this rank.

        Where an optimizer steps by itself this only adds what is said to that step; several calls
        before one optimizer step (gradient accumulation) add up. Without any optimizer it ends the
        step.

        Args:
            tokens: Tokens of this step on this rank; None leaves what was seen.
            samples: Samples likewise.
            number: The step's number, where the loop counts differently (a resumed run).
            loss: The step's loss, as for :meth:`loss`.

        """
        if self.active and self._recorder is not None:
            self._recorder.say(tokens, samples, number)
        if loss is not None:
            self.loss(loss)

    def loss(self, value: Any) -> None:
        """Tell the training's loss as it is now, to be drawn over time in the run's report.

        A number, or a tensor of one element in the processor's memory. A tensor on another device
        is not read, because that would wait for the device; a note says so once.
        """
        if self.active and self._recorder is not None:
            self._recorder.loss(value)

    @contextmanager
    def span(self, what: str) -> Iterator[None]:
        """Name what runs inside: ``evaluation``, ``checkpoint``, ``data`` or a word of yours.

        Calls inside are kept apart from training.
        """
        if not self.active or self._recorder is None:
            yield
            return
        with self._recorder.span(what):
            yield

    def resume(self, step: int) -> None:
        """Say that this process continues after ``step``, e.g. from a checkpoint."""
        if self.active and self._recorder is not None:
            self._recorder.resume(step)

    def count(
        self, function: Callable[..., Any], *args: Any, backward: bool = True, **kwargs: Any
    ) -> None:
        """Count a computation that no module's call shows, and add it to the current step.

        Nothing is computed; the function is traced on tensors without storage. A function that
        cannot be traced leaves a note and an open bound.
        """
        if self.active and self._recorder is not None:
            self._recorder.stated.count(function, args, kwargs, backward=backward)

    def state(
        self,
        *,
        forward: int,
        backward: int = 0,
        recompute: int = 0,
        dtype: str | None = None,
        name: str = "stated",
    ) -> None:
        """Add FLOP that only the program knows to the current step; the record says who said so.

        Args:
            forward: Model FLOP of the forward.
            backward: Model FLOP of the backward.
            recompute: FLOP that are done a second time.
            dtype: What the matrix units were fed with, e.g. ``bf16``.
            name: What it is, for the reader.

        """
        if self.active and self._recorder is not None:
            flop = {"forward": forward, "backward": backward, "recompute": recompute}
            self._recorder.stated.state(flop, dtype, name)

    def note(self, code: str, message: str, severity: str = "info") -> None:
        """Write something into the record that its reader must know."""
        if self.active and self._recorder is not None:
            self._recorder.note(code, severity, message)

    def flush(self) -> None:
        """Write what waits, so that a reader of the ledger sees every step that is over."""
        if self.active and self._recorder is not None:
            self._recorder.flush()

    def summary(self) -> dict[str, Any]:
        """Return what the run's ledgers add up to, those of other ranks and earlier starts included.

        ``steps, tokens, samples, model_flop, hardware_flop, duration_seconds, mfu, hfu,
        energy_joules, devices``: None where it is not known, and ``findings`` say why.
        """
        from flopledger.recording.summary import summarised

        self.flush()
        book = self._recorder.book if self._recorder is not None else None
        return summarised(self.path, book)

    def __enter__(self) -> Recording:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.stop("finished" if kind is None else f"raised {kind.__name__}")

    def __call__(self, function: _F) -> _F:
        """Record each call of a training function."""

        @functools.wraps(function)
        def recorded(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return cast("_F", recorded)

    def _forget(self) -> None:
        self._feed = None
        if self._recorder is not None:
            self._recorder.forget()


def _listed(model: Any) -> tuple[Any, ...]:
    if model is None:
        return ()
    return tuple(model) if isinstance(model, list | tuple) else (model,)


def _checked(sinks: Sequence[Sink]) -> tuple[Sink, ...]:
    """Refuse now what would only show at a training's end."""
    found = tuple(sinks) if isinstance(sinks, list | tuple) else (sinks,)
    for one in found:
        if isinstance(one, type) or not all(
            hasattr(one, name) for name in ("name", "emit", "close")
        ):
            raise RecordError(
                f"sinks={one!r}: no sink; give a list of what flopledger.integrations.sinks makes, e.g. "
                "[sinks.PrometheusSink(9464)], or objects with name, emit(metrics) and close()"
            )
    return found


_LIVE: weakref.WeakSet[Recording] = weakref.WeakSet()


def _forked() -> None:
    """In a forked child (a data loader's worker): the record is the parent's."""
    for recording in list(_LIVE):
        recording._forget()


os.register_at_fork(after_in_child=_forked)

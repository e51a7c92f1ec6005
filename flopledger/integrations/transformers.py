"""A callback for transformers' Trainer, and for everything built on it (TRL's trainers too).

from flopledger.integrations.transformers import FlopledgerCallback

trainer = Trainer(..., callbacks=[FlopledgerCallback("runs/today")])
trainer.train()                                    # resume_from_checkpoint continues the total
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flopledger.integrations.requirements import missing
from flopledger.integrations.session import Session
from flopledger.integrations.sinks.delivery import Sink
from flopledger.recording import Recording

try:
    from transformers import TrainerCallback
except ImportError as error:
    if error.name not in (None, "transformers"):
        raise
    raise missing("transformers", extra="transformers") from None


class FlopledgerCallback(TrainerCallback):  # type: ignore[misc]
    """Records every step of ``Trainer.train``, on every rank.

    Optimizer steps and shapes are seen by the recording itself; the Trainer adds what only it
    knows: when it evaluates, saves and generates, after which step it resumed, and its own
    ``total_flos``, which stays beside ours in the ledger as a claim.
    """

    def __init__(
        self, path: str | Path | None = None, *, sinks: Sequence[Sink] = (), **options: Any
    ) -> None:
        """Give the run's folder, by default ``flopledger`` in the Trainer's ``output_dir``.

        ``sinks`` get the steps of the first process; ``options`` are those of
        ``flopledger.record``.
        """
        self._path, self._sinks, self._options = path, sinks, options
        self._session: Session | None = None
        self._restore: Callable[[], None] | None = None

    @property
    def recording(self) -> Recording | None:
        """The recording; ``None`` before training begins."""
        return self._session.recording if self._session is not None else None

    @property
    def session(self) -> Session | None:
        """The recording with its feed; ``None`` before training begins."""
        return self._session

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Begin, or go on after the checkpoint's step."""
        if self._session is not None:
            # train() again, or a smaller batch after a failure: another attempt of the same run.
            self._end("another call of train()")
        path = self._path if self._path is not None else Path(args.output_dir) / "flopledger"
        sinks = self._sinks if state.is_world_process_zero else ()
        self._session = Session(path, sinks=sinks, model=kwargs.get("model"), **self._options)
        self._session.start(resume_step=state.global_step)
        self._restore = _generation_apart(self._session.recording)
        if args.eval_on_start:
            self._session.enter("evaluation")

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        """End whatever came between two steps."""
        if self._session is not None:
            self._session.leave()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Begin the span of what the Trainer decided to do next."""
        self._between(control)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """Keep the loss that the Trainer just read from the device for its own log."""
        if self._session is not None and logs and isinstance(logs.get("loss"), int | float):
            self._session.recording.loss(logs["loss"])

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The same at the end of an epoch."""
        self._between(control)

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """End the evaluation; saving comes next, if at all."""
        if self._session is not None:
            self._session.leave("evaluation")
            if control.should_save:
                self._session.enter("checkpoint")

    def on_save(self, *_: Any, **__: Any) -> None:
        """End the checkpoint."""
        if self._session is not None:
            self._session.leave("checkpoint")

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Write down what the Trainer claims, and end."""
        if self._session is not None and state.total_flos:
            self._session.recording.note(
                "stated-total-flos",
                f"transformers' Trainer states total_flos = {int(state.total_flos)} after step "
                f"{state.global_step}; a claim, which is not part of any figure here",
            )
        self._end("finished")

    def _between(self, control: Any) -> None:
        if self._session is None:
            return
        if control.should_evaluate:
            self._session.enter("evaluation")
        elif control.should_save:
            self._session.enter("checkpoint")

    def _end(self, reason: str) -> None:
        if self._restore is not None:
            self._restore()
            self._restore = None
        if self._session is not None and self._session.recording.active:
            self._session.stop(reason)


def _generation_apart(recording: Recording) -> Callable[[], None]:
    """Put each ``generate()`` into a span of its own; give what undoes it.

    Reinforcement learning generates inside its training step; its FLOP are inference, and stay
    apart from the training's.
    """
    from transformers import GenerationMixin

    original = GenerationMixin.generate

    def generate(self: Any, *args: Any, **kwargs: Any) -> Any:
        with _span(recording):
            return original(self, *args, **kwargs)

    generate.__wrapped__ = original  # type: ignore[attr-defined]
    GenerationMixin.generate = generate

    def restore() -> None:
        if GenerationMixin.generate is generate:
            GenerationMixin.generate = original

    return restore


@contextmanager
def _span(recording: Recording) -> Iterator[None]:
    if not recording.active:
        yield
        return
    with recording.span("generation"):
        yield

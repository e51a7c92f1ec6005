"""A callback for Lightning's Trainer.

from flopledger.integrations.lightning import FlopledgerCallback

trainer = lightning.Trainer(..., callbacks=[FlopledgerCallback("runs/today")])
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flopledger.integrations.requirements import missing
from flopledger.integrations.session import Session
from flopledger.integrations.sinks.delivery import Sink
from flopledger.recording import Recording

try:
    from lightning.pytorch.callbacks import Callback
    from torch import Tensor
except ImportError as error:
    if error.name not in (None, "lightning"):
        raise
    raise missing("lightning", extra="lightning") from None


class FlopledgerCallback(Callback):  # type: ignore[misc]
    """Records ``Trainer.fit`` on every rank: steps by themselves, validation and saving apart."""

    def __init__(
        self, path: str | Path | None = None, *, sinks: Sequence[Sink] = (), **options: Any
    ) -> None:
        """Give the run's folder, by default ``flopledger`` in the Trainer's root.

        ``sinks`` get the steps of the first process; ``options`` are those of
        ``flopledger.record``.
        """
        super().__init__()
        self._path, self._sinks, self._options = path, sinks, options
        self._session: Session | None = None

    @property
    def recording(self) -> Recording | None:
        """The recording; ``None`` before ``fit`` begins."""
        return self._session.recording if self._session is not None else None

    @property
    def session(self) -> Session | None:
        """The recording with its feed; ``None`` before ``fit`` begins."""
        return self._session

    def on_sanity_check_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin before the sanity check, which is evaluation."""
        self._begin(trainer, pl_module).enter("evaluation")

    def on_sanity_check_end(self, trainer: Any, pl_module: Any) -> None:
        """End it."""
        self._leave("evaluation")

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin, where no sanity check did."""
        self._begin(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keep the loss where that is possible without waiting for a device."""
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
        if self._session is not None and loss is not None:
            if isinstance(loss, Tensor) and loss.device.type == "cpu":
                # Lightning has divided it by the micro-batches of a step.
                loss = loss.detach() * trainer.accumulate_grad_batches
            self._session.recording.loss(loss)

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        """Keep validation apart."""
        if self._session is not None and not trainer.sanity_checking:
            self._session.enter("evaluation")

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """End it."""
        if not trainer.sanity_checking:
            self._leave("evaluation")

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """End; the ledger is sealed."""
        self._stop("finished")

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """End, with the reason."""
        self._stop(f"raised {type(exception).__name__}")

    def _begin(self, trainer: Any, module: Any) -> Session:
        if self._session is None or not self._session.recording.active:
            path = self._path
            if path is None:
                path = Path(trainer.default_root_dir) / "flopledger"
            sinks = self._sinks if trainer.is_global_zero else ()
            self._session = Session(path, sinks=sinks, model=module, **self._options)
            # A checkpoint has been restored by now, its step number with it.
            self._session.start(resume_step=_done(trainer))
        return self._session

    def _leave(self, what: str) -> None:
        if self._session is not None:
            self._session.leave(what)

    def _stop(self, reason: str) -> None:
        if self._session is not None and self._session.recording.active:
            self._session.stop(reason)


def _done(trainer: Any) -> int:
    """Return after which step the training goes on; 0 leaves that to the optimizers' own states.

    Lightning adds up the steps of all optimizers, also of those that step together: one step here.
    """
    several = len(trainer.optimizers) > 1
    states = (state for one in trainer.optimizers for state in one.state.values())
    if several and any("step" in state for state in states):
        return 0
    return int(trainer.global_step)

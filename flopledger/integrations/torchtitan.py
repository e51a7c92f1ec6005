"""What torchtitan's metrics processor needs to log counted FLOP beside its own estimate.

trainer.metrics_processor = flopledger.integrations.torchtitan.recorded(
    trainer.metrics_processor, "runs/today"
)

torchtitan itself is not imported: whatever has its processor's methods will do. Its ``tflops`` and
``mfu(%)`` stay as they are (a formula per token, over a peak looked up by name); the counted
figures stand beside them under ``flopledger/``.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flopledger.integrations.session import Session
from flopledger.integrations.sinks.delivery import Sink
from flopledger.integrations.sinks.metrics import tagged
from flopledger.recording import Recording


class RecordedMetrics:
    """A metrics processor with a recording inside; everything else is the processor's own.

    The trainer sets and reads attributes of its processor (``ntokens_since_last_log``,
    ``data_loading_times``, ``optimizers`` ...); all of them reach the processor itself.
    """

    _processor: Any
    _session: Session

    def __init__(self, processor: Any, session: Session) -> None:
        object.__setattr__(self, "_processor", processor)
        object.__setattr__(self, "_session", session)

    @property
    def recording(self) -> Recording:
        """The recording."""
        return self._session.recording

    def log(
        self,
        step: int,
        global_avg_loss: float,
        global_max_loss: float,
        grad_norm: float,
        extra_metrics: Mapping[str, Any] | None = None,
    ) -> None:
        """Log as ever, with the counted figures of the last step that reached the ledger."""
        latest = self._session.latest
        self._session.recording.loss(global_avg_loss)
        counted = tagged(latest) | {"flopledger/step": latest.step} if latest is not None else {}
        self._processor.log(
            step,
            global_avg_loss,
            global_max_loss,
            grad_norm,
            extra_metrics={**(extra_metrics or {}), **counted} or None,
        )

    def close(self) -> None:
        """End the recording, then the processor."""
        self._session.stop()
        self._processor.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._processor, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._processor, name, value)


def recorded(
    processor: Any,
    path: str | Path,
    *,
    sinks: Sequence[Sink] = (),
    resume_step: int = 0,
    **options: Any,
) -> RecordedMetrics:
    """Begin a recording and give the processor that ends it.

    Call it on every rank, after the checkpoint has been loaded if there is one.

    Args:
        processor: torchtitan's ``MetricsProcessor``, or anything with its methods.
        path: The run's folder, the same on every rank.
        sinks: Where this process's steps go besides.
        resume_step: The last step that the checkpoint had done.
        options: Those of ``flopledger.record``.

    """
    models = getattr(processor, "model_parts", None)
    session = Session(path, sinks=sinks, model=models, **options)
    session.start(resume_step=resume_step, follow=True)
    return RecordedMetrics(processor, session)

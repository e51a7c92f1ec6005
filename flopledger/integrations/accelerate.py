"""A tracker for Accelerate.

from flopledger.integrations.accelerate import FlopledgerTracker

accelerator = Accelerator(log_with=[FlopledgerTracker("runs/today"), "wandb"])
accelerator.init_trackers("project")               # recording begins
...
accelerator.end_training()                         # recording ends
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

from flopledger.integrations.requirements import missing
from flopledger.integrations.session import Session
from flopledger.integrations.sinks.delivery import Sink
from flopledger.recording import Recording

try:
    from accelerate import Accelerator
    from accelerate.state import PartialState
    from accelerate.tracking import GeneralTracker
except ImportError as error:
    if error.name not in (None, "accelerate"):
        raise
    raise missing("accelerate", extra="accelerate") from None


class FlopledgerTracker(GeneralTracker):  # type: ignore[misc]
    """Records between ``init_trackers`` and ``end_training``, on every process.

    A tracker receives what others computed; this one keeps a number that is called ``loss`` or
    ``train_loss``, to be drawn over time, and nothing else: a FLOP figure that a script logs is a
    claim.
    """

    name = "flopledger"
    requires_logging_directory = False
    main_process_only = False

    def __init__(
        self,
        path: str | Path,
        *,
        sinks: Sequence[Sink] = (),
        resume_step: int = 0,
        **options: Any,
    ) -> None:
        """``options`` are those of ``flopledger.record``; ``sinks`` get the first process's steps.

        ``resume_step`` is the last optimizer step that the loaded checkpoint had done.
        """
        super().__init__()
        _reach_every_process()
        self._resume_step = resume_step
        self._session: Session | None = None
        self._path, self._sinks, self._options = path, sinks, options

    @property
    def tracker(self) -> Recording | None:
        """The recording; ``None`` before ``init_trackers``. Accelerate's name for it."""
        return self.recording

    @property
    def recording(self) -> Recording | None:
        """The recording; ``None`` before ``init_trackers``."""
        return self._session.recording if self._session is not None else None

    @property
    def session(self) -> Session | None:
        """The recording with its feed; ``None`` before ``init_trackers``."""
        return self._session

    def start(self) -> None:
        """Begin; ``init_trackers`` calls this."""
        if self._session is None:
            sinks = self._sinks if PartialState().is_main_process else ()
            self._session = Session(self._path, sinks=sinks, **self._options)
            self._session.start(resume_step=self._resume_step)

    def store_init_configuration(self, values: Mapping[str, Any]) -> None:
        """Take nothing: hyperparameters are in the shapes that were seen."""

    def log(self, values: Mapping[str, Any], step: int | None = None, **kwargs: Any) -> None:
        """Keep the loss, if it is a number; steps are seen by themselves."""
        loss = values.get("loss", values.get("train_loss"))
        if self._session is not None and isinstance(loss, int | float):
            self._session.recording.loss(loss)

    def finish(self) -> None:
        """End; ``end_training`` calls this."""
        if self._session is not None:
            self._session.stop()


def _ours(accelerator: Any) -> Iterator[FlopledgerTracker]:
    return (each for each in accelerator.log_with if isinstance(each, FlopledgerTracker))


def _reach_every_process() -> None:
    """Have a training's begin and end reach this tracker on every process.

    Accelerate runs ``init_trackers`` on the main process alone, whatever a tracker's ``main_process_only``
    says, and ``end_training`` tells those trackers that it had started.
    """
    begin, end = Accelerator.init_trackers, Accelerator.end_training
    if hasattr(begin, "_reaches_every_process"):
        return

    @wraps(begin)
    def init_trackers(self: Any, *args: Any, **kwargs: Any) -> Any:
        answer = begin(self, *args, **kwargs)
        for tracker in _ours(self):
            tracker.start()
        return answer

    @wraps(end)
    def end_training(self: Any, *args: Any, **kwargs: Any) -> Any:
        for tracker in _ours(self):
            tracker.finish()
        return end(self, *args, **kwargs)

    init_trackers._reaches_every_process = True  # type: ignore[attr-defined]
    Accelerator.init_trackers, Accelerator.end_training = init_trackers, end_training

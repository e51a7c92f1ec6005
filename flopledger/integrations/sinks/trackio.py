"""Figures into Trackio, which keeps them on this machine."""

from typing import Any

from flopledger.integrations.requirements import refuse_name, require
from flopledger.integrations.sinks.metrics import StepMetrics, tagged


class TrackioSink:
    """Logs to a run of its own, or to one that is given."""

    name = "trackio"

    def __init__(
        self, project: str = "flopledger", *, run: Any = None, name: str | None = None
    ) -> None:
        """``run`` is what ``trackio.init`` returned; without it the first step makes a local run."""
        self._trackio = require("trackio", extra="trackio")
        refuse_name(run, 'give its name as name="..."')
        self._own = run is None
        self._run, self._names = run, (project, name)

    def emit(self, metrics: StepMetrics) -> None:
        """Log one step. Trackio keeps JSON numbers, so whole numbers stay exact."""
        if self._run is None:
            project, name = self._names
            # Nothing of Trackio's own sampling: the record has the devices already.
            self._run = self._trackio.init(
                project, name=name, embed=False, auto_log_gpu=False, auto_log_cpu=False
            )
        self._run.log(tagged(metrics), step=metrics.step)

    def close(self) -> None:
        """Finish the run if it was made here."""
        if self._own and self._run is not None:
            self._run.finish()

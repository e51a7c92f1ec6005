"""Figures into Weights & Biases, online or offline as the user has it set up."""

from typing import Any

from flopledger.integrations.requirements import refuse_name, require
from flopledger.integrations.sinks.metrics import PREFIX, StepMetrics, tagged

_STEP = f"{PREFIX}step"


class WandbSink:
    """Writes beside the trainer's own values without touching its step counter.

    W&B drops a value whose step is below the run's counter, and each committed row raises that
    counter. In a run that somebody else writes to, figures are therefore left uncommitted: they
    ride on the next row of the owner. A run of the sink's own gets a row a step.
    """

    name = "wandb"

    def __init__(self, run: Any = None, **init: Any) -> None:
        """Give a run; or nothing, for the active one; or ``init`` arguments for a run of its own.

        ``init`` is passed to ``wandb.init`` (``project=``, ``mode="offline"``, ``dir=`` ...). Which
        run is active is asked when the first step is over: a trainer begins its run later than
        its sinks are made.
        """
        self._wandb = require("wandb", extra="wandb")
        refuse_name(run, 'give its name as name="...", its project as project="..."')
        self._given, self._init = run, init
        self._own = False
        self._run: Any = None

    def emit(self, metrics: StepMetrics) -> None:
        """Log one step."""
        if self._run is None:
            self._begin()
        self._run.log({**tagged(metrics), _STEP: metrics.step}, commit=self._own)

    def _begin(self) -> None:
        given = self._given or (None if self._init else self._wandb.run)
        settings = {"project": "flopledger", "reinit": "create_new"} | self._init
        run = given or self._wandb.init(**settings)
        run.define_metric(_STEP, hidden=True)
        run.define_metric(f"{PREFIX}*", step_metric=_STEP)
        self._run, self._own = run, given is None

    def close(self) -> None:
        """Finish the run if it was made here."""
        if self._own:
            self._run.finish()

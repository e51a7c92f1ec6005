"""Figures into an MLflow run: the one that is active, one that is named, or one of its own."""

from importlib.util import find_spec
from typing import Any

from flopledger.integrations.requirements import MissingPackageError, require
from flopledger.integrations.sinks.metrics import StepMetrics, tagged

_DATABASES = {"sqlite", "mysql", "postgresql", "mssql"}
_EXACT = ("total_model_flop", "total_hardware_flop", "total_tokens", "total_samples")


class MlflowSink:
    """Logs with the client's own batch call, one request a step.

    MLflow keeps metrics as doubles, which are exact up to 2**53; the exact totals are written as
    tags when the sink closes.
    """

    name = "mlflow"

    def __init__(
        self,
        tracking_uri: str | None = None,
        *,
        run_id: str | None = None,
        experiment: str = "flopledger",
        run_name: str | None = None,
    ) -> None:
        """Without ``run_id`` the active run is used, or else a run is made in ``experiment``.

        ``tracking_uri`` ``None`` is MLflow's own default (``MLFLOW_TRACKING_URI``).
        """
        self._mlflow = require("mlflow", extra="mlflow")
        _check_store(tracking_uri or self._mlflow.get_tracking_uri())
        self._uri = tracking_uri
        self._experiment, self._run_name = experiment, run_name
        self._run_id = run_id or self._active(tracking_uri)
        self._own = self._run_id is None
        self._client: Any = None
        self._last: StepMetrics | None = None

    @property
    def run_id(self) -> str | None:
        """The run that is written to; ``None`` before the first value of a run of its own."""
        return self._run_id

    def emit(self, metrics: StepMetrics) -> None:
        """Log one step."""
        client = self._connect()
        stamp = round(metrics.unix_seconds * 1000)
        entity = self._mlflow.entities.Metric
        client.log_batch(
            self._run_id,
            metrics=[
                entity(key, float(value), stamp, metrics.step)
                for key, value in tagged(metrics).items()
            ],
        )
        self._last = metrics

    def close(self) -> None:
        """Write the exact totals as tags; end the run if it was made here."""
        if self._client is None:
            return
        for name in _EXACT:
            value = getattr(self._last, name, None)
            if value is not None:
                self._client.set_tag(self._run_id, f"flopledger.{name}", str(value))
        if self._own:
            self._client.set_terminated(self._run_id)

    def _active(self, tracking_uri: str | None) -> str | None:
        if tracking_uri is not None:
            return None  # the active run may be another server's
        run = self._mlflow.active_run()
        return run.info.run_id if run is not None else None

    def _connect(self) -> Any:
        if self._client is None:
            client = self._mlflow.MlflowClient(tracking_uri=self._uri)
            if self._run_id is None:
                found = client.get_experiment_by_name(self._experiment)
                identifier = (
                    found.experiment_id
                    if found is not None
                    else client.create_experiment(self._experiment)
                )
                run = client.create_run(identifier, run_name=self._run_name)
                self._run_id = run.info.run_id
            self._client = client
        return self._client


def _check_store(uri: object) -> None:
    """Say at once that MLflow's small package, which the extra brings, opens no database.

    MLflow's own default is one, and its own words are of a registry of models.
    """
    scheme = str(uri).partition(":")[0].partition("+")[0]
    if scheme in _DATABASES and find_spec("sqlalchemy") is None:
        raise MissingPackageError(
            f"{uri}: a database takes the whole of MLflow; install it with: pip install mlflow, or name a "
            'server: MlflowSink("http://127.0.0.1:5000")'
        )

"""Without its package an integration says how to install it; importing flopledger needs none."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from flopledger.integrations import sinks
from flopledger.integrations.requirements import MissingPackageError

SCRIPT = """
import importlib, importlib.abc, sys

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name.partition(".")[0])

ABSENT = {
    "accelerate", "lightning", "mlflow", "opentelemetry", "prometheus_client", "tensorboard",
    "torch", "trackio", "transformers", "wandb",
}
sys.meta_path.insert(0, Absent())
from flopledger.integrations import sinks, mlflow, evalai, torchtitan
from flopledger.integrations.requirements import MissingPackageError

def told(act):
    try:
        act()
    except MissingPackageError as error:
        print(error)
    else:
        print("nothing was missing")

told(sinks.MlflowSink)
told(sinks.WandbSink)
told(lambda: sinks.TensorBoardSink("x"))
told(sinks.TrackioSink)
told(sinks.PrometheusSink)
told(sinks.OpenTelemetrySink)
told(lambda: mlflow.write_audit(None))
for name in ("transformers", "lightning", "accelerate"):
    told(lambda: importlib.import_module(f"flopledger.integrations.{name}"))
"""
TOLD = """\
mlflow is not installed; install it with: pip install "flopledger[mlflow]"
wandb is not installed; install it with: pip install "flopledger[wandb]"
tensorboard is not installed; install it with: pip install "flopledger[tensorboard]"
trackio is not installed; install it with: pip install "flopledger[trackio]"
prometheus_client is not installed; install it with: pip install "flopledger[prometheus]"
opentelemetry is not installed; install it with: pip install "flopledger[otel]"
mlflow is not installed; install it with: pip install "flopledger[mlflow]"
transformers is not installed; install it with: pip install "flopledger[transformers]"
lightning is not installed; install it with: pip install "flopledger[lightning]"
accelerate is not installed; install it with: pip install "flopledger[accelerate]"
"""


def test_each_names_its_install_line(root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == TOLD


def test_every_extra_exists(root: Path) -> None:
    import tomllib

    extras = tomllib.loads((root / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    for line in TOLD.splitlines():
        assert line.partition("[")[2].rstrip(']"') in extras


def test_mlflow_s_small_package_opens_no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    small = SimpleNamespace(
        get_tracking_uri=lambda: "sqlite:////home/mlflow.db", active_run=lambda: None
    )
    monkeypatch.setattr("flopledger.integrations.sinks.mlflow.require", lambda *_, **__: small)
    monkeypatch.setattr("flopledger.integrations.sinks.mlflow.find_spec", lambda _: None)
    for given in ((), ("postgresql+psycopg2://me@host/runs",)):
        with pytest.raises(MissingPackageError, match=r"the whole of MLflow.*pip install mlflow"):
            sinks.MlflowSink(*given)
    sinks.MlflowSink("http://127.0.0.1:5000")
    monkeypatch.setattr("flopledger.integrations.sinks.mlflow.find_spec", lambda name: name)
    sinks.MlflowSink()

"""Children with the recorder in their environment, as ``flopledger run`` starts them."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from flopledger.injection import environment, prepare

Child = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run_dir(tmp_path) -> Path:
    """A run's folder with room for what children say."""
    folder = tmp_path / "run"
    folder.mkdir()
    prepare(folder)
    return folder


@pytest.fixture
def child(run_dir, tmp_path) -> Child:
    """Run a Python child below the injection; ``plain=True`` runs the same without it."""

    def run(*words, plain=False, python=sys.executable, **more):
        base = dict(os.environ) | more.pop("env", {})
        variables = base if plain else environment(base, run_dir)
        return subprocess.run(
            [str(python), *map(str, words)],
            env=variables,
            cwd=more.pop("cwd", tmp_path),
            capture_output=True,
            text=True,
            timeout=more.pop("timeout", 120),
            check=False,
            **more,
        )

    return run


@pytest.fixture
def site(tmp_path) -> Callable[[str], dict[str, str]]:
    """Write a ``sitecustomize`` of the user's; return the environment that leads to it."""

    def write(text: str) -> dict[str, str]:
        folder = tmp_path / "users"
        folder.mkdir(exist_ok=True)
        (folder / "sitecustomize.py").write_text(text)
        return {"PYTHONPATH": str(folder)}

    return write

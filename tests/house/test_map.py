"""The maps that a newcomer reads in a package's docstring name what is there, each module once."""

import re
from collections import Counter
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import flopcount
import flopcount.live
import flopcount.model_files
import flopcount.onnx_files
import flopledger.bundle
import flopledger.cases
import flopledger.checks
import flopledger.claims
import flopledger.logs
import flopledger.logs.readers
import flopledger.logs.readers.mlperf
import flopledger.logs.readers.prose
import flopledger.logs.readers.prose.tongues
import flopledger.profiling
import flopledger.recording
import flopledger.reports
import profilers.bounds
import profilers.importers
import profilers.steps

BESIDE = {"telemetry/", "steps/", "flopcount", "read_totals", "assemble", "read", "sniff"}
BESIDE_IN = {"profilers": {"doctor"}, "flopledger.bundle": {"verify", "problems", "ok"}}
"""Names on the maps that are no module of theirs."""
ROOMS = Path(str(profilers.steps.__file__)).parent.glob("*/__init__.py")
STEPS = sorted(f"profilers.steps.{file.parent.name}" for file in ROOMS)


@pytest.mark.parametrize(
    "package",
    [
        flopcount,
        flopcount.live,
        flopcount.model_files,
        flopcount.onnx_files,
        profilers,
        profilers.bounds,
        profilers.importers,
        profilers.steps,
        *map(import_module, STEPS),
        flopledger,
        flopledger.bundle,
        flopledger.cases,
        flopledger.checks,
        flopledger.claims,
        flopledger.logs,
        flopledger.logs.readers,
        flopledger.logs.readers.mlperf,
        flopledger.logs.readers.prose,
        flopledger.logs.readers.prose.tongues,
        flopledger.profiling,
        flopledger.recording,
        flopledger.reports,
    ],
    ids=lambda package: package.__name__,
)
def test_the_map_of_a_package_and_its_folder_agree(package: ModuleType) -> None:
    folder = Path(str(package.__file__)).parent
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    folders = {f"{path.name}/" for path in folder.iterdir() if path.is_dir()}
    named = Counter(re.findall(r"``([a-z_]+/?)``", package.__doc__ or ""))
    assert {name: named[name] for name in modules} == dict.fromkeys(modules, 1)
    beside = BESIDE | BESIDE_IN.get(package.__name__, set())
    assert named.keys() - beside <= modules | folders

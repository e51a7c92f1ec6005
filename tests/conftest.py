"""What every test may use: the shared reference data where it lies, and the examples."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# What an example takes says how busy the machine is, and nothing about the code; the rest is kept
# as Hypothesis has it (in CI: the same examples every time).
settings.register_profile(
    "house", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("house")

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data beside the checkout; tests that need it skip without it."""
    folder = Path(os.environ.get("FLOPLEDGER_SHARED", ROOT.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip("no reference data beside this checkout (set FLOPLEDGER_SHARED)")
    return folder

"""What every test may use: the shared reference data where it lies, and the examples."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, settings

from profilers.steps.models import living

# What an example takes says how busy the machine is, and nothing about the code; the rest is kept
# as Hypothesis has it (in CI: the same examples every time).
settings.register_profile(
    "house", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("house")

ROOT = Path(__file__).parents[1]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Keep the collector out of thousands of tests and libraries that stay: it took a third of the time."""
    on = gc.isenabled()
    gc.disable()
    try:
        return (yield)
    finally:
        if on:
            gc.enable()


@pytest.fixture(autouse=True)
def young(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test did not make itself is put out of the collector's sight, and of a recording's.

    Eight thousand tests and their libraries are a million objects. A recording looks through all that are
    alive when it starts, half a second long; frozen ones, too, which here would thaw the million again.
    That it finds what a program froze is proved in ``recording/test_left_over.py``, and that it finds a
    model in a program of its own, in ``injection/test_trainings.py``.
    """
    if gc.isenabled():
        gc.collect()
        gc.freeze()
        seen = SimpleNamespace(get_objects=gc.get_objects, get_freeze_count=lambda: 0)
        monkeypatch.setattr(living, "gc", seen)


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

"""``flopledger.record``: one line around a training loop.

A recording sees optimizer steps and model calls by itself, counts each kind of call once and writes
a ledger of the process. It never raises into the loop, never talks to another rank and never waits
for a device.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar, cast

_F = TypeVar("_F", bound=Callable[..., Any])


def record(
    path: str | Path,
    model: Any = None,
    *,
    sampler: bool | None = None,
    sources: Sequence[Mapping[str, Any]] | None = None,
    interval_seconds: float = 1.0,
    automatic: bool = True,
) -> Recording:
    """Record the training that runs inside: ``with flopledger.record("runs/today"): ...``.

    Also a decorator of a training function, and an object with ``start`` and ``stop``.

    Args:
        path: The run's folder. Each process of the run gives the same one; a restarted run too.
        model: The model, or a list of models. By default every outermost call of any module is
            seen; a model that is named here is seen from its first call on, however it was made.
        sampler: Whether to sample this node's devices; by default where an NVIDIA driver is loaded.
            On each node one process samples.
        sources: The sampler's instruments, as in ``profilers.sampler.SamplerSettings``.
        interval_seconds: Time between two samples of the devices.
        automatic: Whether optimizer steps are seen by themselves. Without it ``step()`` ends one.

    """
    return Recording(
        Path(path),
        model,
        sampler=sampler,
        sources=sources,
        interval_seconds=interval_seconds,
        automatic=automatic,
    )


class Recording:
    """One recording of one process. Use it as a context manager, a decorator, or start and stop."""

    def __init__(
        self,
        path: Path,
        model: Any = None,
        *,
        sampler: bool | None = None,
        sources: Sequence[Mapping[str, Any]] | None = None,
        interval_seconds: float = 1.0,
        automatic: bool = True,
    ) -> None:
        self.path = path
        self.active = False
        """Whether it records now."""

    def start(self) -> Recording:
        """Begin. Starting twice changes nothing."""
        self.active = True
        return self

    def stop(self, reason: str = "finished") -> None:
        """End and seal the ledger with a reason. Stopping twice changes nothing."""
        self.active = False

    def step(
        self, tokens: int | None = None, samples: int | None = None, number: int | None = None
    ) -> None:
        """Say what the step that just ended processed on this rank.

        Args:
            tokens: Tokens of this step on this rank; None leaves what was seen.
            samples: Samples likewise.
            number: The step's number, where the loop counts differently (a resumed run).

        """

    @contextmanager
    def span(self, what: str) -> Iterator[None]:
        """Name what runs inside: ``evaluation``, ``checkpoint``, ``data`` or a word of yours.

        Calls inside are kept apart from training.
        """
        yield

    def resume(self, step: int) -> None:
        """Say that this process continues after ``step``, e.g. from a checkpoint."""

    def count(
        self, function: Callable[..., Any], *args: Any, backward: bool = True, **kwargs: Any
    ) -> None:
        """Count a computation that no module's call shows, and add it to the current step.

        Nothing is computed; the function is traced on tensors without storage.
        """

    def state(
        self,
        *,
        forward: int,
        backward: int = 0,
        recompute: int = 0,
        dtype: str | None = None,
        name: str = "stated",
    ) -> None:
        """Add FLOP that only the program knows to the current step; the record says who said so."""

    def note(self, code: str, message: str, severity: str = "info") -> None:
        """Write something into the record that its reader must know."""

    def summary(self) -> dict[str, Any]:
        """Return what was recorded: steps, tokens, samples, FLOP, MFU, HFU, energy, devices."""
        names = (
            "steps",
            "tokens",
            "samples",
            "model_flop",
            "hardware_flop",
            "duration_seconds",
            "mfu",
            "hfu",
            "energy_joules",
            "devices",
        )
        return {**dict.fromkeys(names), "findings": []}

    def __enter__(self) -> Recording:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.stop("finished" if kind is None else f"raised {kind.__name__}")

    def __call__(self, function: _F) -> _F:
        """Record each call of a training function."""

        @functools.wraps(function)
        def recorded(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return cast("_F", recorded)

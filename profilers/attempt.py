"""One instrument of a probe: opened when it is time, closed when it fails, and tried again later."""

import contextlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

from profilers.reading import SIGNALS, Reason, Unavailable, is_number
from profilers.source import Source, SourceError, Sweep
from profilers.sources import make_source
from profilers.values import Device, Sample

FIRST_RETRY_NS = 1_000_000_000
LAST_RETRY_NS = 60_000_000_000


class Attempt:
    """One source, open or waiting to be opened again, with back-off."""

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        self.name = name
        self._options = options
        self.source: Source | None = None
        self.why: Unavailable | None = None
        self._retry_ns = FIRST_RETRY_NS
        self._next = 0
        self._made: Source | None = None
        self._dark = False
        self._described: Sequence[Device] = ()

    def ensure_open(self) -> bool:
        """Open when it is time; return True when the source has just been opened."""
        if time.monotonic_ns() < self._next or (self.source is not None and not self._dark):
            return False
        try:
            if self.source is not None:
                self.source.close()
                self.source = None
            # The same object again: it remembers which device sat where.
            self._made = self._made or make_source(self.name, self._options)
            self._made.open()
        except SourceError as error:
            self._fail(error.unavailable)
            return False
        except Exception as error:  # noqa: BLE001 - one instrument must not take the others with it
            self._made = None
            self._fail(_broken(error))
            return False
        self.source, self.why = self._made, None
        if self._dark:
            self._later()
        return True

    def sweep(self) -> Sweep | None:
        """Read once; a source that fails as a whole is closed and tried again later."""
        if self.source is None:
            return None
        try:
            sweep = self.source.sweep()
        except SourceError as error:
            self.source.close()
            self.source = None
            self._fail(error.unavailable)
            return None
        except Exception as error:  # noqa: BLE001 - as above
            with contextlib.suppress(Exception):
                self.source.close()
            self.source = self._made = None
            self._fail(_broken(error))
            return None
        blind = bool(sweep.samples) and not any(
            any(map(is_number, sample.readings.values())) for sample in sweep.samples
        )
        if blind and not self._dark:
            # Every device is gone: only a fresh start of the library can bring one back.
            self._later()
        elif not blind:
            self._retry_ns = FIRST_RETRY_NS
        self._dark = blind
        return sweep

    def devices(self) -> Sequence[Device]:
        """Describe its devices; while it is shut, as they were."""
        if self.source is not None:
            self._described = self.source.devices()
        return self._described

    def dark(self) -> list[Sample]:
        """Return what there is to say of its devices while it is shut: that nothing is seen, and why."""
        if self.source is not None or self.why is None:
            return []
        return [_dark_sample(device, self.why) for device in self._described]

    def _fail(self, why: Unavailable) -> None:
        self.why = why
        self._later()

    def _later(self) -> None:
        self._next = time.monotonic_ns() + self._retry_ns
        self._retry_ns = min(2 * self._retry_ns, LAST_RETRY_NS)

    def as_json(self) -> dict[str, Any]:
        """Say what became of it."""
        answer: dict[str, Any] = {"name": self.name, "open": self.source is not None}
        if self.why is not None:
            answer |= {"reason": self.why.reason.value, "detail": self.why.detail}
        return answer


def _broken(error: Exception) -> Unavailable:
    return Unavailable(reason=Reason.FAILED, detail=f"{type(error).__name__}: {error}")


def _dark_sample(device: Device, why: Unavailable) -> Sample:
    return Sample(
        device=device.key,
        monotonic_ns=time.monotonic_ns(),
        wall_ns=time.time_ns(),
        period_ns=0,
        readings={name: why for name in SIGNALS if name not in device.missing},
    )

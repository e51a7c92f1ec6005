"""What a sink is handed: one step of one process, as plain numbers."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceMetrics:
    """One device of this process's node at one moment; ``None`` where it could not be read."""

    uuid: str
    """The device's own identity, unique in the world."""
    name: str
    """As the driver spells it."""
    energy_joules: float | None = None
    """Since the record began."""
    power_watts: float | None = None
    utilisation: float | None = None
    """Share of the time in which anything ran, 0 to 1."""
    memory_used_bytes: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class StepMetrics:
    """Optimizer steps of one process, counted; ``None`` is what is not known, never 0.

    Figures are this process's own. Ranks that share the work each emit theirs; the whole run's
    total is made from the records, offline, without a collective in the loop.
    """

    step: int
    """Number of the last optimizer step that the figures include, from 1."""
    unix_seconds: float
    """When it ended, on the wall clock."""
    steps: int = 1
    """How many steps the figures of this emission span."""
    duration_seconds: float | None = None
    """Of these steps, without the waiting."""
    wait_seconds: float | None = None
    """Before their first calls: data, checkpoints and everything else that is no training."""
    tokens: int | None = None
    samples: int | None = None
    model_flop: int | None = None
    """Forward and backward of these steps."""
    hardware_flop: int | None = None
    """Model FLOP and everything that was computed again."""
    total_tokens: int | None = None
    """Over all steps so far, those before a restart included."""
    total_samples: int | None = None
    total_model_flop: int | None = None
    total_hardware_flop: int | None = None
    mfu: float | None = None
    """Model FLOP over what the devices could have done in the same time, 0 to 1."""
    hfu: float | None = None
    """The same with hardware FLOP."""
    devices: tuple[DeviceMetrics, ...] = ()

    @property
    def model_flop_per_second(self) -> float | None:
        """FLOP/s of these steps, waiting included."""
        return _rate(self.model_flop, self._elapsed)

    @property
    def tokens_per_second(self) -> float | None:
        """Tokens a second of these steps, waiting included."""
        return _rate(self.tokens, self._elapsed)

    @property
    def _elapsed(self) -> float | None:
        if self.duration_seconds is None:
            return None
        return self.duration_seconds + (self.wait_seconds or 0.0)


#: Figure -> (its name in every sink's own spelling is made of this, unit by UCUM, help).
FIGURES: dict[str, tuple[str, str]] = {
    "model_flop": ("{flop}", "FLOP of forward and backward, of these steps"),
    "hardware_flop": ("{flop}", "FLOP with recomputation, of these steps"),
    "total_model_flop": ("{flop}", "FLOP of forward and backward, of all steps so far"),
    "total_hardware_flop": ("{flop}", "FLOP with recomputation, of all steps so far"),
    "model_flop_per_second": ("{flop}/s", "rate of model FLOP, waiting included"),
    "mfu": ("1", "model FLOP utilisation"),
    "hfu": ("1", "hardware FLOP utilisation"),
    "tokens": ("{token}", "tokens of these steps"),
    "samples": ("{sample}", "samples of these steps"),
    "total_tokens": ("{token}", "tokens of all steps so far"),
    "total_samples": ("{sample}", "samples of all steps so far"),
    "tokens_per_second": ("{token}/s", "tokens a second, waiting included"),
    "duration_seconds": ("s", "time of these steps without waiting"),
    "wait_seconds": ("s", "waiting for data and everything else that is no training"),
}
PREFIX = "flopledger/"
"""Before every name in a tracker, so that nobody takes a figure for the trainer's own."""


def figures(metrics: StepMetrics) -> Iterator[tuple[str, float | int]]:
    """Give the figures that are known, by name."""
    for name in FIGURES:
        value = getattr(metrics, name)
        if value is not None:
            yield name, value


def tagged(metrics: StepMetrics) -> dict[str, float | int]:
    """Give what a tracker logs: known figures, and each device's, under ``flopledger/``.

    Beyond 64 bits (9.2e18 FLOP, some hours of one GPU) trackers refuse whole numbers: those are
    doubles, and the exact ones stand in the record.
    """
    found = {
        f"{PREFIX}{name}": float(value) if abs(value) >= 1 << 63 else value
        for name, value in figures(metrics)
    }
    for index, device in enumerate(metrics.devices):
        for name in ("energy_joules", "power_watts", "utilisation", "memory_used_bytes"):
            value = getattr(device, name)
            if value is not None:
                found[f"{PREFIX}device/{index}/{name}"] = value
    return found


def _rate(amount: int | None, seconds: float | None) -> float | None:
    if amount is None or not seconds or seconds <= 0:
        return None
    return amount / seconds

"""A reading is a number or ``Unavailable``: the typed absence that can never become a zero."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NoReturn, TypeGuard

from profilers.errors import ProfilersError


class UnavailableError(ProfilersError, ArithmeticError):
    """Somebody tried to calculate with a reading that is not there."""


class Reason(enum.StrEnum):
    """Why a reading is not there. The wire form is the value."""

    ABSENT = "absent"
    """No such device, library or instrument on this machine."""
    UNSUPPORTED = "unsupported"
    """The device or the library does not offer this signal."""
    FORBIDDEN = "forbidden"
    """The signal exists; this user may not read it."""
    LOST = "lost"
    """The device fell off the bus."""
    TIMED_OUT = "timed_out"
    """The instrument did not answer before the deadline."""
    STALE = "stale"
    """The instrument repeats an old value beyond its update period."""
    RESET = "reset"
    """A cumulative counter went back: the difference across this point is unknown."""
    MIG = "mig"
    """The gauge is undefined while the device is partitioned."""
    GAP = "gap"
    """Nobody looked at this time."""
    PENDING = "pending"
    """Not asked in this sweep, or a mean that is still running: the next number covers this time,
    too. Signals that change slowly are asked once a second at most."""
    REJECTED = "rejected"
    """The instrument answered with a value that is physically impossible (``raw`` keeps it)."""
    FAILED = "failed"
    """The instrument answered with an error that has no better name; ``detail`` has its code."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Unavailable:
    """No number, and why. Arithmetic, truth and ordering raise ``UnavailableError``."""

    reason: Reason
    since: int | None = None
    """Monotonic nanoseconds at which the signal was first missed; None where nobody knows."""
    detail: str = ""
    """What the instrument said, for people."""
    raw: int | float | None = None
    """The refused value of a ``rejected`` reading, as the instrument gave it; None otherwise."""

    def _refuse(self, *_: object) -> NoReturn:
        told = f" ({self.detail})" if self.detail else ""
        raise UnavailableError(
            f"this reading is unavailable: {self.reason.value}{told}; "
            "ask `is_number(reading)` before calculating with it"
        )

    __bool__ = __int__ = __float__ = __index__ = __complex__ = _refuse
    __lt__ = __le__ = __gt__ = __ge__ = _refuse
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _refuse
    __truediv__ = __rtruediv__ = __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = _refuse
    __pow__ = __rpow__ = __neg__ = __pos__ = __abs__ = __round__ = _refuse


Reading = int | float | Unavailable
"""One answer of one instrument: a number in the signal's unit, or the reason for its absence."""


def is_number(reading: Reading) -> TypeGuard[int | float]:
    """Say whether a reading may be calculated with."""
    return not isinstance(reading, Unavailable)


class Kind(enum.StrEnum):
    """What a signal's number speaks for."""

    GAUGE = "gauge"
    """The value at the sample's stamp (or the instrument's own short mean, see the signal)."""
    MEAN = "mean"
    """The mean over exactly the sample's period."""
    COUNTER = "counter"
    """Cumulative and never decreasing; only differences mean something. A decrease is a reset."""
    STATE = "state"
    """A bit mask or a code; never averaged."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Signal:
    """One thing that can be read of a device."""

    name: str
    """Its column name; the unit is in the name."""
    unit: str
    """The unit in words."""
    kind: Kind
    """What the number speaks for."""
    meaning: str
    """What it truly means, in one sentence."""
    low: float | None = 0
    """Smallest physically possible value; None where there is no bound."""
    high: float | None = field(default=None)
    """Largest physically possible value; None where it depends on the device."""


def _activity(name: str, meaning: str) -> Signal:
    return Signal(
        name=f"{name}_permille", unit="permille", kind=Kind.MEAN, meaning=meaning, high=1000
    )


def _cycles(name: str, meaning: str) -> Signal:
    return Signal(name=name, unit="cycles", kind=Kind.COUNTER, meaning=meaning)


_CATALOGUE = (
    Signal(
        name="gpu_util_permille",
        unit="permille",
        kind=Kind.GAUGE,
        high=1000,
        meaning="share of the driver's last period (1/6 to 1 s) with a kernel resident;"
        " whole percent, so 0 may hide up to 10 permille",
    ),
    Signal(
        name="memory_util_permille",
        unit="permille",
        kind=Kind.GAUGE,
        high=1000,
        meaning="share of the driver's last period with memory traffic; whole percent",
    ),
    Signal(
        name="power_mw", unit="mW", kind=Kind.GAUGE, meaning="board power, instant where offered"
    ),
    Signal(
        name="power_average_mw",
        unit="mW",
        kind=Kind.GAUGE,
        meaning="board power, the driver's one-second mean",
    ),
    Signal(name="power_limit_mw", unit="mW", kind=Kind.STATE, meaning="enforced board power limit"),
    Signal(
        name="energy_mj",
        unit="mJ",
        kind=Kind.COUNTER,
        meaning="board energy since the driver was loaded; updated about every 100 ms",
    ),
    Signal(name="sm_clock_mhz", unit="MHz", kind=Kind.GAUGE, meaning="actual SM clock"),
    Signal(name="memory_clock_mhz", unit="MHz", kind=Kind.GAUGE, meaning="actual memory clock"),
    Signal(
        name="memory_used_bytes", unit="bytes", kind=Kind.GAUGE, meaning="device memory allocated"
    ),
    Signal(
        name="temperature_c",
        unit="degree Celsius",
        kind=Kind.GAUGE,
        low=-50,
        high=200,
        meaning="GPU core temperature",
    ),
    Signal(
        name="memory_temperature_c",
        unit="degree Celsius",
        kind=Kind.GAUGE,
        low=-50,
        high=200,
        meaning="device memory temperature",
    ),
    Signal(
        name="event_reasons",
        unit="bit mask",
        kind=Kind.STATE,
        meaning="why the clock is held (NVML clocks event reasons, formerly throttle reasons)",
    ),
    Signal(
        name="ecc_corrected",
        unit="errors",
        kind=Kind.COUNTER,
        meaning="corrected memory errors since the driver was loaded",
    ),
    Signal(
        name="ecc_uncorrected",
        unit="errors",
        kind=Kind.COUNTER,
        meaning="uncorrected memory errors since the driver was loaded",
    ),
    Signal(name="pcie_tx_bytes", unit="bytes", kind=Kind.COUNTER, meaning="sent over PCIe"),
    Signal(name="pcie_rx_bytes", unit="bytes", kind=Kind.COUNTER, meaning="received over PCIe"),
    Signal(name="nvlink_tx_bytes", unit="bytes", kind=Kind.COUNTER, meaning="sent over NVLink"),
    Signal(name="nvlink_rx_bytes", unit="bytes", kind=Kind.COUNTER, meaning="received over NVLink"),
    Signal(
        name="process_count",
        unit="processes",
        kind=Kind.GAUGE,
        meaning="compute processes with a context on the device",
    ),
    _activity("graphics_activity", "share of time with the graphics or compute engine busy"),
    _activity("sm_activity", "share of SM-cycles with at least one warp, waiting ones included"),
    _activity("sm_occupancy", "resident warps over the maximum"),
    _activity("tensor_activity", "tensor-pipe busy cycles over elapsed cycles, any type"),
    _activity("hmma_activity", "the FP16, BF16 and FP8 share of tensor activity"),
    _activity("imma_activity", "the integer share of tensor activity"),
    _activity("dfma_activity", "the FP64 FMA share of tensor activity"),
    _activity("dmma_activity", "the FP64 matrix share of tensor activity"),
    _activity("dram_activity", "share of cycles with the memory interface busy"),
    _activity("fp64_activity", "FP64 pipe busy cycles over elapsed cycles"),
    _activity("fp32_activity", "FP32 pipe busy cycles over elapsed cycles"),
    _activity("fp16_activity", "FP16 pipe busy cycles over elapsed cycles, HMMA excluded"),
    _activity("integer_activity", "integer pipe busy cycles over elapsed cycles"),
    _cycles("sm_cycles_elapsed", "SM clock cycles that passed (DCGM 1084)"),
    _cycles("sm_cycles_active", "SM cycles with a warp (DCGM 1085)"),
    _cycles("mma_cycles_active", "tensor-pipe busy cycles, any type (DCGM 1086)"),
    _cycles("dmma_cycles_active", "FP64 matrix cycles (DCGM 1087)"),
    _cycles("hmma_cycles_active", "FP16/BF16/FP8 matrix cycles (DCGM 1088)"),
    _cycles("imma_cycles_active", "integer matrix cycles (DCGM 1089)"),
    _cycles("dfma_cycles_active", "FP64 FMA matrix cycles (DCGM 1090)"),
    _cycles("integer_cycles_active", "integer pipe cycles (DCGM 1093)"),
    _cycles("fp64_cycles_active", "FP64 pipe cycles (DCGM 1094)"),
    _cycles("fp32_cycles_active", "FP32 pipe cycles (DCGM 1095)"),
    _cycles("fp16_cycles_active", "FP16 pipe cycles (DCGM 1096)"),
    Signal(
        name="cpu_retired_flop",
        unit="FLOP",
        kind=Kind.COUNTER,
        meaning="floating-point operations that the CPU retired (perf events)",
    ),
)

SIGNALS: Mapping[str, Signal] = {signal.name: signal for signal in _CATALOGUE}
"""Every signal that this pillar knows, by column name, with its unit and true meaning."""

BOARD_SIGNALS = frozenset({
    "power_mw", "power_average_mw", "power_limit_mw", "energy_mj", "sm_clock_mhz", "memory_clock_mhz",
    "temperature_c", "memory_temperature_c", "event_reasons", "ecc_corrected", "ecc_uncorrected",
    "pcie_tx_bytes", "pcie_rx_bytes", "nvlink_tx_bytes", "nvlink_rx_bytes",
})  # fmt: skip
"""What a board has once. DCGM repeats it under every partition; added up, it would count as often."""

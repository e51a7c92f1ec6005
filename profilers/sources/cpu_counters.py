"""Floating-point operations that the CPU retired, from the processor's own counters.

Through Linux perf events, system-wide, so the kernel must grant it (root, ``CAP_PERFMON``, or
``kernel.perf_event_paranoid`` at most 0) and the machine must have counters at all, which many
virtual machines do not. Event codes: Intel FP_ARITH_INST_RETIRED (0xC7, the unit mask names width
and precision, and an FMA counts twice by itself; Intel SDM volume 3B, performance-monitoring events
of the Core generations), AMD PMCx003 "Retired SSE/AVX FLOPs" (unit mask 0x0F: add, multiply,
divide, multiply-add, the last as two; AMD Processor Programming Reference of family 17h and later).
Not verified on hardware (see the docs).
"""

import ctypes
import os
import platform
import struct
import time
from collections.abc import Sequence
from pathlib import Path

from profilers.reading import SIGNALS, Reading, Reason, Unavailable
from profilers.source import SourceError, Sweep
from profilers.values import Device, DeviceKey, Sample

_PERF_EVENT_OPEN = {"x86_64": 298, "aarch64": 241}
_TYPE_RAW = 4
_ATTRIBUTE_BYTES = 112  # PERF_ATTR_SIZE_VER5
_TIMES = 0b11  # total time enabled and running, beside the value

# (event | umask << 8, FLOP for each count)
_INTEL = (
    (0xC7 | 0x01 << 8, 1), (0xC7 | 0x02 << 8, 1), (0xC7 | 0x04 << 8, 2), (0xC7 | 0x08 << 8, 4),
    (0xC7 | 0x10 << 8, 4), (0xC7 | 0x20 << 8, 8), (0xC7 | 0x40 << 8, 8), (0xC7 | 0x80 << 8, 16),
)  # fmt: skip
_AMD = ((0x03 | 0x0F << 8, 1),)


class CpuCounterSource:
    """All CPUs of this host as one device."""

    def __init__(self) -> None:
        """Nothing is opened yet."""
        self._counters: list[tuple[int, int]] = []
        self._device: Device | None = None
        self._last_ns: int | None = None

    @property
    def name(self) -> str:
        """The word for this source."""
        return "cpu"

    def open(self) -> None:
        """Open the counters on every CPU. Raises ``SourceError``."""
        vendor, model = _cpu()
        events = {"GenuineIntel": _INTEL, "AuthenticAMD": _AMD}.get(vendor)
        if events is None:
            raise SourceError(
                Reason.UNSUPPORTED, f"no FLOP events are known for the CPU vendor {vendor!r}"
            )
        try:
            for cpu in sorted(os.sched_getaffinity(0)):
                for code, weight in events:
                    self._counters.append((_open_counter(code, cpu), weight))
        except OSError as error:
            self.close()
            raise _refusal(error) from None
        missing = Unavailable(reason=Reason.UNSUPPORTED, detail="not a reading of a CPU")
        node = platform.node()
        self._device = Device(
            key=DeviceKey(uuid=f"{node}/cpu"),
            name=model,
            vendor="cpu",
            node=node,
            missing={name: missing for name in SIGNALS if name != "cpu_retired_flop"},
        )

    def devices(self) -> Sequence[Device]:
        """Return the CPUs as one device."""
        return [self._device] if self._device else []

    def sweep(self) -> Sweep:
        """Read all counters."""
        assert self._device is not None
        stamp, wall = time.monotonic_ns(), time.time_ns()
        reading: Reading
        try:
            reading = sum(_value(counter) * weight for counter, weight in self._counters)
        except OSError as error:
            reading = Unavailable(reason=Reason.FAILED, detail=str(error))
        period = 0 if self._last_ns is None else stamp - self._last_ns
        self._last_ns = stamp
        sample = Sample(
            device=self._device.key,
            monotonic_ns=stamp,
            wall_ns=wall,
            period_ns=period,
            readings={"cpu_retired_flop": reading},
        )
        return Sweep(samples=(sample,))

    def close(self) -> None:
        """Close the counters."""
        for counter, _ in self._counters:
            os.close(counter)
        self._counters = []


def _refusal(error: OSError) -> SourceError:
    if error.errno in {1, 13}:  # EPERM, EACCES
        text = "needs root, CAP_PERFMON, or `sysctl kernel.perf_event_paranoid=0`"
        return SourceError(Reason.FORBIDDEN, f"the kernel does not grant CPU counters: it {text}")
    if error.errno in {2, 19, 95}:  # ENOENT, ENODEV, EOPNOTSUPP
        return SourceError(
            Reason.UNSUPPORTED, "this machine has no such CPU counters (a virtual machine, perhaps)"
        )
    return SourceError(Reason.ABSENT, f"CPU counters cannot be opened: {error}")


def _cpu() -> tuple[str, str | None]:
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    found = {}
    for line in text.split("\n\n")[0].splitlines():
        name, _, value = line.partition(":")
        found[name.strip()] = value.strip()
    return found.get("vendor_id", "unknown"), found.get("model name")


def _open_counter(code: int, cpu: int) -> int:
    number = _PERF_EVENT_OPEN.get(platform.machine())
    if number is None:
        raise OSError(95, "perf events are not known for this architecture")
    # struct perf_event_attr: type, size, config, sample_period, sample_type, read_format, flags.
    head = struct.pack("=IIQQQQQ", _TYPE_RAW, _ATTRIBUTE_BYTES, code, 0, 0, _TIMES, 0)
    attribute = ctypes.create_string_buffer(head.ljust(_ATTRIBUTE_BYTES, b"\0"))
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.syscall(number, ctypes.byref(attribute), -1, cpu, -1, 8)  # 8: close on exec
    if descriptor < 0:
        code_of = ctypes.get_errno()
        raise OSError(code_of, os.strerror(code_of))
    return int(descriptor)


def _value(counter: int) -> int:
    """Return the count; where the kernel shared the hardware out, scaled to the whole time."""
    value, enabled, running = struct.unpack("=QQQ", os.read(counter, 24))
    if running == 0:
        raise OSError(16, "the kernel never scheduled this counter")
    return int(value) if enabled == running else round(value * enabled / running)

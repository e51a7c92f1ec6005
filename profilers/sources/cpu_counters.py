"""Floating-point operations that the CPU retired, from the processor's own counters.

Through Linux perf events, system-wide, so the kernel must grant it (root, ``CAP_PERFMON``, or
``kernel.perf_event_paranoid`` at most 0) and the machine must have counters at all, which many
virtual machines do not. Which event counts what is the processor's own matter, and an event that means
something else gives a number all the same: so a processor that is not known here is refused.

Codes after the Linux kernel's ``tools/perf/pmu-events/arch/x86`` (read in November 2026):

- Intel ``FP_ARITH_INST_RETIRED`` (0xC7; broadwell to sapphirerapids ``floating-point.json``): the unit
  mask names width and precision, a count is one operation an element, an FMA counts twice by itself.
  Masks of one weight are read together (0x18 ``4_FLOPS``, 0x60 ``8_FLOPS``), so that five counters do.
  AMX tiles and FP16 vectors (0xCF) are not in it. On hybrid parts 0xC7 is another event on the small
  cores, and before Broadwell there is none.
- AMD ``fp_ret_sse_avx_ops`` (PMCx003; ``amdzen1`` to ``amdzen6``), multiply-add as two. Zen 1: four bits
  for single precision and four for double, all 0xFF. Zen 2 and 3: 0x0F for every precision. Zen 4: 0x1F,
  bit 4 being multiply-adds of BF16. Zen 5 and 6: 0x0F is all, the higher bits choose a format.

Not verified on hardware (see the docs).
"""

import contextlib
import ctypes
import os
import platform
import resource
import struct
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from profilers.reading import SIGNALS, Reading, Reason, Unavailable
from profilers.source import SourceError, Sweep
from profilers.values import Device, DeviceKey, Sample

_PERF_EVENT_OPEN = {"x86_64": 298, "aarch64": 241}
_TYPE_RAW = 4
_ATTRIBUTE_BYTES = 112  # PERF_ATTR_SIZE_VER5
_OTHER_FILES = 256
_TIMES = 0b11  # total time enabled and running, beside the value

# (event | umask << 8, FLOP for each count)
_INTEL = (
    (0xC7 | 0x03 << 8, 1), (0xC7 | 0x04 << 8, 2), (0xC7 | 0x18 << 8, 4), (0xC7 | 0x60 << 8, 8),
    (0xC7 | 0x80 << 8, 16),
)  # fmt: skip
_INTEL_MODELS = frozenset({
    0x3D, 0x47, 0x4F, 0x56,  # Broadwell
    0x4E, 0x5E, 0x55, 0x8E, 0x9E, 0xA5, 0xA6,  # Skylake to Comet Lake, and Cascade and Cooper Lake
    0x6A, 0x6C, 0x7D, 0x7E, 0x8C, 0x8D, 0xA7,  # Ice, Tiger and Rocket Lake
    0x8F, 0xCF, 0xAD, 0xAE,  # Sapphire, Emerald and Granite Rapids
})  # fmt: skip
"""Models of family 6 in which 0xC7 is FP_ARITH_INST_RETIRED on every core."""
_ZEN_1_UNTIL, _ZEN_3_MODELS = 0x2F, ((0x00, 0x0F), (0x20, 0x2F), (0x40, 0x5F))


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
        cpu_facts = _cpu()
        events = events_of(cpu_facts)
        cpus = sorted(os.sched_getaffinity(0))
        _make_room(len(cpus) * len(events))
        try:
            for cpu in cpus:
                for code, weight in events:
                    self._counters.append((_open_counter(code, cpu), weight))
        except OSError as error:
            self.close()
            raise _refusal(error) from None
        missing = Unavailable(reason=Reason.UNSUPPORTED, detail="not a reading of a CPU")
        node = platform.node()
        self._device = Device(
            key=DeviceKey(uuid=f"{node}/cpu"),
            name=cpu_facts.get("model name"),
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
        except (
            OSError,
            struct.error,
        ) as error:  # of a CPU that was taken away there is nothing to read
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


def _make_room(counters: int) -> None:
    """Allow as many open files as counters need: five a CPU are more than the usual 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = counters + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _refusal(error: OSError) -> SourceError:
    if error.errno in {1, 13}:  # EPERM, EACCES
        text = "needs root, CAP_PERFMON, or `sysctl kernel.perf_event_paranoid=0`"
        return SourceError(Reason.FORBIDDEN, f"the kernel does not grant CPU counters: it {text}")
    if error.errno in {2, 19, 95}:  # ENOENT, ENODEV, EOPNOTSUPP
        return SourceError(
            Reason.UNSUPPORTED, "this machine has no such CPU counters (a virtual machine, perhaps)"
        )
    return SourceError(Reason.ABSENT, f"CPU counters cannot be opened: {error}")


def events_of(cpu: Mapping[str, str]) -> tuple[tuple[int, int], ...]:
    """Return the events of a processor and the FLOP of a count, by its lines in ``/proc/cpuinfo``.

    Raises ``SourceError`` where it is none of those whose events are known.
    """
    vendor, family, model = (
        cpu.get("vendor_id", "unknown"),
        _number(cpu, "cpu family"),
        _number(cpu, "model"),
    )
    if vendor == "GenuineIntel" and family == 6 and model in _INTEL_MODELS:
        return _INTEL
    mask = _zen_mask(family, model) if vendor == "AuthenticAMD" else None
    if mask is None:
        raise SourceError(
            Reason.UNSUPPORTED,
            f"no event that counts FLOP on every core is known for this CPU ({vendor}, family {family}, "
            f"model {model})",
        )
    return ((0x03 | mask << 8, 1),)


def _zen_mask(family: int, model: int) -> int | None:
    """Return the unit mask that stands for all FLOP of an AMD processor."""
    if family == 0x17:
        return 0xFF if model <= _ZEN_1_UNTIL else 0x0F
    if family == 0x19:
        return 0x0F if any(low <= model <= high for low, high in _ZEN_3_MODELS) else 0x1F
    return 0x0F if family == 0x1A else None


def _number(cpu: Mapping[str, str], name: str) -> int:
    text = cpu.get(name, "")
    return int(text) if text.isdecimal() else -1


def _cpu() -> dict[str, str]:
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    found = {}
    for line in text.split("\n\n")[0].splitlines():
        name, _, value = line.partition(":")
        found[name.strip()] = value.strip()
    return found


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

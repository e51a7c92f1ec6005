"""``run-<id>.wandb``: the log that Weights & Biases writes on the training host.

System statistics and the host's list of devices are read; everything personal in the file (user,
e-mail, command line) is left alone. The host's device list is not the run's: devices without a
statistic are not reported as used.
"""

from collections.abc import Iterator

from profilers.importers import identity, protobuf
from profilers.importers.errors import ImportFormatError
from profilers.importers.gather import BySeries
from profilers.importers.opened import Opened
from profilers.importers.options import Options
from profilers.importers.record_log import Damage, records
from profilers.importers.recording import Block, Clock, Findings, Recording
from profilers.importers.wandb_names import PAIR, metric, reading
from profilers.trace import Device, DeviceKey

NAME = "wandb"
MAGIC = b":W&B\xe1\xbe\x00"

# Field numbers of wandb_internal.proto.
_RECORD_STATS, _RECORD_RUN, _RECORD_ENVIRONMENT = 7, 17, 26
_STATS_TIME, _STATS_ITEM = 2, 3
_ITEM_KEY, _ITEM_VALUE = 1, 16
_TIME_SECONDS, _TIME_NANOS = 1, 2
_RUN_ID, _RUN_HOST = 1, 13
_ENVIRONMENT_HOST, _ENVIRONMENT_NVIDIA, _ENVIRONMENT_TYPE = 12, 24, 18
_NVIDIA_NAME, _NVIDIA_MEMORY, _NVIDIA_UUID, _NVIDIA_BUS = 1, 2, 5, 6


def recognise(opened: Opened) -> bool:
    """Say whether the file begins with W&B's mark."""
    return opened.head.startswith(MAGIC[:6])


def read(opened: Opened, options: Options) -> Recording:
    """Open a run's log."""
    if opened.head[6:7] != b"\x00":
        raise ImportFormatError(
            f"is a W&B log of version {opened.head[6]}; version 0 is known", file=opened.name
        )
    findings = Findings()
    return Recording(
        format=NAME, clock=Clock.WALL, blocks=_blocks(opened, options, findings), findings=findings
    )


def _blocks(opened: Opened, options: Options, findings: Findings) -> Iterator[Block]:
    log = _Log(opened, options, findings)
    for record in records(opened.whole(), len(MAGIC)):
        if isinstance(record, Damage):
            findings.add(
                "torn-tail",
                f"{record.reason} at byte {record.offset}; {record.lost_bytes} bytes are lost",
            )
            break
        try:
            log.record(record)
        except protobuf.WireError as error:
            raise ImportFormatError(f"holds a damaged record: {error}", file=opened.name) from error
    if log.unused:
        findings.add(
            "visible-not-used", f"the host lists {log.listed} devices; {log.unused} have no figure"
        )
    if not log.rows.points:
        raise ImportFormatError(
            "holds no statistic of a device (W&B saw no GPU, or statistics were off)",
            file=opened.name,
        )
    yield log.rows.block()


class _Log:
    def __init__(self, opened: Opened, options: Options, findings: Findings) -> None:
        self.opened, self.options, self.findings = opened, options, findings
        self.rows = BySeries(findings)
        self._host: str | None = None
        self._run = opened.mark
        self._nvidia: list[bytes] = []
        self._devices: dict[tuple[int, str | None], Device] = {}

    @property
    def listed(self) -> int:
        """Devices that the host's list names."""
        return len(self._nvidia)

    @property
    def unused(self) -> int:
        """Devices of the host's list without any statistic."""
        return max(0, self.listed - len({index for index, _ in self._devices}))

    def record(self, data: bytes) -> None:
        for kind, value in protobuf.fields(data):
            if not isinstance(value, bytes):
                continue
            if kind == _RECORD_STATS:
                self._stats(value)
            elif kind == _RECORD_RUN:
                self._host = self._host or protobuf.text(value, _RUN_HOST)
                self._run = protobuf.text(value, _RUN_ID) or self._run
            elif kind == _RECORD_ENVIRONMENT:
                self._host = protobuf.text(value, _ENVIRONMENT_HOST) or self._host
                # Later records of the same writer may repeat the list: the longest one counts.
                listed = list(protobuf.messages(value, _ENVIRONMENT_NVIDIA))
                if len(listed) >= len(self._nvidia) and listed:
                    self._nvidia = listed

    def _stats(self, data: bytes) -> None:
        stamp = next(protobuf.messages(data, _STATS_TIME), None)
        if stamp is None:
            self.findings.add("no-stamp", "a statistic without a time was left out")
            return
        seconds = protobuf.integer(stamp, _TIME_SECONDS) or 0
        time = seconds * 10**9 + (protobuf.integer(stamp, _TIME_NANOS) or 0)
        if not 0 < time < (1 << 33) * 10**9:
            raise protobuf.WireError("a time out of range")
        for item in protobuf.messages(data, _STATS_ITEM):
            key = protobuf.text(item, _ITEM_KEY) or ""
            wanted = metric(key)
            if wanted is None:
                continue
            index, signal, unit, label = wanted
            value = reading(signal, unit, protobuf.text(item, _ITEM_VALUE) or "")
            if value is None:
                raise protobuf.WireError(f"{key} is no number")
            if signal in PAIR:
                self.findings.add(
                    "sampled-pair", "activity is a mean over 200 ms, not over the points' spacing"
                )
            self.rows.point(self._device(index, label), signal, time, value)

    def _device(self, index: int, label: str | None) -> Device:
        known = self._devices.get((index, label))
        if known is None:
            known = self._devices[index, label] = self._describe(index, label)
        return known

    def _describe(self, index: int, label: str | None) -> Device:
        node = self.options.node or label or self._host
        about = self._nvidia[index] if index < len(self._nvidia) and label is None else b""
        uuid = protobuf.text(about, _NVIDIA_UUID) if about else None
        device = identity.gpu(
            uuid=uuid if uuid and identity.is_uuid(uuid) else None,
            index=index,
            node=identity.safe(node) if node else None,
            fallback=f"wandb-{identity.safe(self._run)}",
            name=protobuf.text(about, _NVIDIA_NAME) if about else None,
            vendor="nvidia" if about else None,
        )
        memory = protobuf.integer(about, _NVIDIA_MEMORY) if about else None
        return Device(
            key=DeviceKey(uuid=device.key.uuid),
            name=device.name,
            vendor=device.vendor,
            index=index,
            node=device.node,
            pci_bus_id=(protobuf.text(about, _NVIDIA_BUS) or None) if about else None,
            memory_bytes=memory,
        )

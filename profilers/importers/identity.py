"""Who a device is when a recording has no UUID: ``node/slot``, with the node as well as known."""

import hashlib
import re

from profilers.trace import Device, DeviceKey

_UUID = re.compile(r"GPU-[0-9a-fA-F-]{8,64}")
_SAFE = re.compile(r"[^A-Za-z0-9_.:+-]+")
_LONGEST = 128


def safe(text: str) -> str:
    """Return a name without separators and control characters, shortened."""
    return _SAFE.sub("_", text.strip())[:_LONGEST] or "_"


def is_uuid(text: str) -> bool:
    """Say whether a text is an NVIDIA device UUID."""
    return _UUID.fullmatch(text) is not None


def slot_key(node: str | None, slot: str, *, fallback: str) -> DeviceKey:
    """Return the identity of a slot.

    Without a node's name the recording itself stands for it (``fallback``, such as
    ``zeus-1a2b3c4d``): slots of two unnamed recordings are never taken for one device.
    """
    return DeviceKey(uuid=f"{safe(node or fallback)}/{safe(slot)}")


def gpu(
    *,
    uuid: str | None,
    index: int | None,
    node: str | None,
    fallback: str,
    mig: str = "",
    name: str | None = None,
    vendor: str | None = "nvidia",
) -> Device:
    """Return a device known by its UUID, or else by its number on its node.

    ``mig``: a partition's id or number; the identity has it with the prefix ``MIG-``, by which its
    printed form is read back.
    """
    if mig and not mig.startswith("MIG-"):
        mig = f"MIG-{mig}"
    if uuid:
        key = DeviceKey(uuid=uuid, mig=mig)
    else:
        slot = slot_key(node, f"gpu{index if index is not None else '?'}", fallback=fallback)
        key = DeviceKey(uuid=slot.uuid, mig=mig)
    return Device(key=key, name=name, vendor=vendor, index=index, node=node)


def mark(text: bytes | str) -> str:
    """Return eight hexadecimal digits that stand for a recording of unknown host."""
    raw = text.encode() if isinstance(text, str) else text
    return hashlib.sha256(raw).hexdigest()[:8]

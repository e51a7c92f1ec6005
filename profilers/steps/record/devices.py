"""On what does this process compute? The devices of the models that it calls, without starting any."""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

ELSEWHERE = ("cpu", "meta")
"""Types of what is no accelerator: numbers that lie there may be computed with on one."""
MOST_VALUES = 256
"""So many values of a call's are looked at."""

Place = tuple[str, int | None]
"""A device's type and index."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceFacts:
    """What a process computes on."""

    type: str
    index: int | None
    """Which of the process's devices of this type; None where there is one, or nobody said."""
    name: str | None
    uuid: str | None
    memory_bytes: int | None
    tf32: bool
    """Whether matrix units get single precision numbers rounded to TF32."""


def computing_on(module: Any, parameters: Iterable[Any], given: Any = ()) -> set[Place]:
    """Where a module computes: on all accelerators that hold its parameters, or else where it is told to.

    Parameters that wait in the processor's memory (offloaded ones) say nothing; whoever keeps them there
    says it on the module. Where nobody does, the inputs do.

    Args:
        module: What is called.
        parameters: All of it.
        given: The inputs of a call.

    """
    lying = {place for each in parameters if (place := _place(each)) is not None}
    found = {place for place in lying if place[0] not in ELSEWHERE}
    for part in module.modules():
        found |= _told_to(part)
    if not found:
        tensors = {place for each in _flat(given) if (place := _place(each)) is not None}
        found = {place for place in tensors if place[0] not in ELSEWHERE}
        lying |= tensors
    return found or ({("cpu", None)} if any(kind == "cpu" for kind, _ in lying) else set())


def _told_to(part: Any) -> set[Place]:
    """Devices that a library's wrapper brings inputs and parameters to."""
    kind, own = type(part), vars(part)
    told: list[Any] = []
    if kind.__name__ == "FullyShardedDataParallel":
        told.append(own.get("compute_device"))
    elif kind.__name__ == "DataParallel":
        told += own.get("device_ids") or ()  # a copy of the model on each
    if hasattr(kind, "_get_fsdp_state"):
        told.append(getattr(part._get_fsdp_state(), "_device", None))
    if (hook := own.get("_hf_hook")) is not None:  # Accelerate's, or several of them
        hooks = getattr(hook, "hooks", (hook,))
        told += [getattr(each, "execution_device", None) for each in hooks]
    found = {place for each in told if (place := _named(each)) is not None}
    return {place for place in found if place[0] not in ELSEWHERE}


def _named(device: Any) -> Place | None:
    """A device as libraries name it: a number is one of CUDA's."""
    if type(device) is int:
        return "cuda", device
    if type(device) is str:
        name, _, number = device.partition(":")
        return name, int(number) if number.isdigit() else None
    kind = getattr(device, "type", None)
    return (kind, getattr(device, "index", None)) if isinstance(kind, str) else None


def _place(tensor: Any) -> Place | None:
    found = _named(getattr(tensor, "device", None))
    return ("cpu", None) if found is not None and found[0] == "cpu" else found


def _flat(given: Any) -> Iterable[Any]:
    """Values in containers, however deep, as far as they are no objects of the program's."""
    waiting, seen = [given], 0
    while waiting and seen < MOST_VALUES:
        value = waiting.pop()
        seen += 1
        if isinstance(value, Mapping):
            waiting += value.values()
        elif isinstance(value, list | tuple):
            waiting += value
        else:
            yield value


def device_facts(place: Place) -> DeviceFacts:
    """Return what is known of one of this process's devices, without starting anything."""
    kind, index = place
    torch: Any = sys.modules.get("torch")
    if kind != "cuda" or torch is None or not torch.cuda.is_initialized():
        return DeviceFacts(
            type=kind, index=index, name=None, uuid=None, memory_bytes=None, tf32=False
        )
    index = torch.cuda.current_device() if index is None else index
    about = torch.cuda.get_device_properties(index)
    uuid = getattr(about, "uuid", None)
    return DeviceFacts(
        type=kind,
        index=index,
        name=str(about.name),
        uuid=None if uuid is None else f"GPU-{uuid}",
        memory_bytes=int(about.total_memory),
        tf32=about.major >= 8 and torch.get_float32_matmul_precision() != "highest",
    )

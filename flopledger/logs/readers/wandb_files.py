"""Weights & Biases run folders: metadata, summary and configuration.

The GPU list is the host's, not the run's. Names of people and hosts in these files are left out.
"""

import re

from flopledger.logs import scalars
from flopledger.logs.document import Document
from flopledger.logs.notes import Notes, line
from flopledger.logs.numbers import parse_count
from flopledger.logs.reader import Reader

_CONFIG_KEY = re.compile(r"^([A-Za-z_][\w./\-]{0,80}):\s*$")
_CONFIG_VALUE = re.compile(r"^\s{2,8}value: ?(.{1,200}?)\s*$")


def sniff_metadata(head: bytes, _name: str) -> bool:
    """Recognise ``wandb-metadata.json``."""
    return (
        head.lstrip()[:1] == b"{"
        and b'"startedAt"' in head
        and (b'"program"' in head or b'"executable"' in head or b'"gpu' in head)
    )


def sniff_summary(head: bytes, name: str) -> bool:
    """Recognise ``wandb-summary.json``; one that was cleaned of ``_timestamp`` by its name."""
    is_named = name.rsplit("/", 1)[-1] == "wandb-summary.json"
    return (
        head.lstrip()[:1] == b"{"
        and b'"_runtime"' in head
        and (b'"_timestamp"' in head or b'"_wandb"' in head or is_named)
    )


def sniff_config(head: bytes, _name: str) -> bool:
    """Recognise W&B's ``config.yaml``, where each key holds a value of its own."""
    return re.search(rb"(?m)^(?:_wandb|wandb_version):", head) is not None and (
        re.search(rb"(?m)^\s{2,8}value:", head) is not None
    )


def read_metadata(document: Document, notes: Notes) -> None:
    """Write down the host's GPUs."""
    table = document.table()
    devices = table.get("gpu_nvidia") or table.get("gpu_devices") or table.get("gpu_amd")
    devices = devices if isinstance(devices, list) else []
    named = [device.get("name") for device in devices if isinstance(device, dict)]
    names = [name for name in named if isinstance(name, str)]
    place = "$.gpu_nvidia" if "gpu_nvidia" in table else "$.gpu_devices"
    for name in dict.fromkeys(names):
        notes.fact("accelerator", name, place)
    if not names:
        notes.fact("accelerator", table.get("gpu"), "$.gpu")
    count = parse_count(table.get("gpu_count")) or len(names) or None
    notes.fact("visible_accelerators", count, "$.gpu_count")
    if devices and isinstance(devices[0], dict):
        memory = devices[0].get("memoryTotal", devices[0].get("memory_total"))
        notes.count("accelerator_memory_bytes", memory, f"{place}[0].memoryTotal")
    if len(dict.fromkeys(names)) > 1:
        notes.finding(
            "accelerator-mismatch",
            "warning",
            f"the host lists different GPUs: {', '.join(dict.fromkeys(names))}",
            place,
        )
    slurm = table.get("slurm")
    if isinstance(slurm, dict):
        notes.count("nodes", slurm.get("nnodes"), "$.slurm.nnodes")


def read_summary(document: Document, notes: Notes) -> None:
    """Write down the last values of known counters and the run's length."""
    table = document.table()
    notes.positive("wall_seconds", table.get("_runtime"), "$._runtime")
    for key, value in sorted(table.items()):
        scalars.note_metric(key, value, f"$.{key}", notes)


def read_config(document: Document, notes: Notes) -> None:
    """Write down the trainer's arguments, read line by line: a key, then its value below."""
    key = None
    for number, text in document.lines():
        if match := _CONFIG_KEY.match(text):
            key = match[1]
        elif key is not None and (match := _CONFIG_VALUE.match(text)):
            scalars.note_setting(key, match[1].strip("'\""), line(number), notes)
            key = None


METADATA = Reader(format="wandb-metadata", sniff=sniff_metadata, read=read_metadata)
SUMMARY = Reader(format="wandb-summary", sniff=sniff_summary, read=read_summary)
CONFIG = Reader(format="wandb-config", sniff=sniff_config, read=read_config)

"""How wide and how long a launch was, as its own record says it: world size, nodes, where it began.

A record holds the devices of the hosts that it was written on. Whether those were all of the job stands
in the record beside them: each process wrote down how many there were (``world_size`` of the step
ledgers), and the wrapper kept the command and the variables by which launchers tell processes who they
are. A world size that torch itself reported is the job's; variables and options are what somebody
wrote, and some schedulers count nodes in them, so they are a hint.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from flopledger import foreign_json
from flopledger.logs.evidence import EvidenceFile

_MOST_BYTES = 1 << 20
_MOST_FILES = 4096
_NODES = ("SLURM_JOB_NUM_NODES", "SLURM_NNODES", "NNODES")
_PROCESSES = ("WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE")
#: Options of launchers that say how many hosts (torchrun, accelerate, deepspeed, srun) take part.
_NODE_OPTIONS = re.compile(r"--?(?:nnodes|num[-_]machines|num[-_]nodes|nodes|N)(?:=(.+))?")
#: A finding of a record whose command handed work to hosts that it did not see.
_BEYOND = frozenset({"nodes-unseen", "work-elsewhere"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Launch:
    """What the records of a run say of the job that they are of."""

    #: devices of the job at least; ``None`` where a record says nothing of its width
    devices: int | None = None
    #: torch's own world size is known, so ``devices`` are all of them
    is_certain: bool = False
    #: the hosts that were recorded may be joined by others, and a record says so
    goes_beyond: bool = False
    #: it went on from a checkpoint: what came before is in another record
    is_continued: bool = False
    words: str = ""  #: where that stands
    places: tuple[str, ...] = ()


@dataclass(kw_only=True, slots=True)
class _Told:
    """What all records of a run say, as read."""

    worlds: list[int] = field(default_factory=list)  #: world sizes of step ledgers
    nodes: list[tuple[int, str]] = field(default_factory=list)  #: (hosts, the words that say so)
    processes: list[tuple[int, str]] = field(default_factory=list)
    beyond: list[str] = field(default_factory=list)  #: findings about hosts that were not seen
    places: list[str] = field(default_factory=list)
    has_manifest: bool = False
    is_continued: bool = False


def read(files: Sequence[EvidenceFile], seen_devices: int) -> Launch | None:
    """Read what the records among ``files`` say; ``None`` without a record that says anything.

    ``seen_devices`` is the number of devices that the recordings of the run hold.
    """
    folders = [file for file in files if file.path.is_dir()]
    told = _Told()
    for file in folders:
        _read(file, told)
    return _launch(told, seen_devices, max(1, seen_devices // max(1, len(folders))), len(folders))


def _read(file: EvidenceFile, told: _Told) -> None:
    for world, resumed in _headers(file.path):
        told.worlds.append(world)
        told.is_continued |= resumed
        told.places.append(f"{file.name}: steps/rank=*/ledger.jsonl")
    for path in islice(sorted(file.path.glob("run*.json")), 64):
        manifest = _json(path)
        told.has_manifest |= isinstance(manifest, dict)
        for count, words, is_nodes in _said(manifest):
            (told.nodes if is_nodes else told.processes).append((count, words))
            told.places.append(f"{file.name}: {path.name}")
    told.beyond += _findings(_json(file.path / "summary.json"))


def _launch(told: _Told, seen: int, each_host: int, hosts: int) -> Launch | None:
    places = tuple(dict.fromkeys(told.places))
    if told.worlds:
        world = max(told.worlds)
        return Launch(
            devices=max(world, seen),
            is_certain=True,
            goes_beyond=world > seen,
            is_continued=told.is_continued,
            words=f"its step ledgers were written by a job of {world:,} processes",
            places=places,
        )
    if told.beyond:
        return Launch(goes_beyond=True, words=f"its summary says {told.beyond[0]}", places=places)
    nodes, processes = max(told.nodes, default=(0, "")), max(told.processes, default=(0, ""))
    devices = max(seen, processes[0], nodes[0] * each_host if nodes[0] > hosts else 0)
    words = " and ".join(words for _, words in (nodes, processes) if words)
    if not told.has_manifest:
        return None
    return Launch(
        devices=devices,
        goes_beyond=devices > seen,
        words=f"it was launched with {words}"
        if words
        else "its command and variables name no other host",
        places=places,
    )


def _headers(folder: Path) -> Iterator[tuple[int, bool]]:
    """Give the world size of each step ledger, and whether it went on from a checkpoint."""
    from profilers.ledger import open_regular

    for path in islice(folder.glob("steps/rank=*/ledger.jsonl"), _MOST_FILES):
        try:
            with open_regular(path) as file:
                lines = [file.readline(_MOST_BYTES) for _ in range(8)]
        except OSError:
            continue
        # A ledger's chain is verified where its figures are taken.
        entries = [entry for line in lines if (entry := foreign_json.table(line)) is not None]
        world = next(
            (one["world_size"] for one in entries if _is_count(one.get("world_size"))), None
        )
        if world is not None:
            yield int(world), any(one.get("kind") == "resume" for one in entries)


def _said(manifest: Any) -> Iterator[tuple[int, str, bool]]:
    """Give (count, words, whether it counts nodes) for what a manifest says of the job's width."""
    if not isinstance(manifest, Mapping):
        return
    environment = manifest.get("environment")
    shown = environment.get("shown") if isinstance(environment, Mapping) else None
    shown = shown if isinstance(shown, Mapping) else {}
    for names, is_nodes in ((_NODES, True), (_PROCESSES, False)):
        for name in names:
            count = _whole(shown.get(name))
            if count is not None:
                yield count, f"{name}={count}", is_nodes
    command = manifest.get("command")
    words = [str(word) for word in command] if isinstance(command, list) else []
    for place, word in enumerate(words[:200]):
        found = _NODE_OPTIONS.fullmatch(word)
        if found is None:
            continue
        given = found[1] or (words[place + 1] if place + 1 < len(words) else "")
        count = _whole(given.rpartition(":")[2])  # torchrun's "1:4" is a range
        if count is not None:
            yield count, f"{word.partition('=')[0]} {given}", True


def _findings(summary: Any) -> list[str]:
    listed = summary.get("findings") if isinstance(summary, Mapping) else None
    return [
        str(one["code"])
        for one in (listed if isinstance(listed, list) else [])[:1000]
        if isinstance(one, dict) and one.get("code") in _BEYOND
    ]


def _whole(value: object) -> int | None:
    text = str(value).strip()
    return int(text) if re.fullmatch(r"[1-9]\d{0,6}", text) else None


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**8


def _json(path: Path) -> Any:
    try:
        if not path.is_file() or path.stat().st_size > _MOST_BYTES:
            return None
        return foreign_json.decoded(path.read_text("utf-8", errors="replace"))
    except OSError:
        return None

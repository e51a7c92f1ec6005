"""Kubernetes' own account: pods and jobs as ``kubectl get -o json`` or ``-o yaml`` prints them.

Devices that a pod's containers were given, times the time that they ran. What was given is not what was used.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from flopledger.facts import Grade
from flopledger.logs import limits, plain_yaml
from flopledger.logs.document import Document
from flopledger.logs.evidence import EvidenceError
from flopledger.logs.notes import Notes
from flopledger.logs.numbers import parse_count
from flopledger.logs.reader import Reader
from flopledger.logs.stamps import stamp_seconds

_KIND = re.compile(
    rb"""(?m)^\s{0,8}["']?kind["']?\s*:\s*["']?(Pod|Job|[A-Za-z]{2,12}Job|List|PodList|JobList)["']?,?\s*$"""
)
_KIND_INLINE = re.compile(rb'"kind"\s*:\s*"(?:Pod|Job|\w{2,12}Job|List|PodList|JobList)"')
_API = re.compile(rb"""["']?apiVersion["']?\s*:""")
_DEVICES = (
    "nvidia.com/gpu",
    "amd.com/gpu",
    "google.com/tpu",
    "habana.ai/gaudi",
    "aws.amazon.com/neuron",
)
_SLICE = "nvidia.com/mig-"
#: Labels by which a pod asks for nodes of one part.
_PART_LABELS = ("nvidia.com/gpu.product", "cloud.google.com/gke-accelerator")
_INSTANCE_LABELS = ("node.kubernetes.io/instance-type", "beta.kubernetes.io/instance-type")
_OBJECTS = 20_000


@dataclass(frozen=True, kw_only=True, slots=True)
class _Held:
    """Devices held from one moment to another."""

    devices: int
    start: float
    end: float
    place: str


def sniff(head: bytes, name: str) -> bool:
    """Recognise objects of Kubernetes by kind and version."""
    if head.lstrip()[:1] != b"{" and not name.lower().endswith((".yaml", ".yml")):
        return False
    beginning = head[: 1 << 16]
    if _API.search(beginning) is None:
        return False
    if beginning.lstrip()[:1] == b"{" and b"\n" not in beginning.strip():
        return _KIND_INLINE.search(beginning) is not None
    return _KIND.search(beginning) is not None


def read(document: Document, notes: Notes) -> None:
    """Write down what the pods were given; the jobs, where no pod is shown."""
    objects = list(_objects(_content(document), document.name))
    pods = [one for one in objects if one.get("kind") == "Pod"]
    jobs = [one for one in objects if str(one.get("kind", "")).endswith("Job")]
    shown = pods or jobs
    if not shown:
        raise EvidenceError(f"{document.name}: no pod and no job in it")
    specs = [spec for one in shown for spec, _ in _pod_specs(one)]
    _note_part(specs, notes)
    if any(_slices(spec) for spec in specs):
        notes.finding(
            "unit-ambiguity",
            "warning",
            "slices of GPUs (MIG) were given: they are not counted as devices",
            "resources",
        )
    held = [
        span for one in shown for span in (_of_pod(one, notes) if pods else _of_job(one, notes))
    ]
    if not held:
        if not any(_devices(spec) for spec in specs):
            notes.finding(
                "no-facts", "warning", "no container was given an accelerator", "resources"
            )
        return
    _note_held(held, notes)


def _content(document: Document) -> Any:
    text = document.text(limits.DOCUMENT_BYTES)
    if text.lstrip()[:1] == "{":
        return document.json()
    return plain_yaml.documents(text, document.name)


def _objects(content: Any, name: str) -> Iterator[dict[str, Any]]:
    waiting, seen = [content], 0
    while waiting:
        one = waiting.pop(0)
        if isinstance(one, list):
            waiting = [*one[:_OBJECTS], *waiting]
            continue
        seen += 1
        if seen > _OBJECTS:
            raise EvidenceError(f"{name}: more than {_OBJECTS:,} objects")
        if isinstance(one, dict):
            items = one.get("items")
            if isinstance(items, list):
                # The items of a list of one kind do not name it again.
                kind = str(one.get("kind", "")).removesuffix("List")
                waiting = [
                    {"kind": kind, **item} for item in items[:_OBJECTS] if isinstance(item, dict)
                ] + waiting
            else:
                yield one


def _at(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _pod_specs(one: dict[str, Any]) -> Iterator[tuple[dict[str, Any], int]]:
    """Yield each pod's specification with how many pods have it."""
    spec = one.get("spec")
    if one.get("kind") == "Pod":
        if isinstance(spec, dict):
            yield spec, 1
        return
    if not isinstance(spec, dict):
        return
    template = _at(spec, "template", "spec")
    if isinstance(template, dict):
        yield template, _pods(spec.get("parallelism"))
    for key, replicas in spec.items():
        if key.endswith("ReplicaSpecs") and isinstance(replicas, dict):
            for role in replicas.values():
                inside = _at(role, "template", "spec")
                if isinstance(inside, dict):
                    yield inside, _pods(_at(role, "replicas"))


def _pods(stated: Any) -> int:
    """Give how many pods were asked for: one where nothing is said, and none where that is."""
    return 0 if str(stated).strip() == "0" else parse_count(stated) or 1


def _given(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    containers = spec.get("containers")
    for container in containers if isinstance(containers, list) else []:
        for side in ("limits", "requests"):
            table = _at(container, "resources", side)
            if isinstance(table, dict):
                yield table
                break


def _devices(spec: dict[str, Any]) -> int:
    return sum(parse_count(table.get(key)) or 0 for table in _given(spec) for key in _DEVICES)


def _slices(spec: dict[str, Any]) -> bool:
    return any(str(key).startswith(_SLICE) for table in _given(spec) for key in table)


def _of_pod(pod: dict[str, Any], notes: Notes) -> list[_Held]:
    """Give the time of a pod's longest container; one that was started again shows its last start."""
    name = str(_at(pod, "metadata", "name") or "pod")[:80]
    spec, status = pod.get("spec"), _at(pod, "status", "containerStatuses")
    devices = _devices(spec) if isinstance(spec, dict) else 0
    if not devices:
        return []
    spans = []
    for one in status if isinstance(status, list) else []:
        ended = _at(one, "state", "terminated")
        start, end = _stamp(_at(ended, "startedAt")), _stamp(_at(ended, "finishedAt"))
        if start is not None and end is not None and end > start:
            spans.append((start, end))
        if (parse_count(_at(one, "restartCount")) or 0) > 0:
            notes.finding(
                "coverage-gap",
                "warning",
                f"{name}: a container was started again {_at(one, 'restartCount')} times, and its last start "
                "alone is shown",
                name,
            )
    if not spans:
        _note_open(name, _at(pod, "status", "phase"), notes)
        return []
    _note_state(name, _at(pod, "status", "phase"), notes)
    return [
        _Held(
            devices=devices,
            start=min(start for start, _ in spans),
            end=max(end for _, end in spans),
            place=f"pod {name}",
        )
    ]


def _of_job(job: dict[str, Any], notes: Notes) -> list[_Held]:
    name = str(_at(job, "metadata", "name") or "job")[:80]
    devices = sum(_devices(spec) * pods for spec, pods in _pod_specs(job))
    if not devices:
        return []
    start, end = (
        _stamp(_at(job, "status", "startTime")),
        _stamp(_at(job, "status", "completionTime")),
    )
    if start is None or end is None or end <= start:
        _note_open(name, None, notes)
        return []
    if (parse_count(_at(job, "status", "failed")) or 0) > 0:
        _note_state(name, "Failed", notes)
    return [_Held(devices=devices, start=start, end=end, place=f"job {name}")]


def _stamp(text: Any) -> float | None:
    return stamp_seconds(text) if isinstance(text, str) else None


def _note_open(name: str, phase: Any, notes: Notes) -> None:
    notes.finding(
        "coverage-gap",
        "warning",
        f"{name}{f' ({phase})'[:40] if phase else ''}: when it began and ended is not shown, so its "
        "device-time is not counted",
        name,
    )


def _note_state(name: str, phase: Any, notes: Notes) -> None:
    if phase == "Failed":
        notes.finding(
            "aborted-run", "info", f"{name} failed; its devices were held all the same", name
        )


def _note_held(held: list[_Held], notes: Notes) -> None:
    place = held[0].place if len(held) == 1 else f"{len(held)} pods or jobs"
    notes.fact(
        "accelerator_seconds", sum(one.devices * (one.end - one.start) for one in held), place
    )
    notes.fact("accelerator_count", _most_at_once(held), place)
    first, last = min(one.start for one in held), max(one.end for one in held)
    notes.fact("wall_seconds", last - first, place)
    notes.finding(
        "billed-not-used",
        "info",
        f"devices given to containers of {place}: given is not used, and pods that are deleted are not shown",
        place,
    )


def _most_at_once(held: list[_Held]) -> int:
    changes = sorted(
        [(one.start, 1, one.devices) for one in held] + [(one.end, 0, -one.devices) for one in held]
    )
    now = most = 0
    for _, _, change in changes:
        now += change
        most = max(most, now)
    return most


def _note_part(specs: list[dict[str, Any]], notes: Notes) -> None:
    names: list[str] = []
    for spec in specs:
        wanted = spec.get("nodeSelector")
        if not isinstance(wanted, dict):
            continue
        names += [str(wanted[key]) for key in _PART_LABELS if key in wanted]
        names += [_of_instance(str(wanted[key])) for key in _INSTANCE_LABELS if key in wanted]
    for name in dict.fromkeys(name for name in names if name):
        notes.fact("accelerator", name, "nodeSelector", grade=Grade.STATEMENT)


def _of_instance(name: str) -> str:
    import hardware_db

    try:
        return hardware_db.instance(name).accelerator.id
    except hardware_db.HardwareError:
        return ""


READER = Reader(format="kubernetes", sniff=sniff, read=read)

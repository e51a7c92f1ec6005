"""What the Python processes of a run said about themselves.

``RUN_DIR/processes/<host>.jsonl`` holds a line for each interpreter that started with the recorder
in its environment, and further lines when it imported torch, recorded, or could not. It explains a
record; it is no evidence, and nothing is computed from it.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flopledger import foreign_json
from flopledger.injection.environment import PROCESSES

MAX_BYTES = 8 << 20
FULL_BYTES = 1 << 20
"""From this length on, interpreters no longer say that they have started."""
MAX_HOSTS = 4096
_WORD = 300


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """The Python processes below a wrapper, as far as they told of themselves."""

    python: int = 0
    """Interpreters that started with the recorder in reach."""
    torch: int = 0
    """Processes that imported torch."""
    torch_versions: tuple[str, ...] = ()
    recording: int = 0
    """Processes that trained and were recorded."""
    recorded: frozenset[tuple[str, int]] = frozenset()
    """Host and process id of each of them."""
    refused: dict[str, int] = field(default_factory=dict)
    """Reason why a process with torch could not be recorded -> number of processes."""
    pids: frozenset[int] = frozenset()
    """Process ids that were heard of on any host."""
    complete: bool = True
    """False where a list was too long or damaged."""

    def as_json(self) -> dict[str, Any]:
        """Return plain values for ``summary.json``."""
        return {
            "python": self.python,
            "torch": self.torch,
            "torch_versions": list(self.torch_versions),
            "recording": self.recording,
            "refused": dict(self.refused),
            "complete": self.complete,
        }


def read_processes(run_dir: Path) -> Seen:
    """Read what was said in ``run_dir``, on all hosts."""
    events: Counter[str] = Counter()
    torch: set[tuple[str, int]] = set()
    recording: set[tuple[str, int]] = set()
    refused: dict[tuple[str, int], str] = {}
    versions: set[str] = set()
    pids: set[int] = set()
    complete = True
    for host, line in _lines(run_dir / PROCESSES):
        if line is None:
            complete = False
            continue
        pid = line.get("pid")
        if not isinstance(pid, int):
            complete = False
            continue
        pids.add(pid)
        event = str(line.get("event"))[:_WORD]
        events[event] += 1
        if event == "torch":
            torch.add((host, pid))
            versions.add(str(line.get("torch"))[:_WORD])
        elif event == "recording":
            recording.add((host, pid))
        elif event == "refused":
            refused[host, pid] = str(line.get("reason"))[:_WORD]
    return Seen(
        python=events["python"],
        torch=len(torch),
        torch_versions=tuple(sorted(versions)),
        recording=len(recording),
        recorded=frozenset(recording),
        refused=dict(Counter(refused.values())),
        pids=frozenset(pids),
        complete=complete,
    )


def _lines(folder: Path) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """Yield each host's lines; None for one that cannot be read."""
    if not folder.is_dir():
        return
    for path in sorted(folder.glob("*.jsonl"))[:MAX_HOSTS]:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) >= FULL_BYTES:
            yield path.stem, None
        for raw in data[:MAX_BYTES].splitlines():
            yield path.stem, foreign_json.table(raw)

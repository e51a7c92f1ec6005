"""Run folders as a seal sees them: chains of telemetry and of training steps, and what they sum to."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from flopledger.bundle import strict, summary
from flopledger.bundle.errors import BundleError
from flopledger.bundle.summary import Identities, SiteSummary
from profilers.errors import ProfilersError
from profilers.ledger import Line, read_ledger
from profilers.record import Problem, check_chain

if TYPE_CHECKING:
    from profilers.trace import Trace

#: Damage that a crash leaves; everything else was done by somebody.
HONEST = frozenset({"torn-tail", "unsealed"})
_TELEMETRY, _STEPS = "telemetry/node=*/journal.jsonl", "steps/*/ledger.jsonl"


def is_record(folder: Path) -> bool:
    """Say whether ``folder`` is what ``flopledger run``, ``import`` or ``record`` wrote."""
    return any(any(folder.glob(pattern)) for pattern in (_TELEMETRY, _STEPS))


def folders(files: Mapping[str, object]) -> set[str]:
    """Find the run folders among the names of a bundle."""
    found = set()
    for name in files:
        parts = name.split("/")
        kind = (parts[-3], parts[-1]) if len(parts) >= 4 else ("", "")
        if kind in {("telemetry", "journal.jsonl"), ("steps", "ledger.jsonl")}:
            found.add("/".join(parts[:-3]))
    return found


def problems(run_dir: Path) -> list[Problem]:
    """Check every chain and every segment of a run's folder."""
    from profilers.record import verify

    found: list[Problem] = []
    try:
        if any(run_dir.glob(_TELEMETRY)):
            found += verify(run_dir)
        for path in sorted(run_dir.glob(_STEPS)):
            found += check_chain(path, path.relative_to(run_dir).as_posix())
    except (ProfilersError, ValueError, LookupError, TypeError, AttributeError, OSError) as error:
        # A hostile record may break its reader in ways that only it knows.
        found.append(Problem(code="unreadable", file="", detail=str(error)))
    return found


def sum_up(run_dir: Path, identities: Identities, *, site: str) -> SiteSummary:
    """Sum up a run's folder. Raises ``BundleError`` where it is none, or cannot be read."""
    if not is_record(run_dir):
        raise BundleError(f"{run_dir}: no run's record (telemetry/ or steps/) is in this folder")
    try:
        trace = _trace(run_dir)
        stated = _stated(run_dir)
        return summary.of_record(
            trace,
            identities,
            site=site,
            digests=_heads(run_dir),
            stated=stated,
            goes_on_after=_goes_on_after(run_dir),
        )
    except (ProfilersError, ValueError, LookupError, TypeError, OSError) as error:
        raise BundleError(f"{run_dir}: cannot be summed up: {error}") from None


def _trace(run_dir: Path) -> "Trace | None":
    from profilers.record import read_record

    return read_record(run_dir) if any(run_dir.glob(_TELEMETRY)) else None


def _goes_on_after(run_dir: Path) -> int | None:
    """Give the step after which a training of it goes on whose beginning is not in it."""
    from flopledger.recording.totals import read_totals

    totals = read_totals(run_dir)
    first = (one for one in totals.attempts if one.attempt == 0) if totals is not None else ()
    return max((one.resumed_after for one in first if one.resumed_after), default=None)


def _heads(run_dir: Path) -> list[str]:
    """Give the digest of each chain's last good line: it stands for everything before it."""
    found = []
    for pattern in (_TELEMETRY, _STEPS):
        for path in run_dir.glob(pattern):
            last = hashlib.sha256(b"").hexdigest()
            for one in read_ledger(path):
                if isinstance(one, Line):
                    last = one.digest
            found.append(last)
    return found


def _stated(run_dir: Path) -> dict[str, float | None]:
    """Take the FLOP that the recorder worked out, where its summary is there and sound."""
    path = run_dir / "summary.json"
    nothing: dict[str, float | None] = {"model": None, "high": None}
    if not path.is_file() or path.stat().st_size > strict.MAX_BYTES:
        return nothing
    told: Any = strict.loads(path.read_bytes(), what=path.name)
    if not isinstance(told, dict):
        return nothing
    bounds = told.get("flop_bounds")
    high = bounds.get("high") if isinstance(bounds, dict) else None
    try:
        return msgspec.convert(
            {"model": told.get("model_flop"), "high": high}, dict[str, summary.Figure | None]
        )
    except msgspec.ValidationError:
        return nothing

"""Scores for an EvalAI challenge whose submissions are sealed bundles.

The host's annotation file says what the right answer is; a submission is what ``flopledger audit
--bundle`` or ``flopledger seal`` wrote. Nothing of a submission is executed. It is checked in a
process of its own with limits on time, memory and file size, so that a hostile one can spoil its
own score and nothing else.

EvalAI's workers run older Pythons than this package needs: ``docs/evalai.md`` says how the script of
the challenge folder finds one that is new enough. This module is what runs there:

    python -m flopledger.integrations.evalai ANNOTATION SUBMISSION PHASE
"""

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from flopledger.errors import FlopledgerError

SCHEMA = "flopledger/evalai-annotation/1"
LEVEL = 0.9
"""Of the interval in an audit's answer."""
LABELS = ("Score", "Seal", "Verdict", "Width", "LogError")
#: A leaderboard shows numbers.
VERDICTS = {"consistent": 1.0, "needs-explanation": 0.5, "undetermined": 0.0, "inconsistent": -1.0}
_MOST_ANSWER = 1 << 20


class EvalaiError(FlopledgerError):
    """The host's own files cannot be used. A submission never raises: it is scored."""


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Split(_Table, frozen=True):
    """The right answer of one data set split."""

    reference_flop: float  #: model FLOP


class Limits(_Table, frozen=True):
    """What checking one submission may cost."""

    seconds: float = 120.0
    submission_bytes: int = 256 << 20
    memory_bytes: int = 8 << 30
    file_bytes: int = 2 << 30  #: of each file that the check writes


class Phase(_Table, frozen=True):
    """How one phase is judged."""

    splits: dict[str, Split]
    recompute: bool = True  #: repeat the audit from the sealed evidence and compare every figure
    trusted_keys: list[str] = []  #: PEM; each must have signed. Empty: any key will do
    required_sha256: list[str] = []  #: evidence that the host handed out and a bundle must hold
    limits: Limits = Limits()


class Annotation(_Table, frozen=True):
    """The host's annotation file."""

    schema: str
    phases: dict[str, Phase]


def evaluate(
    test_annotation_file: str,
    user_submission_file: str,
    phase_codename: str,
    **kwargs: Any,  # noqa: ARG001 - EvalAI's submission_metadata, which must not sway a score
) -> dict[str, Any]:
    """Score one submission, as EvalAI's worker calls it.

    Args:
        test_annotation_file: The host's annotation (JSON, schema ``flopledger/evalai-annotation/1``).
        user_submission_file: The bundle.
        phase_codename: Which phase of the annotation.
        kwargs: What else EvalAI hands over (``submission_metadata``); not used.

    Returns:
        ``{"result": [{split: {label: number}}], "submission_result": {...}}``. A figure that is not
        known has no label: EvalAI shows ``#`` for it.

    Raises:
        EvalaiError: when the annotation or the phase is wrong, which is the host's to mend.

    """
    phase = _phase(Path(test_annotation_file), phase_codename)
    found = _checked(Path(user_submission_file), phase)
    return {
        "result": [{name: scores(found, split)} for name, split in phase.splits.items()],
        "submission_result": found,
    }


def scores(found: dict[str, Any], split: Split) -> dict[str, float]:
    """Turn what was found into the columns of the leaderboard.

    The score is 1 / (1 + S) with S the interval score (Gneiting and Raftery 2007) of the 90%
    interval in decades: its width, plus 20 times the distance by which it misses the truth. It is
    best for the honest interval: a narrower one misses more often than it gains. Without a seal
    that holds, with figures that do not repeat, or against an inconsistent verdict it is 0. So is
    EvalAI's idea of a missing value, which is why the order is descending by this column.
    """
    row = {"Score": 0.0, "Seal": float(found["sealed"])}
    if not found["sealed"] or found["verdict"] not in VERDICTS:
        return row
    row["Verdict"] = VERDICTS[found["verdict"]]
    flop = found["flop"] or {}
    low, best, high = (_positive(flop.get(name)) for name in ("low", "best", "high"))
    truth = math.log10(split.reference_flop)
    if best is not None:
        row["LogError"] = abs(math.log10(best) - truth)
    if low is None or high is None or low > high:
        return row
    below, above = math.log10(low), math.log10(high)
    row["Width"] = above - below
    missed = max(0.0, below - truth, truth - above)
    if found["verdict"] != "inconsistent":
        row["Score"] = 1.0 / (1.0 + row["Width"] + 2.0 / (1.0 - LEVEL) * missed)
    return row


def inspect(submission: Path, phase: Phase) -> dict[str, Any]:
    """Check a bundle; runs in the process with limits."""
    from flopledger import bundle
    from flopledger.bundle.keys import parse_public

    trusted = [parse_public(pem.encode(), "trusted_keys") for pem in phase.trusted_keys]
    seen = bundle.verify(submission, trusted=trusted, recompute=phase.recompute)
    problems = [f"{one.file}: {one.message}" for one in seen.problems]
    if seen.ok and not seen.signers:
        problems.append("nobody signed it; use flopledger seal, or audit --bundle with --key")
    digests = set(seen.statement.digests.values()) if seen.statement is not None else set()
    problems += [
        f"evidence {digest[:16]}... that the host handed out is not inside"
        for digest in phase.required_sha256
        if digest not in digests
    ]
    if seen.recomputed is not None and seen.recomputed.refuted:
        problems.append("figures differ from those that the sealed evidence gives")
    audit = seen.audit or {}
    if seen.ok and not audit:
        problems.append("the bundle holds no audit; make it with: flopledger audit --bundle")
    combined = audit.get("combined") or {}
    return _found(
        problems,
        verdict=audit.get("verdict"),
        flop=combined.get("flop"),
        title=audit.get("title"),
        signers=[signer.key_id for signer in seen.signers],
        recomputed=None if seen.recomputed is None else seen.recomputed.same,
    )


def _found(problems: list[str], **known: Any) -> dict[str, Any]:
    about: dict[str, Any] = {
        "verdict": None,
        "flop": None,
        "title": None,
        "signers": [],
        "recomputed": None,
    }
    told = [problem[:500] for problem in problems[:50]]
    return {"sealed": not problems, **about, **known, "problems": told}


def _checked(submission: Path, phase: Phase) -> dict[str, Any]:
    """Run ``inspect`` in a process of its own and take its answer, or say why there is none."""
    try:
        size = submission.stat().st_size
    except OSError as error:
        raise EvalaiError(f"{submission}: {error.strerror}; EvalAI hands over the file") from None
    limits = phase.limits
    if not submission.is_file() or size > limits.submission_bytes:
        return _found([f"the submission has {size:,} bytes; {limits.submission_bytes:,} are taken"])
    order = {"submission": str(submission.resolve()), "phase": msgspec.to_builtins(phase)}
    with tempfile.TemporaryDirectory(prefix="flopledger-evalai-") as folder:
        command = [sys.executable, "-I", "-c", _CHILD, json.dumps(sys.path)]
        with subprocess.Popen(  # noqa: S603 - this interpreter, a program of ours
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env={"PATH": os.defpath, "HOME": folder, "TMPDIR": folder, "OMP_NUM_THREADS": "1"},
            start_new_session=True,
        ) as child:
            try:
                answer, _ = child.communicate(json.dumps(order).encode(), timeout=limits.seconds)
            except subprocess.TimeoutExpired:
                return _found([f"not checked within {limits.seconds:g} s"])
            finally:
                _end(child)
    return _understood(answer, child.returncode)


def _understood(answer: bytes, code: int) -> dict[str, Any]:
    if code != 0 or len(answer) > _MOST_ANSWER:
        why = (
            "it went beyond the limits on memory, time or size" if code < 0 else f"exit code {code}"
        )
        return _found([f"the check ended without an answer: {why}"])
    found: dict[str, Any] = json.loads(answer)
    return found


def _end(child: "subprocess.Popen[bytes]") -> None:
    """End the child and whatever it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


#: The child's first lines: the same packages as here, whatever its environment says.
_CHILD = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from flopledger.integrations.evalai import answer; answer()"
)


def answer() -> None:
    """Be the process with limits: read the order, write what was found."""
    import resource

    order = json.load(sys.stdin)
    phase = msgspec.convert(order["phase"], Phase)
    limits = phase.limits
    resource.setrlimit(resource.RLIMIT_AS, (limits.memory_bytes, limits.memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limits.file_bytes, limits.file_bytes))
    seconds = math.ceil(limits.seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        found = inspect(Path(order["submission"]), phase)
    except FlopledgerError as error:
        found = _found([str(error)])
    except (MemoryError, OSError, ValueError, ArithmeticError, RecursionError) as error:
        found = _found([f"the check failed on it: {type(error).__name__}"])
    json.dump(found, sys.stdout, allow_nan=False)


def _phase(path: Path, codename: str) -> Phase:
    try:
        annotation = msgspec.json.decode(path.read_bytes(), type=Annotation)
    except OSError as error:
        raise EvalaiError(f"{path}: {error.strerror}; give the annotation file") from None
    except msgspec.DecodeError as error:
        raise EvalaiError(f"{path}: {error}; see docs/evalai.md for its keys") from None
    if annotation.schema != SCHEMA:
        raise EvalaiError(f"{path}: schema {annotation.schema!r}; this version reads {SCHEMA!r}")
    if codename not in annotation.phases:
        known = ", ".join(sorted(annotation.phases))
        raise EvalaiError(f"{path}: no phase {codename!r}; it has {known}")
    phase = annotation.phases[codename]
    for name, split in phase.splits.items():
        if _positive(split.reference_flop) is None:
            raise EvalaiError(
                f"{path}: {codename}.{name}: reference_flop is {split.reference_flop}; "
                "give FLOP as a positive number"
            )
    return phase


def _positive(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and value > 0 else None


def main() -> int:
    """Score one submission from the command line and print the answer as JSON."""
    if len(sys.argv) != 4:
        sys.stderr.write("give three arguments: ANNOTATION SUBMISSION PHASE\n")
        return 2
    try:
        found = evaluate(*sys.argv[1:])
    except FlopledgerError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    sys.stdout.write(json.dumps(found, allow_nan=False) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

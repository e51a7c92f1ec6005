"""Is a step ledger still what its process wrote? For ``profilers.record.verify``."""

from collections.abc import Iterator
from pathlib import Path

from profilers.record import Problem, check_chain
from profilers.steps.record.ledger import LEDGER, STEPS, read_process


def step_ledgers(run_dir: Path) -> list[Path]:
    """Return the step ledgers of a run, by name."""
    return sorted(path for path in (run_dir / STEPS).glob(f"rank=*/{LEDGER}"))


def check_steps(run_dir: Path) -> Iterator[Problem]:
    """Check every process's chain, and whether its lines say what the format allows."""
    for path in step_ledgers(run_dir):
        place = path.relative_to(run_dir).as_posix()
        whole = True
        try:
            for problem in check_chain(path, place):
                whole &= problem.code != "broken-chain"
                yield problem
        except OSError as error:
            detail = f"cannot be read ({error.strerror})"
            yield Problem(code="unreadable", file=place, detail=detail)
            continue
        process = read_process(path.parent)
        if process is None:
            if whole:
                detail = "not even a header can be read; its steps are lost or were removed"
                yield Problem(code="broken-chain", file=place, detail=detail)
            continue
        wrong = [problem for problem in process.problems if "cut short" not in problem]
        if wrong and whole:  # the chain holds, and yet a line is not what our writer writes
            yield Problem(code="broken-chain", file=place, detail=wrong[0])
        if process.sealed is None:
            detail = "the process did not end in order; everything up to its last line is here"
            yield Problem(code="unsealed", file=place, detail=detail)

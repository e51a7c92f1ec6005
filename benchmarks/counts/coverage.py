"""Every model of a library against the second counter, resumable and within a time."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from pathlib import Path

from benchmarks.counts.families import auto_classes
from benchmarks.counts.libraries import LIBRARIES
from benchmarks.counts.opinions import examine
from benchmarks.counts.page import write
from benchmarks.counts.peers import quiet
from benchmarks.counts.stated_inputs import stated_for


def answers_of(file):
    """What an earlier run of the same coverage found, by model."""
    if not file or not Path(file).exists():
        return {}
    return {row[0]: row[1:] for row in map(json.loads, Path(file).read_text().splitlines())}


class OutOfTimeError(BaseException):
    """No failure of the model, so that nothing on the way takes it for one."""


def timely(build, inputs, most):
    """One model, given up after ``most`` seconds of processor time, the same on a busy machine.

    One that does not end must not stop the others.
    """

    def late(*_):
        raise OutOfTimeError

    before = signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, most)
    try:
        return examine(build, inputs)
    except OutOfTimeError:
        return "not within the time", f"{most:g} s"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def share(tally, by_statement):
    """How many are exact, of those that build, and how their inputs came about.

    Args:
        tally: models by verdict.
        by_statement: the exact ones whose inputs the benchmark states.
    """
    none = ("does not build", "no forward pass of its own")  # torch's own raises in the second case
    built = sum(tally.values()) - sum(map(tally.get, none, (0, 0)))
    named = ", ".join(f"{kind} {number}" for kind, number in tally.most_common())
    return (
        f"**{tally['exact']} of the {built} that build and have a forward pass are exact, forward "
        f"and backward ({tally['exact'] / max(built, 1):.1%})**: {tally['exact'] - by_statement} on "
        f"inputs made by rule, {by_statement} on inputs that the benchmark states. "
        f"{named[0].upper()}{named[1:]}."
    )


def run_coverage(options):
    """Every model of a library, against the second counter."""
    tally, usual, rows = Counter(), Counter(), []
    stated, by_statement = stated_for(options.library), []
    models = LIBRARIES[options.library]
    automatic = auto_classes() if options.library == "auto" else set()
    known = answers_of(options.resume)
    started, late = time.perf_counter(), 0
    for number, (name, build, inputs) in enumerate(models()):
        if options.only and name not in options.only:
            continue
        if number % options.every or not options.start <= number < options.end:
            continue
        if name in known:
            verdict, said = known[name]
        elif time.perf_counter() - started > 60 * options.minutes:
            late += 1
            continue
        else:
            answer = quiet(timely, build, inputs, options.seconds)
            verdict, said = answer if isinstance(answer, tuple) else ("benchmark failed", answer)
            if options.resume:
                with Path(options.resume).open("a") as file:
                    file.write(json.dumps([name, verdict, said]) + "\n")
        tally[verdict] += 1
        usual[verdict] += name in automatic
        by_statement += [name] if verdict == "exact" and name in stated else []
        if verdict != "exact":
            rows.append(f"| {name} | {verdict} | {' '.join(said.split()).replace('|', '/')} |")
            print(rows[-1], flush=True)
    body = share(tally, len(by_statement))
    if automatic:
        own = share(+usual, len(automatic.intersection(by_statement)))
        body += f"\n\nThe {usual.total()} that an Auto class of the library builds: {own}"
    if late:
        body += f"\n\nNot reached within {options.minutes} minutes: {late}."
    body += "\n\n| model | verdict | |\n|---|---|---|\n" + "\n".join(rows)
    if stated:
        body += "\n\nInputs that no rule knows, as stated:\n\n| model | why |\n|---|---|\n"
        body += "\n".join(f"| {name} | {stated[name].why} |" for name in sorted(stated))
    write(f"coverage-{options.library}{'-again' if options.only else ''}", body)

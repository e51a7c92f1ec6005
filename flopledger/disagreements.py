"""Case and evidence speak of the same thing: do they agree, and what is said where they do not?"""

from flopledger.facts import Finding
from flopledger.inputs import Input, RunFigures
from flopledger.logs import Resolved
from flopledger.logs.statements import is_of_prose
from flopledger.quantity import Quantity
from flopledger.text import factor, interval, number, share

TOLERANCE = 0.02


def is_hearsay(resolved: Resolved) -> bool:
    """Say whether a figure rests on sentences of a text alone: words, as the case's own figure is.

    A text is read by rules, which may take a sentence about another model for one about this run; whoever
    wrote the case chose its figure and can cite a document for it.
    """
    return bool(resolved.facts) and all(is_of_prose(fact) for fact in resolved.facts)


def is_size(stated: Input, size: Resolved | None) -> bool:
    """Say whether what is stated as trained on is the size of the data set."""
    said = stated.quantity.best
    return size is not None and said is not None and abs(said / size.number - 1) < TOLERANCE


def is_part(stated: Input, read_out: Input, resolved: Resolved) -> bool:
    """Say whether the evidence is a recording of some part of what the case states."""
    low = stated.quantity.interval.low
    high = read_out.quantity.interval.high or read_out.quantity.interval.low
    is_amount = read_out.quantity.best is not None or read_out.quantity.interval.low is not None
    is_less = low is not None and high is not None and high < low
    return not resolved.is_whole_run and is_amount and is_less


def is_one_host_of_several(stated: Input, resolved: Resolved) -> bool:
    """Say whether the evidence lists one host, and the case states several such hosts' devices.

    Trackers list the devices of the host that rank 0 runs on; they bound no run of several hosts.
    """
    count = stated.quantity.best
    if count is None or not any(fact.name == "visible_accelerators" for fact in resolved.facts):
        return False
    return count > resolved.number and count % resolved.number == 0


def agree(stated: Quantity, read_out: Quantity) -> bool:
    """Say whether two figures can be the same, within 2%."""
    one, two = stated.interval, read_out.interval
    above = one.low is not None and two.high is not None and one.low > two.high * (1 + TOLERANCE)
    below = one.high is not None and two.low is not None and one.high < two.low * (1 - TOLERANCE)
    return not (above or below)


def one_host(run: RunFigures, stated: Input, resolved: Resolved) -> Finding:
    """Say how many hosts like the listed one the stated devices are."""
    count = stated.quantity.best or 0.0
    hosts = count / resolved.number
    return Finding(
        code="coverage-gap",
        severity="info",
        message=f"run {run.name}: {number(count)} devices are stated and the evidence lists one host's "
        f"{number(resolved.number)}: {number(hosts)} such hosts, of which the list says nothing; the stated "
        "count is used",
        evidence=(stated.source, resolved.derivation),
    )


def partial(run: RunFigures, stated: Input, read_out: Input) -> Finding:
    """Say that a recording is a sample of what the case states."""
    one = stated.quantity.best or stated.quantity.interval.low
    two = read_out.quantity.best or read_out.quantity.interval.low
    assert one is not None
    assert two is not None
    return Finding(
        code="coverage-gap",
        severity="info",
        message=f"run {run.name}: the recording holds {share(two / one)} of the stated {stated.name} "
        f"({number(two)} of {number(one)} {stated.unit}): a sample of the run, which confirms neither "
        "figure and bounds nothing from above; the stated one is used",
        evidence=(stated.source, read_out.source),
    )


def mismatch(code: str, run: RunFigures, stated: Input, read_out: Input, *, used: bool) -> Finding:
    """Say how far case and evidence are apart, and whether the evidence's figure is ``used``."""
    one = stated.quantity.best or stated.quantity.interval.low or stated.quantity.interval.high
    two = read_out.quantity.interval.best or read_out.quantity.interval.low
    shown = number(two) if two is not None else interval(read_out.quantity.interval)
    ratio = "" if not one or not two else f" (a factor {factor(max(one / two, two / one))})"
    choice = "the evidence is used"
    if not used:
        choice = "the case's figure is the one that is tested"
        if code != "claim-mismatch":
            choice = (
                "both are somebody's words, so the case's figure is used; a log, or the document that the "
                "text quotes, decides between them"
            )
    return Finding(
        code=code,
        severity="warning",
        message=f"run {run.name}: {stated.name} is stated as {number(one)}, the evidence gives "
        f"{shown}{ratio}; " + choice,
        evidence=(stated.source, read_out.source),
    )

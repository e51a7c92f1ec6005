"""Stated figures that cannot be of one run: hours, devices and the clock; tokens and a sequence."""

from flopledger.facts import Finding, Grade
from flopledger.inputs import Input, RunFigures
from flopledger.text import factor, number

#: Clocks and rounding differ by less than this share.
TOLERANCE = 0.02
#: "About 11 days", as a text says it.
_ROUNDED = 0.15
#: Devices that stand idle for half of a calendar are no longer the run's.
_IDLE = 2.0


def of_a_text(stated: RunFigures, joined: RunFigures) -> list[Finding]:
    """Hold the case's device-hours against the devices and the time that a text gives beside them.

    A text's figures fill what the case leaves out, and so could contradict it without a word.
    """
    hours, count, wall = joined.device_seconds, joined.device_count, joined.wall_seconds
    if stated.device_seconds is None or hours is None or count is None or wall is None:
        return []
    if stated.device_count is not None and stated.wall_seconds is not None:
        return []  # the case's own, which were held against one another
    if hours.source != stated.device_seconds.source or not all(
        one.grade is Grade.STATEMENT for one in (count, wall)
    ):
        return []
    return beyond_the_clock(joined, tolerance=_ROUNDED)


def beyond_the_clock(run: RunFigures, *, tolerance: float = TOLERANCE) -> list[Finding]:
    """Find stated device-hours that the stated devices cannot have had in the stated time.

    Somewhat fewer are no contradiction: devices fail, and a calendar counts days on which nothing ran.
    """
    hours, count, wall = run.device_seconds, run.device_count, run.wall_seconds
    if hours is None or wall is None:
        return []
    if count is None:
        return _without_count(run, hours, wall)
    clock, billed = count.quantity.interval * wall.quantity.interval, hours.quantity.interval
    if (
        clock.high is not None
        and billed.low is not None
        and billed.low > clock.high * (1 + tolerance)
    ):
        message = (
            f"run {run.name}: {number(billed.low / 3600)} device-hours are stated, but the stated devices "
            f"had {number(clock.high / 3600)} of them by the clock (a factor "
            f"{factor(billed.low / clock.high)}): more devices, more time, or hours of other work"
        )
    elif clock.low is not None and billed.high is not None and billed.high * _IDLE < clock.low:
        message = (
            f"run {run.name}: {number(billed.high / 3600)} device-hours are stated, and the stated devices "
            f"had {number(clock.low / 3600)} of them by the clock (a factor "
            f"{factor(clock.low / billed.high)}): fewer devices, less time, or hours left out"
        )
    else:
        return []
    return [
        Finding(
            code="device-time-mismatch",
            severity="warning",
            message=message,
            evidence=(hours.source, count.source, wall.source),
        )
    ]


#: No run had as many devices; the largest clusters on record have a few hundred thousand.
_MOST_DEVICES = 1e6


def _without_count(run: RunFigures, hours: Input, wall: Input) -> list[Finding]:
    """Find device-hours that come to less than one device by the clock, or to more than there are."""
    most, clock = hours.quantity.interval.high, wall.quantity.interval.low
    least, whole = hours.quantity.interval.low, wall.quantity.interval.high
    if most is not None and clock is not None and most < clock * (1 - TOLERANCE):
        words = "less than one device; the device-hours are in thousands, or of a part of the time"
    elif least is not None and whole is not None and least > whole * _MOST_DEVICES:
        words = f"{number(least / whole)} devices, more than any run had; one of the two is in another unit"
    else:
        return []
    one, two = most or least, clock or whole
    assert one is not None
    assert two is not None
    message = (
        f"run {run.name}: {number(one / 3600)} device-hours are stated, and {number(two / 3600)} hours by "
        f"the clock: {words}"
    )
    return [
        Finding(
            code="device-time-mismatch",
            severity="warning",
            message=message,
            evidence=(hours.source, wall.source),
        )
    ]


def less_than_a_sequence(run: RunFigures) -> list[Finding]:
    """Find a number of tokens that does not fill one sequence: it is in another unit."""
    tokens, length = run.tokens, run.sequence_length
    most = tokens.quantity.interval.high if tokens is not None else None
    if tokens is None or length is None or most is None or most >= length:
        return []
    message = (
        f"run {run.name}: {number(most)} tokens are stated, fewer than one sequence has ({length:,}): tokens "
        "in another unit (billions, trillions), or samples"
    )
    return [
        Finding(
            code="amount-mismatch", severity="warning", message=message, evidence=(tokens.source,)
        )
    ]

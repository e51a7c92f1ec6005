"""The words of this report that a reader may not know: only those that it uses."""

from typing import TYPE_CHECKING

from flopledger.reports.document import Bullets, Section, Strong, Words

if TYPE_CHECKING:
    from flopledger.auditing import AuditReport

_ALWAYS = {
    "FLOP": "one floating-point operation, an addition or a multiplication; a multiply-add is two. "
    "1e24 is a 1 with 24 zeros. FLOP/s is how many of them a device does in a second",
    "model FLOP, hardware FLOP": "what the model's mathematics needs; the same with what was computed "
    "again to save memory. Thresholds speak of the first",
    "90% interval": "the figure lies between these two ends with a probability of 90%, by the errors "
    "that were put in; a bound says of one side only that it cannot lie beyond",
    "ledger": "a sum over those runs that one rule counts; rules differ, so one model has several",
    "independence group": "where a figure comes from in the end; two of one group cannot confirm each "
    "other",
    "grade": "what kind of source a value has: instrument (a device's own counter), gauge (a sensor that "
    "was read now and then), log (written by the run), statement (somebody's word), claim (computed "
    "by the audited party's software; never averaged in)",
}
_ROUTES = {
    "counted": "forward and backward pass of the real model, operation by operation, times the amount "
    "trained",
    "closed-form": "a formula over the model's dimensions, times the amount trained",
    "device-time": "device-hours times the device's peak rate times the share of it that was used",
    "tensor-activity": "how busy the devices' matrix units were seen to be, times their rate",
    "energy": "measured energy over the power that a device draws when it trains, then as device-time; "
    "the weakest route",
}
_UTILISATION = {
    "dense peak": "the most that a device can compute in a second at a precision, without the doubling "
    "that vendors quote for sparse matrices",
    "implied utilisation": "the work over what the devices could have done at their dense peak",
}


def section(report: "AuditReport") -> Section:
    """Explain what is used, in the order in which a reader meets it."""
    methods = {one.method for one in report.estimates}
    told = {
        **_ALWAYS,
        **{f"route {name}": text for name, text in _ROUTES.items() if name in methods},
        **(_UTILISATION if any(run.utilisation for run in report.runs) else {}),
    }
    items: tuple[Words, ...] = tuple(
        (Strong(f"{name}: "), f"{text}.") for name, text in told.items()
    )
    return Section(key="terms", title="Words used here", blocks=(Bullets(items=items),))

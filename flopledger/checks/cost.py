"""Energy and cost that were derived from the hours, and prices that nobody charges."""

from flopledger.checks.of_a_run import Check, finding_of
from flopledger.facts import Finding
from flopledger.inputs import RunFigures
from flopledger.methods import energy
from flopledger.parts import Part
from flopledger.text import number
from flopledger.verdict import Verdict


def circular_figures(run: RunFigures, part: Part | None) -> list[Finding]:
    """Notice figures that were derived from the hours: they repeat them, they add nothing."""
    found = []
    repeated = energy.circularity(run, part)
    if repeated is not None:
        message = (
            f"run {run.name}: the stated energy is {repeated.words}: derived from the hours, so it "
            "is no second line of evidence"
        )
        found.append(finding_of("circular-evidence", "info", message, run))
    price = _round_price(run)
    if price is not None:
        message = (
            f"run {run.name}: the stated cost is device-hours x {price:.2f} USD: derived from the "
            "hours, so it is no second line of evidence"
        )
        found.append(finding_of("circular-evidence", "info", message, run))
    return found


#: What an hour of any accelerator has cost, bought or rented, with room on both sides (USD).
_PRICES = (0.02, 100.0)


def price_check(run: RunFigures) -> Check:
    """Ask where cost over device-hours is no price that anybody charged or paid."""
    seconds, cost = run.device_seconds, run.cost_usd
    if seconds is None or cost is None:
        return Check(verdict=Verdict.UNDETERMINED)
    price = cost.quantity.interval / seconds.quantity.interval * 3600.0
    too_low = price.high is not None and price.high < _PRICES[0]
    too_high = price.low is not None and price.low > _PRICES[1]
    if not (too_low or too_high):
        return Check(verdict=Verdict.UNDETERMINED)
    shown = price.best or (price.high if too_low else price.low)
    message = (
        f"run {run.name}: the stated cost is {number(shown)} USD a device-hour, which no accelerator costs: "
        "cost or hours are in another unit, or of another run"
    )
    finding = finding_of("unit-ambiguity", "warning", message, run)
    return Check(verdict=Verdict.NEEDS_EXPLANATION, findings=(finding,))


def _round_price(run: RunFigures) -> float | None:
    """Find the round hourly price (a multiple of 5 cents) by which a cost was derived."""
    seconds, cost = run.device_seconds, run.cost_usd
    if seconds is None or cost is None:
        return None
    if seconds.quantity.best is None or cost.quantity.best is None:
        return None
    price = cost.quantity.best / (seconds.quantity.best / 3600)
    nearest = round(price / 0.05) * 0.05
    return nearest if nearest > 0 and abs(price / nearest - 1) < 0.002 else None

"""What a run record's step ledgers come to, as facts: tokens, FLOP by phase and number format, time.

The count was made by this tool's recorder while the run went, from the shapes of its calls. It says
what was computed in the processes that were recorded; whether those were the whole run, the devices
and the hours tell.
"""

import re
from typing import TYPE_CHECKING

from flopledger.facts import Grade
from flopledger.logs.notes import Notes

if TYPE_CHECKING:
    from flopledger.recording.totals import RunTotals

_PLACE = "steps/rank=*/ledger.jsonl"
#: What matrix units were fed with -> precision of a case.
_PRECISIONS = {
    "bfloat16": "bf16",
    "float16": "fp16",
    "float32": "fp32",
    "float64": "fp64",
    "float8_e4m3fn": "fp8",
    "float8_e5m2": "fp8",
} | {name: name for name in ("bf16", "fp16", "tf32", "fp32", "fp64", "fp8", "fp4", "int8")}
#: A format that did this share of the work is the run's precision.
_MAIN = 0.9
#: The callback's note of the Trainer's own total; every rank and every attempt leaves one.
_STATED = re.compile(r"total_flos = (\d{1,30}) after step (\d{1,12})")
#: Findings of the totals that an audit lists under its own words, or that say nothing of evidence.
_LEFT_OUT = frozenset({"ledger-broken"})


#: Bounds as wide as this are no wider than the count's own spread in an audit.
_EXACT = 1.02


def _is_figure(totals: "RunTotals") -> bool:
    """Whether the model FLOP are a figure, and not only what lies between bounds."""
    low, high = totals.model_bounds
    if totals.model_flop is None or high is None:
        return False
    # What a killed process did in its last second is said by a finding, and makes no figure a bound.
    return high - totals.flop_unwritten <= _EXACT * low


def note(totals: "RunTotals", notes: Notes) -> None:
    """Write the totals down."""
    is_sure = totals.steps == totals.steps_at_most
    for name, value, unit in (
        ("steps", totals.steps if is_sure else None, None),
        ("tokens", totals.tokens, None),
        ("samples", totals.samples, None),
        ("lost_steps", totals.redone_steps if is_sure else None, None),
        ("recorded_model_flop", totals.model_flop if _is_figure(totals) else None, None),
        ("recorded_hardware_flop", totals.hardware_flop, None),
        ("evaluation_flop", totals.span_flop.get("evaluation"), None),
    ):
        if value:
            notes.fact(name, value, _PLACE, unit=unit)
    for phase, flop in totals.phases.items():
        if flop and is_sure:
            notes.fact(f"recorded_{phase}_flop", flop, _PLACE, unit="FLOP")
    for dtype, flop in totals.by_dtype.items():
        if flop and is_sure:
            notes.fact(f"recorded_flop.{dtype}", flop, _PLACE, unit="FLOP")
    if not _is_figure(totals) and totals.model_bounds[0]:
        notes.fact("recorded_flop_at_least", totals.model_bounds[0], _PLACE)
    if totals.duration_seconds > 0:
        notes.fact("timed_seconds", round(totals.duration_seconds, 6), _PLACE)
        for name, moment in (
            ("recorded_from", min(start for start, _ in totals.windows)),
            ("recorded_until", max(end for _, end in totals.windows)),
        ):
            notes.fact(name, round(moment / 1e9, 3), _PLACE)
    _note_claim(totals, notes)
    _note_precision(totals, notes)
    _note_devices(totals, notes)
    for one in totals.findings:
        if one.code not in _LEFT_OUT and one.severity in ("info", "warning", "error"):
            severity = "warning" if one.severity != "info" else "info"
            notes.finding(
                one.code, "warning" if severity == "warning" else "info", one.message, "steps"
            )


def _note_claim(totals: "RunTotals", notes: Notes) -> None:
    """Write down the Trainer's own total at its last step: a claim, to be rederived."""
    stated = [
        (int(match[2]), int(match[1]))
        for one in totals.findings
        if one.code == "stated-total-flos" and (match := _STATED.search(one.message)) is not None
    ]
    if stated:
        step, flop = max(stated)
        place = f"{_PLACE}: total_flos after step {step:,}"
        notes.fact("claimed_flop", float(flop), place, grade=Grade.CLAIM)


def _note_precision(totals: "RunTotals", notes: Notes) -> None:
    everything = sum(totals.by_dtype.values())
    for dtype, flop in totals.by_dtype.items():
        if everything and flop >= _MAIN * everything and dtype in _PRECISIONS:
            notes.fact(
                "precision", _PRECISIONS[dtype], f"{_PLACE}: {flop / everything:.0%} of FLOP"
            )


def _note_devices(totals: "RunTotals", notes: Notes) -> None:
    devices = [device for device in totals.devices if device.type != "cpu"]
    for name in sorted({device.name for device in devices if device.name}):
        notes.fact("accelerator", name, _PLACE)
    if devices:
        notes.fact("accelerator_count", len(devices), _PLACE, grade=Grade.LOG)

"""Mistakes about what took place beside training: rollouts, rewards, teachers, generated data, runs.

Each is an exact difference in FLOP from a total that is right: what the case says of passes and runs
gives it, so that these fit closely or not at all. Two totals are right: of the compute that updated
parameters, and of everything that the cumulative ledgers hold.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from flopledger.fingerprints.fingerprint import Context, Fingerprint
from flopledger.inputs import FORWARD_ONLY
from flopledger.methods import work
from flopledger.text import number

_TOLERANCE = 0.03
#: A difference of less than this share of a total is no explanation of a claim that differs.
_LEAST = 0.05


def of_passes(context: Context) -> Iterable[Fingerprint]:
    """List what a claim may have wrong about the passes of its only run."""
    trained, passes = context.trained, {one.name: one for one in context.passes}
    if trained is None:
        return
    cumulative = trained + sum(_flop(context, name) for name in passes if name != "value")
    rollouts = passes.get("rollouts")
    if rollouts is not None:
        generated = _flop(context, "rollouts")
        note = (rollouts.note,)
        reason = (
            "generation was counted as training: 6 instead of 2 FLOP a weight and generated token"
        )
        for total in (cumulative + 2 * generated, trained + 3 * generated):
            yield from _fit(context, "backward-counted", total, reason, note)
        reason = (
            "every generated token was counted as trained on, in place of the tokens trained on"
        )
        for total in (3 * generated, 3 * generated + cumulative - trained - generated):
            yield from _fit(context, "backward-counted", total, reason, note, weight=-0.3)
    for name in ("reference", "reward", "teacher"):
        if name in passes:
            once, reason = (
                _flop(context, name),
                f"the {name}'s forward passes were counted as training",
            )
            for total in (cumulative + 2 * once, trained + 3 * once):
                yield from _fit(context, "backward-counted", total, reason, (passes[name].note,))
    for names in _left_out(tuple(passes)):
        missing = sum(_flop(context, name) for name in names)
        reason = f"the passes of {' and '.join(names)} were left out, the others counted in"
        told = tuple(passes[name].note for name in names)
        # Nobody trains on rollouts that he denies: other passes are the ones that get forgotten.
        weight = -0.2 if "rollouts" in names else 0.0
        total = cumulative - missing
        yield from _fit(context, "passes-left-out", total, reason, told[:1], weight=weight)
    epochs = context.run.epochs.quantity.best if context.run.epochs is not None else None
    if context.run.kind == "rl" and epochs is not None and epochs > 1.2:
        reason = f"rollouts that were trained on {epochs:.3g} times over were counted once"
        told = (f"{epochs:.3g} epochs are stated",)
        for total in (trained / epochs, cumulative - trained * (1 - 1 / epochs)):
            yield from _fit(context, "dataset-size-not-trained", total, reason, told)
        reason = f"epochs over the same rollouts were counted in twice ({epochs:.3g})"
        for total in (trained * epochs, cumulative + trained * (epochs - 1)):
            yield from _fit(context, "dataset-size-not-trained", total, reason, told)


@dataclass(frozen=True, kw_only=True, slots=True)
class Counted:
    """One of several runs, with what each of the two right totals holds of it (FLOP)."""

    context: Context
    updates: float
    cumulative: float

    def mistakes(self) -> Iterable[tuple[str, str, float, float]]:
        """Give (code, reason, and by how much the two totals would be off)."""
        run, everything = self.context.run, self.context.estimate
        words = f"run {run.name} ({run.kind})"
        yield "run-left-out", f"{words} was left out", -self.updates, -self.cumulative
        wrong = self.context.conventions.get(work.ALL_TRAINED)
        if wrong is None or wrong <= everything:
            return
        more = wrong - everything
        if run.kind in FORWARD_ONLY:
            reason = f"generation or evaluation was counted as training in {words}"
            yield "backward-counted", reason, wrong if not self.updates else more, more
        else:
            reason = f"frozen weights of {words} were counted at 6 FLOP a weight and token"
            yield "frozen-parameters", reason, more, more


def of_runs(counted: Sequence[Counted], estimate: float) -> Iterable[Fingerprint]:
    """List what a claim may have wrong about one of several runs, beside ``estimate`` (FLOP)."""
    updates = sum(one.updates for one in counted)
    cumulative = sum(one.cumulative for one in counted)
    for one in counted:
        name, flop = one.context.run.name, one.context.estimate
        told = (f"run {name} comes to {number(flop)} FLOP",)
        for code, reason, *off in one.mistakes():
            for total, by in zip((updates, cumulative), off, strict=True):
                if abs(by) > _LEAST * total:
                    yield from _fit(one.context, code, total + by, reason, told, beside=estimate)


def _left_out(names: tuple[str, ...]) -> Iterable[tuple[str, ...]]:
    """List which passes may be missing while others are there; without any it is a ledger of its own."""
    counted = [name for name in names if name != "value"]
    for size in (1, 2):
        yield from (found for found in combinations(counted, size) if len(found) < len(counted))


def _flop(context: Context, name: str) -> float:
    return next((one.flop.best or 0.0 for one in context.passes if one.name == name), 0.0)


def _fit(
    context: Context,
    code: str,
    total: float,
    reason: str,
    told: tuple[str, ...],
    *,
    weight: float = 0.0,
    beside: float | None = None,
) -> Iterable[Fingerprint]:
    if total > 0:
        yield Fingerprint(
            code=code,
            factor=total / (beside or context.estimate),
            tolerance=_TOLERANCE,
            reason=reason,
            backed=told,
            weight=weight,
        )

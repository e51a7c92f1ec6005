"""Makes of a count of what a mixture's class executes the count of what its router asks for.

Two kinds of class need it. Some send every token through every expert and multiply the result by zero
(Llama 4): no trainer of such a model executes that, and the routed work is what its mathematics needs.
Some route to experts without weights, too (LongCat): how many with weights a token passes is data, which
a trace has not, so the count takes the most and bounds say how little it may be.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from flopcount.conventions import state
from flopcount.count import MODEL_PHASES, Convention, Entry, FlopCount, Phase
from flopcount.findings import Finding
from flopcount.ledger import INVENTED
from flopcount.parameters import expert_modules, experts_per_token

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """The step that was counted, as far as experts need it."""

    model: Any
    config: Mapping[str, Any]
    tokens: int
    inputs: dict[str, Any]
    backward: bool
    convention: str
    source: object  #: what a finding names


def as_routed(count: FlopCount, asked: Asked) -> tuple[FlopCount, list[Finding]]:
    """Give the count of what a router asks for, with what was changed.

    ``torch`` states what that counter would say of the class, and is left alone.
    """
    chosen = experts_per_token(asked.config)
    if chosen is None or count.method == "closed-form" or asked.convention == "torch":
        return count, []
    dense = _dense(count)
    if (routed := _without_idle(dense, asked, chosen)) is not None:
        changed, finding = routed
    elif (bounded := _with_empty(dense, asked, chosen)) is not None:
        changed, finding = bounded
    else:
        return count, []
    stated = state(
        changed, asked.convention, asked.model, (), asked.inputs, backward=asked.backward
    )
    return stated, [finding]


def _dense(count: FlopCount) -> FlopCount:
    """Undo a convention: the ledger is the same, and so is what is known of its ends."""
    total = count.forward + count.backward
    bounds = count.flop_bounds
    if bounds is not None:
        low, high = bounds
        move = total - count.total
        bounds = low + move, None if high is None else high + move
    return replace(count, total=total, convention=Convention(), explained=(), flop_bounds=bounds)


def _without_idle(count: FlopCount, asked: Asked, chosen: int) -> tuple[FlopCount, Finding] | None:
    """Leave out what experts compute of tokens that nobody sent them; ``None`` where they route."""
    groups = {name: number for name, _, number in expert_modules(asked.model)}
    number = max(groups.values(), default=0)
    if chosen >= number:
        return None
    forward = sum(
        entry.flop
        for entry in count.entries
        if entry.phase == "forward" and _inside(entry, groups) is not None
    )
    # A stored weight costs 2 FLOP a row; rows of every expert are the tokens where all compute.
    stored = sum(stored for _, stored, _ in expert_modules(asked.model))
    if forward < 2 * asked.tokens * stored * 9 // 10:
        return None
    entries = tuple(
        entry if (name := _inside(entry, groups)) is None else _share(entry, chosen, groups[name])
        for entry in count.entries
    )
    changed = _restated(count, entries)
    idle = count.total - changed.total
    message = (
        f"the library's class sends every token through all {number} experts of a layer, of which "
        f"{chosen} count; the {idle:,} FLOP of tokens that no router sends to an expert are left "
        "out: executed by this class, and by no trainer that routes (--convention torch has them)"
    )
    return changed, Finding(
        code="experts-all-computed",
        severity="info",
        message=message,
        evidence=(str(asked.source),),
    )


def _with_empty(count: FlopCount, asked: Asked, chosen: int) -> tuple[FlopCount, Finding] | None:
    """Count every choice as one of an expert with weights; a bound tells of the fewest."""
    groups = list(_beside_empty(asked.model))
    if not groups:
        return None
    names = {name: empty for name, _, empty in groups}
    dtypes = [entry.dtype for entry in count.entries if _inside(entry, names) is not None]
    dtypes += [entry.dtype for entry in count.entries]
    entries = [entry for entry in count.entries if _inside(entry, names) is None]
    most = fewest = 0
    phases: tuple[tuple[Phase, int], ...] = (("forward", 1), ("backward", 2))
    for name, weights, empty in groups:
        for phase, passes in phases if asked.backward else phases[:1]:
            each = 2 * passes * weights * asked.tokens
            entries.append(_line(name, phase, dtypes[0], each * chosen))
            most += each * chosen
            fewest += each * max(0, chosen - empty)
    # What the ladder said of its inventions was about the lines that are replaced here.
    notes = tuple(note for note in count.notes if not note.startswith(INVENTED))
    changed = replace(_restated(count, tuple(entries)), notes=notes)
    low, high = changed.flop_bounds or (changed.total, changed.total)
    low -= most - fewest
    message = (
        f"of the experts that a router chooses from, {max(names.values())} have no weights, and how many "
        f"with weights a token passes is data: the count takes all {chosen} choices for such with "
        f"weights, and is at least {low:,} FLOP"
    )
    bounded = replace(changed, flop_bounds=(low, high))
    return bounded, Finding(
        code="routing-unknown", severity="warning", message=message, evidence=(str(asked.source),)
    )


def without_loops(model: Any, config: Mapping[str, Any]) -> None:
    """Let experts beside empty ones compute every choice at once, instead of one hit expert after another.

    Their loop asks which experts were hit, which tensors without values cannot say; the real ones are far
    too large for the processor. Each choice is a row through the weights of some expert: one stands for all.
    """
    chosen = experts_per_token(config)
    if chosen is None:
        return
    for name, _, _ in list(_beside_empty(model)):
        module = model.get_submodule(name)
        if all(hasattr(module, part) for part in ("gate_up_proj", "down_proj", "act_fn")):
            module.forward = partial(_every_choice, module, chosen)


def _every_choice(module: Any, chosen: int, hidden: Any, _index: Any, weights: Any) -> Any:
    from torch.nn.functional import linear

    rows = hidden.repeat_interleave(chosen, dim=0)
    gate, up = linear(rows, module.gate_up_proj[0]).chunk(2, dim=-1)
    out = linear(module.act_fn(gate) * up, module.down_proj[0]) * weights.reshape(-1, 1)
    return out.view(-1, chosen, hidden.shape[-1]).sum(dim=1).to(hidden.dtype)


def _beside_empty(model: Any) -> Iterator[tuple[str, int, int]]:
    """Yield (module's name, weights of one expert, number of experts without weights)."""
    for name, module in model.named_modules():
        empty = getattr(module, "zero_expert_num", None)
        weights = [one for one in module.parameters(recurse=False) if one.ndim == 3]
        if type(empty) is int and empty > 0 and weights:
            yield name, sum(one[0].numel() for one in weights), empty


def _inside(entry: Entry, names: Mapping[str, int]) -> str | None:
    """Give the group of experts that a line lies in."""
    path = entry.module
    while path not in names:
        path, dot, _ = path.rpartition(".")
        if not dot:
            return path if path in names else None
    return path


def _share(entry: Entry, chosen: int, number: int) -> Entry:
    flop = entry.flop * chosen // number
    masked = entry.masked * chosen // number
    return replace(entry, flop=flop, masked=masked, idle=entry.flop - flop)


def _line(module: str, phase: Phase, dtype: str, flop: int) -> Entry:
    return Entry(
        module=module, op="aten.mm", dtype=dtype, phase=phase, calls=0, flop=flop, masked=flop
    )


def _restated(count: FlopCount, entries: tuple[Entry, ...]) -> FlopCount:
    """The same count of other lines; what was open of it stays open by as much."""
    sums = {"forward": 0, "backward": 0, "recompute": 0, "optimizer": 0}
    for entry in entries:
        sums[entry.phase] += entry.flop
    total = sums["forward"] + sums["backward"]
    model = [entry for entry in entries if entry.phase in MODEL_PHASES]
    # What depended on invented routing alone has no bound: the lines that did are replaced.
    bounds = count.flop_bounds if count.uncounted else None
    if bounds is not None:
        low, high = bounds
        move = total - count.total
        bounds = low + move, None if high is None else high + move
    return replace(
        count,
        forward=sums["forward"],
        backward=sums["backward"],
        recompute=sums["recompute"],
        total=total,
        masked_total=sum(entry.masked for entry in model),
        entries=entries,
        flop_bounds=bounds,
    )
